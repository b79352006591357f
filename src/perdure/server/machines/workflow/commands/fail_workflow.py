"""FailWorkflowExecution: the run fails; its retry policy, or else its cron schedule, may go on."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.activity.failures import cut_causes
from perdure.server.machines.workflow import chain, events
from perdure.server.machines.workflow.commands.closing import check_may_close
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
)
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES


def check(context: CheckContext, command: Command) -> None:
    """Nothing may be waiting for the workflow; there must be a failure, within its limit."""
    check_may_close(context)
    require_attributes(
        command,
        "FailWorkflowExecution",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES,
    )
    attributes = command.fail_workflow_execution_command_attributes
    if not attributes.HasField("failure"):
        raise CommandRefused(_BAD, "Failure is not set on FailWorkflowExecutionCommand.")
    cut_causes(attributes.failure, context.limits.failure_depth_max)
    if attributes.failure.ByteSize() > context.limits.blob_size_bytes_max:
        raise CommandRefused(
            _BAD,
            "FailWorkflowExecutionCommandAttributes.Failure exceeds size limit.",
            terminate=True,
        )
    context.has_closed = True


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Close, and begin the successor if there is one."""
    attributes = command.fail_workflow_execution_command_attributes
    previous = turn.run
    retry_state, backoff_ns, initiator = chain.retry_or_cron(turn, attributes.failure)
    run_id = "" if backoff_ns is None else turn.ids.uuid()
    event = events.workflow_failed(context.completed_event_id, attributes, retry_state, run_id)
    chain.close(turn, events.with_command_metadata(event, command))
    if backoff_ns is not None:
        chain.go_on(
            turn,
            previous,
            run_id,
            backoff_ns,
            initiator,
            result=None,
            failure=attributes.failure,
        )
