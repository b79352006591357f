"""The attempt machine, pair by pair."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.activity.attempt import (
    TABLE,
    AcknowledgeCancel,
    BackoffOver,
    Beat,
    Complete,
    Ends,
    Fail,
    Lose,
    RequestCancel,
    Start,
    TimeOut,
    Trigger,
    Undelivered,
    step,
)
from perdure.server.machines.activity.control import Pause, Reset, SetOptions, Unpause
from perdure.server.machines.errors import (
    FailedPrecondition,
    InvalidArgument,
    InvariantViolation,
    NotFound,
)
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.workflow.state import (
    Activity,
    Attempt,
    AttemptState,
    PendingActivity,
    RetryPolicy,
)
from perdure.server.machines.workflow.state import Pause as PauseState
from tests.machines.activity_world import application_failure, payloads

SCHEDULED, BACKING_OFF = AttemptState.SCHEDULED, AttemptState.BACKING_OFF
STARTED, OUTCOME_BUFFERED = AttemptState.STARTED, AttemptState.OUTCOME_BUFFERED
PAUSED = AttemptState.PAUSED
NEVER = InvariantViolation
START_TO_CLOSE = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
SCHEDULE_TO_START = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
SCHEDULE_TO_CLOSE = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
HEARTBEAT = TimeoutType.TIMEOUT_TYPE_HEARTBEAT
NOW = 100 * SECOND_NS
STAMP = 7
PAUSE = PauseState(NOW, "operator", "why", "request")
POLICY = RetryPolicy(SECOND_NS, 2.0, 100 * SECOND_NS, 0)

Outcome = AttemptState | type[Ends] | type[Exception] | None


def activity(
    state: AttemptState, *, cancel: bool = False, policy: RetryPolicy = POLICY, **attempt: object
) -> PendingActivity:
    """An activity in a state, scheduled at 90 s, with 60 s to close."""
    fields = {"state": state, "scheduled_time_ns": 90 * SECOND_NS, "stamp": STAMP} | attempt
    if state == PAUSED:
        fields = {"pause": PAUSE} | fields
    if state == STARTED:
        fields = {"started_time_ns": 95 * SECOND_NS, "request_id": "r", "identity": "w"} | fields
    return PendingActivity(
        Activity(
            activity_id="a",
            activity_type="work",
            task_queue="queue",
            scheduled_event_id=5,
            scheduled_time_ns=90 * SECOND_NS,
            schedule_to_close_ns=60 * SECOND_NS,
            schedule_to_start_ns=60 * SECOND_NS,
            start_to_close_ns=10 * SECOND_NS,
            heartbeat_ns=5 * SECOND_NS,
            retry_policy=policy,
            cancel_requested_event_id=9 if cancel else 0,
        ),
        Attempt(**fields),  # type: ignore[arg-type]
    )


def attempt_after(pending: PendingActivity, trigger: Trigger) -> Attempt:
    """The new attempt that a trigger makes."""
    result = step(pending, trigger, DEFAULT_LIMITS)
    assert isinstance(result, Attempt)
    return result


def end_by(pending: PendingActivity, trigger: Trigger) -> Ends:
    """How a trigger ends the activity."""
    result = step(pending, trigger, DEFAULT_LIMITS)
    assert isinstance(result, Ends)
    return result


TRIGGERS: dict[str, Trigger] = {
    "start": Start(NOW, STAMP, "s", "x"),
    "start, same request": Start(NOW, STAMP, "r", "w"),
    "start, stale stamp": Start(NOW, STAMP - 1, "s", "x"),
    "eager start": Start(NOW, None, "s", "x"),
    "undelivered": Undelivered(STAMP),
    "undelivered, stale stamp": Undelivered(STAMP - 1),
    "complete": Complete(NOW, "x", is_by_id=False),
    "complete by id": Complete(NOW, "x", is_by_id=True),
    "fail": Fail(NOW, "x", application_failure(), None),
    "fail for good": Fail(NOW, "x", application_failure(non_retryable=True), None),
    "acknowledge cancel": AcknowledgeCancel(),
    "beat": Beat(NOW, "x", payloads("50%")),
    "request cancel": RequestCancel(),
    "backoff over": BackoffOver(),
    "start-to-close": TimeOut(NOW, START_TO_CLOSE),
    "schedule-to-start": TimeOut(NOW, SCHEDULE_TO_START),
    "schedule-to-close": TimeOut(NOW, SCHEDULE_TO_CLOSE),
    "heartbeat": TimeOut(NOW, HEARTBEAT),
    "lose": Lose(NOW, STAMP),
    "lose, stale stamp": Lose(NOW, STAMP - 1),
    "pause": Pause(PauseState(NOW, "y", "", "another")),
    "pause, same request": Pause(PauseState(NOW, "y", "", PAUSE.request_id)),
    "unpause": Unpause(NOW, NOW),
    "unpause later": Unpause(NOW, NOW + 1),
    "reset": Reset(NOW, NOW),
    "reset, keep paused": Reset(NOW, NOW, keeps_paused=True),
    "set options": SetOptions(NOW, None),
}

EXPECTED: dict[str, tuple[Outcome, Outcome, Outcome, Outcome, Outcome]] = {
    # trigger: of what is SCHEDULED, BACKING_OFF, STARTED, OUTCOME_BUFFERED, PAUSED
    "start": (STARTED, NotFound, NotFound, NotFound, NotFound),
    "start, same request": (STARTED, NotFound, None, NotFound, NotFound),
    "start, stale stamp": (NotFound, NotFound, NotFound, NotFound, NotFound),
    "eager start": (STARTED, NotFound, NotFound, NotFound, NotFound),
    "undelivered": (None, None, SCHEDULED, None, None),
    "undelivered, stale stamp": (None, None, None, None, None),
    "complete": (NotFound, NotFound, Ends, NotFound, NotFound),
    "complete by id": (Ends, Ends, Ends, NotFound, Ends),
    "fail": (NotFound, NotFound, BACKING_OFF, NotFound, NotFound),
    "fail for good": (NotFound, NotFound, Ends, NotFound, NotFound),
    "acknowledge cancel": (NotFound, NotFound, InvalidArgument, NotFound, NotFound),
    "beat": (NotFound, NotFound, STARTED, NotFound, NotFound),
    "request cancel": (Ends, Ends, None, None, Ends),
    "backoff over": (NEVER, SCHEDULED, NEVER, NEVER, NEVER),
    "start-to-close": (NEVER, NEVER, BACKING_OFF, NEVER, NEVER),
    "schedule-to-start": (Ends, NEVER, NEVER, NEVER, NEVER),
    "schedule-to-close": (Ends, Ends, Ends, NEVER, NEVER),
    "heartbeat": (NEVER, NEVER, BACKING_OFF, NEVER, NEVER),
    "lose": (None, None, SCHEDULED, None, None),
    "lose, stale stamp": (None, None, None, None, None),
    "pause": (PAUSED, PAUSED, STARTED, NotFound, FailedPrecondition),
    "pause, same request": (PAUSED, PAUSED, STARTED, NotFound, PAUSED),
    "unpause": (SCHEDULED, BACKING_OFF, STARTED, NotFound, SCHEDULED),
    "unpause later": (SCHEDULED, BACKING_OFF, STARTED, NotFound, BACKING_OFF),
    "reset": (SCHEDULED, SCHEDULED, STARTED, NotFound, SCHEDULED),
    "reset, keep paused": (SCHEDULED, SCHEDULED, STARTED, NotFound, PAUSED),
    "set options": (SCHEDULED, SCHEDULED, STARTED, NotFound, PAUSED),
}

EXPECTED_IF_PAUSED: dict[str, Outcome] = {
    "undelivered": PAUSED,
    "complete": Ends,
    "fail": PAUSED,
    "fail for good": Ends,
    "beat": STARTED,
    "lose": PAUSED,
    "pause": FailedPrecondition,
    "pause, same request": STARTED,
    "unpause": STARTED,
    "reset": STARTED,
}
"""Of a started activity."""

EXPECTED_IF_CANCEL_REQUESTED: dict[str, Outcome] = {
    "undelivered": Ends,
    "undelivered, stale stamp": None,
    "complete": Ends,
    "complete by id": Ends,
    "fail": Ends,
    "acknowledge cancel": Ends,
    "beat": STARTED,
    "request cancel": None,
    "start-to-close": Ends,
    "heartbeat": Ends,
    "lose": Ends,
    "lose, stale stamp": None,
}
"""Of a started activity."""

STATES = (SCHEDULED, BACKING_OFF, STARTED, OUTCOME_BUFFERED, PAUSED)


def check(pending: PendingActivity, trigger: Trigger, expected: Outcome) -> None:
    """One pair."""
    before = msgspec.msgpack.encode(pending)
    if isinstance(expected, type) and issubclass(expected, Exception):
        with pytest.raises(expected):
            step(pending, trigger, DEFAULT_LIMITS)
    else:
        result = step(pending, trigger, DEFAULT_LIMITS)
        if isinstance(expected, AttemptState):
            assert isinstance(result, Attempt)
            assert result.state == expected
        elif expected is None:
            assert result is None
        else:
            assert isinstance(result, Ends)
    assert msgspec.msgpack.encode(pending) == before, "a step never changes what it was given"


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
@pytest.mark.parametrize("name", TRIGGERS)
def test_each_pair_does_what_the_table_says(name: str, state: AttemptState) -> None:
    check(activity(state), TRIGGERS[name], EXPECTED[name][STATES.index(state)])


@pytest.mark.parametrize("name", EXPECTED_IF_CANCEL_REQUESTED)
def test_a_started_activity_that_shall_cancel_has_no_other_attempt(name: str) -> None:
    pending = activity(STARTED, cancel=True)
    check(pending, TRIGGERS[name], EXPECTED_IF_CANCEL_REQUESTED[name])


@pytest.mark.parametrize("name", EXPECTED_IF_PAUSED)
def test_a_started_activity_that_is_paused_is_not_followed_by_another(name: str) -> None:
    check(activity(STARTED, pause=PAUSE), TRIGGERS[name], EXPECTED_IF_PAUSED[name])


def test_the_tables_of_the_test_cover_every_trigger_and_every_pair() -> None:
    assert {type(trigger) for trigger in TRIGGERS.values()} == set(get_args(Trigger))
    assert EXPECTED.keys() == TRIGGERS.keys()
    violations = {
        (state, type(TRIGGERS[name]))
        for name, outcomes in EXPECTED.items()
        for state, outcome in zip(STATES, outcomes, strict=True)
        if outcome is InvariantViolation
    }
    pairs = {(state, kind) for state in STATES for kind in get_args(Trigger)}
    assert pairs - TABLE.keys() <= violations


def test_refusals_have_the_words_of_the_real_server() -> None:
    with pytest.raises(NotFound, match=r"^invalid activityID or activity already timed out or"):
        step(activity(SCHEDULED), TRIGGERS["complete"], DEFAULT_LIMITS)
    with pytest.raises(InvalidArgument, match=r"^unable to mark activity as canceled without"):
        step(activity(STARTED), AcknowledgeCancel(), DEFAULT_LIMITS)


def test_a_start_notes_who_has_it_since_when() -> None:
    attempt = attempt_after(activity(SCHEDULED, attempt=3), TRIGGERS["start"])
    assert (attempt.started_time_ns, attempt.request_id, attempt.identity) == (NOW, "s", "x")
    assert (attempt.attempt, attempt.stamp) == (3, STAMP)


def test_an_undelivered_attempt_keeps_its_number_and_gets_a_new_stamp() -> None:
    attempt = attempt_after(activity(STARTED, attempt=3), Undelivered(STAMP))
    assert (attempt.attempt, attempt.stamp) == (3, STAMP + 1)
    assert (attempt.started_time_ns, attempt.request_id, attempt.identity) == (0, "", "")
    assert attempt.scheduled_time_ns == 90 * SECOND_NS, "schedule-to-start goes on counting"


def test_an_undelivered_attempt_that_shall_cancel_never_started() -> None:
    ends = end_by(activity(STARTED, cancel=True), Undelivered(STAMP))
    assert ends.is_canceled
    assert ends.attempt.state == SCHEDULED


@pytest.mark.parametrize("state", [SCHEDULED, BACKING_OFF])
def test_who_completes_by_id_what_has_not_started_counts_as_its_worker(state: AttemptState) -> None:
    attempt = end_by(activity(state), TRIGGERS["complete by id"]).attempt
    assert (attempt.state, attempt.started_time_ns, attempt.identity) == (STARTED, NOW, "x")
    assert attempt.request_id == ""


def test_a_failure_begins_the_backoff_of_the_next_attempt() -> None:
    attempt = attempt_after(activity(STARTED, attempt=3), TRIGGERS["fail"])
    assert attempt.attempt == 4
    assert attempt.scheduled_time_ns == NOW + 4 * SECOND_NS
    assert attempt.last_attempt_complete_ns == NOW
    assert attempt.last_identity == "w"
    assert (attempt.started_time_ns, attempt.request_id, attempt.identity) == (0, "", "")
    assert Failure.FromString(attempt.last_failure) == application_failure()


def test_a_backoff_ends_with_an_offer_of_its_own_stamp() -> None:
    backing_off = attempt_after(activity(STARTED), TRIGGERS["fail"])
    pending = PendingActivity(activity(STARTED).activity, backing_off)
    offered = attempt_after(pending, BackoffOver())
    assert offered.stamp == STAMP + 1
    assert offered.scheduled_time_ns == backing_off.scheduled_time_ns
    assert offered.attempt == 2


def test_details_outlive_the_attempt_that_reported_them() -> None:
    beaten = attempt_after(activity(STARTED), TRIGGERS["beat"])
    assert beaten.heartbeat_time_ns == NOW
    pending = PendingActivity(activity(STARTED).activity, beaten)
    failed = attempt_after(pending, TRIGGERS["fail"])
    assert failed.heartbeat_details == payloads("50%").SerializeToString()


def test_details_that_come_with_a_failure_replace_those_before() -> None:
    pending = activity(STARTED, heartbeat_details=payloads("50%").SerializeToString())
    trigger = Fail(NOW, "x", application_failure(), payloads("60%"))
    assert attempt_after(pending, trigger).heartbeat_details == payloads("60%").SerializeToString()


@pytest.mark.parametrize(
    ("name", "cancel", "attempts_max", "retry_state"),
    [
        ("fail for good", False, 0, RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE),
        ("fail", True, 0, RetryState.RETRY_STATE_CANCEL_REQUESTED),
        ("fail", False, 1, RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED),
        ("start-to-close", False, 1, RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED),
        ("heartbeat", True, 0, RetryState.RETRY_STATE_CANCEL_REQUESTED),
        ("schedule-to-close", False, 0, RetryState.RETRY_STATE_TIMEOUT),
        ("schedule-to-close", True, 0, RetryState.RETRY_STATE_CANCEL_REQUESTED),
    ],
)
def test_the_end_says_why_there_was_no_other_attempt(
    name: str, cancel: bool, attempts_max: int, retry_state: int
) -> None:
    policy = RetryPolicy(SECOND_NS, 2.0, 100 * SECOND_NS, attempts_max)
    assert end_by(activity(STARTED, cancel=cancel, policy=policy), TRIGGERS[name]).retry_state == (
        retry_state
    )


def test_a_failure_too_long_to_keep_is_shortened() -> None:
    failure = application_failure("m" * 10_000, kind="Kind")
    failure.stack_trace = "s" * 10_000
    attempt = attempt_after(activity(STARTED), Fail(NOW, "x", failure, None))
    kept = Failure.FromString(attempt.last_failure)
    assert kept.message == "Failure exceeds size limit."
    assert kept.HasField("server_failure_info")
    assert kept.cause.application_failure_info.type == "Kind"
    assert kept.cause.message.startswith("mmm")
    assert kept.cause.stack_trace == ""
    assert len(attempt.last_failure) < DEFAULT_LIMITS.activity_failure_bytes_max + 100


def test_a_lost_attempt_counts_and_the_next_one_is_ready_at_once() -> None:
    attempt = attempt_after(activity(STARTED), Lose(NOW, STAMP))
    assert (attempt.attempt, attempt.scheduled_time_ns, attempt.stamp) == (2, NOW, STAMP + 1)
    assert Failure.FromString(attempt.last_failure).message == (
        "the worker that ran the activity was lost"
    )


def test_a_lost_last_attempt_ends_the_activity() -> None:
    only_one = RetryPolicy(SECOND_NS, 2.0, 100 * SECOND_NS, 1)
    ends = end_by(activity(STARTED, policy=only_one), Lose(NOW, STAMP))
    assert ends.retry_state == RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED
