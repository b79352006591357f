"""Other workflows: children, and those that are known by their id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from enum import IntEnum
from typing import Any, Concatenate, Generic, TypedDict, TypeVar, Unpack, overload

from perdure._definitions import signal_name, workflow_name_and_result_type
from perdure._replay.arguments import UNSET, arguments
from perdure._replay.children import ChildRequest, ChildWorkflowHandle, start_child
from perdure._replay.context import WorkflowContext, current
from perdure._replay.event_groups import EventGroup
from perdure._replay.externals import ExternalSignal, cancel_workflow, signal_workflow
from perdure.common import (
    Priority,
    RetryPolicy,
    SearchAttributes,
    TypedSearchAttributes,
    VersioningOverride,
    WorkflowIDReusePolicy,
)
from perdure.workflow._context import uuid4
from perdure.workflow._versioning import VersioningIntent

_Workflow = TypeVar("_Workflow")
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")
_NO_PRIORITY = Priority()


class ChildWorkflowCancellationType(IntEnum):
    """What the cancellation of a child's handle does."""

    ABANDON = 0
    TRY_CANCEL = 1
    WAIT_CANCELLATION_COMPLETED = 2
    WAIT_CANCELLATION_REQUESTED = 3


class ParentClosePolicy(IntEnum):
    """What becomes of a child when its parent closes first."""

    UNSPECIFIED = 0
    TERMINATE = 1
    ABANDON = 2
    REQUEST_CANCEL = 3


class ChildWorkflowConfig(TypedDict, total=False):
    """The options of a child, to be kept and passed as keyword arguments."""

    id: str | None
    task_queue: str | None
    cancellation_type: ChildWorkflowCancellationType
    parent_close_policy: ParentClosePolicy
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: SearchAttributes | TypedSearchAttributes | None
    versioning_intent: VersioningIntent | None
    static_summary: str | None
    static_details: str | None
    event_groups: Sequence[EventGroup] | None
    priority: Priority
    versioning_override: VersioningOverride | None


@overload
async def start_child_workflow(
    workflow: Callable[[_Workflow], Awaitable[_Result]], **options: Unpack[ChildWorkflowConfig]
) -> ChildWorkflowHandle[_Workflow, _Result]: ...


