"""The life of an activity task within its workflow: offered, started, and at last recorded.

Only the first and the last of an activity are history: ActivityTaskScheduled, and then, both at
once, the start of the attempt that decided it (with its own time) and the outcome. All attempts
between are pending state. Which attempt follows which is decided by `machines.activity.attempt`;
here is what it means for the workflow.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from temporalio.api.common.v1 import Payload, Payloads, Priority
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.activity import attempt as attempts
from perdure.server.machines.activity.attempt import Ends, Trigger
from perdure.server.machines.activity.options import policy_message
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.workflow import changes, events
from perdure.server.machines.workflow.effects import OfferTask, TaskKind, WithdrawTask
from perdure.server.machines.workflow.inputs import StartedActivityTask, TaskToken
from perdure.server.machines.workflow.outstanding_task import priority_of
from perdure.server.machines.workflow.state import (
    Attempt,
    AttemptState,
    PendingActivity,
    Run,
)
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import directive_of, is_in_transition

NOT_STARTED = Payloads(
    payloads=[Payload(metadata={"encoding": b"json/plain"}, data=b'"ACTIVITY_ID_NOT_STARTED"')]
)
"""The details of an activity that was cancelled before any worker had it."""


def named_by(run: Run, token: TaskToken) -> PendingActivity:
    """The activity that a worker (by its token) or anyone (by the activity's id) means. Raises
    NotFound, InvalidArgument.
    """
    if token.scheduled_event_id:
        pending = run.activities.get(token.scheduled_event_id)
        if pending is None or (pending.attempt.attempt, pending.attempt.stamp) != (
            token.attempt,
            token.stamp,
        ):
            raise NotFound(attempts.TASK_NOT_FOUND)
        return pending
    if not token.activity_id:
        raise InvalidArgument("activityID cannot be empty")
    event_id = run.activity_ids.get(token.activity_id)
    if event_id is None or _is_over(run.activities[event_id]):
        raise NotFound(
            f"cannot find pending activity with ActivityID {token.activity_id},"
            " check workflow execution history for more details"
        )
    return run.activities[event_id]


def take(turn: Turn, pending: PendingActivity, trigger: Trigger) -> Ends | None:
    """Apply a trigger to an activity. What ends the activity is left to the caller to record, with
    `end`.
    """
    before = pending.attempt
    step = attempts.step(pending, trigger, turn.limits)
    if step is None or isinstance(step, Ends):
        return step
    event_id = pending.activity.scheduled_event_id
    turn.change(changes.AttemptChanged(event_id, step))
    if (step.state, step.stamp) == (before.state, before.stamp):
        return None
    if before.state == AttemptState.SCHEDULED:
        withdraw(turn, event_id)
    if step.state == AttemptState.SCHEDULED:
        offer(turn, pending)
    return None


def offer(turn: Turn, pending: PendingActivity) -> None:
    """Offer the scheduled attempt to the pollers of its queue, unless the run is paused."""
    run, activity = turn.run, pending.activity
    if run.pending.pause is not None or is_in_transition(run):
        return
    turn.effects.append(
        OfferTask(
            run_id=run.recorded.run_id,
            kind=TaskKind.ACTIVITY,
            queue=pending.options.task_queue,
            scheduled_event_id=activity.scheduled_event_id,
            stamp=pending.attempt.stamp,
            ready_at_ns=pending.attempt.scheduled_time_ns,
            priority=priority_of(merged_priority(run, pending)),
            directive=directive_of(run),
        )
    )


def withdraw(turn: Turn, scheduled_event_id: int) -> None:
    """The task is no longer on offer."""
    turn.effects.append(WithdrawTask(turn.run.recorded.run_id, scheduled_event_id))


def end(
    turn: Turn,
    pending: PendingActivity,
    ends: Ends,
    outcome: Callable[[int], HistoryEvent],
    worker_version: bytes | None = None,
    *,
    is_deferred: bool = False,
) -> None:
    """Record how an activity ended (`outcome` makes the event from the id of the started event), or
    buffer it: while a workflow task is started, or (`is_deferred`) until the commands of the
    completion that is being applied are all recorded.
    """
    event_id = pending.activity.scheduled_event_id
    attempt = ends.attempt
    if pending.attempt.state == AttemptState.SCHEDULED:
        withdraw(turn, event_id)
    is_buffered = is_deferred or turn.run.is_task_started
    started_event_id = 0
    if attempt.state == AttemptState.STARTED:
        started_event_id = turn.record_or_buffer(
            _started_event(event_id, attempt, worker_version), attempt.started_time_ns
        )
    if is_buffered:
        turn.buffer(outcome(started_event_id))
    else:
        turn.record(outcome(started_event_id))
    if is_buffered:
        over = msgspec.structs.replace(attempt, state=AttemptState.OUTCOME_BUFFERED)
        turn.change(changes.AttemptChanged(event_id, over))


def end_canceled(
    turn: Turn,
    pending: PendingActivity,
    ends: Ends,
    *,
    details: Payloads | None,
    identity: str,
    is_deferred: bool = False,
) -> None:
    """Record (or buffer) that an activity was cancelled."""
    activity = pending.activity

    def outcome(started_event_id: int) -> HistoryEvent:
        return events.activity_canceled(
            scheduled_event_id=activity.scheduled_event_id,
            started_event_id=started_event_id,
            cancel_requested_event_id=activity.cancel_requested_event_id,
            details=details,
            identity=identity,
        )

    end(turn, pending, ends, outcome, is_deferred=is_deferred)


def started_reply(turn: Turn, pending: PendingActivity) -> StartedActivityTask:
    """What a worker needs to know of the attempt that it got."""
    workflow, recorded = turn.workflow, turn.run.recorded
    activity, attempt, options = pending.activity, pending.attempt, pending.options
    return StartedActivityTask(
        token=TaskToken(
            namespace_id=workflow.namespace_id,
            workflow_id=workflow.workflow_id,
            run_id=recorded.run_id,
            scheduled_event_id=activity.scheduled_event_id,
            attempt=attempt.attempt,
            stamp=attempt.stamp,
        ),
        workflow_type=recorded.workflow_type,
        activity_type=activity.activity_type,
        attempt=attempt.attempt,
        scheduled_time_ns=activity.scheduled_time_ns,
        attempt_scheduled_time_ns=attempt.scheduled_time_ns,
        started_time_ns=attempt.started_time_ns,
        schedule_to_close_ns=options.schedule_to_close_ns,
        start_to_close_ns=options.start_to_close_ns,
        heartbeat_ns=options.heartbeat_ns,
        heartbeat_details=attempt.heartbeat_details,
        retry_policy=policy_message(options.retry_policy).SerializeToString(),
        priority=merged_priority(turn.run, pending),
    )


def merged_priority(run: Run, pending: PendingActivity) -> bytes | None:
    """The activity's priority, and where it says nothing the workflow's; serialised."""
    base, own = run.recorded.priority, pending.options.priority
    if base is None or own is None:
        return base if own is None else own
    of_workflow, of_activity = Priority.FromString(base), Priority.FromString(own)
    return Priority(
        priority_key=of_activity.priority_key or of_workflow.priority_key,
        fairness_key=of_activity.fairness_key or of_workflow.fairness_key,
        fairness_weight=of_activity.fairness_weight or of_workflow.fairness_weight,
    ).SerializeToString()


def _is_over(pending: PendingActivity) -> bool:
    return pending.attempt.state == AttemptState.OUTCOME_BUFFERED


def _started_event(
    scheduled_event_id: int, attempt: Attempt, worker_version: bytes | None
) -> HistoryEvent:
    return events.activity_started(
        scheduled_event_id=scheduled_event_id,
        attempt=attempt.attempt,
        request_id=attempt.request_id,
        identity=attempt.identity,
        last_failure=attempt.last_failure,
        worker_version=worker_version,
    )
