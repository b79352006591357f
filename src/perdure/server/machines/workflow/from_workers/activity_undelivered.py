"""A started activity attempt never reached its worker."""

from __future__ import annotations

from perdure.server.machines.activity.attempt import Undelivered
from perdure.server.machines.workflow import activity_task, workflow_task
from perdure.server.machines.workflow.inputs import ActivityTaskUndelivered, Done
from perdure.server.machines.workflow.turn import Turn


def decide(turn: Turn, message: ActivityTaskUndelivered) -> Done:
    """Offer the same attempt again. One whose cancellation was requested meanwhile is cancelled: it
    never ran.
    """
    pending = turn.run.activities.get(message.scheduled_event_id)
    if pending is None:
        return Done()
    ends = activity_task.take(turn, pending, Undelivered(message.stamp))
    if ends is not None:
        activity_task.end_canceled(
            turn,
            pending,
            ends,
            details=activity_task.NOT_STARTED,
            identity=workflow_task.HISTORY_SERVICE,
        )
        workflow_task.schedule_if_needed(turn)
    return Done()
