"""What the handler of a Nexus operation answers, and what it tells later."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import workflow_task
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import (
    CompleteNexusOperation,
    Done,
    NexusCancelAnswered,
    NexusStartAnswered,
)
from perdure.server.machines.workflow.nexus import attempts, operations
from perdure.server.machines.workflow.turn import Turn

NO_OPERATION = "stale reference: state machine not found: nexusoperations.Operation:{}"
NOT_WAITED_FOR = "operation not found"


def start_answered(turn: Turn, message: NexusStartAnswered) -> Done:
    """A call to start it is over; an answer that nobody waits for any more changes nothing."""
    return _happened(
        turn,
        message.scheduled_event_id,
        attempts.StartAnswered(message.attempt, message.outcome),
    )


def cancel_answered(turn: Turn, message: NexusCancelAnswered) -> Done:
    """The same of a call to cancel it."""
    return _happened(
        turn,
        message.scheduled_event_id,
        attempts.CancelAnswered(message.attempt, message.outcome),
    )


def completed(turn: Turn, message: CompleteNexusOperation) -> Done:
    """It has ended. Raises NotFound when it is not pending (any more)."""
    pending = turn.run.nexus_operations.get(message.scheduled_event_id)
    if pending is None:
        raise NotFound(NO_OPERATION.format(message.scheduled_event_id))
    if pending.operation.request_id != message.request_id:
        raise NotFound(NOT_WAITED_FOR)
    happening = attempts.Completed(
        message.outcome, message.operation_token, message.start_time_ns, message.links
    )
    if not operations.take(turn, pending, happening):
        raise NotFound(NOT_WAITED_FOR)  # It has ended, which its workflow is about to hear.
    workflow_task.schedule_if_needed(turn)
    return Done(turn.run.recorded.run_id)


def too_late(
    turn: Turn, message: NexusStartAnswered | NexusCancelAnswered | CompleteNexusOperation
) -> Done:
    """The workflow is over."""
    raise NotFound(WORKFLOW_COMPLETED)


def _happened(turn: Turn, scheduled_event_id: int, happening: attempts.Happening) -> Done:
    pending = turn.run.nexus_operations.get(scheduled_event_id)
    if pending is not None and operations.take(turn, pending, happening):
        workflow_task.schedule_if_needed(turn)
    return Done(turn.run.recorded.run_id)
