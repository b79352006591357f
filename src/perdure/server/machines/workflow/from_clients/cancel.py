"""RequestCancelWorkflowExecution: idempotent; a closed run counts as cancelled enough."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import changes, events, workflow_task
from perdure.server.machines.workflow.inputs import CancelWorkflow, Done
from perdure.server.machines.workflow.turn import Turn

RUN_NOT_FOUND = "workflow execution not found"


def running(turn: Turn, message: CancelWorkflow) -> Done:
    """Record (or buffer) the request; a delayed first task comes at once."""
    run, request = turn.run, message.request
    first = request.first_execution_run_id
    if first and first != run.recorded.first_execution_run_id:
        raise NotFound(RUN_NOT_FOUND)
    if run.pending.is_cancel_requested:
        return Done()
    turn.record_or_buffer(events.workflow_cancel_requested(request))
    turn.change(changes.CancelNoted(request.request_id))
    workflow_task.schedule_without_delay(turn)
    return Done()


def closed(turn: Turn, message: CancelWorkflow) -> Done:
    """There is nothing left to cancel, which is success."""
    return Done()
