"""What the start and cancel methods of operations are given as their context."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, overload

from nexusrpc.handler import CancelOperationContext, StartOperationContext

from perdure.client import Client
from perdure.client.connection import UNSET
from perdure.client.starting import StartWorkflowOptions
from perdure.common import MetricMeter
from perdure.nexus._running import current
from perdure.nexus._scope import delivering
from perdure.nexus._token import WorkflowHandle

_Self = TypeVar("_Self")
_Param = TypeVar("_Param")
_Params = ParamSpec("_Params")
_Return = TypeVar("_Return")


class WorkflowRunOperationContext(StartOperationContext):
    """The context of an operation that is a workflow."""

    @classmethod
    def _from_start_operation_context(cls, context: StartOperationContext) -> Self:
        return cls(**vars(context))

    @property
    def metric_meter(self) -> MetricMeter:
        """The meter of the running operation."""
        return current().metric_meter

    @overload
    async def start_workflow(
        self,
        workflow: Callable[[_Self], Awaitable[_Return]],
        *,
        id: str,
        task_queue: str | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[_Return]: ...

    @overload
    async def start_workflow(
        self,
        workflow: Callable[[_Self, _Param], Awaitable[_Return]],
        arg: _Param,
        *,
        id: str,
        task_queue: str | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[_Return]: ...

    @overload
    async def start_workflow(
        self,
        workflow: Callable[Concatenate[_Self, _Params], Awaitable[_Return]],
        *,
        args: Sequence[Any],
        id: str,
        task_queue: str | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[_Return]: ...

    @overload
    async def start_workflow(
        self,
        workflow: str,
        arg: Any = ...,
        *,
        args: Sequence[Any] = ...,
        id: str,
        task_queue: str | None = ...,
        result_type: type[_Return] | None = ...,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[_Return]: ...

    async def start_workflow(
        self,
        workflow: Any,
        arg: Any = UNSET,
        *,
        args: Sequence[Any] = (),
        id: str,  # noqa: A002 -- the mirrored name
        task_queue: str | None = None,
        result_type: type | None = None,
        **options: Unpack[StartWorkflowOptions],
    ) -> WorkflowHandle[Any]:
        """Starts the workflow whose result is the operation's; to be returned.

        It is started in the worker's namespace, at the worker's task queue unless told otherwise.
        The other arguments are those of `Client.start_workflow`, and so are the errors.
        """
        return await start_delivering_workflow(
            current().client,
            current().info.task_queue,
            workflow,
            arg,
            args=args,
            id=id,
            task_queue=task_queue,
            result_type=result_type,
            **options,
        )


class TemporalStartOperationContext(StartOperationContext):
    """The context of an operation that is started by way of a `TemporalNexusClient`."""

    @classmethod
    def _from_start_operation_context(cls, context: StartOperationContext) -> Self:
        return cls(**vars(context))


class TemporalCancelOperationContext(CancelOperationContext):
    """The context of the cancellation of such an operation."""

    @classmethod
    def _from_cancel_operation_context(cls, context: CancelOperationContext) -> Self:
        return cls(**vars(context))


async def start_delivering_workflow(
    client: Client,
    default_task_queue: str,
    workflow: Any,
    arg: Any,
    *,
    task_queue: str | None,
    **options: Any,
) -> WorkflowHandle[Any]:
    """Starts a workflow that delivers the result of the running operation."""
    with delivering():
        handle: Any = await client.start_workflow(
            workflow, arg, task_queue=task_queue or default_task_queue, **options
        )
    return WorkflowHandle(namespace=client.namespace, workflow_id=handle.id)
