"""CompleteWorkflowExecution: the run ends with a result; a cron schedule goes on."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.workflow import chain, events
from perdure.server.machines.workflow.commands.closing import check_may_close
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
)
from perdure.server.machines.workflow.turn import Turn


def check(context: CheckContext, command: Command) -> None:
    """Nothing may be waiting for the workflow; the result has its limit."""
    check_may_close(context)
    require_attributes(
        command,
        "CompleteWorkflowExecution",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_COMPLETE_WORKFLOW_EXECUTION_ATTRIBUTES,
    )
    attributes = command.complete_workflow_execution_command_attributes
    if attributes.result.ByteSize() > context.limits.blob_size_bytes_max:
        raise CommandRefused(
            failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES,
            "CompleteWorkflowExecutionCommandAttributes.Result exceeds size limit.",
            terminate=True,
        )
    context.has_closed = True


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Close, and begin the next cron run if there is one."""
    attributes = command.complete_workflow_execution_command_attributes
    previous = turn.run
    _, backoff_ns, initiator = chain.retry_or_cron(turn, None)
    run_id = "" if backoff_ns is None else turn.ids.uuid()
    event = events.workflow_completed(context.completed_event_id, attributes, run_id)
    chain.close(turn, events.with_command_metadata(event, command))
    if backoff_ns is not None:
        result = attributes.result if attributes.HasField("result") else None
        chain.go_on(turn, previous, run_id, backoff_ns, initiator, result=result, failure=None)
