"""The attempts of one activity, as a table: what each trigger does in each state.

    SCHEDULED    a task is on offer, or about to be started with the completion that scheduled it
    BACKING_OFF  the attempt before has failed; this one is offered when its time has come
    STARTED      a worker has it
    OUTCOME_BUFFERED  it is over, and its events wait for a workflow task to close
    PAUSED       nobody has it, and nobody gets it before it is unpaused

`step` answers with the new value of the attempt, with `Ends` when the activity is over, or with
None when nothing changes. What a caller may ask at the wrong time is refused (`NotFound`,
`InvalidArgument`); what only the service itself does is in the table only where it can happen, and
elsewhere an `InvariantViolation`. Attempts are values: a step returns a new one, and evolve puts it
in place.

Each offer and each start has a stamp of its own, so that tokens and dispatch rows of an earlier one
are stale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import RetryState, TimeoutType, workflow_pb2
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.activity import control, failures
from perdure.server.machines.activity.control import Pause, Reset, SetOptions, Unpause
from perdure.server.machines.activity.retry import RetryDecision, next_activity_retry
from perdure.server.machines.errors import InvalidArgument, InvariantViolation, NotFound
from perdure.server.machines.ports import Limits
from perdure.server.machines.workflow.state import Attempt, AttemptState, PendingActivity

TASK_NOT_FOUND = (
    "invalid activityID or activity already timed out or invoking workflow is completed"
)
NOT_CANCEL_REQUESTED = (
    "unable to mark activity as canceled without activity being request canceled first"
)

_replace = msgspec.structs.replace


# ---- triggers


class Start(msgspec.Struct, frozen=True):
    """A poller was found for the offer with this stamp; None: the worker that scheduled it runs it
    at once.
    """

    now_ns: int
    stamp: int | None
    request_id: str
    identity: str


class Undelivered(msgspec.Struct, frozen=True):
    """The poller that the start with this stamp was for is gone."""

    stamp: int


class Complete(msgspec.Struct, frozen=True):
    """A result arrived. Who names the activity by its id may complete it before it has started."""

    now_ns: int
    identity: str
    is_by_id: bool


class Fail(msgspec.Struct, frozen=True):
    """The attempt failed."""

    now_ns: int
    identity: str
    failure: Failure
    heartbeat_details: Payloads | None


class AcknowledgeCancel(msgspec.Struct, frozen=True):
    """The worker says that it has cancelled."""


class Beat(msgspec.Struct, frozen=True):
    """The worker is alive."""

    now_ns: int
    identity: str
    details: Payloads | None


class RequestCancel(msgspec.Struct, frozen=True):
    """The workflow wants it to cancel (the event is recorded already)."""


class BackoffOver(msgspec.Struct, frozen=True):
    """The time of the next attempt has come."""


class TimeOut(msgspec.Struct, frozen=True):
    """One of the timeouts is due."""

    now_ns: int
    timeout_type: TimeoutType.ValueType


class Lose(msgspec.Struct, frozen=True):
    """The worker that has the start with this stamp is known to be dead."""

    now_ns: int
    stamp: int


Trigger = (
    Start
    | Undelivered
    | Complete
    | Fail
    | AcknowledgeCancel
    | Beat
    | RequestCancel
    | BackoffOver
    | TimeOut
    | Lose
    | Pause
    | Unpause
    | Reset
    | SetOptions
)


class Ends(msgspec.Struct, frozen=True):
    """The activity is over. An attempt in state STARTED has a started event to write; any other had
    none.
    """

    attempt: Attempt
    is_canceled: bool = False
    failure: Failure | None = None
    retry_state: RetryState.ValueType = workflow_pb2.RETRY_STATE_UNSPECIFIED


Step = Attempt | Ends | None


def step(pending: PendingActivity, trigger: Trigger, limits: Limits) -> Step:
    """What a trigger does to an activity. Raises NotFound, InvalidArgument, or InvariantViolation
    for a pair in no table.
    """
    state = AttemptState(pending.attempt.state)
    transition = TABLE.get((state, type(trigger)))
    if transition is None:
        raise InvariantViolation(f"{type(trigger).__name__} of an activity that is {state.name}")
    return transition(pending, trigger, limits)


# ---- what can happen


def _start(pending: PendingActivity, trigger: Start, limits: Limits) -> Step:
    attempt = pending.attempt
    if trigger.stamp is not None and trigger.stamp != attempt.stamp:
        raise NotFound(TASK_NOT_FOUND)
    return _replace(
        attempt,
        state=AttemptState.STARTED,
        started_time_ns=trigger.now_ns,
        request_id=trigger.request_id,
        identity=trigger.identity,
    )


def _start_again(pending: PendingActivity, trigger: Start, limits: Limits) -> Step:
    """The same poller asks twice: it has the task already."""
    attempt = pending.attempt
    if trigger.request_id != attempt.request_id or trigger.stamp != attempt.stamp:
        raise NotFound(TASK_NOT_FOUND)
    return None


def _put_back(pending: PendingActivity, trigger: Undelivered, limits: Limits) -> Step:
    """The same attempt is offered again; but one that shall cancel need not start at all."""
    attempt = pending.attempt
    if trigger.stamp != attempt.stamp:
        return None
    is_paused = attempt.pause is not None
    unstarted = _replace(
        attempt,
        state=AttemptState.PAUSED if is_paused else AttemptState.SCHEDULED,
        stamp=attempt.stamp + 1,
        started_time_ns=0,
        request_id="",
        identity="",
    )
    if pending.activity.cancel_requested_event_id:
        return Ends(unstarted, is_canceled=True)
    return unstarted


def _complete(pending: PendingActivity, trigger: Complete, limits: Limits) -> Step:
    return Ends(pending.attempt)


def _complete_unstarted(pending: PendingActivity, trigger: Complete, limits: Limits) -> Step:
    """Completed by id before any worker had it: it is as if the caller had started it."""
    if not trigger.is_by_id:
        raise NotFound(TASK_NOT_FOUND)
    return Ends(
        _replace(
            pending.attempt,
            state=AttemptState.STARTED,
            started_time_ns=trigger.now_ns,
            identity=trigger.identity,
        )
    )


def _fail(pending: PendingActivity, trigger: Fail, limits: Limits) -> Step:
    attempt = pending.attempt
    if trigger.heartbeat_details is not None:
        attempt = _beaten(attempt, trigger.now_ns, trigger.identity, trigger.heartbeat_details)
    decision = next_activity_retry(pending, trigger.now_ns, trigger.failure)
    if decision.delay_ns is None:
        return Ends(attempt, failure=trigger.failure, retry_state=decision.retry_state)
    attempt = _replace(attempt, last_attempt_complete_ns=trigger.now_ns)
    return _back_off(attempt, trigger.now_ns, trigger.failure, decision, limits)


def _acknowledge_cancel(
    pending: PendingActivity, trigger: AcknowledgeCancel, limits: Limits
) -> Step:
    if not pending.activity.cancel_requested_event_id:
        raise InvalidArgument(NOT_CANCEL_REQUESTED)
    return Ends(pending.attempt, is_canceled=True)


def _beat(pending: PendingActivity, trigger: Beat, limits: Limits) -> Step:
    return _beaten(pending.attempt, trigger.now_ns, trigger.identity, trigger.details)


def _cancel_unstarted(pending: PendingActivity, trigger: RequestCancel, limits: Limits) -> Step:
    return Ends(pending.attempt, is_canceled=True)


def _offer(pending: PendingActivity, trigger: BackoffOver, limits: Limits) -> Step:
    attempt = pending.attempt
    return _replace(attempt, state=AttemptState.SCHEDULED, stamp=attempt.stamp + 1)


def _time_out_unstarted(pending: PendingActivity, trigger: TimeOut, limits: Limits) -> Step:
    allowed = _UNSTARTED_TIMEOUTS[AttemptState(pending.attempt.state)]
    if trigger.timeout_type not in allowed:
        raise InvariantViolation(f"timeout {trigger.timeout_type} of an attempt that never started")
    return _timed_out(pending, trigger, limits)


def _time_out_started(pending: PendingActivity, trigger: TimeOut, limits: Limits) -> Step:
    if trigger.timeout_type == workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START:
        raise InvariantViolation("schedule-to-start timeout of a started attempt")
    return _timed_out(pending, trigger, limits)


def _lose(pending: PendingActivity, trigger: Lose, limits: Limits) -> Step:
    """As if the attempt had timed out, but its successor waits for nothing: nothing was wrong with
    the activity.
    """
    attempt = pending.attempt
    if trigger.stamp != attempt.stamp:
        return None
    failure = failures.lost()
    decision = next_activity_retry(pending, trigger.now_ns, failure)
    if decision.delay_ns is None:
        failures.complete_timeout(failure, attempt.heartbeat_details, attempt.last_failure)
        return Ends(attempt, failure=failure, retry_state=decision.retry_state)
    at_once = RetryDecision(0, decision.retry_state)
    backing_off = _back_off(attempt, trigger.now_ns, failure, at_once, limits)
    if backing_off.state == AttemptState.PAUSED:
        return backing_off
    return _replace(backing_off, state=AttemptState.SCHEDULED, stamp=attempt.stamp + 1)


def _task_not_found(pending: PendingActivity, trigger: Trigger, limits: Limits) -> Step:
    raise NotFound(TASK_NOT_FOUND)


def _nothing(pending: PendingActivity, trigger: Trigger, limits: Limits) -> Step:
    return None


# ---- shared


def _timed_out(pending: PendingActivity, trigger: TimeOut, limits: Limits) -> Step:
    """Another attempt, or the end. When there is no time for another, the failure says so, and not
    which timeout it was.
    """
    attempt = pending.attempt
    failure = failures.timed_out(trigger.timeout_type)
    decision = next_activity_retry(pending, trigger.now_ns, failure)
    if decision.delay_ns is not None:
        return _back_off(attempt, trigger.now_ns, failure, decision, limits)
    if (
        decision.retry_state == workflow_pb2.RETRY_STATE_TIMEOUT
        and trigger.timeout_type != workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START
    ):
        failure = failures.no_time_left()
    failures.complete_timeout(failure, attempt.heartbeat_details, attempt.last_failure)
    return Ends(attempt, failure=failure, retry_state=decision.retry_state)


def _back_off(
    attempt: Attempt, now_ns: int, failure: Failure, decision: RetryDecision, limits: Limits
) -> Attempt:
    assert decision.delay_ns is not None, "there is another attempt"
    over = _replace(
        attempt,
        state=AttemptState.PAUSED,
        attempt=attempt.attempt + 1,
        started_time_ns=0,
        request_id="",
        identity="",
        last_failure=failures.kept(failure, limits.activity_failure_bytes_max),
        last_identity=attempt.identity,
    )
    if attempt.pause is not None:
        return over
    if attempt.forgets_heartbeat:
        over = _replace(over, heartbeat_time_ns=0, heartbeat_details=b"")
    return _replace(
        over,
        state=AttemptState.BACKING_OFF,
        scheduled_time_ns=now_ns + decision.delay_ns,
        is_reset=False,
        forgets_heartbeat=False,
    )


def _beaten(attempt: Attempt, now_ns: int, identity: str, details: Payloads | None) -> Attempt:
    return _replace(
        attempt,
        heartbeat_time_ns=now_ns,
        heartbeat_details=b"" if details is None else details.SerializeToString(deterministic=True),
        last_identity=identity or attempt.last_identity,
    )


_UNSTARTED_TIMEOUTS = {
    AttemptState.SCHEDULED: (
        workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START,
        workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE,
    ),
    AttemptState.BACKING_OFF: (workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE,),
}

Transition = Callable[[PendingActivity, Any, Limits], Step]


def _controls(*states: AttemptState) -> dict[tuple[AttemptState, type], Transition]:
    """What an operator may do is the same wherever an activity that is not over stands."""
    return {
        row: transition
        for state in states
        for row, transition in (
            ((state, Pause), control.pause),
            ((state, Unpause), control.unpause),
            ((state, Reset), control.reset),
            ((state, SetOptions), control.set_options),
        )
    }


TABLE: dict[tuple[AttemptState, type], Transition] = {
    (AttemptState.SCHEDULED, Start): _start,
    (AttemptState.SCHEDULED, Undelivered): _nothing,
    (AttemptState.SCHEDULED, Lose): _nothing,
    (AttemptState.SCHEDULED, Complete): _complete_unstarted,
    (AttemptState.SCHEDULED, Fail): _task_not_found,
    (AttemptState.SCHEDULED, AcknowledgeCancel): _task_not_found,
    (AttemptState.SCHEDULED, Beat): _task_not_found,
    (AttemptState.SCHEDULED, RequestCancel): _cancel_unstarted,
    (AttemptState.SCHEDULED, TimeOut): _time_out_unstarted,
    (AttemptState.BACKING_OFF, Start): _task_not_found,
    (AttemptState.BACKING_OFF, Undelivered): _nothing,
    (AttemptState.BACKING_OFF, Lose): _nothing,
    (AttemptState.BACKING_OFF, Complete): _complete_unstarted,
    (AttemptState.BACKING_OFF, Fail): _task_not_found,
    (AttemptState.BACKING_OFF, AcknowledgeCancel): _task_not_found,
    (AttemptState.BACKING_OFF, Beat): _task_not_found,
    (AttemptState.BACKING_OFF, RequestCancel): _cancel_unstarted,
    (AttemptState.BACKING_OFF, BackoffOver): _offer,
    (AttemptState.BACKING_OFF, TimeOut): _time_out_unstarted,
    (AttemptState.STARTED, Start): _start_again,
    (AttemptState.STARTED, Undelivered): _put_back,
    (AttemptState.STARTED, Lose): _lose,
    (AttemptState.STARTED, Complete): _complete,
    (AttemptState.STARTED, Fail): _fail,
    (AttemptState.STARTED, AcknowledgeCancel): _acknowledge_cancel,
    (AttemptState.STARTED, Beat): _beat,
    (AttemptState.STARTED, RequestCancel): _nothing,
    (AttemptState.STARTED, TimeOut): _time_out_started,
    (AttemptState.OUTCOME_BUFFERED, Start): _task_not_found,
    (AttemptState.OUTCOME_BUFFERED, Undelivered): _nothing,
    (AttemptState.OUTCOME_BUFFERED, Lose): _nothing,
    (AttemptState.OUTCOME_BUFFERED, Complete): _task_not_found,
    (AttemptState.OUTCOME_BUFFERED, Fail): _task_not_found,
    (AttemptState.OUTCOME_BUFFERED, AcknowledgeCancel): _task_not_found,
    (AttemptState.OUTCOME_BUFFERED, Beat): _task_not_found,
    (AttemptState.OUTCOME_BUFFERED, RequestCancel): _nothing,
    (AttemptState.PAUSED, Start): _task_not_found,
    (AttemptState.PAUSED, Undelivered): _nothing,
    (AttemptState.PAUSED, Lose): _nothing,
    (AttemptState.PAUSED, Complete): _complete_unstarted,
    (AttemptState.PAUSED, Fail): _task_not_found,
    (AttemptState.PAUSED, AcknowledgeCancel): _task_not_found,
    (AttemptState.PAUSED, Beat): _task_not_found,
    (AttemptState.PAUSED, RequestCancel): _cancel_unstarted,
    **_controls(
        AttemptState.SCHEDULED,
        AttemptState.BACKING_OFF,
        AttemptState.STARTED,
        AttemptState.PAUSED,
    ),
    **{
        (AttemptState.OUTCOME_BUFFERED, trigger): control.no_such_activity
        for trigger in (Pause, Unpause, Reset, SetOptions)
    },
}
"""All that can happen to an attempt. What is not here cannot: only the service itself ends a
backoff or lets time run out.
"""
