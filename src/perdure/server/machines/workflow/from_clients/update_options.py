"""UpdateWorkflowExecutionOptions: a change is recorded; what changes nothing leaves no trace."""

from __future__ import annotations

from perdure.server.machines.errors import FailedPrecondition, NotFound
from perdure.server.machines.workflow import options
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import UpdatedWorkflowOptions, UpdateWorkflowOptions
from perdure.server.machines.workflow.turn import Turn


def running(turn: Turn, message: UpdateWorkflowOptions) -> UpdatedWorkflowOptions:
    """Record (or buffer) the new options."""
    request = message.request
    override = request.workflow_execution_options.versioning_override
    if override.HasField("pinned"):
        version = override.pinned.version
        raise FailedPrecondition(
            f"Pinned version '{version.deployment_name}:{version.build_id}' is not present in task"
            f" queue '{turn.run.recorded.task_queue}' of type 'Workflow'"
        )
    merged = options.change(
        turn, request.workflow_execution_options, request.update_mask, request.identity
    )
    return UpdatedWorkflowOptions(merged.SerializeToString())


def closed(turn: Turn, message: UpdateWorkflowOptions) -> UpdatedWorkflowOptions:
    """It is over."""
    raise NotFound(WORKFLOW_COMPLETED)
