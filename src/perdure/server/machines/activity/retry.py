"""When there is another attempt: the one place of the retry formula, for activities and for
workflows.

    delay = initial interval x backoff coefficient ^ (attempt - 1), at most the maximum interval

unless the failure itself names the delay. There is no other attempt when the failure is not
retryable, when the attempts are used up, or when the next one would begin after the expiration.
"""

from __future__ import annotations

import math

import msgspec
from temporalio.api.common.v1 import RetryPolicy as RetryPolicyMessage
from temporalio.api.enums.v1 import RetryState, TimeoutType, workflow_pb2
from temporalio.api.failure.v1 import Failure

from perdure.server.machines import durations
from perdure.server.machines.wire import SECOND_NS, duration_ns, set_duration
from perdure.server.machines.workflow.state import PendingActivity, RetryPolicy

INITIAL_INTERVAL_NS = SECOND_NS
BACKOFF_COEFFICIENT = 2.0
INTERVAL_MAX_FACTOR = 100
"""The default maximum interval, in initial intervals."""
TIMEOUT_TYPE_PREFIX = "TemporalTimeout:"
"""Before a kind of timeout among the non-retryable types, as in TemporalTimeout:StartToClose."""
DELAY_NS_MAX = 2**63 - 1

TIMEOUT_NAMES: dict[int, str] = {
    workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE: "StartToClose",
    workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START: "ScheduleToStart",
    workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: "ScheduleToClose",
    workflow_pb2.TIMEOUT_TYPE_HEARTBEAT: "Heartbeat",
}
"""Kinds of timeout, as failures and retry policies spell them."""

_SCHEDULE_TIMEOUTS = (
    workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START,
    workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE,
)


class RetryDecision(msgspec.Struct, frozen=True):
    """Whether and when there is another attempt: `delay_ns` from now, or None; `retry_state` says
    why (Temporal's RetryState).
    """

    delay_ns: int | None
    retry_state: RetryState.ValueType


def next_retry(
    policy: RetryPolicy | None,
    attempt: int,
    now_ns: int,
    expiration_ns: int,
    failure: Failure | None,
    *,
    is_own_delay_free: bool = False,
) -> RetryDecision:
    """What comes after `attempt` (from 1) has failed with `failure`; `expiration_ns` is 0 when
    there is none.

    A delay that the failure names is bounded by the policy's maximum interval for a workflow, and
    free for an activity.
    """
    if policy is None:
        return RetryDecision(None, workflow_pb2.RETRY_STATE_RETRY_POLICY_NOT_SET)
    if not is_retryable(failure, policy.non_retryable_types):
        return RetryDecision(None, workflow_pb2.RETRY_STATE_NON_RETRYABLE_FAILURE)
    if 0 < policy.attempts_max <= attempt:
        return RetryDecision(None, workflow_pb2.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED)
    own_delay_ns = _own_delay(failure)
    delay_ns = exponential_delay(policy, attempt) if own_delay_ns is None else own_delay_ns
    maximum_ns = policy.interval_ns_max
    if is_own_delay_free and own_delay_ns is not None:
        maximum_ns = own_delay_ns
    if maximum_ns and (delay_ns <= 0 or delay_ns > maximum_ns):
        delay_ns = maximum_ns
    elif not maximum_ns and delay_ns <= 0:
        return RetryDecision(None, workflow_pb2.RETRY_STATE_TIMEOUT)
    if expiration_ns and now_ns + delay_ns > expiration_ns:
        return RetryDecision(None, workflow_pb2.RETRY_STATE_TIMEOUT)
    return RetryDecision(delay_ns, workflow_pb2.RETRY_STATE_IN_PROGRESS)


def next_activity_retry(
    pending: PendingActivity, now_ns: int, failure: Failure | None
) -> RetryDecision:
    """What comes after the current attempt of an activity has failed: never another one when its
    cancellation was requested, and always one, when it is unpaused, of what is paused now.
    """
    activity, policy = pending.activity, pending.options.retry_policy
    if activity.cancel_requested_event_id:
        return RetryDecision(None, workflow_pb2.RETRY_STATE_CANCEL_REQUESTED)
    if failure is not None and failure.timeout_failure_info.timeout_type in _SCHEDULE_TIMEOUTS:
        return RetryDecision(None, workflow_pb2.RETRY_STATE_TIMEOUT)
    if pending.attempt.pause is not None and is_retryable(failure, policy.non_retryable_types):
        return RetryDecision(0, workflow_pb2.RETRY_STATE_IN_PROGRESS)
    # Other options move the timeout itself, and not this bound, on the real server too.
    expiration_ns = (
        activity.scheduled_time_ns + activity.schedule_to_close_ns
        if activity.schedule_to_close_ns
        else 0
    )
    return next_retry(
        policy,
        pending.attempt.attempt,
        now_ns,
        expiration_ns,
        failure,
        is_own_delay_free=True,
    )


