"""Nexus operations without a workflow, which are off unless the configuration says otherwise:
start, describe, wait for, list, count, cancel, terminate, delete."""

from __future__ import annotations

import json
from typing import Any

from temporalio.api.enums.v1 import nexus_pb2
from temporalio.api.workflowservice.v1 import (
    CountNexusOperationExecutionsRequest,
    CountNexusOperationExecutionsResponse,
    DeleteNexusOperationExecutionRequest,
    DeleteNexusOperationExecutionResponse,
    DescribeNexusOperationExecutionRequest,
    DescribeNexusOperationExecutionResponse,
    ListNexusOperationExecutionsRequest,
    ListNexusOperationExecutionsResponse,
    PollNexusOperationExecutionRequest,
    PollNexusOperationExecutionResponse,
    RequestCancelNexusOperationExecutionRequest,
    RequestCancelNexusOperationExecutionResponse,
    StartNexusOperationExecutionRequest,
    StartNexusOperationExecutionResponse,
    TerminateNexusOperationExecutionRequest,
    TerminateNexusOperationExecutionResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend import switched_off
from perdure.server.frontend.services import Services
from perdure.server.frontend.standalone import (
    check_length,
    check_metadata,
    check_size,
    count,
    described,
    listed,
    poll_seconds,
    started,
)
from perdure.server.frontend.tokens import (
    ActivityToken,
    decode_activity_token,
    encode_activity_token,
)
from perdure.server.frontend.validation import (
    check_search_attributes,
    is_uuid,
)
from perdure.server.machines import durations
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.ports import Address, Kind, Limits
from perdure.server.machines.standalone.inputs import RequestCancel, Terminate
from perdure.server.machines.standalone_nexus.inputs import (
    StartOperation,
)
from perdure.server.machines.standalone_nexus.state import (
    OperationRun,
    decode_run,
)
from perdure.server.machines.workflow.commands.schedule_nexus_operation import (
    DISALLOWED_HEADERS,
)
from perdure.server.visibility.operation_info import (
    QUERY_NAMES,
    operation_info,
    operation_list_info,
)
from perdure.transport import Caller

TIMEOUTS = ("schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout")
REASON_LENGTH_MAX = 1000
_STARTED = nexus_pb2.NEXUS_OPERATION_WAIT_STAGE_STARTED
_CLOSED = nexus_pb2.NEXUS_OPERATION_WAIT_STAGE_CLOSED
_STAGES = (nexus_pb2.NEXUS_OPERATION_WAIT_STAGE_UNSPECIFIED, _STARTED, _CLOSED)


async def start_nexus_operation_execution(
    services: Services, request: StartNexusOperationExecutionRequest, caller: Caller
) -> bytes:
    """Start a run, or answer with the one that the policies of the request lead to."""
    _check_on(services, "StartNexusOperationExecution", request.namespace)
    namespace = services.bind_for_start(request.namespace)
    _check_start(request, namespace, services.limits)
    endpoint = services.engine.nexus.find(request.endpoint)
    if endpoint is None:
        raise NotFound(f"could not find Nexus endpoint by name: {request.endpoint}")
    header = {name.lower(): value for name, value in request.nexus_header.items()}
    request.nexus_header.clear()
    request.nexus_header.update(header)
    request.request_id = request.request_id or services.ids.uuid()
    whom = Address(Kind.NEXUS_OPERATION, request.operation_id)
    reply = await started(services, namespace, whom, StartOperation(request, endpoint.id))
    return StartNexusOperationExecutionResponse(
        run_id=reply.run_id, started=reply.is_new
    ).SerializeToString()


async def describe_nexus_operation_execution(
    services: Services, request: DescribeNexusOperationExecutionRequest, caller: Caller
) -> bytes:
    """How a run stands; with the token of an earlier description, as soon as it stands differently,
    or empty when the time is over."""
    namespace, whom = _bind(services, "DescribeNexusOperationExecution", request)
    token = None
    if request.long_poll_token:
        if not request.run_id:
            raise InvalidArgument("run_id is required when long_poll_token is provided")
        token = _token(request.long_poll_token)
    run = await described(services, namespace, whom, request.run_id)
    if token is not None:
        if token.run_id != run.run_id:
            raise InvalidArgument("long poll token does not match execution")
        known = token.transitions
        run = await described(
            services,
            namespace,
            whom,
            request.run_id,
            lambda run: run.head.transitions != known or not run.is_open,
            poll_seconds(services, caller),
        )
        if run.head.transitions == known and run.is_open:
            return b""
    return _described(services, namespace, run, request)


def _described(
    services: Services,
    namespace: NamespaceRef,
    run: OperationRun,
    request: DescribeNexusOperationExecutionRequest,
) -> bytes:
    head = run.head
    endpoint_id = head.pending.operation.endpoint_id
    blocked = services.engine.operations.blocked_reason(namespace, endpoint_id)
    response = DescribeNexusOperationExecutionResponse(
        run_id=run.run_id,
        info=operation_info(run, services.clock.now_ns(), blocked),
        long_poll_token=encode_activity_token(ActivityToken(run.run_id, head.transitions)),
    )
    if request.include_input:
        start = StartNexusOperationExecutionRequest.FromString(run.start)
        if start.HasField("input"):
            response.input.CopyFrom(start.input)
    if request.include_outcome:
        _add_outcome(response, run)
    return response.SerializeToString()


async def poll_nexus_operation_execution(
    services: Services, request: PollNexusOperationExecutionRequest, caller: Caller
) -> bytes:
    """The outcome of a run, or the news that it is started, waiting for that; empty when the time
    is over."""
    _check_on(services, "PollNexusOperationExecution", request.namespace)
    if request.wait_stage not in _STAGES:
        raise InvalidArgument(f"unsupported wait_stage: {request.wait_stage}")
    namespace, whom = _bind(services, "PollNexusOperationExecution", request)

    def is_there(run: OperationRun) -> bool:
        return run.is_started if request.wait_stage == _STARTED else not run.is_open

    run = await described(services, namespace, whom, request.run_id)
    if not is_there(run):
        seconds = poll_seconds(services, caller)
        run = await described(services, namespace, whom, run.run_id, is_there, seconds)
    if not is_there(run):
        return b""
    response = PollNexusOperationExecutionResponse(
        run_id=run.run_id,
        wait_stage=_STARTED if run.is_open else _CLOSED,
        operation_token=run.head.pending.calls.operation_token,
    )
    _add_outcome(response, run)
    return response.SerializeToString()


def _add_outcome(
    response: DescribeNexusOperationExecutionResponse | PollNexusOperationExecutionResponse,
    run: OperationRun,
) -> None:
    if run.head.result is not None:
        response.result.ParseFromString(run.head.result)
        response.result.SetInParent()
    elif run.head.failure:
        response.failure.ParseFromString(run.head.failure)
        response.failure.SetInParent()


async def list_nexus_operation_executions(
    services: Services, request: ListNexusOperationExecutionsRequest, caller: Caller
) -> bytes:
    """A page of the runs that a query is true of."""
    _check_on(services, "ListNexusOperationExecutions", request.namespace)
    runs, token = await listed(services, request, Kind.NEXUS_OPERATION, QUERY_NAMES, decode_run)
    return ListNexusOperationExecutionsResponse(
        operations=map(operation_list_info, runs), next_page_token=token
    ).SerializeToString()


async def count_nexus_operation_executions(
    services: Services, request: CountNexusOperationExecutionsRequest, caller: Caller
) -> bytes:
    """How many runs a query is true of, and of each group how many, if it makes groups."""
    _check_on(services, "CountNexusOperationExecutions", request.namespace)
    response = CountNexusOperationExecutionsResponse()
    return await count(services, request, response, Kind.NEXUS_OPERATION, QUERY_NAMES)


async def request_cancel_nexus_operation_execution(
    services: Services, request: RequestCancelNexusOperationExecutionRequest, caller: Caller
) -> bytes:
    """Ask for a run to be canceled."""
    namespace, whom = _bind_control(services, "RequestCancelNexusOperationExecution", request)
    request_id = request.request_id or services.ids.uuid()
    message = RequestCancel(request.run_id, request.identity, request_id, request.reason)
    await services.engine.ask(namespace, whom, message)
    return RequestCancelNexusOperationExecutionResponse().SerializeToString()


async def terminate_nexus_operation_execution(
    services: Services, request: TerminateNexusOperationExecutionRequest, caller: Caller
) -> bytes:
    """End a run at once."""
    namespace, whom = _bind_control(services, "TerminateNexusOperationExecution", request)
    request_id = request.request_id or services.ids.uuid()
    message = Terminate(request.run_id, request.identity, request_id, request.reason)
    await services.engine.ask(namespace, whom, message)
    return TerminateNexusOperationExecutionResponse().SerializeToString()


async def delete_nexus_operation_execution(
    services: Services, request: DeleteNexusOperationExecutionRequest, caller: Caller
) -> bytes:
    """Forget a run."""
    namespace, whom = _bind(services, "DeleteNexusOperationExecution", request)
    await services.engine.delete(namespace, whom, request.run_id)
    return DeleteNexusOperationExecutionResponse().SerializeToString()


# ---- what a request names


def _check_on(services: Services, name: str, namespace: str) -> None:
    if not services.limits.is_standalone_nexus_enabled:
        services.bind(namespace)
        raise switched_off.refusal(name, "")


def _bind_control(services: Services, name: str, request: Any) -> tuple[NamespaceRef, Address]:
    """The same as `_bind`, of a request that says who asks, and why."""
    _check_on(services, name, request.namespace)
    services.bind(request.namespace)
    length_max = services.limits.id_length_max
    check_length("request_id", request.request_id, length_max)
    bound = _bind(services, name, request)
    check_length("identity", request.identity, length_max)
    check_length("reason", request.reason, REASON_LENGTH_MAX)
    return bound


def _bind(services: Services, name: str, request: Any) -> tuple[NamespaceRef, Address]:
    """The namespace and the operation that a request names. Raises InvalidArgument."""
    _check_on(services, name, request.namespace)
    namespace = services.bind(request.namespace)
    _check_required("operation_id", request.operation_id, services.limits.id_length_max)
    if request.run_id and not is_uuid(request.run_id):
        raise InvalidArgument("run_id is not a valid UUID")
    return namespace, Address(Kind.NEXUS_OPERATION, request.operation_id)


def _token(token: bytes) -> ActivityToken:
    try:
        return decode_activity_token(token)
    except InvalidArgument as error:
        raise InvalidArgument("invalid long poll token") from error


# ---- what is wrong with a start


def _check_start(
    request: StartNexusOperationExecutionRequest, namespace: NamespaceRef, limits: Limits
) -> None:
    """In the order and the words of the real server."""
    length_max, name_max = limits.id_length_max, limits.nexus_name_length_max
    check_length("request_id", request.request_id, length_max)
    _check_required("operation_id", request.operation_id, length_max)
    check_length("identity", request.identity, length_max)
    _check_required("endpoint", request.endpoint, None)
    _check_required("service", request.service, name_max)
    _check_required("operation", request.operation, name_max)
    for name in TIMEOUTS:
        if problem := durations.problem_of(getattr(request, name)):
            raise InvalidArgument(f"{name} is invalid: {problem}")
    check_size("input", request.input.ByteSize(), limits.blob_size_bytes_max)
    check_metadata(request.user_metadata)
    _check_header(request, limits)
    check_search_attributes(request.search_attributes, namespace, limits)


def _check_header(request: StartNexusOperationExecutionRequest, limits: Limits) -> None:
    size_bytes = 0
    for name, value in request.nexus_header.items():
        if name.lower() in DISALLOWED_HEADERS:
            quoted = json.dumps(name, ensure_ascii=False)
            raise InvalidArgument(f"nexus_header contains a disallowed key: {quoted}")
        size_bytes += len(name.encode()) + len(value.encode())
    if size_bytes > limits.nexus_header_bytes_max:
        raise InvalidArgument("nexus_header exceeds size limit")


def _check_required(name: str, text: str, length_max: int | None) -> None:
    if not text:
        raise InvalidArgument(f"{name} is required")
    if length_max is not None:
        check_length(name, text, length_max)
