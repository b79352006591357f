"""RequestCancelExternalWorkflowExecution: recorded, and sent to the other workflow."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    Command,
    RequestCancelExternalWorkflowExecutionCommandAttributes,
)
from temporalio.api.enums.v1 import failed_cause_pb2
from temporalio.api.enums.v1.failed_cause_pb2 import (
    WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES,
)
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.workflow import events, external_events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
)
from perdure.server.machines.workflow.commands.external import (
    check_count,
    check_same_namespace,
    is_run_id,
)
from perdure.server.machines.workflow.messages import CancelFromWorkflow, Source, request_id_of
from perdure.server.machines.workflow.turn import Turn

_BAD = WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES
_NAME = "RequestCancelExternalWorkflowExecutionCommand"


def check(context: CheckContext, command: Command) -> None:
    """It must name a workflow of this namespace, but no child that this very task starts."""
    require_attributes(command, "RequestCancelExternalWorkflowExecution", _BAD)
    attributes = command.request_cancel_external_workflow_execution_command_attributes
    check_same_namespace(context, attributes.namespace, _BAD)
    problem = _problem_of(attributes, context)
    if problem is not None:
        raise CommandRefused(_BAD, problem)
    check_count(
        context.pending_cancels,
        context.limits.pending_cancels_max,
        "pending requests to cancel external workflows",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_PENDING_REQUEST_CANCEL_LIMIT_EXCEEDED,
    )
    context.pending_cancels += 1


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record it and send it."""
    attributes = command.request_cancel_external_workflow_execution_command_attributes
    event = external_events.cancel_initiated(
        context.completed_event_id, turn.workflow.namespace_id, attributes
    )
    event_id = turn.record(events.with_command_metadata(event, command))
    send(turn, event_id, event, turn.run.recorded.run_id)


def send(turn: Turn, event_id: int, event: HistoryEvent, initiator_run_id: str) -> None:
    """Ask the workflow that an event of the current run names; `initiator_run_id` is the run that
    asked first."""
    attributes = event.request_cancel_external_workflow_execution_initiated_event_attributes
    target = attributes.workflow_execution
    turn.send(
        target.workflow_id,
        CancelFromWorkflow(
            run_id=target.run_id,
            source=Source(turn.workflow.workflow_id, turn.run.recorded.run_id, event_id),
            request_id=request_id_of(initiator_run_id, event_id),
            reason=attributes.reason,
            child_only=attributes.child_workflow_only,
        ),
    )


def _problem_of(
    attributes: RequestCancelExternalWorkflowExecutionCommandAttributes, context: CheckContext
) -> str | None:
    workflow_id, length_max = attributes.workflow_id, context.limits.id_length_max
    where = f"RunId={attributes.run_id} Namespace={attributes.namespace}"
    if not workflow_id:
        return (
            f"WorkflowId is not set on {_NAME}."
            f" Namespace={attributes.namespace} RunId={attributes.run_id}"
        )
    length = len(workflow_id.encode())
    if length > length_max:
        return (
            f"WorkflowId on {_NAME} exceeds length limit. WorkflowId={workflow_id}"
            f" Length={length} Limit={length_max} {where}"
        )
    if attributes.run_id and not is_run_id(attributes.run_id):
        return f"Invalid RunId set on {_NAME}. WorkflowId={workflow_id} {where}"
    if workflow_id in context.initiated_children:
        return (
            "Start and RequestCancel for child workflow is not allowed in same workflow task."
            f" WorkflowId={workflow_id} {where}"
        )
    return None
