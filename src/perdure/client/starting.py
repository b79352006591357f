"""Starting a workflow: from the arguments of a call to its request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

from temporalio.api.common.v1 import Memo
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.errordetails.v1 import WorkflowExecutionAlreadyStartedFailure
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from perdure.client.connection import Connection, write
from perdure.client.inputs import StartWorkflowInput, UpdateWithStartStartWorkflowInput
from perdure.common import (
    Priority,
    RetryPolicy,
    TypedSearchAttributes,
    VersioningOverride,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from perdure.common import SearchAttributes as UntypedSearchAttributes
from perdure.converter import DataConverter, encode_search_attributes
from perdure.exceptions import WorkflowAlreadyStartedError
from perdure.service import EagerWorkflowSlot, Metadata, RPCError, RPCStatusCode

StartRequest = StartWorkflowExecutionRequest | SignalWithStartWorkflowExecutionRequest
StartResponse = StartWorkflowExecutionResponse | SignalWithStartWorkflowExecutionResponse
AnyStart = StartWorkflowInput | UpdateWithStartStartWorkflowInput
_Request = TypeVar(
    "_Request", StartWorkflowExecutionRequest, SignalWithStartWorkflowExecutionRequest
)


class StartWorkflowOptions(TypedDict, total=False):
    """The optional arguments that all ways to start a workflow take."""

    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: TypedSearchAttributes | UntypedSearchAttributes | None
    static_summary: str | None
    static_details: str | None
    start_delay: timedelta | None
    start_signal: str | None
    start_signal_args: Sequence[Any]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    request_eager_start: bool
    priority: Priority
    versioning_override: VersioningOverride | None


async def send_start(connection: Connection, start: StartWorkflowInput) -> StartResponse:
    """Start the workflow, or signal it and start it if need be.

    Raises WorkflowAlreadyStartedError when the policies do not allow it, RPCError otherwise.
    """
    try:
        if start.start_signal is None:
            return await _start(connection, start)
        return await _signal_with_start(connection, start, start.start_signal)
    except RPCError as error:
        raise _already_started(error, start) or error from None


def was_eager(response: StartResponse) -> bool:
    """Whether the first task of what was started went to a worker of the same connection."""
    return isinstance(response, StartWorkflowExecutionResponse) and response.HasField(
        "eager_workflow_task"
    )


async def _start(
    connection: Connection, start: StartWorkflowInput
) -> StartWorkflowExecutionResponse:
    request = await filled(connection, start, StartWorkflowExecutionRequest())
    slot = _reserve_slot(connection, start)
    request.request_eager_execution = slot is not None
    try:
        response = await connection.call(
            "StartWorkflowExecution",
            request,
            StartWorkflowExecutionResponse,
            start.rpc_metadata,
            start.rpc_timeout,
        )
        if slot is not None and response.HasField("eager_workflow_task"):
            slot.fill(response.eager_workflow_task)
            slot = None
    finally:
        if slot is not None:
            slot.release()
    return response


async def _signal_with_start(
    connection: Connection, start: StartWorkflowInput, signal: str
) -> SignalWithStartWorkflowExecutionResponse:
    request = await filled(connection, start, SignalWithStartWorkflowExecutionRequest())
    request.signal_name = signal
    converter = connection.converter_for(start.id, start.workflow)
    await write(converter, start.start_signal_args, request.signal_input)
    return await connection.call(
        "SignalWithStartWorkflowExecution",
        request,
        SignalWithStartWorkflowExecutionResponse,
        start.rpc_metadata,
        start.rpc_timeout,
    )


async def filled(connection: Connection, start: AnyStart, request: _Request) -> _Request:
    """The request with all that both ways to start have in common."""
    converter = connection.converter_for(start.id, start.workflow)
    request.namespace = connection.namespace
    request.workflow_id = start.id
    request.workflow_type.name = start.workflow
    request.task_queue.name = start.task_queue
    request.identity = connection.identity
    request.request_id = str(uuid.uuid4())
    request.workflow_id_reuse_policy = workflow_pb2.WorkflowIdReusePolicy.ValueType(
        int(start.id_reuse_policy)
    )
    request.workflow_id_conflict_policy = workflow_pb2.WorkflowIdConflictPolicy.ValueType(
        int(start.id_conflict_policy)
    )
    request.cron_schedule = start.cron_schedule
    await connection.write_headers(start.headers, request.header, converter)
    start.priority.apply_to_proto(request.priority)
    await write(converter, start.args, request.input)
    _write_times(start, request)
    if start.retry_policy is not None:
        start.retry_policy.apply_to_proto(request.retry_policy)
    if start.versioning_override is not None:
        request.versioning_override.CopyFrom(start.versioning_override.to_proto())
    if start.search_attributes is not None:
        encode_search_attributes(start.search_attributes, request.search_attributes)
    await write_memo(converter, start.memo, request.memo)
    await _write_user_metadata(converter, start, request.user_metadata)
    return request


def _write_times(start: AnyStart, request: StartRequest) -> None:
    for value, field in (
        (start.execution_timeout, request.workflow_execution_timeout),
        (start.run_timeout, request.workflow_run_timeout),
        (start.task_timeout, request.workflow_task_timeout),
        (start.start_delay, request.workflow_start_delay),
    ):
        if value is not None:
            field.FromTimedelta(value)


async def write_memo(
    converter: DataConverter, memo: Mapping[str, Any] | None, message: Memo
) -> None:
    """Encode the values of a memo."""
    for name, value in (memo or {}).items():
        message.fields[name].CopyFrom((await converter.encode([value]))[0])


async def _write_user_metadata(
    converter: DataConverter, start: AnyStart, metadata: UserMetadata
) -> None:
    if start.static_summary is not None:
        metadata.summary.CopyFrom((await converter.encode([start.static_summary]))[0])
    if start.static_details is not None:
        metadata.details.CopyFrom((await converter.encode([start.static_details]))[0])


def _reserve_slot(connection: Connection, start: StartWorkflowInput) -> EagerWorkflowSlot | None:
    """A place for the first task in a worker of this connection, if that is wished for."""
    if not start.request_eager_start:
        return None
    place = (connection.namespace, start.task_queue)
    reserve = connection.service_client.eager_workflow_slots.get(place)
    return None if reserve is None else reserve()


def _already_started(
    error: RPCError, start: StartWorkflowInput
) -> WorkflowAlreadyStartedError | None:
    """What a refused start means; None when it was refused for another reason."""
    if error.status is not RPCStatusCode.ALREADY_EXISTS:
        return None
    details = WorkflowExecutionAlreadyStartedFailure()
    if not any(one.Unpack(details) for one in error.grpc_status.details):
        return None
    return WorkflowAlreadyStartedError(
        start.id,
        start.workflow,
        run_id=details.run_id,
        first_run_id=details.first_execution_run_id or None,
    )
