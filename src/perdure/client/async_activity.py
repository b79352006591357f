"""Activities that are completed from outside: by their token, or by their id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

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
from perdure.client.inputs import (
    CompleteAsyncActivityInput,
    FailAsyncActivityInput,
    HeartbeatAsyncActivityInput,
    ReportCancellationAsyncActivityInput,
)
from perdure.common.activity_cancellation import ActivityCancellationDetails
from perdure.converter import (
    DataConverter,
    SerializationContext,
    StorageDriverActivityInfo,
    StorageDriverWorkflowInfo,
    WithSerializationContext,
)
from perdure.service import Metadata

if TYPE_CHECKING:
    from perdure.client.client import Client

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
        client: Client,
        id_or_token: AsyncActivityIDReference | bytes,
        data_converter_override: DataConverter | None = None,
    ) -> None:
        self._client = client
        self._connection = client._connection
        self._id_or_token = id_or_token
        self._data_converter_override = data_converter_override

    def with_context(self, context: SerializationContext) -> Self:
        """The same activity, its values converted in a context.

        Raises TypeError for a subclass with a constructor of its own, which only the subclass can
        call.
        """
        before = self._data_converter_override or self._connection.data_converter
        converter = before.with_context(context)
        if converter is before:
            return self
        if type(self).__init__ is not AsyncActivityHandle.__init__:
            raise TypeError(
                "If you have subclassed AsyncActivityHandle and overridden the __init__ method "
                "then you must override with_context to return an instance of your class."
            )
        return type(self)(self._client, self._id_or_token, converter)

    async def heartbeat(
        self,
        *details: Any,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """Say that the activity is alive. Raises AsyncActivityCancelledError if it should stop."""
        await self._connection.outbound.heartbeat_async_activity(
            HeartbeatAsyncActivityInput(
                id_or_token=self._id_or_token,
                details=details,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                data_converter_override=self._data_converter_override,
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
        await self._connection.outbound.complete_async_activity(
            CompleteAsyncActivityInput(
                id_or_token=self._id_or_token,
                result=result,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                data_converter_override=self._data_converter_override,
            )
        )

    async def fail(
        self,
        error: Exception,
        *,
        last_heartbeat_details: Sequence[Any] = (),
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """The activity has failed; it is tried again as its retry policy says."""
        await self._connection.outbound.fail_async_activity(
            FailAsyncActivityInput(
                id_or_token=self._id_or_token,
                error=error,
                last_heartbeat_details=last_heartbeat_details,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                data_converter_override=self._data_converter_override,
            )
        )

    async def report_cancellation(
        self,
        *details: Any,
        rpc_metadata: Metadata | None = None,
        rpc_timeout: timedelta | None = None,
    ) -> None:
        """The activity has stopped, since it was asked to."""
        await self._connection.outbound.report_cancellation_async_activity(
            ReportCancellationAsyncActivityInput(
                id_or_token=self._id_or_token,
                details=details,
                rpc_metadata=rpc_metadata or {},
                rpc_timeout=rpc_timeout,
                data_converter_override=self._data_converter_override,
            )
        )


async def heartbeat_activity(connection: Connection, asked: HeartbeatAsyncActivityInput) -> None:
    """Send a heartbeat. Raises AsyncActivityCancelledError if the activity should stop."""
    request = _addressed(
        connection,
        asked.id_or_token,
        RecordActivityTaskHeartbeatByIdRequest,
        RecordActivityTaskHeartbeatRequest,
    )
    await write(_converter(connection, asked), asked.details, request.details)
    response: (
        RecordActivityTaskHeartbeatByIdResponse | RecordActivityTaskHeartbeatResponse
    ) = await _send(connection, "RecordActivityTaskHeartbeat", request, asked)
    if response.cancel_requested or response.activity_paused or response.activity_reset:
        raise AsyncActivityCancelledError(
            ActivityCancellationDetails(
                cancel_requested=response.cancel_requested,
                paused=response.activity_paused,
                reset=response.activity_reset,
            )
        )


async def complete_activity(connection: Connection, asked: CompleteAsyncActivityInput) -> None:
    """Send the result; UNSET is none."""
    request = _addressed(
        connection,
        asked.id_or_token,
        RespondActivityTaskCompletedByIdRequest,
        RespondActivityTaskCompletedRequest,
    )
    result = [] if asked.result is UNSET else [asked.result]
    await write(_converter(connection, asked), result, request.result)
    await _send(connection, "RespondActivityTaskCompleted", request, asked)


async def fail_activity(connection: Connection, asked: FailAsyncActivityInput) -> None:
    """Send the failure."""
    request = _addressed(
        connection,
        asked.id_or_token,
        RespondActivityTaskFailedByIdRequest,
        RespondActivityTaskFailedRequest,
    )
    converter = _converter(connection, asked)
    await converter.encode_failure(asked.error, request.failure)
    await write(converter, asked.last_heartbeat_details, request.last_heartbeat_details)
    await _send(connection, "RespondActivityTaskFailed", request, asked)


async def report_cancellation_of_activity(
    connection: Connection, asked: ReportCancellationAsyncActivityInput
) -> None:
    """Tell that the activity has stopped."""
    request = _addressed(
        connection,
        asked.id_or_token,
        RespondActivityTaskCanceledByIdRequest,
        RespondActivityTaskCanceledRequest,
    )
    await write(_converter(connection, asked), asked.details, request.details)
    await _send(connection, "RespondActivityTaskCanceled", request, asked)


def _converter(connection: Connection, asked: _Asked) -> DataConverter:
    converter = asked.data_converter_override or connection.data_converter
    known = asked.id_or_token
    if converter.external_storage is None or isinstance(known, bytes):
        return converter
    if known.workflow_id:
        return converter.storing_for(
            StorageDriverWorkflowInfo(
                namespace=connection.namespace, id=known.workflow_id, run_id=known.run_id
            )
        )
    return converter.storing_for(
        StorageDriverActivityInfo(
            namespace=connection.namespace, id=known.activity_id, run_id=known.run_id
        )
    )


def _addressed(
    connection: Connection,
    id_or_token: AsyncActivityIDReference | bytes,
    by_id: type[_ById],
    by_token: type[_ByToken],
) -> _ById | _ByToken:
    """A request that names the activity, of the kind that suits how it is known."""
    names: dict[str, Any] = {"namespace": connection.namespace, "identity": connection.identity}
    if isinstance(id_or_token, bytes):
        return by_token(**names, task_token=id_or_token)
    return by_id(
        **names,
        workflow_id=id_or_token.workflow_id or "",
        run_id=id_or_token.run_id or "",
        activity_id=id_or_token.activity_id,
    )


async def _send(connection: Connection, rpc: str, request: Message, asked: _Asked) -> Any:
    full_name = rpc if isinstance(asked.id_or_token, bytes) else f"{rpc}ById"
    return await connection.call(
        full_name, request, _RESPONSES[full_name], asked.rpc_metadata, asked.rpc_timeout
    )


_Asked = (
    HeartbeatAsyncActivityInput
    | CompleteAsyncActivityInput
    | FailAsyncActivityInput
    | ReportCancellationAsyncActivityInput
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
