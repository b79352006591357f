"""What a worker answers for an operation that was not started: in the form that the caller reads.

A service that says so is told a Temporal failure. An older one knows Nexus failures only, in which
the Temporal one travels as JSON; and it has a message of its own for what a handler could not do.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from google.protobuf.json_format import MessageToDict
from nexusrpc import HandlerError, HandlerErrorType, OperationError, OperationErrorState
from temporalio.api.failure.v1 import Failure, NexusHandlerFailureInfo
from temporalio.api.nexus.v1 import Failure as NexusFailure
from temporalio.api.nexus.v1 import HandlerError as HandlerErrorMessage
from temporalio.api.nexus.v1 import (
    Response,
    StartOperationResponse,
    UnsuccessfulOperationError,
)
from temporalio.api.workflowservice.v1 import RespondNexusTaskFailedRequest

from perdure.exceptions import (
    ApplicationError,
    CancelledError,
    FailureError,
    WorkflowAlreadyStartedError,
)
from perdure.service import RPCError, RPCStatusCode

_TEMPORAL_FAILURE = Failure.DESCRIPTOR.full_name

_INTERNAL = HandlerErrorType.INTERNAL

_BY_STATUS: dict[RPCStatusCode, tuple[HandlerErrorType, bool | None]] = {
    RPCStatusCode.INVALID_ARGUMENT: (HandlerErrorType.BAD_REQUEST, None),
    RPCStatusCode.ALREADY_EXISTS: (_INTERNAL, False),
    RPCStatusCode.FAILED_PRECONDITION: (_INTERNAL, False),
    RPCStatusCode.OUT_OF_RANGE: (_INTERNAL, False),
    RPCStatusCode.ABORTED: (HandlerErrorType.UNAVAILABLE, None),
    RPCStatusCode.UNAVAILABLE: (HandlerErrorType.UNAVAILABLE, None),
    RPCStatusCode.CANCELLED: (_INTERNAL, None),
    RPCStatusCode.DATA_LOSS: (_INTERNAL, None),
    RPCStatusCode.INTERNAL: (_INTERNAL, None),
    RPCStatusCode.UNKNOWN: (_INTERNAL, None),
    # It is the handler that the service does not let in, not the caller: that may change.
    RPCStatusCode.UNAUTHENTICATED: (_INTERNAL, None),
    RPCStatusCode.PERMISSION_DENIED: (_INTERNAL, None),
    RPCStatusCode.NOT_FOUND: (HandlerErrorType.NOT_FOUND, None),
    RPCStatusCode.RESOURCE_EXHAUSTED: (HandlerErrorType.RESOURCE_EXHAUSTED, None),
    RPCStatusCode.UNIMPLEMENTED: (HandlerErrorType.NOT_IMPLEMENTED, None),
    RPCStatusCode.DEADLINE_EXCEEDED: (HandlerErrorType.UPSTREAM_TIMEOUT, None),
}
"""What a refused call of a handler's means to its caller: the kind of error, and whether it is
worth another attempt if the kind does not tell."""


def handler_error_of(error: BaseException) -> HandlerError:
    """What the caller is told of an exception; the exception is its cause."""
    if isinstance(error, HandlerError):
        return error
    found = _handler_error(error)
    found.__cause__ = error
    return found


def _handler_error(error: BaseException) -> HandlerError:
    match error:
        case ApplicationError():
            return HandlerError(
                "Handler failed with non-retryable application error",
                type=_INTERNAL,
                retryable_override=not error.non_retryable,
            )
        case WorkflowAlreadyStartedError():
            return HandlerError(error.message, type=_INTERNAL, retryable_override=False)
        case RPCError():
            kind, retryable = _BY_STATUS.get(error.status, (_INTERNAL, None))
            return HandlerError(error.message, type=kind, retryable_override=retryable)
        case _:
            return HandlerError("Internal handler error", type=_INTERNAL)


def failure_error_of(error: OperationError) -> FailureError:
    """How an operation ended that its handler says has failed, or was cancelled."""
    try:
        _raise_outcome(error)
    except FailureError as outcome:
        return outcome


def _raise_outcome(error: OperationError) -> NoReturn:
    if error.state is OperationErrorState.CANCELED:
        raise CancelledError(error.message) from error.__cause__
    raise ApplicationError(
        error.message, type="OperationError", non_retryable=True
    ) from error.__cause__


def unbuildable(inner: Exception) -> Failure:
    """What is told when the failure itself could not be converted."""
    return Failure(
        message=f"Failed building exception result: {inner}",
        nexus_handler_failure_info=NexusHandlerFailureInfo(type=_INTERNAL.name),
    )


def failed_operation(failure: Failure, *, as_temporal: bool) -> Response:
    """The answer for an operation that is over, and not well."""
    if as_temporal:
        return Response(start_operation=StartOperationResponse(failure=failure))
    cancelled = failure.HasField("canceled_failure_info")
    state = OperationErrorState.CANCELED if cancelled else OperationErrorState.FAILED
    told = UnsuccessfulOperationError(operation_state=state.value, failure=_nexus_failure(failure))
    return Response(start_operation=StartOperationResponse(operation_error=told))


def failed_task(
    token: bytes, failure: Failure, *, as_temporal: bool
) -> RespondNexusTaskFailedRequest:
    """The answer for a task that the handler could not do."""
    if as_temporal:
        return RespondNexusTaskFailedRequest(task_token=token, failure=failure)
    info = failure.nexus_handler_failure_info
    return RespondNexusTaskFailedRequest(
        task_token=token,
        error=HandlerErrorMessage(
            error_type=info.type,
            failure=_nexus_failure(failure),
            retry_behavior=info.retry_behavior,
        ),
    )


def _nexus_failure(failure: Failure) -> NexusFailure:
    """A Temporal failure in the envelope of a Nexus one; message and stack trace stay outside."""
    inside = Failure()
    inside.CopyFrom(failure)
    inside.message = inside.stack_trace = ""
    details: Any = MessageToDict(inside)
    return NexusFailure(
        message=failure.message,
        stack_trace=failure.stack_trace,
        metadata={"type": _TEMPORAL_FAILURE},
        details=json.dumps(details, separators=(",", ":")).encode(),
    )
