"""Child workflows as the code sees them: a task that can be awaited, cancelled and signalled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Concatenate, Generic, TypeVar, overload

from temporalio.api.command.v1 import Command, StartChildWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import Header, Memo, Payload, Payloads, WorkflowType
from temporalio.api.common.v1 import SearchAttributes as SearchAttributesMessage
from temporalio.api.enums.v1 import CommandType, StartChildWorkflowExecutionFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure._definitions import signal_name
from perdure._replay.activities import COMPATIBLE, duration_of
from perdure._replay.arguments import UNSET, arguments
from perdure._replay.commands.child import ChildListener, ChildMachine
from perdure._replay.context import WorkflowContext
from perdure._replay.event_groups import EventGroup
from perdure._replay.externals import ExternalSignal, signal_workflow
from perdure._replay.interceptors import StartChildWorkflowInput
from perdure._replay.loop import WorkflowTask
from perdure._replay.search_attributes import encoded
from perdure.common import (
    Priority,
    RetryPolicy,
    SearchAttributes,
    TypedSearchAttributes,
    VersioningOverride,
)
from perdure.converter import PayloadConverter, WorkflowSerializationContext
from perdure.exceptions import WorkflowAlreadyStartedError

_Workflow = TypeVar("_Workflow")
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")

_ALREADY_EXISTS = (
    StartChildWorkflowExecutionFailedCause
).START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS


@dataclass(slots=True, kw_only=True)
class ChildRequest:
    """What the code asks for."""

    workflow: str
    args: Sequence[Any]
    id: str
    result_type: Any = None
    task_queue: str | None = None
    cancellation_type: int = 2
    parent_close_policy: int = 1
    execution_timeout: timedelta | None = None
    run_timeout: timedelta | None = None
    task_timeout: timedelta | None = None
    id_reuse_policy: int = 1
    retry_policy: RetryPolicy | None = None
    cron_schedule: str = ""
    memo: Mapping[str, Any] | None = None
    search_attributes: SearchAttributes | TypedSearchAttributes | None = None
    versioning_intent: int | None = None
    static_summary: str | None = None
    static_details: str | None = None
    event_groups: Sequence[EventGroup] | None = None
    priority: Priority = field(default_factory=Priority)
    versioning_override: VersioningOverride | None = None
    headers: Mapping[str, Payload] = field(default_factory=dict)


class ChildWorkflowHandle(WorkflowTask[_Result], Generic[_Workflow, _Result]):
    """The handle of a started child: await it for the result, cancel it to cancel the child."""

    @property
    def id(self) -> str:
        """The workflow id of the child."""
        raise LookupError("only a child workflow has an id")

    @property
    def first_execution_run_id(self) -> str | None:
        """The run id of the child's first run."""
        raise LookupError("only a child workflow has a run id")

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
        """Signals the child and waits until the signal was recorded there."""
        raise LookupError("only a child workflow can be signalled")


class ChildTask(ChildWorkflowHandle[Any, Any]):
    """The one that is made; the base class is what the code may name."""

    def __init__(self, context: WorkflowContext, request: ChildRequest) -> None:
        self._context = context
        self._request = request
        self._run_id: str | None = None
        self.started: asyncio.Future[None] = context.loop.create_future()
        self._outcome: asyncio.Future[Any] = context.loop.create_future()
        super().__init__(self._run(), loop=context.loop, name=f"child: {request.workflow}")
        context.keep_task(self)
        self._serialization = WorkflowSerializationContext(context.options.namespace, request.id)
        self._converter = context.converter_for(self._serialization)
        command = _start_command(context, request, self._converter)
        context.mark(command, request.event_groups)
        self._machine = ChildMachine(
            context.machine,
            command,
            cancellation_type=request.cancellation_type,
            listener=ChildListener(
                self._on_started, self._on_start_failed, self._on_completed, self._on_failed
            ),
        )

    @property
    def id(self) -> str:
        """The workflow id of the child."""
        return self._request.id

    @property
    def first_execution_run_id(self) -> str | None:
        """The run id of the child's first run."""
        return self._run_id

    async def signal(
        self,
        signal: str | Callable[..., Any],
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        event_groups: Sequence[EventGroup] | None = None,
    ) -> None:
        """Signals the child and waits until the signal was recorded there."""
        await signal_workflow(
            self._context,
            ExternalSignal(
                workflow_id=self.id,
                run_id="",
                name=signal_name(signal),
                args=arguments(arg, args),
                child_only=True,
                groups=event_groups,
            ),
        )

    async def until_started(self) -> None:
        """Waits until the child was started. Raises what kept it from starting."""
        await self._context.await_operation(
            self.started, self.ask_for_cancellation, leave_when_cancelled=True
        )

    def ask_for_cancellation(self, error: asyncio.CancelledError) -> None:
        """Asks for the cancellation of the child, with the message of the task's cancellation."""
        self._context.check_not_read_only("cancel child handle")
        reason = error.args[0] if error.args and isinstance(error.args[0], str) else ""
        self._machine.cancel(reason)

    async def _run(self) -> Any:
        return await self._context.await_operation(self._outcome, self.ask_for_cancellation)

    def _on_started(self, run_id: str) -> None:
        self._run_id = run_id
        self.started.set_result(None)

    def _on_start_failed(self, cause: int) -> None:
        request = self._request
        if cause == _ALREADY_EXISTS:
            self._fail(WorkflowAlreadyStartedError(request.id, request.workflow))
            return
        name = StartChildWorkflowExecutionFailedCause.Name(cause)  # type: ignore[arg-type]
        self._fail(RuntimeError(f"the child workflow {request.id!r} was not started: {name}"))

    def _on_completed(self, payload: Payload | None) -> None:
        value = None
        if payload is not None:
            hints = None if self._request.result_type is None else [self._request.result_type]
            value = self._context.decode([payload], hints, self._converter)[0]
        self._outcome.set_result(value)

    def _on_failed(self, failure: Failure) -> None:
        self._fail(self._context.error_of(failure, self._serialization))

    def _fail(self, error: BaseException) -> None:
        if self.started.done():
            self._outcome.set_exception(error)
        else:
            self.started.set_exception(error)
            self._outcome.set_result(None)  # nobody has the handle to await it


