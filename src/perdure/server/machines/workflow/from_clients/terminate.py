"""TerminateWorkflowExecution: the run ends at once, whatever its worker does."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import chain, events, workflow_task
from perdure.server.machines.workflow.from_clients.cancel import RUN_NOT_FOUND
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import Done, TerminateWorkflow
from perdure.server.machines.workflow.turn import Turn


def running(turn: Turn, message: TerminateWorkflow) -> Done:
    """Fail a started task, record what is buffered, and close."""
    request = message.request
    first = request.first_execution_run_id
    if first and first != turn.run.recorded.first_execution_run_id:
        raise NotFound(RUN_NOT_FOUND)
    workflow_task.force_close(turn)
    chain.close(
        turn,
        events.workflow_terminated(
            request.reason,
            request.details if request.HasField("details") else None,
            request.identity,
            request.links,
        ),
    )
    return Done()


def closed(turn: Turn, message: TerminateWorkflow) -> Done:
    """It is over already."""
    raise NotFound(WORKFLOW_COMPLETED)
