"""What is done to Nexus operations that no workflow calls: the calls."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from temporalio.api.enums.v1 import NexusOperationWaitStage, nexus_pb2
from temporalio.api.errordetails.v1 import NexusOperationExecutionAlreadyStartedFailure
from temporalio.api.workflowservice.v1 import (
    CountNexusOperationExecutionsRequest,
    CountNexusOperationExecutionsResponse,
    DescribeNexusOperationExecutionRequest,
    DescribeNexusOperationExecutionResponse,
    PollNexusOperationExecutionRequest,
    PollNexusOperationExecutionResponse,
    RequestCancelNexusOperationExecutionRequest,
    RequestCancelNexusOperationExecutionResponse,
    StartNexusOperationExecutionRequest,
    StartNexusOperationExecutionResponse,
    TerminateNexusOperationExecutionRequest,
    TerminateNexusOperationExecutionResponse,
)

from perdure.client.connection import Connection
from perdure.client.errors import NexusOperationFailureError
from perdure.client.nexus_executions import (
    NexusOperationExecutionCount,
    NexusOperationExecutionDescription,
    counted,
    described,
)
from perdure.client.nexus_inputs import (
    CancelNexusOperationInput,
    CountNexusOperationsInput,
    DescribeNexusOperationInput,
    GetNexusOperationResultInput,
    StartNexusOperationInput,
    TerminateNexusOperationInput,
)
from perdure.converter import (
    DataConverter,
    NexusSerializationContext,
    encode_search_attributes,
)
from perdure.exceptions import NexusOperationAlreadyStartedError
from perdure.service import RPCError, RPCStatusCode


async def start(connection: Connection, asked: StartNexusOperationInput) -> str:
    """Start an operation; its run id. Raises NexusOperationAlreadyStartedError when the policies
    do not allow it, RPCError otherwise."""
    converter = _converter_for(connection, asked.endpoint, asked.service, asked.operation)
    request = StartNexusOperationExecutionRequest(
        namespace=connection.namespace,
        identity=connection.identity,
        request_id=str(uuid.uuid4()),
        operation_id=asked.id,
        endpoint=asked.endpoint,
        service=asked.service,
        operation=asked.operation,
        id_reuse_policy=nexus_pb2.NexusOperationIdReusePolicy.ValueType(int(asked.id_reuse_policy)),
        id_conflict_policy=nexus_pb2.NexusOperationIdConflictPolicy.ValueType(
            int(asked.id_conflict_policy)
        ),
        input=(await converter.encode([asked.arg]))[0],
        nexus_header=asked.headers,
    )
    for value, message in (
        (asked.schedule_to_close_timeout, request.schedule_to_close_timeout),
        (asked.schedule_to_start_timeout, request.schedule_to_start_timeout),
        (asked.start_to_close_timeout, request.start_to_close_timeout),
    ):
        if value is not None:
            message.FromTimedelta(value)
    if asked.search_attributes is not None:
        encode_search_attributes(asked.search_attributes, request.search_attributes)
    if asked.summary is not None:
        summary = (await converter.encode([asked.summary]))[0]
        request.user_metadata.summary.CopyFrom(summary)
    try:
        response = await connection.call(
            "StartNexusOperationExecution",
            request,
            StartNexusOperationExecutionResponse,
            asked.rpc_metadata,
            asked.rpc_timeout,
        )
    except RPCError as error:
        raise _already_started(error, asked) or error from None
    return response.run_id


def _already_started(
    error: RPCError, asked: StartNexusOperationInput
) -> NexusOperationAlreadyStartedError | None:
    if error.status is not RPCStatusCode.ALREADY_EXISTS:
        return None
    details = NexusOperationExecutionAlreadyStartedFailure()
    if not any(one.Unpack(details) for one in error.grpc_status.details):
        return None
    return NexusOperationAlreadyStartedError(asked.id, run_id=details.run_id)


async def describe(
    connection: Connection, asked: DescribeNexusOperationInput
) -> NexusOperationExecutionDescription:
    """What the service knows of an operation."""
    response = await connection.call(
        "DescribeNexusOperationExecution",
        DescribeNexusOperationExecutionRequest(**_named(connection, asked)),
        DescribeNexusOperationExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    info = response.info
    converter = _converter_for(connection, info.endpoint, info.service, info.operation)
    return await described(info, converter)


async def result(connection: Connection, asked: GetNexusOperationResultInput) -> Any:
    """The result of an operation, once it has one. Raises NexusOperationFailureError or RPCError.

    The timeout is that of each poll; one that ends without an outcome is followed by another.
    """
    request = PollNexusOperationExecutionRequest(
        **_named(connection, asked),
        wait_stage=NexusOperationWaitStage.NEXUS_OPERATION_WAIT_STAGE_CLOSED,
    )
    converter = _converter_for(connection, asked.endpoint, asked.service, asked.operation)
    while True:
        try:
            response = await connection.call(
                "PollNexusOperationExecution",
                request,
                PollNexusOperationExecutionResponse,
                asked.rpc_metadata,
                asked.rpc_timeout,
                long_poll=True,
            )
        except RPCError as error:
            if error.status is RPCStatusCode.DEADLINE_EXCEEDED:
                continue
            if error.status is RPCStatusCode.CANCELLED:
                raise asyncio.CancelledError from error
            raise
        match response.WhichOneof("outcome"):
            case "result":
                hints = None if asked.result_type is None else [asked.result_type]
                return (await converter.decode([response.result], hints))[0]
            case "failure":
                cause = await converter.decode_failure(response.failure)
                raise NexusOperationFailureError(cause=cause)


async def cancel(connection: Connection, asked: CancelNexusOperationInput) -> None:
    """Ask an operation to stop."""
    request = RequestCancelNexusOperationExecutionRequest(
        **_named(connection, asked),
        identity=connection.identity,
        request_id=str(uuid.uuid4()),
        reason=asked.reason or "",
    )
    await connection.call(
        "RequestCancelNexusOperationExecution",
        request,
        RequestCancelNexusOperationExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def terminate(connection: Connection, asked: TerminateNexusOperationInput) -> None:
    """End an operation at once; its handler is not told."""
    request = TerminateNexusOperationExecutionRequest(
        **_named(connection, asked),
        identity=connection.identity,
        request_id=str(uuid.uuid4()),
        reason=asked.reason or "",
    )
    await connection.call(
        "TerminateNexusOperationExecution",
        request,
        TerminateNexusOperationExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def count(
    connection: Connection, asked: CountNexusOperationsInput
) -> NexusOperationExecutionCount:
    """How many operations a query finds."""
    response = await connection.call(
        "CountNexusOperationExecutions",
        CountNexusOperationExecutionsRequest(
            namespace=connection.namespace, query=asked.query or ""
        ),
        CountNexusOperationExecutionsResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    return counted(response)


def _named(
    connection: Connection,
    asked: (
        DescribeNexusOperationInput
        | GetNexusOperationResultInput
        | CancelNexusOperationInput
        | TerminateNexusOperationInput
    ),
) -> dict[str, Any]:
    return {
        "namespace": connection.namespace,
        "operation_id": asked.operation_id,
        "run_id": asked.run_id or "",
    }


def _converter_for(
    connection: Connection, endpoint: str, service: str, operation: str
) -> DataConverter:
    """The data converter for the values of an operation, as far as it is known which it is."""
    if connection.data_converter.is_context_free or not endpoint:
        return connection.data_converter
    return connection.data_converter.with_context(
        NexusSerializationContext(endpoint=endpoint, service=service, operation=operation)
    )
