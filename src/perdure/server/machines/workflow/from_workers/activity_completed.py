"""RespondActivityTaskCompleted, by token or by activity id."""

from __future__ import annotations

from perdure.server.machines.activity.attempt import Complete
from perdure.server.machines.errors import InvariantViolation, NotFound
from perdure.server.machines.workflow import activity_task, events, workflow_task
from perdure.server.machines.workflow.inputs import (
    CancelActivity,
    CompleteActivity,
    Done,
    FailActivity,
    HeartbeatActivity,
)
from perdure.server.machines.workflow.turn import Turn

WORKFLOW_COMPLETED = "workflow execution already completed"


def decide(turn: Turn, message: CompleteActivity) -> Done:
    """Record the result. Raises NotFound for a stale token."""
    token = message.token
    pending = activity_task.named_by(turn.run, token)
    trigger = Complete(turn.now_ns, message.identity, is_by_id=not token.scheduled_event_id)
    ends = activity_task.take(turn, pending, trigger)
    if ends is None:
        raise InvariantViolation("a result that does not end its activity")
    scheduled_event_id = pending.activity.scheduled_event_id
    activity_task.end(
        turn,
        pending,
        ends,
        lambda started_event_id: events.activity_completed(
            scheduled_event_id, started_event_id, message.result, message.identity
        ),
        message.worker_version,
    )
    workflow_task.schedule_if_needed(turn)
    return Done()


def closed(
    turn: Turn, message: CompleteActivity | FailActivity | CancelActivity | HeartbeatActivity
) -> Done:
    """The run is over, and its activities with it."""
    raise NotFound(WORKFLOW_COMPLETED)
