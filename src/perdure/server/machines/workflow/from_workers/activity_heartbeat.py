"""RecordActivityTaskHeartbeat, by token or by activity id."""

from __future__ import annotations

from perdure.server.machines.activity.attempt import Beat
from perdure.server.machines.workflow import activity_task
from perdure.server.machines.workflow.inputs import Heartbeat, HeartbeatActivity
from perdure.server.machines.workflow.turn import Turn


def decide(turn: Turn, message: HeartbeatActivity) -> Heartbeat:
    """Keep what the activity reports, for its next attempt; answer what was asked of it meanwhile.
    Raises NotFound for a stale token.
    """
    pending = activity_task.named_by(turn.run, message.token)
    activity_task.take(turn, pending, Beat(turn.now_ns, message.identity, message.details))
    return Heartbeat(
        cancel_requested=bool(pending.activity.cancel_requested_event_id),
        activity_paused=pending.attempt.pause is not None,
        activity_reset=pending.attempt.is_reset,
    )
