"""CancelWorkflowExecution: the run ends as cancelled."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.workflow import chain, events
from perdure.server.machines.workflow.commands.closing import check_may_close
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    require_attributes,
)
from perdure.server.machines.workflow.turn import Turn


def check(context: CheckContext, command: Command) -> None:
    """Nothing may be waiting for the workflow."""
    check_may_close(context)
    require_attributes(
        command,
        "CancelWorkflowExecution",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_WORKFLOW_EXECUTION_ATTRIBUTES,
    )
    context.has_closed = True


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Close."""
    attributes = command.cancel_workflow_execution_command_attributes
    event = events.workflow_canceled(context.completed_event_id, attributes)
    chain.close(turn, events.with_command_metadata(event, command))
