"""Interceptors of a worker: what stands between its tasks and the user's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from temporalio.api.common.v1 import Payload

from perdure._replay.interceptors import WorkflowInboundInterceptor, WorkflowInterceptorClassInput
from perdure.activity import Info

if TYPE_CHECKING:
    from nexusrpc.handler import (
        CancelOperationContext,
        StartOperationContext,
        StartOperationResultAsync,
        StartOperationResultSync,
    )


@dataclass
class ExecuteActivityInput:
    """An activity begins."""

    fn: Callable[..., Any]
    args: Sequence[Any]
    executor: Executor | None
    """What runs a function that is not async."""
    headers: Mapping[str, Payload]


@dataclass
class ExecuteNexusOperationStartInput:
    """A Nexus operation is started."""

    ctx: StartOperationContext
    input: Any


@dataclass
class ExecuteNexusOperationCancelInput:
    """A Nexus operation is cancelled."""

    ctx: CancelOperationContext
    token: str


class Interceptor:
    """Puts something between the tasks of a worker and the code that it runs.

    Given to a client, it is used by all workers of that client.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """What runs an activity, instead of `next`; asked for each attempt."""
        return next

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 -- the mirrored name
    ) -> type[WorkflowInboundInterceptor] | None:
        """The class of which one is made for each run, or none; asked once."""
        del input
        return None

    def intercept_nexus_operation(
        self,
        next: NexusOperationInboundInterceptor,  # noqa: A002 -- the mirrored name
    ) -> NexusOperationInboundInterceptor:
        """What handles a Nexus operation, instead of `next`; asked for each task."""
        return next


class ActivityInboundInterceptor:
    """Hands on what an activity is told. Override what is to be seen or changed."""

    def __init__(self, next: ActivityInboundInterceptor) -> None:  # noqa: A002 -- the mirrored name
        self.next = next

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        """Called first, with what the activity's calls go through; may put something before it."""
        self.next.init(outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        """Runs the activity."""
        return await self.next.execute_activity(input)


class NexusOperationInboundInterceptor:
    """Hands on what the handler of a Nexus operation is told."""

    def __init__(self, next: NexusOperationInboundInterceptor) -> None:  # noqa: A002 -- mirrored
        self.next = next

    async def execute_nexus_operation_start(
        self,
        input: ExecuteNexusOperationStartInput,  # noqa: A002 -- the mirrored name
    ) -> StartOperationResultSync[Any] | StartOperationResultAsync:
        """Starts the operation."""
        return await self.next.execute_nexus_operation_start(input)

    async def execute_nexus_operation_cancel(
        self,
        input: ExecuteNexusOperationCancelInput,  # noqa: A002 -- the mirrored name
    ) -> None:
        """Cancels the operation."""
        await self.next.execute_nexus_operation_cancel(input)


class ActivityOutboundInterceptor:
    """Hands on what an activity says. Called in the thread in which the activity runs."""

    def __init__(self, next: ActivityOutboundInterceptor) -> None:  # noqa: A002 -- the mirrored name
        self.next = next

    def info(self) -> Info:
        """`activity.info`"""
        return self.next.info()

    def heartbeat(self, *details: Any) -> None:
        """`activity.heartbeat`"""
        self.next.heartbeat(*details)


def interceptors_of(
    of_client: Sequence[Any], of_worker: Sequence[Interceptor]
) -> Sequence[Interceptor]:
    """All interceptors of a worker: those of its client that are for workers too come first."""
    return (*(one for one in of_client if isinstance(one, Interceptor)), *of_worker)


WorkflowInterceptors: TypeAlias = tuple[
    Sequence[type[WorkflowInboundInterceptor]], Mapping[str, Callable[..., Any]]
]


def workflow_interceptors(interceptors: Sequence[Interceptor]) -> WorkflowInterceptors:
    """The classes for workflows, and the functions that they offer to workflow code."""
    asked = WorkflowInterceptorClassInput(unsafe_extern_functions={})
    classes = [one.workflow_interceptor_class(asked) for one in interceptors]
    return [one for one in classes if one is not None], asked.unsafe_extern_functions
