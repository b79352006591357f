"""A handle on one Nexus operation that no workflow calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Generic, TypeVar

from perdure.client.connection import UNSET, Connection
from perdure.client.errors import NexusOperationFailureError
from perdure.client.nexus_executions import NexusOperationExecutionDescription
from perdure.client.nexus_inputs import (
    CancelNexusOperationInput,
    DescribeNexusOperationInput,
    GetNexusOperationResultInput,
    TerminateNexusOperationInput,
)
from perdure.service import Metadata

ReturnType = TypeVar("ReturnType")


class NexusOperationHandle(Generic[ReturnType]):
    """An operation by its id, made by `NexusClient.start_operation` and
    `Client.get_nexus_operation_handle`.

    With a run id, every call is meant for that run, otherwise for the newest one.
    """

    def __init__(
        self,
        connection: Connection,
        operation_id: str,
        *,
        run_id: str | None = None,
        result_type: Any = None,
        endpoint: str = "",
        service: str = "",
        operation: str = "",
    ) -> None:
        self._connection = connection
        self._operation_id = operation_id
        self._run_id = run_id
        self._result_type = result_type
        self._endpoint = endpoint
        self._service = service
        self._operation = operation
        self._outcome: Any = UNSET

    @property
    def operation_id(self) -> str:
        """The id of the operation."""
        return self._operation_id

    @property
    def run_id(self) -> str | None:
        """The run that all calls are meant for; None means the newest one."""
        return self._run_id

    @property
    def endpoint(self) -> str:
        """Where it was sent; empty unless this handle has started it."""
        return self._endpoint

    @property
    def service(self) -> str:
        """The service that it is of; empty unless this handle has started it."""
        return self._service

    async def result(
        self, *, rpc_metadata: Metadata | None = None, rpc_timeout: timedelta | None = None
    ) -> ReturnType:
        """Wait for the result, or tell it again. Raises NexusOperationFailureError when the
        operation did not complete.

        The timeout is that of each poll; one that ends without an outcome is followed by another.
        """
        if self._outcome is UNSET:
            asked = GetNexusOperationResultInput(
                operation_id=self._operation_id,
                run_id=self._run_id,
                endpoint=self._endpoint,
                service=self._service,
                operation=self._operation,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                result_type=self._result_type,
            )
            try:
                self._outcome = await self._connection.outbound.get_nexus_operation_result(asked)
            except NexusOperationFailureError as failure:
                self._outcome = failure
        if isinstance(self._outcome, NexusOperationFailureError):
            raise self._outcome
        return self._outcome  # type: ignore[no-any-return]

    async def describe(
        self, *, rpc_metadata: Metadata | None = None, rpc_timeout: timedelta | None = None
    ) -> NexusOperationExecutionDescription:
        """What the service knows of it. Raises RPCError when it does not exist."""
        return await self._connection.outbound.describe_nexus_operation(
            DescribeNexusOperationInput(
                operation_id=self._operation_id,
                run_id=self._run_id,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def cancel(
        self,
        *,
        reason: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Ask it to stop."""
        await self._connection.outbound.cancel_nexus_operation(
            CancelNexusOperationInput(
                operation_id=self._operation_id,
                run_id=self._run_id,
                reason=reason,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )

    async def terminate(
        self,
        *,
        reason: str | None = None,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """End it at once; its handler is not told."""
        await self._connection.outbound.terminate_nexus_operation(
            TerminateNexusOperationInput(
                operation_id=self._operation_id,
                run_id=self._run_id,
                reason=reason,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
            )
        )
