"""From exceptions to gRPC statuses: one table. Messages and typed details are those of the real
server.

What is in no table is a bug of ours: INTERNAL, and loud in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status as StatusMessage  # type: ignore[import-untyped]
from temporalio.api.enums.v1 import NamespaceState, ResourceExhaustedCause, ResourceExhaustedScope
from temporalio.api.errordetails.v1 import (
    ActivityExecutionAlreadyStartedFailure,
    ClientVersionNotSupportedFailure,
    NamespaceAlreadyExistsFailure,
    NamespaceInvalidStateFailure,
    NamespaceNotFoundFailure,
    NexusOperationExecutionAlreadyStartedFailure,
    NotFoundFailure,
    PermissionDeniedFailure,
    QueryFailedFailure,
    ResourceExhaustedFailure,
    ServerVersionNotSupportedFailure,
    WorkflowExecutionAlreadyStartedFailure,
    WorkflowNotReadyFailure,
)
from temporalio.api.failure.v1 import Failure

from perdure.server.engine.api import EngineStopped, EngineUnavailable
from perdure.server.machines import errors
from perdure.server.namespaces.registry import (
    NamespaceAlreadyExists,
    NamespaceInvalidState,
    NamespaceNotFound,
)
from perdure.server.store.ports import CorruptBlob, StoreError
from perdure.transport import CallFailed, Code

logger = logging.getLogger(__name__)

TYPE_URL = "type.googleapis.com/"


class Unimplemented(errors.Rejected):
    """The method, or something that the request asks for, is not built or switched off."""


class PermissionDenied(errors.Rejected):
    """The method is switched off for the namespace."""


class ClientVersionNotSupported(errors.Rejected):
    """The client's version is out of the range that the server supports."""

    def __init__(self, version: str, name: str, supported: str) -> None:
        super().__init__(
            f"Client version {version} is not supported."
            f" Server supports {name} versions: {supported}"
        )
        self.version, self.name, self.supported = version, name, supported


class ServerVersionNotSupported(errors.Rejected):
    """The server's version is out of the range that the client supports."""

    def __init__(self, version: str, supported: str) -> None:
        super().__init__(
            f"Server version {version} is not supported."
            f" Client supports server versions: {supported}"
        )
        self.version, self.supported = version, supported


class Row(msgspec.Struct, frozen=True):
    """How one kind of exception is answered."""

    code: Code
    detail: Callable[[Any], Message] | None = None
    message: str | None = None
    """In place of the exception's own, which may name what a client has no use for."""


def _activity_already_started(error: errors.ActivityAlreadyStarted) -> Message:
    return ActivityExecutionAlreadyStartedFailure(
        start_request_id=error.start_request_id, run_id=error.run_id
    )


def _operation_already_started(error: errors.OperationAlreadyStarted) -> Message:
    return NexusOperationExecutionAlreadyStartedFailure(
        start_request_id=error.start_request_id, run_id=error.run_id
    )


def _already_started(error: errors.AlreadyStarted) -> Message:
    return WorkflowExecutionAlreadyStartedFailure(
        start_request_id=error.start_request_id,
        run_id=error.run_id,
        first_execution_run_id=error.first_execution_run_id,
    )


def _resource_exhausted(error: errors.ResourceExhausted) -> Message:
    if error.is_concurrency:
        return ResourceExhaustedFailure(
            cause=ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
            scope=ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE,
        )
    return ResourceExhaustedFailure(
        cause=ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED,
        scope=ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_SYSTEM,
    )


def _requests_limited(error: errors.RequestsLimited) -> Message:
    return ResourceExhaustedFailure(
        cause=ResourceExhaustedCause.ValueType(error.cause),
        scope=ResourceExhaustedScope.ValueType(error.scope),
    )


def _busy_workflow(error: errors.BusyWorkflow) -> Message:
    return ResourceExhaustedFailure(
        cause=ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW,
        scope=ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE,
    )


def _deployment_limit(error: errors.DeploymentLimitReached) -> Message:
    return ResourceExhaustedFailure(
        cause=ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_WORKER_DEPLOYMENT_LIMITS,
        scope=ResourceExhaustedScope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE,
    )


def _query_failed(error: errors.QueryFailed) -> Message:
    if not error.failure:
        return QueryFailedFailure()
    return QueryFailedFailure(failure=Failure.FromString(error.failure))


def _client_version(error: ClientVersionNotSupported) -> Message:
    return ClientVersionNotSupportedFailure(
        client_version=error.version, client_name=error.name, supported_versions=error.supported
    )


def _server_version(error: ServerVersionNotSupported) -> Message:
    return ServerVersionNotSupportedFailure(
        server_version=error.version, client_supported_server_versions=error.supported
    )


def _invalid_state(error: NamespaceInvalidState) -> Message:
    return NamespaceInvalidStateFailure(
        namespace=error.namespace,
        state=NamespaceState.ValueType(error.state),
        allowed_states=[NamespaceState.ValueType(state) for state in error.allowed],
    )


