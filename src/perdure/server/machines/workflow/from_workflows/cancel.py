"""CancelFromWorkflow: as a client's, but that the source is recorded and hears of it."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import changes, external_events, family, workflow_task
from perdure.server.machines.workflow.from_workflows.signal import PARENT_MISMATCH, TO_ITSELF
from perdure.server.machines.workflow.inputs import Done
from perdure.server.machines.workflow.messages import CancelFromWorkflow, CancelOutcome
from perdure.server.machines.workflow.turn import Turn


def running(turn: Turn, message: CancelFromWorkflow) -> Done:
    """Record (or buffer) the request, once; a delayed first task comes at once."""
    run, source = turn.run, message.source
    _check_other(turn, message)
    if message.child_only and not family.is_child_of(run, source):
        raise NotFound(PARENT_MISMATCH)
    if run.pending.is_cancel_requested:
        return Done()
    turn.record_or_buffer(
        external_events.cancel_requested_by_workflow(
            source, message.reason, workflow_task.HISTORY_SERVICE, is_by_command=True
        )
    )
    turn.change(changes.CancelNoted(message.request_id))
    workflow_task.schedule_without_delay(turn)
    turn.send(source.workflow_id, outcome(message, 0))
    return Done()


def closed(turn: Turn, message: CancelFromWorkflow) -> Done:
    """There is nothing left to cancel, which is success."""
    _check_other(turn, message)
    return Done()


def outcome(message: CancelFromWorkflow, cause: int) -> CancelOutcome:
    """What the source is told."""
    return CancelOutcome(message.source.run_id, message.source.initiated_event_id, cause)


def _check_other(turn: Turn, message: CancelFromWorkflow) -> None:
    if message.source.workflow_id == turn.workflow.workflow_id:
        raise NotFound(TO_ITSELF)
