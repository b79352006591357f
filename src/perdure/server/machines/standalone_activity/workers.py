"""What workers say of a standalone activity, and what time does to it."""

from __future__ import annotations

from typing import Any

import msgspec
from temporalio.api.activity.v1 import ActivityExecutionOutcome
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.activity import attempt as attempts
from perdure.server.machines.activity import failures
from perdure.server.machines.activity.attempt import Ends, Trigger
from perdure.server.machines.activity.options import policy_message
from perdure.server.machines.ports import Kind
from perdure.server.machines.standalone.clients import over
from perdure.server.machines.standalone_activity.clients import end_canceled
from perdure.server.machines.standalone_activity.pauses import due_of
from perdure.server.machines.standalone_activity.state import TASK_ID, Status
from perdure.server.machines.standalone_activity.turn import Turn, end, put, step, take
from perdure.server.machines.workflow.from_time.activities import BACKOFF
from perdure.server.machines.workflow.inputs import (
    ActivityTaskUndelivered,
    CancelActivity,
    CompleteActivity,
    Done,
    FailActivity,
    Heartbeat,
    HeartbeatActivity,
    LoseActivityTask,
    StartActivityTask,
    StartedActivityTask,
    TaskToken,
    WakeUp,
)
from perdure.server.machines.workflow.state import Attempt, AttemptState

_replace = msgspec.structs.replace


def start_task(turn: Turn, message: StartActivityTask) -> StartedActivityTask:
    """A poller was found."""
    trigger = attempts.Start(turn.now_ns, message.stamp, message.request_id, message.identity)
    after = step(turn, trigger)
    if isinstance(after, Attempt):
        put(turn, after, last_started_ns=turn.now_ns, sdk=message.sdk)
    return _started(turn)


def put_back(turn: Turn, message: ActivityTaskUndelivered) -> Done:
    """The poller is gone."""
    _go_on(turn, attempts.Undelivered(message.stamp))
    return Done()


def lose(turn: Turn, message: LoseActivityTask) -> Done:
    """The worker is dead."""
    _go_on(turn, attempts.Lose(turn.now_ns, message.stamp))
    return Done()


def complete(turn: Turn, message: CompleteActivity) -> Done:
    """It has a result."""
    is_by_id = _check(turn, message.token)
    ends = step(turn, attempts.Complete(turn.now_ns, message.identity, is_by_id))
    assert isinstance(ends, Ends), "a result ends it"
    attempt = _replace(
        ends.attempt, last_attempt_complete_ns=turn.now_ns, identity=message.identity
    )
    outcome = ActivityExecutionOutcome()
    outcome.result.SetInParent()
    if message.result is not None:
        outcome.result.CopyFrom(message.result)
    started_ns = attempt.started_time_ns
    end(turn, Status.COMPLETED, outcome, attempt, last_started_ns=started_ns)
    return Done()


def complete_closed(turn: Turn, message: CompleteActivity) -> Done:
    """It is over: only who names it by its id is told so."""
    raise turn.not_found() if message.token.scheduled_event_id else over(turn)


def fail(turn: Turn, message: FailActivity) -> Done:
    """The attempt failed."""
    _check(turn, message.token)
    details = message.heartbeat_details
    trigger = attempts.Fail(turn.now_ns, message.identity, message.failure, details)
    beats = turn.head.heartbeats + (details is not None)
    ends = take(turn, trigger, heartbeats=beats)
    if ends is not None:
        attempt = _replace(ends.attempt, identity=message.identity)
        failed = _replace(ends, attempt=attempt)
        _end_failed(turn, failed, Status.FAILED, message.failure, heartbeats=beats)
    return Done()


def acknowledge_cancel(turn: Turn, message: CancelActivity) -> Done:
    """The worker says that it has cancelled."""
    _check(turn, message.token)
    ends = step(turn, attempts.AcknowledgeCancel())
    assert isinstance(ends, Ends), "an acknowledged cancellation ends it"
    end_canceled(turn, ends.attempt, message.details)
    return Done()


