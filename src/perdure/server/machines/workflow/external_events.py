"""One constructor for each type of event about other workflows, as in `events`: on the side of the
source, and what a signal or a cancel request from a workflow is on the side of its target."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    RequestCancelExternalWorkflowExecutionCommandAttributes,
    SignalExternalWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import event_type_pb2
from temporalio.api.history.v1 import (
    ExternalWorkflowExecutionCancelRequestedEventAttributes,
    ExternalWorkflowExecutionSignaledEventAttributes,
    HistoryEvent,
    RequestCancelExternalWorkflowExecutionFailedEventAttributes,
    RequestCancelExternalWorkflowExecutionInitiatedEventAttributes,
    SignalExternalWorkflowExecutionFailedEventAttributes,
    SignalExternalWorkflowExecutionInitiatedEventAttributes,
    WorkflowExecutionCancelRequestedEventAttributes,
    WorkflowExecutionSignaledEventAttributes,
)

from perdure.server.machines.workflow.messages import Source
from perdure.server.machines.workflow.state import ExternalRequest, Workflow

# ---- of the source


def signal_initiated(
    completed_event_id: int,
    namespace_id: str,
    command: SignalExternalWorkflowExecutionCommandAttributes,
) -> HistoryEvent:
    """SignalExternalWorkflowExecutionInitiated."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        signal_external_workflow_execution_initiated_event_attributes=SignalExternalWorkflowExecutionInitiatedEventAttributes(
            workflow_task_completed_event_id=completed_event_id,
            namespace=command.namespace,
            namespace_id=namespace_id,
            workflow_execution=command.execution,
            signal_name=command.signal_name,
            input=command.input if command.HasField("input") else None,
            control=command.control,
            child_workflow_only=command.child_workflow_only,
            header=command.header if command.HasField("header") else None,
        ),
    )


def cancel_initiated(
    completed_event_id: int,
    namespace_id: str,
    command: RequestCancelExternalWorkflowExecutionCommandAttributes,
) -> HistoryEvent:
    """RequestCancelExternalWorkflowExecutionInitiated."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        request_cancel_external_workflow_execution_initiated_event_attributes=RequestCancelExternalWorkflowExecutionInitiatedEventAttributes(
            workflow_task_completed_event_id=completed_event_id,
            namespace=command.namespace,
            namespace_id=namespace_id,
            workflow_execution=WorkflowExecution(
                workflow_id=command.workflow_id, run_id=command.run_id
            ),
            control=command.control,
            child_workflow_only=command.child_workflow_only,
            reason=command.reason,
        ),
    )


def signal_delivered(workflow: Workflow, request: ExternalRequest, control: str) -> HistoryEvent:
    """ExternalWorkflowExecutionSignaled."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED,
        external_workflow_execution_signaled_event_attributes=ExternalWorkflowExecutionSignaledEventAttributes(
            initiated_event_id=request.initiated_event_id,
            namespace=workflow.namespace,
            namespace_id=workflow.namespace_id,
            workflow_execution=_target(request),
            control=control,
        ),
    )


def signal_failed(
    workflow: Workflow, request: ExternalRequest, cause: int, control: str
) -> HistoryEvent:
    """SignalExternalWorkflowExecutionFailed."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
        signal_external_workflow_execution_failed_event_attributes=SignalExternalWorkflowExecutionFailedEventAttributes(
            cause=cause,  # type: ignore[arg-type]
            namespace=workflow.namespace,
            namespace_id=workflow.namespace_id,
            workflow_execution=_target(request),
            initiated_event_id=request.initiated_event_id,
            control=control,
        ),
    )


def cancel_delivered(workflow: Workflow, request: ExternalRequest) -> HistoryEvent:
    """ExternalWorkflowExecutionCancelRequested."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        external_workflow_execution_cancel_requested_event_attributes=ExternalWorkflowExecutionCancelRequestedEventAttributes(
            initiated_event_id=request.initiated_event_id,
            namespace=workflow.namespace,
            namespace_id=workflow.namespace_id,
            workflow_execution=_target(request),
        ),
    )


def cancel_failed(workflow: Workflow, request: ExternalRequest, cause: int) -> HistoryEvent:
    """RequestCancelExternalWorkflowExecutionFailed."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
        request_cancel_external_workflow_execution_failed_event_attributes=RequestCancelExternalWorkflowExecutionFailedEventAttributes(
            cause=cause,  # type: ignore[arg-type]
            namespace=workflow.namespace,
            namespace_id=workflow.namespace_id,
            workflow_execution=_target(request),
            initiated_event_id=request.initiated_event_id,
        ),
    )


def _target(request: ExternalRequest) -> WorkflowExecution:
    return WorkflowExecution(workflow_id=request.workflow_id, run_id=request.run_id)


# ---- of the target


def signaled_by_workflow(
    signal: SignalExternalWorkflowExecutionInitiatedEventAttributes,
    source: Source,
    request_id: str,
    identity: str,
) -> HistoryEvent:
    """WorkflowExecutionSignaled."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        workflow_execution_signaled_event_attributes=WorkflowExecutionSignaledEventAttributes(
            signal_name=signal.signal_name,
            input=signal.input if signal.HasField("input") else None,
            identity=identity,
            header=signal.header if signal.HasField("header") else None,
            external_workflow_execution=_source(source),
            request_id=request_id,
        ),
    )


def cancel_requested_by_workflow(
    source: Source, reason: str, identity: str, *, is_by_command: bool
) -> HistoryEvent:
    """WorkflowExecutionCancelRequested; `is_by_command`: not by a parent's close."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        workflow_execution_cancel_requested_event_attributes=WorkflowExecutionCancelRequestedEventAttributes(
            cause=reason,
            external_initiated_event_id=source.initiated_event_id if is_by_command else 0,
            external_workflow_execution=_source(source),
            identity=identity,
        ),
    )


def _source(source: Source) -> WorkflowExecution:
    return WorkflowExecution(workflow_id=source.workflow_id, run_id=source.run_id)
