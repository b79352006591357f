"""Calling Nexus operations from workflow code.

The `nexusrpc` package is imported when a class is given as the service, not before: its user has
imported it by then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack, overload

from perdure._replay.context import current
from perdure._replay.event_groups import EventGroup
from perdure._replay.interceptors import StartNexusOperationInput
from perdure._replay.nexus_operations import NexusOperationHandle
from perdure._replay.nexus_operations import start_operation as start

if TYPE_CHECKING:
    from nexusrpc import Operation
    from nexusrpc.handler import OperationHandler, StartOperationContext

    from perdure.nexus import (
        TemporalNexusClient,
        TemporalOperationResult,
        TemporalStartOperationContext,
        WorkflowHandle,
        WorkflowRunOperationContext,
    )

_Service = TypeVar("_Service")
_Input = TypeVar("_Input")
_Output = TypeVar("_Output")


class NexusOperationCancellationType(IntEnum):
    """What the cancellation of an operation's handle does, and when the code is told."""

    ABANDON = 1
    """Go on at once and ask nobody."""
    TRY_CANCEL = 2
    """Ask for the cancellation and go on at once."""
    WAIT_REQUESTED = 3
    """Ask for the cancellation and go on once the handler has been asked."""
    WAIT_COMPLETED = 0
    """Ask for the cancellation and wait for what comes of the operation."""


class NexusOperationConfig(TypedDict, total=False):
    """The options of an operation, besides the type of its result."""

    schedule_to_close_timeout: timedelta | None
    schedule_to_start_timeout: timedelta | None
    start_to_close_timeout: timedelta | None
    cancellation_type: NexusOperationCancellationType
    headers: Mapping[str, str] | None
    summary: str | None
    event_groups: Sequence[EventGroup] | None


