"""Starts Nexus operations that no workflow calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from perdure._replay.interceptors import operation_definition
from perdure.client.connection import Connection
from perdure.client.nexus_handle import NexusOperationHandle
from perdure.client.nexus_inputs import StartNexusOperationInput, StartNexusOperationOptions
from perdure.common import TypedSearchAttributes
from perdure.common.nexus import NexusOperationIDConflictPolicy, NexusOperationIDReusePolicy
from perdure.service import Metadata

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


class NexusClient(ABC, Generic[_Service]):
    """Starts operations of one service at one endpoint; made by `Client.create_nexus_client`."""

    @overload
    async def start_operation(
        self,
        operation: Operation[_Input, _Output],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: str,
        arg: Any,
        *,
        result_type: type[_Output] | None = ...,
        **options: Unpack[StartNexusOperationOptions],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[
            [_Service, WorkflowRunOperationContext, _Input], Awaitable[WorkflowHandle[_Output]]
        ],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[[_Service, StartOperationContext, _Input], Awaitable[_Output]],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[[_Service, StartOperationContext, _Input], _Output],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[[_Service], OperationHandler[_Input, _Output]],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> NexusOperationHandle[_Output]: ...

    @overload
    async def start_operation(
        self,
        operation: Callable[
            [_Service, TemporalStartOperationContext, TemporalNexusClient, _Input],
            Awaitable[TemporalOperationResult[_Output]],
        ],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> NexusOperationHandle[_Output]: ...

    @abstractmethod
    async def start_operation(
        self,
        operation: Any,
        arg: Any,
        *,
        id: str,  # noqa: A002 -- the mirrored name
        id_reuse_policy: NexusOperationIDReusePolicy = NexusOperationIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: NexusOperationIDConflictPolicy = NexusOperationIDConflictPolicy.FAIL,
        result_type: type | None = None,
        schedule_to_close_timeout: timedelta | None = None,
        schedule_to_start_timeout: timedelta | None = None,
        start_to_close_timeout: timedelta | None = None,
        search_attributes: TypedSearchAttributes | None = None,
        summary: str | None = None,
        headers: Mapping[str, str] | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> NexusOperationHandle[Any]:
        """Start an operation; its handle.

        - `operation` is its name, its `nexusrpc.Operation`, or the handler's method.
        - `schedule_to_close_timeout` limits all of it, `schedule_to_start_timeout` the time until
          it was started, `start_to_close_timeout` the time from then on.
        - `headers` go along with the request; `summary` labels the operation.

        Raises NexusOperationAlreadyStartedError when the policies do not allow it, RPCError
        otherwise.
        """

    @overload
    async def execute_operation(
        self,
        operation: Operation[_Input, _Output],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: str,
        arg: Any,
        *,
        result_type: type[_Output] | None = ...,
        **options: Unpack[StartNexusOperationOptions],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[
            [_Service, WorkflowRunOperationContext, _Input], Awaitable[WorkflowHandle[_Output]]
        ],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[[_Service, StartOperationContext, _Input], Awaitable[_Output]],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[[_Service, StartOperationContext, _Input], _Output],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[[_Service], OperationHandler[_Input, _Output]],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> _Output: ...

    @overload
    async def execute_operation(
        self,
        operation: Callable[
            [_Service, TemporalStartOperationContext, TemporalNexusClient, _Input],
            Awaitable[TemporalOperationResult[_Output]],
        ],
        arg: _Input,
        **options: Unpack[StartNexusOperationOptions],
    ) -> _Output: ...

    @abstractmethod
    async def execute_operation(
        self,
        operation: Any,
        arg: Any,
        *,
        id: str,  # noqa: A002 -- the mirrored name
        id_reuse_policy: NexusOperationIDReusePolicy = NexusOperationIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: NexusOperationIDConflictPolicy = NexusOperationIDConflictPolicy.FAIL,
        result_type: type | None = None,
        schedule_to_close_timeout: timedelta | None = None,
        schedule_to_start_timeout: timedelta | None = None,
        start_to_close_timeout: timedelta | None = None,
        search_attributes: TypedSearchAttributes | None = None,
        summary: str | None = None,
        headers: Mapping[str, str] | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> Any:
        """Start an operation and wait for its result; the arguments are `start_operation`'s.

        Raises NexusOperationFailureError when it did not complete.
        """


class ServiceClient(NexusClient[Any]):
    """The one that is made; the base class is what the code may name."""

    def __init__(self, connection: Connection, service: type | str, endpoint: str) -> None:
        self._connection = connection
        self._service = service_name(service)
        self._endpoint = endpoint

    async def start_operation(
        self,
        operation: Any,
        arg: Any,
        *,
        id: str,  # noqa: A002 -- the mirrored name
        id_reuse_policy: NexusOperationIDReusePolicy = NexusOperationIDReusePolicy.ALLOW_DUPLICATE,
        id_conflict_policy: NexusOperationIDConflictPolicy = NexusOperationIDConflictPolicy.FAIL,
        result_type: type | None = None,
        schedule_to_close_timeout: timedelta | None = None,
        schedule_to_start_timeout: timedelta | None = None,
        start_to_close_timeout: timedelta | None = None,
        search_attributes: TypedSearchAttributes | None = None,
        summary: str | None = None,
        headers: Mapping[str, str] | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> NexusOperationHandle[Any]:
        """Start an operation."""
        name = operation
        if not isinstance(operation, str):
            definition = operation_definition(operation)
            name, result_type = definition.name, definition.output_type
        return await self._connection.outbound.start_nexus_operation(
            StartNexusOperationInput(
                operation=name,
                arg=arg,
                id=id,
                endpoint=self._endpoint,
                service=self._service,
                result_type=result_type,
                schedule_to_close_timeout=schedule_to_close_timeout,
                schedule_to_start_timeout=schedule_to_start_timeout,
                start_to_close_timeout=start_to_close_timeout,
                id_reuse_policy=id_reuse_policy,
                id_conflict_policy=id_conflict_policy,
                search_attributes=search_attributes,
                summary=summary,
                headers=dict(headers or {}),
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def execute_operation(self, operation: Any, arg: Any, **options: Any) -> Any:
        """Start an operation and wait for its result."""
        return await (await self.start_operation(operation, arg, **options)).result()


def service_name(service: type | str) -> str:
    """The name of a Nexus service: what its class says, or is called."""
    if isinstance(service, str):
        return service
    from nexusrpc import get_service_definition

    definition = get_service_definition(service)
    return service.__name__ if definition is None else definition.name