def heartbeat(turn: Turn, message: HeartbeatActivity) -> Heartbeat:
    """It is alive, and learns what is wanted of it."""
    _check(turn, message.token)
    trigger = attempts.Beat(turn.now_ns, message.identity, message.details)
    take(turn, trigger, heartbeats=turn.head.heartbeats + 1)
    attempt = turn.head.pending.attempt
    return Heartbeat(
        cancel_requested=turn.head.cancel is not None,
        activity_paused=attempt.pause is not None,
        activity_reset=attempt.is_reset,
    )


def wake_up(turn: Turn, message: WakeUp) -> Done:
    """Do what is due."""
    number = turn.head.pending.attempt.attempt
    for deadline in sorted(due_of(turn.head.pending)):
        attempt = turn.head.pending.attempt
        if deadline.time_ns > turn.now_ns or attempt.attempt != number or not turn.run.is_open:
            break
        if deadline.kind == BACKOFF:
            # Nothing that is shown has changed.
            take(turn, attempts.BackoffOver(), counts=False)
            continue
        ends = take(turn, attempts.TimeOut(turn.now_ns, deadline.kind))
        if ends is not None:
            if deadline.kind == workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE:
                _end_failed(turn, ends, Status.TIMED_OUT, None)
            else:
                of_attempt = failures.complete_timeout(
                    failures.timed_out(deadline.kind),
                    attempt.heartbeat_details,
                    attempt.last_failure,
                )
                _end_failed(turn, ends, Status.TIMED_OUT, of_attempt)
    turn.rearm()
    return Done()


def _go_on(turn: Turn, trigger: Trigger) -> None:
    ends = take(turn, trigger)
    if ends is None:
        return
    if ends.is_canceled:
        end_canceled(turn, ends.attempt, None)
    else:
        _end_failed(turn, ends, Status.TIMED_OUT, ends.failure)


def _end_failed(
    turn: Turn, ends: Ends, status: Status, of_attempt: Failure | None, **fields: Any
) -> None:
    """It has failed for good; `of_attempt`: as what its attempt failed, if it had begun. What a
    server says is its own is not said here."""
    assert ends.failure is not None, "it failed of something"
    failure, attempt = ends.failure, ends.attempt
    if status == Status.TIMED_OUT:
        failure.ClearField("source")
    if attempt.state == AttemptState.STARTED and of_attempt is not None:
        if status == Status.TIMED_OUT:
            of_attempt.ClearField("source")
        attempt = _replace(
            attempt,
            last_failure=failures.kept(of_attempt, turn.limits.activity_failure_bytes_max),
            last_attempt_complete_ns=turn.now_ns,
        )
    outcome = ActivityExecutionOutcome(failure=failure, retry_state=ends.retry_state)
    end(turn, status, outcome, attempt, **fields)


def _check(turn: Turn, token: TaskToken) -> bool:
    """Whether an answer names the activity by its id; one by token must be of this attempt. Raises
    NotFound."""
    attempt = turn.head.pending.attempt
    if not token.scheduled_event_id:
        return True
    if (token.attempt, token.stamp) != (attempt.attempt, attempt.stamp):
        raise turn.not_found()
    return False


def _started(turn: Turn) -> StartedActivityTask:
    """What a worker needs to know of the attempt that it got."""
    head = turn.head
    activity, attempt, options = head.pending.activity, head.pending.attempt, head.pending.options
    return StartedActivityTask(
        token=TaskToken(
            namespace_id=turn.subject.namespace_id,
            workflow_id=turn.subject.id,
            run_id=head.run_id,
            scheduled_event_id=TASK_ID,
            attempt=attempt.attempt,
            stamp=attempt.stamp,
            kind=Kind.ACTIVITY,
        ),
        workflow_type="",
        activity_type=activity.activity_type,
        attempt=attempt.attempt,
        scheduled_time_ns=head.schedule_time_ns,
        attempt_scheduled_time_ns=attempt.scheduled_time_ns,
        started_time_ns=attempt.started_time_ns,
        schedule_to_close_ns=options.schedule_to_close_ns,
        start_to_close_ns=options.start_to_close_ns,
        heartbeat_ns=options.heartbeat_ns,
        heartbeat_details=attempt.heartbeat_details,
        retry_policy=policy_message(options.retry_policy).SerializeToString(),
        priority=options.priority,
        start=turn.run.start,
    )