class NexusClient(ABC, Generic[_Service]):
    """Calls the operations of one service at one endpoint; made by `create_nexus_client`."""

    @overload
    async def start_operation(
        self,
        operation: Operation[_Input, _Output],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: str,
        input: Any,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[
            [_Service, WorkflowRunOperationContext, _Input], Awaitable[WorkflowHandle[_Output]]
        ],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[[_Service, StartOperationContext, _Input], Awaitable[_Output]],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[[_Service, StartOperationContext, _Input], _Output],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[[_Service], OperationHandler[_Input, _Output]],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[
            [_Service, TemporalStartOperationContext, TemporalNexusClient, _Input],
            Awaitable[TemporalOperationResult[_Output]],
        ],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> NexusOperationHandle[_Output]: ...

    @abstractmethod
    async def start_operation(
        self,
        operation: Any,
        input: Any,  # noqa: A002 -- the mirrored name
        *,
        output_type: type[Any] | None = None,
        schedule_to_close_timeout: timedelta | None = None,
        schedule_to_start_timeout: timedelta | None = None,
        start_to_close_timeout: timedelta | None = None,
        cancellation_type: NexusOperationCancellationType = (
            NexusOperationCancellationType.WAIT_COMPLETED
        ),
        headers: Mapping[str, str] | None = None,
        summary: str | None = None,
        event_groups: Sequence[EventGroup] | None = None,
    ) -> Any:
        """Starts an operation, waits until it was started, and returns its handle.

        - `operation` is its name, its `nexusrpc.Operation`, or the handler's method.
        - `schedule_to_close_timeout` limits all of it, `schedule_to_start_timeout` the time until
          it was started, `start_to_close_timeout` the time from then on.
        - `headers` go along with the request; `summary` labels the operation in the history.
        - Being cancelled asks for the cancellation of the operation.

        Raises NexusOperationError when it failed before it was started.
        """

    @overload
    async def execute_operation(
        self,
        operation: Operation[_Input, _Output],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: str,
        input: Any,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[
            [_Service, WorkflowRunOperationContext, _Input], Awaitable[WorkflowHandle[_Output]]
        ],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[[_Service, StartOperationContext, _Input], Awaitable[_Output]],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[[_Service, StartOperationContext, _Input], _Output],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[[_Service], OperationHandler[_Input, _Output]],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[
            [_Service, TemporalStartOperationContext, TemporalNexusClient, _Input],
            Awaitable[TemporalOperationResult[_Output]],
        ],
        input: _Input,
        *,
        output_type: type[_Output] | None = ...,
        **options: Unpack[NexusOperationConfig],
    ) -> _Output: ...

    @abstractmethod
    async def execute_operation(
        self,
        operation: Any,
        input: Any,  # noqa: A002 -- the mirrored name
        *,
        output_type: type[Any] | None = None,
        schedule_to_close_timeout: timedelta | None = None,
        schedule_to_start_timeout: timedelta | None = None,
        start_to_close_timeout: timedelta | None = None,
        cancellation_type: NexusOperationCancellationType = (
            NexusOperationCancellationType.WAIT_COMPLETED
        ),
        headers: Mapping[str, str] | None = None,
        summary: str | None = None,
        event_groups: Sequence[EventGroup] | None = None,
    ) -> Any:
        """Starts an operation and waits for its result; the arguments are `start_operation`'s.

        Raises NexusOperationError when it failed, was cancelled, or took too long.
        """


class _Client(NexusClient[Any]):
    """The one that is made; the base class is what the code may name."""

    def __init__(self, service: str, endpoint: str) -> None:
        self.service_name = service
        self.endpoint = endpoint

    async def start_operation(
        self,
        operation: Any,
        input: Any,  # noqa: A002 -- the mirrored name
        *,
        output_type: Any = None,
        schedule_to_close_timeout: timedelta | None = None,
        schedule_to_start_timeout: timedelta | None = None,
        start_to_close_timeout: timedelta | None = None,
        cancellation_type: NexusOperationCancellationType = (
            NexusOperationCancellationType.WAIT_COMPLETED
        ),
        headers: Mapping[str, str] | None = None,
        summary: str | None = None,
        event_groups: Sequence[EventGroup] | None = None,
    ) -> Any:
        """Starts an operation."""
        asked: StartNexusOperationInput[Any, Any] = StartNexusOperationInput(
            endpoint=self.endpoint,
            service=self.service_name,
            operation=operation,
            input=input,
            schedule_to_close_timeout=schedule_to_close_timeout,
            schedule_to_start_timeout=schedule_to_start_timeout,
            start_to_close_timeout=start_to_close_timeout,
            cancellation_type=cancellation_type,
            headers=headers,
            summary=summary,
            event_groups=event_groups,
            output_type=output_type,
        )
        return await start(current(), asked)

    async def execute_operation(self, operation: Any, input: Any, **options: Any) -> Any:  # noqa: A002
        """Starts an operation and waits for its result."""
        return await (await self.start_operation(operation, input, **options))


@overload
def create_nexus_client(*, service: type[_Service], endpoint: str) -> NexusClient[_Service]: ...


@overload
def create_nexus_client(*, service: str, endpoint: str) -> NexusClient[Any]: ...


def create_nexus_client(*, service: type | str, endpoint: str) -> NexusClient[Any]:
    """A client of a service, which is named by its class or by a string, at an endpoint.

    Raises ValueError for a class that is neither a Nexus service nor the handler of one.
    """
    return _Client(service_name(service), endpoint)


def service_name(service: type | str) -> str:
    """The name of a Nexus service. Raises ValueError for a class that is none."""
    if isinstance(service, str):
        return service
    from nexusrpc import get_service_definition

    definition = get_service_definition(service)
    if definition is None:
        raise ValueError(
            "`service` may be a name (str), or a class decorated with either "
            "@nexusrpc.handler.service_handler or @nexusrpc.service. "
            f"Invalid service type: {type(service)}"
        )
    return definition.name
