"""An activity attempt finds its poller."""

from __future__ import annotations

import msgspec

from perdure.server.machines.activity.attempt import TASK_NOT_FOUND, Start
from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import activity_task, changes, transitions, workflow_task
from perdure.server.machines.workflow.inputs import (
    StartActivityTask,
    StartedActivityTask,
    TransitionBegun,
)
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import is_in_transition, is_versioned


def decide(turn: Turn, message: StartActivityTask) -> StartedActivityTask | TransitionBegun:
    """Start the attempt, unless its run has to go to another version first. Raises NotFound when
    this offer is stale; nothing is recorded before the outcome.
    """
    pending = turn.run.activities.get(message.scheduled_event_id)
    if pending is None or turn.run.pending.pause is not None:
        raise NotFound(TASK_NOT_FOUND)
    if message.version is not None or is_versioned(turn.run):
        if is_in_transition(turn.run) or pending.attempt.stamp != message.stamp:
            raise NotFound(TASK_NOT_FOUND)
        if transitions.must_go_first(turn.run, message.version, message.target):
            transitions.go_first(turn, message.version, message.target.revision)
            workflow_task.schedule_if_needed(turn)
            return TransitionBegun()
    if message.version != pending.attempt.last_version:
        anew = msgspec.structs.replace(pending.attempt, last_version=message.version)
        turn.change(changes.AttemptChanged(message.scheduled_event_id, anew))
    start = Start(turn.now_ns, message.stamp, message.request_id, message.identity)
    activity_task.take(turn, pending, start)
    return activity_task.started_reply(turn, pending)
