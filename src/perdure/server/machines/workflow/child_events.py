"""One constructor for each type of event about children, as in `events`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from temporalio.api.command.v1 import StartChildWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import Header, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import event_type_pb2
from temporalio.api.history.v1 import (
    ChildWorkflowExecutionCanceledEventAttributes,
    ChildWorkflowExecutionCompletedEventAttributes,
    ChildWorkflowExecutionFailedEventAttributes,
    ChildWorkflowExecutionStartedEventAttributes,
    ChildWorkflowExecutionTerminatedEventAttributes,
    ChildWorkflowExecutionTimedOutEventAttributes,
    HistoryEvent,
    StartChildWorkflowExecutionFailedEventAttributes,
    StartChildWorkflowExecutionInitiatedEventAttributes,
    WorkflowExecutionCanceledEventAttributes,
    WorkflowExecutionCompletedEventAttributes,
    WorkflowExecutionFailedEventAttributes,
    WorkflowExecutionTimedOutEventAttributes,
)

from perdure.server.machines.nulls import clear_nulls
from perdure.server.machines.workflow.messages import ChildClosed
from perdure.server.machines.workflow.state import Child, Workflow


def child_initiated(
    completed_event_id: int,
    namespace_id: str,
    command: StartChildWorkflowExecutionCommandAttributes,
) -> HistoryEvent:
    """StartChildWorkflowExecutionInitiated: all that the command and the event share is copied
    whole."""
    attributes = StartChildWorkflowExecutionInitiatedEventAttributes(
        workflow_task_completed_event_id=completed_event_id,
        namespace=command.namespace,
        namespace_id=namespace_id,
        workflow_id=command.workflow_id,
        control=command.control,
        workflow_id_reuse_policy=command.workflow_id_reuse_policy,
        cron_schedule=command.cron_schedule,
        parent_close_policy=command.parent_close_policy,
        inherit_build_id=command.inherit_build_id,
    )
    for name in (
        "workflow_type",
        "task_queue",
        "header",
        "input",
        "workflow_execution_timeout",
        "workflow_run_timeout",
        "workflow_task_timeout",
        "retry_policy",
        "memo",
        "search_attributes",
        "versioning_override",
        "priority",
    ):
        if command.HasField(name):
            getattr(attributes, name).CopyFrom(getattr(command, name))
    clear_nulls(attributes)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
        start_child_workflow_execution_initiated_event_attributes=attributes,
    )


def child_start_failed(workflow: Workflow, child: Child, cause: int, control: str) -> HistoryEvent:
    """StartChildWorkflowExecutionFailed."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
        start_child_workflow_execution_failed_event_attributes=StartChildWorkflowExecutionFailedEventAttributes(
            namespace=workflow.namespace,
            namespace_id=workflow.namespace_id,
            workflow_id=child.workflow_id,
            workflow_type=WorkflowType(name=child.workflow_type),
            cause=cause,  # type: ignore[arg-type]
            control=control,
            initiated_event_id=child.initiated_event_id,
        ),
    )


def child_started(
    workflow: Workflow, child: Child, run_id: str, header: bytes | None
) -> HistoryEvent:
    """ChildWorkflowExecutionStarted."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED,
        child_workflow_execution_started_event_attributes=ChildWorkflowExecutionStartedEventAttributes(
            namespace=workflow.namespace,
            namespace_id=workflow.namespace_id,
            initiated_event_id=child.initiated_event_id,
            workflow_execution=WorkflowExecution(workflow_id=child.workflow_id, run_id=run_id),
            workflow_type=WorkflowType(name=child.workflow_type),
            header=None if header is None else Header.FromString(header),
        ),
    )


def child_closed(workflow: Workflow, child: Child, message: ChildClosed) -> HistoryEvent:
    """ChildWorkflowExecutionCompleted, Failed, Canceled, TimedOut or Terminated: the parent's event
    for the child's close event."""
    common: dict[str, Any] = {
        "namespace": workflow.namespace,
        "namespace_id": workflow.namespace_id,
        "workflow_execution": WorkflowExecution(
            workflow_id=child.workflow_id, run_id=message.child_run_id
        ),
        "workflow_type": WorkflowType(name=child.workflow_type),
        "initiated_event_id": child.initiated_event_id,
        "started_event_id": child.started_event_id,
    }
    return _CLOSES[message.event_type](common, message.attributes)


def _completed(common: dict[str, Any], serialised: bytes) -> HistoryEvent:
    close = WorkflowExecutionCompletedEventAttributes.FromString(serialised)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
        child_workflow_execution_completed_event_attributes=ChildWorkflowExecutionCompletedEventAttributes(
            result=close.result if close.HasField("result") else None, **common
        ),
    )


def _failed(common: dict[str, Any], serialised: bytes) -> HistoryEvent:
    close = WorkflowExecutionFailedEventAttributes.FromString(serialised)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
        child_workflow_execution_failed_event_attributes=ChildWorkflowExecutionFailedEventAttributes(
            failure=close.failure if close.HasField("failure") else None,
            retry_state=close.retry_state,
            **common,
        ),
    )


def _canceled(common: dict[str, Any], serialised: bytes) -> HistoryEvent:
    close = WorkflowExecutionCanceledEventAttributes.FromString(serialised)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
        child_workflow_execution_canceled_event_attributes=ChildWorkflowExecutionCanceledEventAttributes(
            details=close.details if close.HasField("details") else None, **common
        ),
    )


def _timed_out(common: dict[str, Any], serialised: bytes) -> HistoryEvent:
    close = WorkflowExecutionTimedOutEventAttributes.FromString(serialised)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
        child_workflow_execution_timed_out_event_attributes=ChildWorkflowExecutionTimedOutEventAttributes(
            retry_state=close.retry_state, **common
        ),
    )


def _terminated(common: dict[str, Any], serialised: bytes) -> HistoryEvent:
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
        child_workflow_execution_terminated_event_attributes=ChildWorkflowExecutionTerminatedEventAttributes(
            **common
        ),
    )


_CLOSES: dict[int, Callable[[dict[str, Any], bytes], HistoryEvent]] = {
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: _completed,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: _failed,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: _canceled,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: _timed_out,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: _terminated,
}
