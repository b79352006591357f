"""What is done to activities without a workflow: the calls."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from temporalio.api.activity.v1 import ActivityExecutionOutcome
from temporalio.api.enums.v1 import activity_pb2
from temporalio.api.errordetails.v1 import ActivityExecutionAlreadyStartedFailure
from temporalio.api.workflowservice.v1 import (
    CountActivityExecutionsRequest,
    CountActivityExecutionsResponse,
    DescribeActivityExecutionRequest,
    DescribeActivityExecutionResponse,
    PauseActivityExecutionRequest,
    PauseActivityExecutionResponse,
    PollActivityExecutionRequest,
    PollActivityExecutionResponse,
    RequestCancelActivityExecutionRequest,
    RequestCancelActivityExecutionResponse,
    StartActivityExecutionRequest,
    StartActivityExecutionResponse,
    TerminateActivityExecutionRequest,
    TerminateActivityExecutionResponse,
    UnpauseActivityExecutionRequest,
    UnpauseActivityExecutionResponse,
    UpdateActivityExecutionOptionsRequest,
    UpdateActivityExecutionOptionsResponse,
)

from perdure.client.activity_executions import (
    ActivityExecutionCount,
    ActivityExecutionDescription,
    described,
)
from perdure.client.activity_inputs import (
    CancelActivityInput,
    CountActivitiesInput,
    DescribeActivityInput,
    PauseActivityInput,
    StartActivityInput,
    TerminateActivityInput,
    UnpauseActivityInput,
    UpdateActivityOptionsInput,
)
from perdure.client.activity_options import ActivityExecutionOptions, write_updates
from perdure.client.connection import Connection, write
from perdure.converter import (
    ActivitySerializationContext,
    DataConverter,
    StorageDriverActivityInfo,
    encode_search_attributes,
)
from perdure.exceptions import ActivityAlreadyStartedError
from perdure.service import Metadata, RPCError, RPCStatusCode


async def start(connection: Connection, asked: StartActivityInput) -> str:
    """Start an activity; its run id. Raises ActivityAlreadyStartedError when the policies do not
    allow it, ValueError for times that make no sense, RPCError otherwise."""
    if not (asked.start_to_close_timeout or asked.schedule_to_close_timeout):
        raise ValueError("Activity must have start_to_close_timeout or schedule_to_close_timeout")
    if asked.start_delay is not None and asked.start_delay < timedelta(0):
        raise ValueError("start_delay must be non-negative")
    converter = converter_for(connection, asked.id, asked.activity_type, asked.task_queue)
    request = StartActivityExecutionRequest(
        namespace=connection.namespace,
        identity=connection.identity,
        request_id=str(uuid.uuid4()),
        activity_id=asked.id,
        id_reuse_policy=activity_pb2.ActivityIdReusePolicy.ValueType(int(asked.id_reuse_policy)),
        id_conflict_policy=activity_pb2.ActivityIdConflictPolicy.ValueType(
            int(asked.id_conflict_policy)
        ),
    )
    request.activity_type.name = asked.activity_type
    request.task_queue.name = asked.task_queue
    for value, message in (
        (asked.schedule_to_close_timeout, request.schedule_to_close_timeout),
        (asked.schedule_to_start_timeout, request.schedule_to_start_timeout),
        (asked.start_to_close_timeout, request.start_to_close_timeout),
        (asked.heartbeat_timeout, request.heartbeat_timeout),
        (asked.start_delay, request.start_delay),
    ):
        if value is not None:
            message.FromTimedelta(value)
    if asked.retry_policy is not None:
        asked.retry_policy.apply_to_proto(request.retry_policy)
    asked.priority.apply_to_proto(request.priority)
    if asked.search_attributes is not None:
        encode_search_attributes(asked.search_attributes, request.search_attributes)
    await connection.write_headers(asked.headers, request.header, converter)
    await write(converter, asked.args, request.input)
    if asked.summary is not None:
        summary = (await converter.encode([asked.summary]))[0]
        request.user_metadata.summary.CopyFrom(summary)
    try:
        response = await connection.call(
            "StartActivityExecution",
            request,
            StartActivityExecutionResponse,
            asked.rpc_metadata,
            asked.rpc_timeout,
        )
    except RPCError as error:
        raise _already_started(error, asked) or error from None
    return response.run_id


def _already_started(
    error: RPCError, asked: StartActivityInput
) -> ActivityAlreadyStartedError | None:
    if error.status is not RPCStatusCode.ALREADY_EXISTS:
        return None
    details = ActivityExecutionAlreadyStartedFailure()
    if not any(one.Unpack(details) for one in error.grpc_status.details):
        return None
    return ActivityAlreadyStartedError(asked.id, asked.activity_type, run_id=details.run_id or None)


async def outcome_of(
    connection: Connection, activity_id: str, run_id: str | None, metadata: Metadata, timeout: Any
) -> ActivityExecutionOutcome:
    """How an activity ends, once it has. Raises RPCError."""
    request = PollActivityExecutionRequest(
        namespace=connection.namespace, activity_id=activity_id, run_id=run_id or ""
    )
    while True:
        response = await connection.call(
            "PollActivityExecution",
            request,
            PollActivityExecutionResponse,
            metadata,
            timeout,
            long_poll=True,
        )
        if response.HasField("outcome"):
            return response.outcome


async def cancel(connection: Connection, asked: CancelActivityInput) -> None:
    """Ask an activity to stop."""
    request = RequestCancelActivityExecutionRequest(
        **_named(connection, asked), request_id=str(uuid.uuid4()), reason=asked.reason or ""
    )
    await connection.call(
        "RequestCancelActivityExecution",
        request,
        RequestCancelActivityExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def terminate(connection: Connection, asked: TerminateActivityInput) -> None:
    """End an activity at once."""
    request = TerminateActivityExecutionRequest(
        **_named(connection, asked), request_id=str(uuid.uuid4()), reason=asked.reason or ""
    )
    await connection.call(
        "TerminateActivityExecution",
        request,
        TerminateActivityExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def pause(connection: Connection, asked: PauseActivityInput) -> None:
    """Have an activity not be started, or not again."""
    request = PauseActivityExecutionRequest(
        **_named(connection, asked), request_id=str(uuid.uuid4()), reason=asked.reason or ""
    )
    await connection.call(
        "PauseActivityExecution",
        request,
        PauseActivityExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def unpause(connection: Connection, asked: UnpauseActivityInput) -> None:
    """Have a paused activity go on."""
    request = UnpauseActivityExecutionRequest(
        **_named(connection, asked), request_id=str(uuid.uuid4()), reason=asked.reason or ""
    )
    if asked.jitter is not None:
        request.jitter.FromTimedelta(asked.jitter)
    await connection.call(
        "UnpauseActivityExecution",
        request,
        UnpauseActivityExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def set_options(
    connection: Connection, asked: UpdateActivityOptionsInput
) -> ActivityExecutionOptions:
    """Give an activity other options; those that hold now."""
    request = UpdateActivityExecutionOptionsRequest(
        **_named(connection, asked),
        request_id=str(uuid.uuid4()),
        restore_original=asked.restore_original,
    )
    if not asked.restore_original:
        write_updates(asked.updates, request)
    response = await connection.call(
        "UpdateActivityExecutionOptions",
        request,
        UpdateActivityExecutionOptionsResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    return ActivityExecutionOptions._from_proto(response.activity_options)


async def describe(
    connection: Connection, asked: DescribeActivityInput
) -> ActivityExecutionDescription:
    """What the service knows of an activity."""
    response = await connection.call(
        "DescribeActivityExecution",
        DescribeActivityExecutionRequest(
            namespace=connection.namespace,
            activity_id=asked.activity_id,
            run_id=asked.activity_run_id or "",
            include_input=asked.include_input,
            include_outcome=asked.include_outcome,
            include_heartbeat_details=asked.include_heartbeat_details,
            include_last_failure=asked.include_last_failure,
        ),
        DescribeActivityExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    info = response.info
    converter = converter_for(
        connection, info.activity_id, info.activity_type.name, info.task_queue
    )
    return described(response, connection, converter)


async def count(connection: Connection, asked: CountActivitiesInput) -> ActivityExecutionCount:
    """How many activities a visibility query finds."""
    response = await connection.call(
        "CountActivityExecutions",
        CountActivityExecutionsRequest(namespace=connection.namespace, query=asked.query or ""),
        CountActivityExecutionsResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    return ActivityExecutionCount._from_response(response)


def converter_for(
    connection: Connection,
    activity_id: str,
    activity_type: str | None = None,
    task_queue: str | None = None,
) -> DataConverter:
    """The data converter for the values of one activity."""
    converter = connection.data_converter
    if converter.external_storage is not None:
        converter = converter.storing_for(
            StorageDriverActivityInfo(
                namespace=connection.namespace, id=activity_id, type=activity_type
            )
        )
    if converter.is_context_free:
        return converter
    return converter.with_context(
        ActivitySerializationContext(
            namespace=connection.namespace,
            activity_id=activity_id,
            activity_type=activity_type,
            activity_task_queue=task_queue,
            workflow_id=None,
            workflow_type=None,
            is_local=False,
        )
    )


def _named(
    connection: Connection,
    asked: (
        CancelActivityInput
        | TerminateActivityInput
        | PauseActivityInput
        | UnpauseActivityInput
        | UpdateActivityOptionsInput
    ),
) -> dict[str, Any]:
    return {
        "namespace": connection.namespace,
        "activity_id": asked.activity_id,
        "run_id": asked.activity_run_id or "",
        "identity": connection.identity,
    }
