"""What a worker's answer to a Nexus request comes to, for whoever called."""

from __future__ import annotations

from temporalio.api.failure.v1 import CanceledFailureInfo
from temporalio.api.nexus.v1 import StartOperationResponse, UnsuccessfulOperationError

from perdure.server.engine.nexus.content import BODY_BYTES_MAX
from perdure.server.engine.nexus.external import TOO_LARGE
from perdure.server.engine.nexus.links import links_of
from perdure.server.engine.nexus.tasks import WorkerAnswer
from perdure.server.machines.nexus.failures import (
    UNSUCCESSFUL,
    failure_of,
    failure_of_error,
    handler_failed,
    handler_failure,
)
from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    CancelOutcome,
    HandlerFailed,
    OperationFailed,
    StartOutcome,
    SyncSuccess,
)

EMPTY = handler_failed(handler_failure("INTERNAL", "empty outcome"))
TIMED_OUT = handler_failed(handler_failure("UPSTREAM_TIMEOUT", "upstream timeout"))
CANCELED = "canceled"


def start_outcome(answer: WorkerAnswer | None) -> StartOutcome:
    """What has become of a request to start an operation; None: no worker answered in time."""
    failed = _failed(answer)
    if failed is not None or answer is None or answer.response is None:
        return failed or EMPTY
    started = answer.response.start_operation
    match started.WhichOneof("variant"):
        case "sync_success":
            payload = started.sync_success.payload.SerializeToString(deterministic=True)
            if len(payload) > BODY_BYTES_MAX:
                return TOO_LARGE
            return SyncSuccess(payload, links_of(started.sync_success.links))
        case "async_success":
            token = started.async_success.operation_token or started.async_success.operation_id
            return AsyncStarted(token, links_of(started.async_success.links))
        case "operation_error":
            return _operation_failed(started.operation_error)
        case "failure":
            return _failed_operation(started)
        case _:
            return EMPTY


def cancel_outcome(answer: WorkerAnswer | None) -> CancelOutcome:
    """What has become of a request to cancel an operation."""
    return _failed(answer) or CancelAccepted()


def _failed(answer: WorkerAnswer | None) -> HandlerFailed | None:
    if answer is None:
        return TIMED_OUT
    if answer.failure is not None:
        return handler_failed(answer.failure)
    if answer.error is not None:
        return handler_failed(failure_of_error(answer.error))
    return None


def _failed_operation(started: StartOperationResponse) -> OperationFailed:
    is_canceled = started.failure.HasField("canceled_failure_info")
    return OperationFailed(started.failure.SerializeToString(deterministic=True), is_canceled)


def _operation_failed(error: UnsuccessfulOperationError) -> OperationFailed | HandlerFailed:
    if error.operation_state not in UNSUCCESSFUL:
        return handler_failed(handler_failure("INTERNAL"))
    failure = failure_of(error.failure)
    is_canceled = error.operation_state == CANCELED
    if is_canceled and not failure.HasField("canceled_failure_info"):
        failure.ClearField("application_failure_info")
        failure.canceled_failure_info.CopyFrom(CanceledFailureInfo())
    return OperationFailed(failure.SerializeToString(deterministic=True), is_canceled)