async def start_child(
    context: WorkflowContext, request: ChildRequest
) -> ChildWorkflowHandle[Any, Any]:
    """Starts a child, through the interceptors if there are any, and waits until it was started."""
    if context.outbound is None:
        return await schedule_child(context, request)
    return await context.outbound.start_child_workflow(
        StartChildWorkflowInput(
            workflow=request.workflow,
            args=request.args,
            id=request.id,
            task_queue=request.task_queue,
            cancellation_type=request.cancellation_type,
            parent_close_policy=request.parent_close_policy,
            execution_timeout=request.execution_timeout,
            run_timeout=request.run_timeout,
            task_timeout=request.task_timeout,
            id_reuse_policy=request.id_reuse_policy,
            retry_policy=request.retry_policy,
            cron_schedule=request.cron_schedule,
            memo=request.memo,
            search_attributes=request.search_attributes,
            headers=request.headers,
            versioning_intent=request.versioning_intent,
            static_summary=request.static_summary,
            static_details=request.static_details,
            versioning_override=request.versioning_override,
            event_groups=request.event_groups,
            priority=request.priority,
            arg_types=None,
            ret_type=request.result_type,
        )
    )


async def schedule_child(context: WorkflowContext, request: ChildRequest) -> ChildTask:
    """Starts a child and waits until it was started."""
    await context.hold_evicted()
    context.check_not_read_only("start child workflow")
    child = ChildTask(context, request)
    await child.until_started()
    return child


def _start_command(
    context: WorkflowContext, request: ChildRequest, converter: PayloadConverter
) -> Command:
    own_queue = context.options.task_queue
    task_queue = request.task_queue or own_queue
    memo = {key: converter.to_payload(value) for key, value in (request.memo or {}).items()}
    attributes = StartChildWorkflowExecutionCommandAttributes(
        namespace=context.options.namespace,
        workflow_id=request.id,
        workflow_type=WorkflowType(name=request.workflow),
        task_queue=TaskQueue(name=task_queue),
        input=Payloads(payloads=converter.to_payloads(request.args)) if request.args else None,
        workflow_execution_timeout=duration_of(request.execution_timeout),
        workflow_run_timeout=duration_of(request.run_timeout),
        workflow_task_timeout=duration_of(request.task_timeout),
        parent_close_policy=request.parent_close_policy,  # type: ignore[arg-type]
        workflow_id_reuse_policy=request.id_reuse_policy,  # type: ignore[arg-type]
        cron_schedule=request.cron_schedule,
        header=Header(fields=request.headers),
        memo=Memo(fields=memo) if memo else None,
        inherit_build_id=request.versioning_intent == COMPATIBLE
        or (request.versioning_intent is None and task_queue == own_queue),
    )
    _set_optional(attributes, request)
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
        start_child_workflow_execution_command_attributes=attributes,
        user_metadata=_metadata(request, converter),
    )


def _set_optional(
    attributes: StartChildWorkflowExecutionCommandAttributes, request: ChildRequest
) -> None:
    request.priority.apply_to_proto(attributes.priority)
    if request.retry_policy is not None:
        request.retry_policy.apply_to_proto(attributes.retry_policy)
    if request.search_attributes:
        fields = encoded(request.search_attributes)
        attributes.search_attributes.CopyFrom(SearchAttributesMessage(indexed_fields=fields))
    if request.versioning_override is not None:
        attributes.versioning_override.CopyFrom(request.versioning_override.to_proto())


def _metadata(request: ChildRequest, converter: PayloadConverter) -> UserMetadata | None:
    if not request.static_summary and not request.static_details:
        return None
    summary, details = request.static_summary, request.static_details
    return UserMetadata(
        summary=converter.to_payload(summary) if summary else None,
        details=converter.to_payload(details) if details else None,
    )
