"""UpdateWorkflowExecutionOptions: a change is recorded; what changes nothing leaves no trace."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import options, transitions
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import UpdatedWorkflowOptions, UpdateWorkflowOptions
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import behavior_of, version_of


def running(turn: Turn, message: UpdateWorkflowOptions) -> UpdatedWorkflowOptions:
    """Record (or buffer) the new options."""
    request = message.request
    before = behavior_of(turn.run), version_of(turn.run)
    merged = options.change(
        turn, request.workflow_execution_options, request.update_mask, request.identity
    )
    transitions.override_changed(turn, before)
    return UpdatedWorkflowOptions(merged.SerializeToString())


def closed(turn: Turn, message: UpdateWorkflowOptions) -> UpdatedWorkflowOptions:
    """It is over."""
    raise NotFound(WORKFLOW_COMPLETED)
