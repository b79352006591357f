"""Where a batch resets a workflow to, and the call that does it."""

from __future__ import annotations

import itertools

from temporalio.api.batch.v1 import BatchOperationReset
from temporalio.api.common.v1 import ResetOptions, WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
    ResetWorkflowExecutionRequest,
    ResetWorkflowExecutionResponse,
)

from perdure.server.housekeeping.batches.operations import Call, Target
from perdure.server.machines.errors import InvalidArgument


async def reset(call: Call, operation: BatchOperationReset, target: Target) -> None:
    """Reset one workflow. Raises CallFailed, InvalidArgument."""
    options = _options(operation)
    execution, event_id = await _place(call, options, target)
    request = ResetWorkflowExecutionRequest(
        namespace=target.namespace,
        workflow_execution=execution,
        reason=target.reason,
        workflow_task_finish_event_id=event_id,
        request_id=target.request_id(),
        reset_reapply_type=options.reset_reapply_type,
        reset_reapply_exclude_types=options.reset_reapply_exclude_types,
        post_reset_operations=operation.post_reset_operations,
        identity=operation.identity,
    )
    await call(request, ResetWorkflowExecutionResponse)


async def _place(
    call: Call, options: ResetOptions, target: Target
) -> tuple[WorkflowExecution, int]:
    """The run to reset, and the event to reset it to."""
    execution = target.execution
    wants_build = options.WhichOneof("target") == "build_id"
    if execution.run_id and not wants_build:
        return execution, await _event_id(call, options, target.namespace, execution)
    described = await call(
        DescribeWorkflowExecutionRequest(namespace=target.namespace, execution=execution),
        DescribeWorkflowExecutionResponse,
    )
    if wants_build:
        return _point_of_build(described, options)
    execution = described.workflow_execution_info.execution
    return execution, await _event_id(call, options, target.namespace, execution)


def _options(operation: BatchOperationReset) -> ResetOptions:
    """What is asked for; older clients say it in fewer words."""
    if operation.HasField("options"):
        return operation.options
    options = ResetOptions(reset_reapply_type=operation.reset_reapply_type)
    if operation.reset_type == ResetType.RESET_TYPE_FIRST_WORKFLOW_TASK:
        options.first_workflow_task.SetInParent()
    else:
        options.last_workflow_task.SetInParent()
    return options


def _point_of_build(
    described: DescribeWorkflowExecutionResponse, options: ResetOptions
) -> tuple[WorkflowExecution, int]:
    execution = described.workflow_execution_info.execution
    for point in described.workflow_execution_info.auto_reset_points.points:
        if point.build_id != options.build_id or not point.resettable:
            continue
        if options.current_run_only and point.run_id != execution.run_id:
            continue
        found = WorkflowExecution(workflow_id=execution.workflow_id, run_id=point.run_id)
        return found, point.first_workflow_task_completed_id
    raise InvalidArgument(f"Can't find reset point for build ID {options.build_id}")


async def _event_id(
    call: Call, options: ResetOptions, namespace: str, execution: WorkflowExecution
) -> int:
    match options.WhichOneof("target"):
        case "workflow_task_id":
            return options.workflow_task_id
        case "first_workflow_task":
            return await _first_task(call, namespace, execution)
        case _:
            return await _last_task(call, namespace, execution)


async def _first_task(call: Call, namespace: str, execution: WorkflowExecution) -> int:
    request = GetWorkflowExecutionHistoryRequest(namespace=namespace, execution=execution)
    scheduled = 0
    for _ in itertools.count():
        page = await call(request, GetWorkflowExecutionHistoryResponse)
        for event in page.history.events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return int(event.event_id)
            scheduled = scheduled or _after_schedule(event)
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    return _found(scheduled)


async def _last_task(call: Call, namespace: str, execution: WorkflowExecution) -> int:
    request = GetWorkflowExecutionHistoryReverseRequest(namespace=namespace, execution=execution)
    scheduled = 0
    for _ in itertools.count():
        page = await call(request, GetWorkflowExecutionHistoryReverseResponse)
        for event in page.history.events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return int(event.event_id)
            scheduled = _after_schedule(event) or scheduled
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            break
    return _found(scheduled)


def _after_schedule(event: HistoryEvent) -> int:
    """A task that never completed can be reset to the event after its schedule."""
    is_scheduled = event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    return event.event_id + 1 if is_scheduled else 0


def _found(event_id: int) -> int:
    if not event_id:
        raise InvalidArgument("unable to find any scheduled or completed task")
    return event_id
