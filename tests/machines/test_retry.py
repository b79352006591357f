"""The retry formula, and the policies that it is given."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import RetryPolicy as RetryPolicyMessage
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import (
    CanceledFailureInfo,
    Failure,
    ServerFailureInfo,
    TerminatedFailureInfo,
    TimeoutFailureInfo,
)

from perdure.server.machines.activity.failures import complete_timeout, timed_out, truncated
from perdure.server.machines.activity.retry import (
    exponential_delay,
    is_retryable,
    next_retry,
    validate,
    with_defaults,
)
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.workflow.state import RetryPolicy
from sim.checkers.h4_parses import failure_depth
from tests.machines.activity_world import application_failure, seconds

NOW = 1_000 * SECOND_NS
IN_PROGRESS = RetryState.RETRY_STATE_IN_PROGRESS
TIMEOUT = RetryState.RETRY_STATE_TIMEOUT


def policy(
    initial: float = 1,
    coefficient: float = 2,
    maximum: float = 100,
    attempts_max: int = 0,
    types: tuple[str, ...] = (),
) -> RetryPolicy:
    """A policy, in seconds."""
    return RetryPolicy(
        round(initial * SECOND_NS), coefficient, round(maximum * SECOND_NS), attempts_max, types
    )


@pytest.mark.parametrize(
    ("given", "attempt", "delay_s"),
    [
        (policy(), 1, 1),
        (policy(), 2, 2),
        (policy(), 7, 64),
        (policy(), 8, 100),
        (policy(), 100_000, 100),
        (policy(coefficient=1), 50, 1),
        (policy(initial=0.1, coefficient=1.5), 3, 0.225),
        (policy(maximum=0), 11, 1024),
        (policy(coefficient=float("inf")), 2, 100),
        (policy(coefficient=float("nan")), 2, 100),
    ],
)
def test_the_delay_grows_up_to_the_maximum(
    given: RetryPolicy, attempt: int, delay_s: float
) -> None:
    decision = next_retry(given, attempt, NOW, 0, application_failure())
    assert decision.retry_state == IN_PROGRESS
    assert decision.delay_ns == round(delay_s * SECOND_NS)


def test_without_a_maximum_the_delay_ends_at_63_bits() -> None:
    assert exponential_delay(policy(maximum=0), 1_000_000) == 2**63 - 1


@pytest.mark.parametrize(
    ("delay_s", "of_workflow_s", "of_activity_s"),
    [
        (7, 7, 7),
        (3600, 100, 3600),
        (-5, 100, -5),
        (0, 100, None),
    ],
)
def test_a_delay_that_the_failure_names_is_bounded_for_workflows_only(
    delay_s: float, of_workflow_s: float, of_activity_s: float | None
) -> None:
    failure = application_failure(delay_s=delay_s)
    of_workflow = next_retry(policy(), 3, NOW, 0, failure)
    of_activity = next_retry(policy(), 3, NOW, 0, failure, is_own_delay_free=True)
    assert of_workflow.delay_ns == of_workflow_s * SECOND_NS
    if of_activity_s is None:
        assert (of_activity.delay_ns, of_activity.retry_state) == (None, TIMEOUT)
    else:
        assert of_activity.delay_ns == of_activity_s * SECOND_NS


@pytest.mark.parametrize(
    ("given", "attempt", "expiration_s", "failure", "retry_state"),
    [
        (None, 1, 0, None, RetryState.RETRY_STATE_RETRY_POLICY_NOT_SET),
        (policy(attempts_max=3), 2, 0, None, IN_PROGRESS),
        (policy(attempts_max=3), 3, 0, None, RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED),
        (policy(attempts_max=3), 4, 0, None, RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED),
        (policy(), 1, 1001, None, IN_PROGRESS),
        (policy(), 1, 1000.999, None, TIMEOUT),
        (policy(initial=0, maximum=0), 1, 0, None, TIMEOUT),
        (
            policy(attempts_max=1),
            1,
            0,
            application_failure(non_retryable=True),
            RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE,
        ),
    ],
)
def test_the_decision_says_why(
    given: RetryPolicy | None,
    attempt: int,
    expiration_s: float,
    failure: Failure | None,
    retry_state: int,
) -> None:
    decision = next_retry(given, attempt, NOW, round(expiration_s * SECOND_NS), failure)
    assert decision.retry_state == retry_state
    assert (decision.delay_ns is not None) == (retry_state == IN_PROGRESS)


def timeout(timeout_type: TimeoutType.ValueType) -> Failure:
    """A timeout failure."""
    return Failure(timeout_failure_info=TimeoutFailureInfo(timeout_type=timeout_type))


@pytest.mark.parametrize(
    ("failure", "types", "expected"),
    [
        (None, (), True),
        (Failure(message="of no kind"), (), True),
        (application_failure(), (), True),
        (application_failure(kind="A"), ("B", "A"), False),
        (application_failure(non_retryable=True), (), False),
        (Failure(canceled_failure_info=CanceledFailureInfo()), (), False),
        (Failure(terminated_failure_info=TerminatedFailureInfo()), (), False),
        (Failure(server_failure_info=ServerFailureInfo()), (), True),
        (Failure(server_failure_info=ServerFailureInfo(non_retryable=True)), (), False),
        (timeout(TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE), (), True),
        (timeout(TimeoutType.TIMEOUT_TYPE_HEARTBEAT), (), True),
        (timeout(TimeoutType.TIMEOUT_TYPE_HEARTBEAT), ("TemporalTimeout:Heartbeat",), False),
        (timeout(TimeoutType.TIMEOUT_TYPE_HEARTBEAT), ("Heartbeat",), True),
        (timeout(TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START), (), False),
        (timeout(TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE), (), False),
    ],
)
def test_which_failures_allow_another_attempt(
    failure: Failure | None, types: tuple[str, ...], expected: bool
) -> None:
    assert is_retryable(failure, types) is expected


def test_defaults_fill_only_what_is_open() -> None:
    empty = RetryPolicyMessage()
    with_defaults(empty)
    assert empty == RetryPolicyMessage(
        initial_interval=seconds(1), backoff_coefficient=2, maximum_interval=seconds(100)
    )
    given = RetryPolicyMessage(
        initial_interval=seconds(0.25),
        backoff_coefficient=1,
        maximum_attempts=3,
        non_retryable_error_types=["A"],
    )
    with_defaults(given)
    assert given == RetryPolicyMessage(
        initial_interval=seconds(0.25),
        backoff_coefficient=1,
        maximum_interval=seconds(25),
        maximum_attempts=3,
        non_retryable_error_types=["A"],
    )
    full = RetryPolicyMessage(
        initial_interval=seconds(2), backoff_coefficient=3, maximum_interval=seconds(5)
    )
    before = full.SerializeToString()
    with_defaults(full)
    assert full.SerializeToString() == before


def test_a_default_maximum_that_does_not_fit_into_64_bits_is_refused() -> None:
    huge = RetryPolicyMessage()
    huge.initial_interval.seconds = 2**62
    with_defaults(huge)
    assert validate(huge) == "invalid MaximumInterval set on retry policy: negative duration"
    huge.maximum_interval.CopyFrom(Duration(seconds=2**62))
    with_defaults(huge)
    assert validate(huge) is None
    assert huge.initial_interval.seconds == huge.maximum_interval.seconds == 100 * 365 * 86400


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, None),
        (
            {"initial_interval": seconds(-1)},
            "invalid InitialInterval set on retry policy: negative duration",
        ),
        (
            {"backoff_coefficient": 0.9},
            "BackoffCoefficient cannot be less than 1 on retry policy.",
        ),
        (
            {"maximum_interval": seconds(-1)},
            "invalid MaximumInterval set on retry policy: negative duration",
        ),
        (
            {"initial_interval": seconds(2), "maximum_interval": seconds(1)},
            "MaximumInterval cannot be less than InitialInterval on retry policy.",
        ),
        (
            {"maximum_attempts": -1},
            "MaximumAttempts cannot be negative on retry policy.",
        ),
        (
            {"non_retryable_error_types": ["A", "TemporalTimeout:Never"]},
            "Invalid timeout type value: Never.",
        ),
        ({"non_retryable_error_types": ["TemporalTimeout:Heartbeat"]}, None),
        ({"maximum_attempts": 1, "backoff_coefficient": 0.1}, None),
    ],
)
def test_bad_policies_are_refused_in_the_words_of_the_real_server(
    fields: dict[str, object], problem: str | None
) -> None:
    message = RetryPolicyMessage(**fields)  # type: ignore[arg-type]
    with_defaults(message)
    assert validate(message) == problem


def test_a_truncated_failure_keeps_what_matters_most() -> None:
    failure = application_failure("message", kind="Kind", non_retryable=True)
    failure.source = "PythonSDK"
    failure.stack_trace = "trace" * 100
    failure.cause.message = "cause" * 100
    short = truncated(failure, 60)
    assert short.application_failure_info.type == "Kind"
    assert short.application_failure_info.non_retryable
    assert (short.source, short.message) == ("PythonSDK", "message")
    assert short.stack_trace.startswith("trace")
    assert len(short.stack_trace) < 40
    assert not short.HasField("cause")
    whole = truncated(failure, 10_000)
    assert whole.cause.message == failure.cause.message


def test_a_truncated_text_is_never_cut_within_a_character() -> None:
    assert truncated(Failure(message="ééé"), 5).message == "éé"
    assert truncated(Failure(message="ééé"), 6).message == "ééé"


def test_a_truncated_failure_is_no_deeper_than_what_can_be_parsed() -> None:
    failure = Failure(message="root")
    for depth in range(40):
        failure = Failure(message=str(depth), cause=failure)
    depth = 0
    short = truncated(failure, 100_000)
    while short.HasField("cause"):
        short, depth = short.cause, depth + 1
    assert depth + 2 == DEFAULT_LIMITS.failure_depth_max, "it will be the cause of another one"


def test_a_timeout_that_tells_of_a_deep_failure_is_no_deeper_than_what_can_be_parsed() -> None:
    last = Failure(message="root")
    for depth in range(DEFAULT_LIMITS.failure_depth_max - 1):
        last = Failure(message=str(depth), cause=last)
    kind = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
    timeout = complete_timeout(timed_out(kind), b"", last.SerializeToString())
    assert 1 + failure_depth(timeout) == DEFAULT_LIMITS.failure_depth_max
    assert timeout.cause.message == last.message
