"""What one decision on a standalone activity writes: to its attempt, and to its task queue."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from temporalio.api.activity.v1 import ActivityExecutionOutcome
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.activity import attempt as attempts
from perdure.server.machines.activity import failures
from perdure.server.machines.activity.attempt import Ends, Trigger
from perdure.server.machines.errors import ActivityAlreadyStarted, NotFound
from perdure.server.machines.standalone import turn as shared
from perdure.server.machines.standalone.turn import Family
from perdure.server.machines.standalone_activity import pauses, resets
from perdure.server.machines.standalone_activity.state import TASK_ID, ActivityRun, Head, Status
from perdure.server.machines.workflow import deadlines
from perdure.server.machines.workflow.effects import OfferTask, TaskKind, WithdrawTask
from perdure.server.machines.workflow.outstanding_task import priority_of
from perdure.server.machines.workflow.state import Attempt, AttemptState, PendingActivity

Turn: TypeAlias = shared.Turn[ActivityRun, Head]


def begin(turn: Turn, head: Head, start: bytes) -> None:
    """A new run is the current one."""
    turn.begin(ActivityRun(head, start))
    if head.pending.attempt.state == AttemptState.SCHEDULED:
        _offer(turn)


def take(turn: Turn, trigger: Trigger, *, counts: bool = True, **fields: Any) -> Ends | None:
    """Apply a trigger to the attempts. What ends the activity is left to the caller, with `end`.
    Raises NotFound, FailedPrecondition."""
    after = step(turn, trigger)
    if isinstance(after, Ends):
        return after
    if after is not None:
        put(turn, after, counts=counts, **fields)
    elif fields:
        turn.change(counts=counts, **fields)
    return None


def step(turn: Turn, trigger: Trigger, pending: PendingActivity | None = None) -> attempts.Step:
    """What a trigger would do. Raises NotFound, FailedPrecondition."""
    pending = pending or turn.head.pending
    if resets.is_done_by(pending.attempt, trigger):
        assert isinstance(trigger, attempts.Fail | attempts.TimeOut | attempts.Lose)
        restores = turn.head.restores_options
        again = resets.begin_again(pending, trigger, turn.limits, restores_options=restores)
        return _anonymous(again)
    try:
        after = pauses.step(pending, trigger, turn.limits)
    except NotFound:
        raise turn.not_found() from None
    if isinstance(after, Attempt) and isinstance(trigger, attempts.TimeOut | attempts.Lose):
        over = msgspec.structs.replace(after, last_attempt_complete_ns=trigger.now_ns)
        return _anonymous(over)
    return after


def _anonymous(attempt: Attempt) -> Attempt:
    """Why the last one failed, without the source, which is not told of here."""
    failure = Failure.FromString(attempt.last_failure)
    if failure.source != failures.SOURCE:
        return attempt
    failure.ClearField("source")
    return msgspec.structs.replace(attempt, last_failure=failure.SerializeToString())


def put(turn: Turn, after: Attempt, *, counts: bool = True, **fields: Any) -> None:
    """The attempt is this one now: what was on offer is withdrawn, and what is, offered."""
    before = turn.head.pending.attempt
    pending = PendingActivity(turn.head.pending.activity, after)
    turn.change(counts=counts, pending=pending, **fields)
    if (after.state, after.stamp) == (before.state, before.stamp):
        return
    if before.state == AttemptState.SCHEDULED:
        _withdraw(turn)
    if after.state == AttemptState.SCHEDULED:
        _offer(turn)


def end(
    turn: Turn, status: Status, outcome: ActivityExecutionOutcome, attempt: Attempt, **fields: Any
) -> None:
    """The activity is over."""
    before = turn.head.pending
    if before.attempt.state == AttemptState.SCHEDULED:
        _withdraw(turn)
    content = outcome.SerializeToString(deterministic=True)
    turn.end(status, PendingActivity(before.activity, attempt), outcome=content, **fields)


def _offer(turn: Turn) -> None:
    pending = turn.head.pending
    turn.effects.append(
        OfferTask(
            run_id=turn.run.run_id,
            kind=TaskKind.ACTIVITY,
            queue=pending.options.task_queue,
            scheduled_event_id=TASK_ID,
            stamp=pending.attempt.stamp,
            ready_at_ns=pending.attempt.scheduled_time_ns,
            priority=priority_of(pending.options.priority),
        )
    )


def _withdraw(turn: Turn) -> None:
    turn.effects.append(WithdrawTask(turn.run.run_id, TASK_ID))


# ---- what standalone activities have of their own


def _terminate(turn: Turn, failure: Failure, request_id: str) -> None:
    outcome = ActivityExecutionOutcome(failure=failure)
    attempt = turn.head.pending.attempt
    end(turn, Status.TERMINATED, outcome, attempt, terminate_request_id=request_id)


def _already_started(request_id: str, run_id: str) -> ActivityAlreadyStarted:
    return ActivityAlreadyStarted(
        "activity execution already started", start_request_id=request_id, run_id=run_id
    )


def _deadline(pending: PendingActivity) -> int:
    return deadlines.earliest(*(deadline.time_ns for deadline in pauses.due_of(pending)))


ACTIVITIES = Family(
    noun="activity",
    statuses={status: status.name.title().replace("_", "") for status in Status},
    deletion="Delete activity execution",
    already_started=_already_started,
    deadline=_deadline,
    terminate=_terminate,
)