TABLE: dict[type[Exception], Row] = {
    errors.InvalidArgument: Row(Code.INVALID_ARGUMENT),
    errors.FailedPrecondition: Row(Code.FAILED_PRECONDITION),
    errors.DeadlineExceeded: Row(Code.DEADLINE_EXCEEDED),
    errors.NotFound: Row(Code.NOT_FOUND, lambda error: NotFoundFailure()),
    errors.ResourceExhausted: Row(Code.RESOURCE_EXHAUSTED, _resource_exhausted),
    errors.RequestsLimited: Row(Code.RESOURCE_EXHAUSTED, _requests_limited),
    errors.BusyWorkflow: Row(Code.RESOURCE_EXHAUSTED, _busy_workflow),
    errors.DeploymentLimitReached: Row(Code.RESOURCE_EXHAUSTED, _deployment_limit),
    errors.AlreadyExists: Row(Code.ALREADY_EXISTS),
    errors.AlreadyStarted: Row(Code.ALREADY_EXISTS, _already_started),
    errors.ActivityAlreadyStarted: Row(Code.ALREADY_EXISTS, _activity_already_started),
    errors.OperationAlreadyStarted: Row(Code.ALREADY_EXISTS, _operation_already_started),
    errors.WorkflowNotReady: Row(Code.FAILED_PRECONDITION, lambda error: WorkflowNotReadyFailure()),
    errors.QueryFailed: Row(Code.INVALID_ARGUMENT, _query_failed),
    NamespaceNotFound: Row(
        Code.NOT_FOUND, lambda error: NamespaceNotFoundFailure(namespace=error.namespace)
    ),
    NamespaceAlreadyExists: Row(Code.ALREADY_EXISTS, lambda error: NamespaceAlreadyExistsFailure()),
    NamespaceInvalidState: Row(Code.FAILED_PRECONDITION, _invalid_state),
    PermissionDenied: Row(Code.PERMISSION_DENIED, lambda error: PermissionDeniedFailure()),
    Unimplemented: Row(Code.UNIMPLEMENTED),
    ClientVersionNotSupported: Row(Code.FAILED_PRECONDITION, _client_version),
    ServerVersionNotSupported: Row(Code.FAILED_PRECONDITION, _server_version),
    errors.StartDeduplicated: Row(Code.UNAVAILABLE),
    EngineUnavailable: Row(Code.UNAVAILABLE),
    EngineStopped: Row(Code.UNAVAILABLE, message="the server is shutting down"),
    StoreError: Row(Code.UNAVAILABLE),
    DecodeError: Row(
        Code.INTERNAL,
        message="grpc: error unmarshalling request: proto: cannot parse invalid wire-format data",
    ),
}
"""Each exception that an RPC may raise; a subclass without a row of its own is answered as its
base."""

BUGS: tuple[type[Exception], ...] = (CorruptBlob,)
"""These have a base in the table, but are answered as INTERNAL, since trying again does not
help."""

MESSAGE_BYTES_MAX = 1500
DETAILS_BYTES_MAX = 3000
"""A status travels in trailers, of which clients take 8 KiB in all: where a message repeats what it
was sent (an id of 100 KB), more would reach its caller as another error, which it tries again for
ever."""

INTERNAL_MESSAGE = "something went wrong, please retry"
"""What went wrong inside is for the log: a message could carry somebody's data."""


def failure_of(error: Exception, method: str) -> CallFailed:
    """The status with which an exception is answered."""
    if isinstance(error, CallFailed):
        return error
    row = None if isinstance(error, BUGS) else _row_of(type(error))
    if row is None:
        logger.critical("%s failed by a bug", method, exc_info=error)
        return CallFailed(Code.INTERNAL, INTERNAL_MESSAGE)
    message = _shortened(row.message if row.message is not None else str(error))
    if row.detail is None:
        return CallFailed(row.code, message)
    details = status_of(row.code, message, row.detail(error))
    return CallFailed(row.code, message, details if len(details) <= DETAILS_BYTES_MAX else b"")


def _shortened(message: str) -> str:
    encoded = message.encode(errors="replace")
    if len(encoded) <= MESSAGE_BYTES_MAX:
        return message
    return encoded[:MESSAGE_BYTES_MAX].decode(errors="ignore") + "..."


def _row_of(kind: type[Exception]) -> Row | None:
    for ancestor in kind.__mro__:
        row = TABLE.get(ancestor)
        if row is not None:
            return row
    return None


def status_of(code: Code, message: str, detail: Message) -> bytes:
    """A serialised google.rpc.Status with one detail."""
    packed = AnyMessage(
        type_url=TYPE_URL + detail.DESCRIPTOR.full_name, value=detail.SerializeToString()
    )
    status: Message = StatusMessage(code=code, message=message, details=[packed])
    return status.SerializeToString()
