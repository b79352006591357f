"""An activity attempt finds its poller."""

from __future__ import annotations

from perdure.server.machines.activity.attempt import TASK_NOT_FOUND, Start
from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import activity_task
from perdure.server.machines.workflow.inputs import StartActivityTask, StartedActivityTask
from perdure.server.machines.workflow.turn import Turn


def decide(turn: Turn, message: StartActivityTask) -> StartedActivityTask:
    """Start the attempt. Raises NotFound when this offer is stale; nothing is recorded before the
    outcome.
    """
    pending = turn.run.activities.get(message.scheduled_event_id)
    if pending is None or turn.run.pending.pause is not None:
        raise NotFound(TASK_NOT_FOUND)
    start = Start(turn.now_ns, message.stamp, message.request_id, message.identity)
    activity_task.take(turn, pending, start)
    return activity_task.started_reply(turn, pending)
