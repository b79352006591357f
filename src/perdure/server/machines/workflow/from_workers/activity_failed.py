"""RespondActivityTaskFailed, by token or by activity id."""

from __future__ import annotations

from perdure.server.machines.activity.attempt import Fail
from perdure.server.machines.workflow import activity_task, events, workflow_task
from perdure.server.machines.workflow.inputs import Done, FailActivity
from perdure.server.machines.workflow.turn import Turn


def decide(turn: Turn, message: FailActivity) -> Done:
    """Begin the backoff of the next attempt; when there is none, record the failure. Raises
    NotFound for a stale token.
    """
    pending = activity_task.named_by(turn.run, message.token)
    trigger = Fail(turn.now_ns, message.identity, message.failure, message.heartbeat_details)
    ends = activity_task.take(turn, pending, trigger)
    if ends is None:
        return Done()
    scheduled_event_id, retry_state = pending.activity.scheduled_event_id, ends.retry_state
    activity_task.end(
        turn,
        pending,
        ends,
        lambda started_event_id: events.activity_failed(
            scheduled_event_id, started_event_id, message.failure, retry_state, message.identity
        ),
        message.worker_version,
    )
    workflow_task.schedule_if_needed(turn)
    return Done()
