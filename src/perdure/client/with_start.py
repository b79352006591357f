"""Updating a workflow that may not have been started: both in one call, or neither."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Concatenate, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from temporalio.api.errordetails.v1 import (
    MultiOperationExecutionFailure,
    WorkflowExecutionAlreadyStartedFailure,
)
from temporalio.api.failure.v1 import MultiOperationExecutionAborted
from temporalio.api.workflowservice.v1 import (
    ExecuteMultiOperationRequest,
    ExecuteMultiOperationResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from perdure._definitions import workflow_name_and_result_type
from perdure.client.connection import UNSET, Connection, arguments_of
from perdure.client.errors import WorkflowUpdateRPCTimeoutOrCancelledError
from perdure.client.handle import WorkflowHandle
from perdure.client.inputs import (
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    UpdateWithStartStartWorkflowInput,
    UpdateWithStartUpdateWorkflowInput,
)
from perdure.client.starting import filled
from perdure.client.status import WorkflowUpdateStage
from perdure.client.updates import (
    GAVE_UP,
    WorkflowUpdateHandle,
    until_completed,
    update_request,
)
from perdure.common import (
    Priority,
    RetryPolicy,
    SearchAttributes,
    TypedSearchAttributes,
    VersioningOverride,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from perdure.exceptions import WorkflowAlreadyStartedError
from perdure.service import RPCError, RPCStatusCode

SelfType = TypeVar("SelfType")
ReturnType = TypeVar("ReturnType")
ParamType = TypeVar("ParamType")
MultiParam = ParamSpec("MultiParam")


class WithStartOptions(TypedDict, total=False):
    """How the workflow is started."""

    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: TypedSearchAttributes | SearchAttributes | None
    static_summary: str | None
    static_details: str | None
    start_delay: timedelta | None
    priority: Priority
    versioning_override: VersioningOverride | None


class WithStartWorkflowOperation(Generic[SelfType, ReturnType]):
    """A workflow to be started together with an update. Each can be used once."""

    @overload
    def __init__(
        self,
        workflow: Callable[[SelfType], Awaitable[ReturnType]],
        *,
        id: str,
        task_queue: str,
        id_conflict_policy: WorkflowIDConflictPolicy,
        **options: Unpack[WithStartOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: Callable[[SelfType, ParamType], Awaitable[ReturnType]],
        arg: ParamType,
        *,
        id: str,
        task_queue: str,
        id_conflict_policy: WorkflowIDConflictPolicy,
        **options: Unpack[WithStartOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: Callable[Concatenate[SelfType, MultiParam], Awaitable[ReturnType]],
        *,
        args: Sequence[Any],
        id: str,
        task_queue: str,
        id_conflict_policy: WorkflowIDConflictPolicy,
        **options: Unpack[WithStartOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        result_type: type[ReturnType] | None = ...,
        id: str,
        task_queue: str,
        id_conflict_policy: WorkflowIDConflictPolicy,
        **options: Unpack[WithStartOptions],
    ) -> None: ...

    def __init__(
        self,
        workflow: str | Callable[..., Awaitable[ReturnType]],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,  # noqa: A002 -- the mirrored name
        task_queue: str,
        id_conflict_policy: WorkflowIDConflictPolicy,
        result_type: Any = None,
        execution_timeout: timedelta | None = None,
        run_timeout: timedelta | None = None,
        task_timeout: timedelta | None = None,
        id_reuse_policy: WorkflowIDReusePolicy = WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        retry_policy: RetryPolicy | None = None,
        cron_schedule: str = "",
        memo: Mapping[str, Any] | None = None,
        search_attributes: TypedSearchAttributes | SearchAttributes | None = None,
        static_summary: str | None = None,
        static_details: str | None = None,
        start_delay: timedelta | None = None,
        priority: Priority = Priority.default,
        versioning_override: VersioningOverride | None = None,
    ) -> None:
        """Raises ValueError unless it is said what to do when the workflow runs already."""
        if id_conflict_policy is WorkflowIDConflictPolicy.UNSPECIFIED:
            raise ValueError("WorkflowIDConflictPolicy is required")
        name, known_type = workflow_name_and_result_type(workflow)
        self._start_workflow_input = UpdateWithStartStartWorkflowInput(
            workflow=name,
            args=arguments_of(arg, args),
            id=id,
            task_queue=task_queue,
            execution_timeout=execution_timeout,
            run_timeout=run_timeout,
            task_timeout=task_timeout,
            id_reuse_policy=id_reuse_policy,
            id_conflict_policy=id_conflict_policy,
            retry_policy=retry_policy,
            cron_schedule=cron_schedule,
            memo=memo,
            search_attributes=search_attributes,
            start_delay=start_delay,
            headers={},
            static_summary=static_summary,
            static_details=static_details,
            ret_type=known_type if result_type is None else result_type,
            priority=priority,
            versioning_override=versioning_override,
        )
        self._workflow_handle: asyncio.Future[WorkflowHandle[SelfType, ReturnType]] = (
            asyncio.Future()
        )
        self._used = False

    async def workflow_handle(self) -> WorkflowHandle[SelfType, ReturnType]:
        """The workflow, once it is known to have been started. Raises what its start failed of."""
        return await self._workflow_handle


def use(
    connection: Connection,
    operation: WithStartWorkflowOperation[Any, Any],
    update: UpdateWithStartUpdateWorkflowInput,
    *,
    rpc_metadata: Mapping[str, str | bytes],
    rpc_timeout: timedelta | None,
) -> StartWorkflowUpdateWithStartInput:
    """The call that starts the workflow and sends the update. Raises RuntimeError at a second."""
    if operation._used:
        raise RuntimeError("WithStartWorkflowOperation cannot be reused")
    operation._used = True
    start = operation._start_workflow_input
    handle = operation._workflow_handle

    def on_start(response: StartWorkflowExecutionResponse) -> None:
        handle.set_result(
            WorkflowHandle(
                connection,
                start.id,
                first_execution_run_id=response.first_execution_run_id or response.run_id,
                result_run_id=response.run_id,
                result_type=start.ret_type,
            )
        )

    def on_start_error(error: BaseException) -> None:
        handle.set_exception(error)
        handle.exception()  # nobody has to ask: the update's caller is told too

    return StartWorkflowUpdateWithStartInput(
        start_workflow_input=start,
        update_workflow_input=update,
        rpc_metadata=rpc_metadata,
        rpc_timeout=rpc_timeout,
        _on_start=on_start,
        _on_start_error=on_start_error,
    )


async def send_update_with_start(
    connection: Connection, asked: StartWorkflowUpdateWithStartInput
) -> WorkflowUpdateHandle[Any]:
    """Send both, again until the update is accepted.

    Raises WorkflowAlreadyStartedError, WorkflowUpdateRPCTimeoutOrCancelledError or RPCError, of
    which the operation is told too unless the workflow was started.
    """
    announced = _Announcement(asked)
    try:
        return await _send(connection, asked, announced)
    except asyncio.CancelledError as error:
        announced.failed(error)
        raise WorkflowUpdateRPCTimeoutOrCancelledError from error
    except RPCError as error:
        if error.status in GAVE_UP:
            announced.failed(error)
            raise WorkflowUpdateRPCTimeoutOrCancelledError from error
        meant = _meaning_of(error, asked.start_workflow_input)
        announced.failed(meant)
        raise meant from (None if meant is error else error)
    except WorkflowUpdateRPCTimeoutOrCancelledError as error:
        announced.failed(error)
        raise


class _Announcement:
    """Tells the operation once whether its workflow was started."""

    def __init__(self, asked: StartWorkflowUpdateWithStartInput) -> None:
        self._asked = asked
        self._told = False

    def started(self, response: StartWorkflowExecutionResponse) -> None:
        if not self._told:
            self._told = True
            self._asked._on_start(response)

    def failed(self, error: BaseException) -> None:
        if not self._told:
            self._told = True
            self._asked._on_start_error(error)


async def _send(
    connection: Connection, asked: StartWorkflowUpdateWithStartInput, announced: _Announcement
) -> WorkflowUpdateHandle[Any]:
    start, update = asked.start_workflow_input, asked.update_workflow_input
    start_request = await filled(connection, start, StartWorkflowExecutionRequest())
    sent = StartWorkflowUpdateInput(
        id=start.id,
        run_id=None,
        first_execution_run_id=None,
        update_id=update.update_id,
        update=update.update,
        args=update.args,
        wait_for_stage=update.wait_for_stage,
        headers=update.headers,
        ret_type=update.ret_type,
        rpc_metadata=asked.rpc_metadata,
        rpc_timeout=asked.rpc_timeout,
    )
    request = ExecuteMultiOperationRequest(namespace=connection.namespace)
    request.operations.add().start_workflow.CopyFrom(start_request)
    request.operations.add().update_workflow.CopyFrom(await update_request(connection, sent))
    request.resource_id = f"workflow:{start.id}"
    while True:
        response = await connection.call(
            "ExecuteMultiOperation",
            request,
            ExecuteMultiOperationResponse,
            asked.rpc_metadata,
            asked.rpc_timeout,
            long_poll=True,
        )
        started = response.responses[0].start_workflow
        updated = response.responses[1].update_workflow
        announced.started(started)
        if updated.stage >= WorkflowUpdateStage.ACCEPTED:
            break
    handle: WorkflowUpdateHandle[Any] = WorkflowUpdateHandle(
        connection,
        request.operations[1].update_workflow.request.meta.update_id,
        start.id,
        workflow_run_id=started.run_id,
        result_type=update.ret_type,
        known_outcome=updated.outcome if updated.HasField("outcome") else None,
    )
    if update.wait_for_stage is WorkflowUpdateStage.COMPLETED:
        await until_completed(handle, asked.rpc_metadata, asked.rpc_timeout)
    return handle


def _meaning_of(error: RPCError, start: UpdateWithStartStartWorkflowInput) -> Exception:
    """What the operation that failed says; the other one was only not done because of it."""
    failure = MultiOperationExecutionFailure()
    if not any(detail.Unpack(failure) for detail in error.grpc_status.details):
        return error
    for status in failure.statuses:
        aborted = any(one.Is(MultiOperationExecutionAborted.DESCRIPTOR) for one in status.details)
        if status.code == RPCStatusCode.OK or aborted:
            continue
        details = WorkflowExecutionAlreadyStartedFailure()
        if status.code == RPCStatusCode.ALREADY_EXISTS and any(
            one.Unpack(details) for one in status.details
        ):
            return WorkflowAlreadyStartedError(
                start.id,
                start.workflow,
                run_id=details.run_id,
                first_run_id=details.first_execution_run_id or None,
            )
        if status.code in RPCStatusCode._value2member_map_:
            code = RPCStatusCode(status.code)
            return RPCError(status.message, code, error.raw_grpc_status)
    return error
