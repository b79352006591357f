"""RespondActivityTaskCanceled, by token or by activity id."""

from __future__ import annotations

from perdure.server.machines.activity.attempt import AcknowledgeCancel
from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.workflow import activity_task, workflow_task
from perdure.server.machines.workflow.inputs import CancelActivity, Done
from perdure.server.machines.workflow.turn import Turn


def decide(turn: Turn, message: CancelActivity) -> Done:
    """Record the cancellation. Raises NotFound for a stale token, InvalidArgument when the workflow
    had not asked for it.
    """
    pending = activity_task.named_by(turn.run, message.token)
    ends = activity_task.take(turn, pending, AcknowledgeCancel())
    if ends is None:
        raise InvariantViolation("a cancellation that does not end its activity")
    activity_task.end_canceled(
        turn, pending, ends, details=message.details, identity=message.identity
    )
    workflow_task.schedule_if_needed(turn)
    return Done()
