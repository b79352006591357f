"""Activities that are completed from outside: by their token, or by their id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar

from google.protobuf.message import Message
from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatByIdResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCanceledByIdResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCanceledResponse,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedByIdResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedByIdResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
)

from perdure.client.connection import UNSET, Connection, write
from perdure.client.errors import AsyncActivityCancelledError
from perdure.common.activity_cancellation import ActivityCancellationDetails
from perdure.converter import (
    DataConverter,
    SerializationContext,
    WithSerializationContext,
)
from perdure.service import Metadata

_ById = TypeVar("_ById", bound=Message)
_ByToken = TypeVar("_ByToken", bound=Message)


@dataclass(frozen=True)
class AsyncActivityIDReference:
    """An activity by its id within a workflow; without a run id, within its current run."""

    workflow_id: str | None
    run_id: str | None
    activity_id: str


class AsyncActivityHandle(WithSerializationContext):
    """An activity whose function has raised `activity.raise_complete_async()`, or that some other
    process works on. Made by `Client.get_async_activity_handle`."""

    def __init__(
        self,
        connection: Connection,
        id_or_token: AsyncActivityIDReference | bytes,
        data_converter_override: DataConverter | None = None,
    ) -> None:
        self._connection = connection
        self._id_or_token = id_or_token
        self._data_converter = data_converter_override or connection.data_converter

    def with_context(self, context: SerializationContext) -> Self:
        """The same activity, its values converted in a context."""
        converter = self._data_converter.with_context(context)
        return type(self)(self._connection, self._id_or_token, converter)

    async def heartbeat(
        self,
        *details: Any,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Say that the activity is alive. Raises AsyncActivityCancelledError if it should stop."""
        request = self._addressed(
            RecordActivityTaskHeartbeatByIdRequest, RecordActivityTaskHeartbeatRequest
        )
        await write(self._data_converter, details, request.details)
        response: (
            RecordActivityTaskHeartbeatByIdResponse | RecordActivityTaskHeartbeatResponse
        ) = await self._send("RecordActivityTaskHeartbeat", request, rpc_metadata, rpc_timeout)
        if response.cancel_requested or response.activity_paused or response.activity_reset:
            raise AsyncActivityCancelledError(
                ActivityCancellationDetails(
                    cancel_requested=response.cancel_requested,
                    paused=response.activity_paused,
                    reset=response.activity_reset,
                )
            )

    async def complete(
        self,
        result: Any | None = UNSET,
        *,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """The activity is done. Without a result, it has none, which is not quite None."""
        request = self._addressed(
            RespondActivityTaskCompletedByIdRequest, RespondActivityTaskCompletedRequest
        )
        await write(self._data_converter, [] if result is UNSET else [result], request.result)
        await self._send("RespondActivityTaskCompleted", request, rpc_metadata, rpc_timeout)

    async def fail(
        self,
        error: Exception,
        *,
        last_heartbeat_details: Sequence[Any] = (),
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """The activity has failed; it is tried again as its retry policy says."""
        request = self._addressed(
            RespondActivityTaskFailedByIdRequest, RespondActivityTaskFailedRequest
        )
        await self._data_converter.encode_failure(error, request.failure)
        await write(self._data_converter, last_heartbeat_details, request.last_heartbeat_details)
        await self._send("RespondActivityTaskFailed", request, rpc_metadata, rpc_timeout)

    async def report_cancellation(
        self,
        *details: Any,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """The activity has stopped, since it was asked to."""
        request = self._addressed(
            RespondActivityTaskCanceledByIdRequest, RespondActivityTaskCanceledRequest
        )
        await write(self._data_converter, details, request.details)
        await self._send("RespondActivityTaskCanceled", request, rpc_metadata, rpc_timeout)

    def _addressed(self, by_id: type[_ById], by_token: type[_ByToken]) -> _ById | _ByToken:
        """A request that names the activity, of the kind that suits how it is known."""
        names: dict[str, Any] = {
            "namespace": self._connection.namespace,
            "identity": self._connection.identity,
        }
        if isinstance(self._id_or_token, bytes):
            return by_token(**names, task_token=self._id_or_token)
        reference = self._id_or_token
        return by_id(
            **names,
            workflow_id=reference.workflow_id or "",
            run_id=reference.run_id or "",
            activity_id=reference.activity_id,
        )

    async def _send(
        self,
        rpc: str,
        request: Message,
        metadata: Metadata | None,
        timeout: timedelta | None,
    ) -> Any:
        full_name = rpc if isinstance(self._id_or_token, bytes) else f"{rpc}ById"
        return await self._connection.call(
            full_name, request, _RESPONSES[full_name], metadata or {}, timeout
        )


_RESPONSES: dict[str, type[Message]] = {
    "RecordActivityTaskHeartbeat": RecordActivityTaskHeartbeatResponse,
    "RecordActivityTaskHeartbeatById": RecordActivityTaskHeartbeatByIdResponse,
    "RespondActivityTaskCompleted": RespondActivityTaskCompletedResponse,
    "RespondActivityTaskCompletedById": RespondActivityTaskCompletedByIdResponse,
    "RespondActivityTaskFailed": RespondActivityTaskFailedResponse,
    "RespondActivityTaskFailedById": RespondActivityTaskFailedByIdResponse,
    "RespondActivityTaskCanceled": RespondActivityTaskCanceledResponse,
    "RespondActivityTaskCanceledById": RespondActivityTaskCanceledByIdResponse,
}
