"""The worker of a started activity attempt is dead: the next one need not wait for a timeout."""

from __future__ import annotations

from perdure.server.machines.activity.attempt import Lose
from perdure.server.machines.workflow import activity_task, workflow_task
from perdure.server.machines.workflow.from_time.activities import record_timed_out
from perdure.server.machines.workflow.inputs import Done, LoseActivityTask
from perdure.server.machines.workflow.turn import Turn


def decide(turn: Turn, message: LoseActivityTask) -> Done:
    """Offer the next attempt at once, or, when that was the last one, record that it timed out."""
    pending = turn.run.activities.get(message.scheduled_event_id)
    if pending is None:
        return Done()
    ends = activity_task.take(turn, pending, Lose(turn.now_ns, message.stamp))
    if ends is not None:
        record_timed_out(turn, pending, ends)
        workflow_task.schedule_if_needed(turn)
    return Done()