@overload
async def start_child_workflow(
    workflow: Callable[[_Workflow, _Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[_Workflow, _Result]: ...


@overload
async def start_child_workflow(
    workflow: Callable[Concatenate[_Workflow, ...], Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[_Workflow, _Result]: ...


@overload
async def start_child_workflow(
    workflow: str,
    arg: Any = ...,
    *,
    args: Sequence[Any] = ...,
    result_type: type | None = ...,
    **options: Unpack[ChildWorkflowConfig],
) -> ChildWorkflowHandle[Any, Any]: ...


async def start_child_workflow(
    workflow: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    id: str | None = None,  # noqa: A002 -- the mirrored name
    task_queue: str | None = None,
    result_type: type | None = None,
    cancellation_type: ChildWorkflowCancellationType = (
        ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
    ),
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE,
    execution_timeout: timedelta | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    retry_policy: RetryPolicy | None = None,
    cron_schedule: str = "",
    memo: Mapping[str, Any] | None = None,
    search_attributes: SearchAttributes | TypedSearchAttributes | None = None,
    versioning_intent: VersioningIntent | None = None,
    static_summary: str | None = None,
    static_details: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
    priority: Priority = _NO_PRIORITY,
    versioning_override: VersioningOverride | None = None,
) -> ChildWorkflowHandle[Any, Any]:
    """Starts a child workflow, waits until it was started, and returns its handle."""
    context = current()
    name, declared = workflow_name_and_result_type(workflow)
    return await start_child(
        context,
        ChildRequest(
            workflow=name,
            args=arguments(arg, args),
            id=id or str(uuid4()),
            result_type=declared if declared is not None else result_type,
            task_queue=task_queue,
            cancellation_type=cancellation_type,
            parent_close_policy=parent_close_policy,
            execution_timeout=execution_timeout,
            run_timeout=run_timeout,
            task_timeout=task_timeout,
            id_reuse_policy=id_reuse_policy,
            retry_policy=retry_policy,
            cron_schedule=cron_schedule,
            memo=memo,
            search_attributes=search_attributes,
            versioning_intent=versioning_intent,
            static_summary=static_summary,
            static_details=static_details,
            event_groups=event_groups,
            priority=priority,
            versioning_override=versioning_override,
        ),
    )


@overload
async def execute_child_workflow(
    workflow: Callable[[_Workflow], Awaitable[_Result]], **options: Unpack[ChildWorkflowConfig]
) -> _Result: ...


@overload
async def execute_child_workflow(
    workflow: Callable[[_Workflow, _Argument], Awaitable[_Result]],
    arg: _Argument,
    **options: Unpack[ChildWorkflowConfig],
) -> _Result: ...


@overload
async def execute_child_workflow(
    workflow: Callable[Concatenate[_Workflow, ...], Awaitable[_Result]],
    *,
    args: Sequence[Any],
    **options: Unpack[ChildWorkflowConfig],
) -> _Result: ...


@overload
async def execute_child_workflow(
    workflow: str,
    arg: Any = ...,
    *,
    args: Sequence[Any] = ...,
    result_type: type | None = ...,
    **options: Unpack[ChildWorkflowConfig],
) -> Any: ...


async def execute_child_workflow(
    workflow: Any,
    arg: Any = UNSET,
    *,
    args: Sequence[Any] = (),
    id: str | None = None,  # noqa: A002 -- the mirrored name
    task_queue: str | None = None,
    result_type: type | None = None,
    cancellation_type: ChildWorkflowCancellationType = (
        ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED
    ),
    parent_close_policy: ParentClosePolicy = ParentClosePolicy.TERMINATE,
    execution_timeout: timedelta | None = None,
    run_timeout: timedelta | None = None,
    task_timeout: timedelta | None = None,
    id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    retry_policy: RetryPolicy | None = None,
    cron_schedule: str = "",
    memo: Mapping[str, Any] | None = None,
    search_attributes: SearchAttributes | TypedSearchAttributes | None = None,
    versioning_intent: VersioningIntent | None = None,
    static_summary: str | None = None,
    static_details: str | None = None,
    event_groups: Sequence[EventGroup] | None = None,
    priority: Priority = _NO_PRIORITY,
    versioning_override: VersioningOverride | None = None,
) -> Any:
    """Starts a child workflow and waits for its result; see `start_child_workflow`."""
    handle = await start_child_workflow(
        workflow,
        arg,
        args=args,
        id=id,
        task_queue=task_queue,
        result_type=result_type,
        cancellation_type=cancellation_type,
        parent_close_policy=parent_close_policy,
        execution_timeout=execution_timeout,
        run_timeout=run_timeout,
        task_timeout=task_timeout,
        id_reuse_policy=id_reuse_policy,
        retry_policy=retry_policy,
        cron_schedule=cron_schedule,
        memo=memo,
        search_attributes=search_attributes,
        versioning_intent=versioning_intent,
        static_summary=static_summary,
        static_details=static_details,
        event_groups=event_groups,
        priority=priority,
        versioning_override=versioning_override,
    )
    return await handle


class ExternalWorkflowHandle(Generic[_Workflow]):
    """A workflow known by its id, not started by this one."""

    def __init__(self, context: WorkflowContext, workflow_id: str, run_id: str | None) -> None:
        self._context = context
        self._id = workflow_id
        self._run_id = run_id

    @property
    def id(self) -> str:
        """The id of the workflow."""
        return self._id

    @property
    def run_id(self) -> str | None:
        """The run that is meant; None for whichever is current."""
        return self._run_id

    @overload
    async def signal(
        self,
        signal: Callable[[_Workflow], Awaitable[None] | None],
        *,
        event_groups: Sequence[EventGroup] | None = ...,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: Callable[[_Workflow, _Argument], Awaitable[None] | None],
        arg: _Argument,
        *,
        event_groups: Sequence[EventGroup] | None = ...,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: Callable[Concatenate[_Workflow, ...], Awaitable[None] | None],
        *,
        args: Sequence[Any],
        event_groups: Sequence[EventGroup] | None = ...,
    ) -> None: ...

    @overload
    async def signal(
        self,
        signal: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        event_groups: Sequence[EventGroup] | None = ...,
    ) -> None: ...

    async def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        event_groups: Sequence[EventGroup] | None = None,
    ) -> None:
        """Signals the workflow and waits until the signal was recorded there."""
        await signal_workflow(
            self._context,
            ExternalSignal(
                workflow_id=self._id,
                run_id=self._run_id or "",
                name=signal_name(signal),
                args=arguments(arg, args),
                child_only=False,
                groups=event_groups,
            ),
        )

    async def cancel(
        self, *, reason: str = "", event_groups: Sequence[EventGroup] | None = None
    ) -> None:
        """Asks for the cancellation of the workflow and waits until that was recorded there."""
        await cancel_workflow(
            self._context,
            workflow_id=self._id,
            run_id=self._run_id or "",
            reason=reason,
            groups=event_groups,
        )


def get_external_workflow_handle(
    workflow_id: str, *, run_id: str | None = None
) -> ExternalWorkflowHandle[Any]:
    """The handle of a workflow by its id."""
    return ExternalWorkflowHandle(current(), workflow_id, run_id)


def get_external_workflow_handle_for(
    workflow: Callable[Concatenate[_Workflow, ...], Awaitable[Any]],
    workflow_id: str,
    *,
    run_id: str | None = None,
) -> ExternalWorkflowHandle[_Workflow]:
    """The handle of a workflow by its id, typed by its run method."""
    del workflow
    return ExternalWorkflowHandle(current(), workflow_id, run_id)