def is_retryable(failure: Failure | None, non_retryable_types: tuple[str, ...]) -> bool:
    """Whether a failure allows another attempt. What is not known to forbid one allows it."""
    match failure.WhichOneof("failure_info") if failure is not None else None:
        case "terminated_failure_info" | "canceled_failure_info":
            return False
        case "timeout_failure_info":
            assert failure is not None
            timeout_type = failure.timeout_failure_info.timeout_type
            if timeout_type not in (
                workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE,
                workflow_pb2.TIMEOUT_TYPE_HEARTBEAT,
            ):
                return False
            return TIMEOUT_TYPE_PREFIX + TIMEOUT_NAMES[timeout_type] not in non_retryable_types
        case "server_failure_info":
            assert failure is not None
            return not failure.server_failure_info.non_retryable
        case "application_failure_info":
            assert failure is not None
            info = failure.application_failure_info
            return not info.non_retryable and info.type not in non_retryable_types
        case _:
            return True


def exponential_delay(policy: RetryPolicy, attempt: int) -> int:
    """The policy's delay after `attempt`, before any bound but that of 63 bits, in nanoseconds."""
    try:
        delay = policy.initial_interval_ns * math.pow(policy.backoff_coefficient, attempt - 1)
    except OverflowError:
        return DELAY_NS_MAX
    if math.isnan(delay):
        return 0
    return DELAY_NS_MAX if delay >= DELAY_NS_MAX else max(0, int(delay))


def with_defaults(policy: RetryPolicyMessage) -> None:
    """Fill in, in place, what a policy leaves open."""
    if duration_ns(policy.initial_interval) == 0:
        set_duration(policy.initial_interval, INITIAL_INTERVAL_NS)
    initial_ns = duration_ns(policy.initial_interval)
    if duration_ns(policy.maximum_interval) == 0 and initial_ns > 0:
        # The real server multiplies in 64 bits: what does not fit is then refused as negative.
        product_ns = min(initial_ns, DELAY_NS_MAX) * INTERVAL_MAX_FACTOR
        wrapped_ns = (product_ns + 2**63) % 2**64 - 2**63
        policy.maximum_interval.FromNanoseconds(wrapped_ns)
    if policy.backoff_coefficient == 0:
        policy.backoff_coefficient = BACKOFF_COEFFICIENT


def validate(policy: RetryPolicyMessage) -> str | None:
    """What is wrong with a policy that has its defaults, in the words of the real server; cuts
    intervals to 100 years, in place.
    """
    if policy.maximum_attempts == 1:
        return None  # The rest does not matter, and the real server does not look at it either.
    if problem := durations.problem_of(policy.initial_interval):
        return f"invalid InitialInterval set on retry policy: {problem}"
    durations.cap(policy.initial_interval)
    if policy.backoff_coefficient < 1:
        return "BackoffCoefficient cannot be less than 1 on retry policy."
    if problem := durations.problem_of(policy.maximum_interval):
        return f"invalid MaximumInterval set on retry policy: {problem}"
    durations.cap(policy.maximum_interval)
    if 0 < duration_ns(policy.maximum_interval) < duration_ns(policy.initial_interval):
        return "MaximumInterval cannot be less than InitialInterval on retry policy."
    if policy.maximum_attempts < 0:
        return "MaximumAttempts cannot be negative on retry policy."
    for name in policy.non_retryable_error_types:
        if name.startswith(TIMEOUT_TYPE_PREFIX):
            timeout = name.removeprefix(TIMEOUT_TYPE_PREFIX)
            if timeout not in _TIMEOUT_SPELLINGS:
                return f"Invalid timeout type value: {timeout}."
    return None


_TIMEOUT_SPELLINGS = frozenset(TIMEOUT_NAMES.values()) | (
    frozenset(TimeoutType.keys()) - {"TIMEOUT_TYPE_UNSPECIFIED"}
)


def _own_delay(failure: Failure | None) -> int | None:
    """The delay that an application failure names, in nanoseconds."""
    if failure is None or not failure.HasField("application_failure_info"):
        return None
    info = failure.application_failure_info
    return duration_ns(info.next_retry_delay) if info.HasField("next_retry_delay") else None
