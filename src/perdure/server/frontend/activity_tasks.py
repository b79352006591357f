"""PollActivityTaskQueue, RespondActivityTask*, RecordActivityTaskHeartbeat, and their forms that
name an activity by its id.

Each answer of a worker comes in two forms, by token and by id. Both become one `_Outcome`, so that
limits are applied once.
"""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure, ServerFailureInfo
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
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

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend import responses, workflow_tasks
from perdure.server.frontend.services import Services
from perdure.server.frontend.sessions import held_by
from perdure.server.frontend.validation import (
    check_identity,
    check_partition,
    check_queue,
    check_worker_version,
    is_uuid,
    long_poll_seconds,
)
from perdure.server.machines import durations
from perdure.server.machines.activity.failures import cut_causes
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.ports import SECOND_NS, Address, Kind
from perdure.server.machines.workflow.inputs import (
    CancelActivity,
    CompleteActivity,
    FailActivity,
    Heartbeat,
    HeartbeatActivity,
    TaskToken,
)
from perdure.transport import Caller

RESULT_TOO_LARGE = "Complete result exceeds size limit."
CANCEL_DETAILS_TOO_LARGE = "Cancel details exceed size limit."
HEARTBEAT_TOO_LARGE = "Heartbeat details exceed size limit."

Answer = CompleteActivity | FailActivity | CancelActivity | HeartbeatActivity
ById = (
    RecordActivityTaskHeartbeatByIdRequest
    | RespondActivityTaskCompletedByIdRequest
    | RespondActivityTaskFailedByIdRequest
    | RespondActivityTaskCanceledByIdRequest
)
ByToken = (
    RecordActivityTaskHeartbeatRequest
    | RespondActivityTaskCompletedRequest
    | RespondActivityTaskFailedRequest
    | RespondActivityTaskCanceledRequest
)


async def poll_activity_task_queue(
    services: Services, request: PollActivityTaskQueueRequest, caller: Caller
) -> bytes:
    """Wait for an activity attempt; an empty response when none came in time."""
    namespace = services.bind(request.namespace)
    seconds = long_poll_seconds(
        caller.time_remaining(), services.limits.task_poll_ns_max / SECOND_NS
    )
    check_queue(request.HasField("task_queue"), request.task_queue, services.limits)
    check_identity(request.identity, services.limits)
    check_worker_version(request, request.task_queue, services.limits)
    check_partition(request.task_queue, "Activity")
    sdk = caller.header("client-name"), caller.header("client-version")
    poll = workflow_tasks.poll_of(namespace, request, sdk=sdk)
    ready = await services.engine.poll_activity_task(poll, seconds)
    if ready is None:
        return b""
    held = held_by(caller.session)
    if held is not None:
        held.hold(namespace, ready.task)
    return responses.activity_task(namespace, ready)


async def respond_activity_task_completed(
    services: Services, request: RespondActivityTaskCompletedRequest, caller: Caller
) -> bytes:
    """An activity's result."""
    bound = _bind(services, request)
    await _complete(services, *bound, request)
    _release(caller, bound[1])
    return RespondActivityTaskCompletedResponse().SerializeToString()


async def respond_activity_task_completed_by_id(
    services: Services, request: RespondActivityTaskCompletedByIdRequest, caller: Caller
) -> bytes:
    """The result of an activity that is named by its id."""
    await _complete(services, *_bind_by_id(services, request), request)
    return RespondActivityTaskCompletedByIdResponse().SerializeToString()


async def respond_activity_task_failed(
    services: Services, request: RespondActivityTaskFailedRequest, caller: Caller
) -> bytes:
    """An activity attempt failed; the response lists what of the request was too large."""
    bound = services.bind_token(request.task_token, request.namespace)
    if request.HasField("failure") and not request.failure.HasField("application_failure_info"):
        raise InvalidArgument("Failure must have ApplicationFailureInfo.")
    check_identity(request.identity, services.limits)
    cut = await _fail(services, *bound, request)
    _release(caller, bound[1])
    return RespondActivityTaskFailedResponse(failures=cut).SerializeToString()


async def respond_activity_task_failed_by_id(
    services: Services, request: RespondActivityTaskFailedByIdRequest, caller: Caller
) -> bytes:
    """An attempt of an activity that is named by its id failed."""
    cut = await _fail(services, *_bind_by_id(services, request), request)
    return RespondActivityTaskFailedByIdResponse(failures=cut).SerializeToString()


async def respond_activity_task_canceled(
    services: Services, request: RespondActivityTaskCanceledRequest, caller: Caller
) -> bytes:
    """An activity acknowledges its cancellation."""
    bound = _bind(services, request)
    await _cancel(services, *bound, request)
    _release(caller, bound[1])
    return RespondActivityTaskCanceledResponse().SerializeToString()


async def respond_activity_task_canceled_by_id(
    services: Services, request: RespondActivityTaskCanceledByIdRequest, caller: Caller
) -> bytes:
    """An activity that is named by its id acknowledges its cancellation."""
    await _cancel(services, *_bind_by_id(services, request), request)
    return RespondActivityTaskCanceledByIdResponse().SerializeToString()


async def record_activity_task_heartbeat(
    services: Services, request: RecordActivityTaskHeartbeatRequest, caller: Caller
) -> bytes:
    """An activity is alive, and learns whether it should cancel, is paused or was reset."""
    heard = await _heartbeat(services, *_bound_token(services, request), request)
    return RecordActivityTaskHeartbeatResponse(
        cancel_requested=heard.cancel_requested,
        activity_paused=heard.activity_paused,
        activity_reset=heard.activity_reset,
    ).SerializeToString()


async def record_activity_task_heartbeat_by_id(
    services: Services, request: RecordActivityTaskHeartbeatByIdRequest, caller: Caller
) -> bytes:
    """An activity that is named by its id is alive."""
    heard = await _heartbeat(services, *_bound_id(services, request), request)
    return RecordActivityTaskHeartbeatByIdResponse(
        cancel_requested=heard.cancel_requested,
        activity_paused=heard.activity_paused,
        activity_reset=heard.activity_reset,
    ).SerializeToString()


def _release(caller: Caller, token: TaskToken) -> None:
    held = held_by(caller.session)
    if held is not None:
        held.release(token)


def _bound_token(services: Services, request: ByToken) -> tuple[NamespaceRef, TaskToken]:
    return services.bind_token(request.task_token, request.namespace)


def _bind(services: Services, request: ByToken) -> tuple[NamespaceRef, TaskToken]:
    bound = _bound_token(services, request)
    check_identity(request.identity, services.limits)
    return bound


def _bind_by_id(services: Services, request: ById) -> tuple[NamespaceRef, TaskToken]:
    return _bound_id(services, request, checks_identity=True)


def _bound_id(
    services: Services, request: ById, *, checks_identity: bool = False
) -> tuple[NamespaceRef, TaskToken]:
    """Heartbeats are the only ones whose identity may be as long as it likes."""
    namespace = services.bind(request.namespace)
    if not request.activity_id:
        raise InvalidArgument("ActivityId is not set on request.")
    if checks_identity:
        check_identity(request.identity, services.limits)
    if request.run_id and not is_uuid(request.run_id):
        raise InvalidArgument("RunId is not valid UUID.")
    token = TaskToken(
        namespace_id=namespace.id,
        workflow_id=request.workflow_id or request.activity_id,
        run_id=request.run_id,
        scheduled_event_id=0,
        attempt=0,
        stamp=0,
        activity_id=request.activity_id,
        kind=Kind.WORKFLOW if request.workflow_id else Kind.ACTIVITY,
    )
    return namespace, token


async def _complete(
    services: Services,
    namespace: NamespaceRef,
    token: TaskToken,
    request: RespondActivityTaskCompletedRequest | RespondActivityTaskCompletedByIdRequest,
) -> None:
    result = request.result if request.HasField("result") else None
    if _is_too_large(services, result):
        await _give_up(services, namespace, token, RESULT_TOO_LARGE, request.identity)
        return
    await _tell(
        services,
        namespace,
        CompleteActivity(token, result, request.identity, _version_of(request)),
    )


async def _fail(
    services: Services,
    namespace: NamespaceRef,
    token: TaskToken,
    request: RespondActivityTaskFailedRequest | RespondActivityTaskFailedByIdRequest,
) -> list[Failure]:
    failure = request.failure
    _check_retry_delays(failure)
    cut_causes(failure, services.limits.failure_depth_max)
    cut = []
    details = request.last_heartbeat_details if request.HasField("last_heartbeat_details") else None
    if _is_too_large(services, details):
        details = None
        cut.append(_server_failure(HEARTBEAT_TOO_LARGE))
    if failure.ByteSize() > services.limits.blob_size_bytes_max:
        failure = workflow_tasks.too_large(failure, services.limits)
        cut.append(failure)
    await _tell(
        services,
        namespace,
        FailActivity(token, failure, request.identity, details, _version_of(request)),
    )
    return cut


async def _cancel(
    services: Services,
    namespace: NamespaceRef,
    token: TaskToken,
    request: RespondActivityTaskCanceledRequest | RespondActivityTaskCanceledByIdRequest,
) -> None:
    details = request.details if request.HasField("details") else None
    if _is_too_large(services, details):
        await _give_up(services, namespace, token, CANCEL_DETAILS_TOO_LARGE, request.identity)
        return
    await _tell(services, namespace, CancelActivity(token, details, request.identity))


async def _heartbeat(
    services: Services,
    namespace: NamespaceRef,
    token: TaskToken,
    request: RecordActivityTaskHeartbeatRequest | RecordActivityTaskHeartbeatByIdRequest,
) -> Heartbeat:
    """What the activity learns."""
    details = request.details if request.HasField("details") else None
    if _is_too_large(services, details):
        await _give_up(services, namespace, token, HEARTBEAT_TOO_LARGE, request.identity)
        return Heartbeat(cancel_requested=True)
    message = HeartbeatActivity(token, details, request.identity)
    reply = await _tell(services, namespace, message)
    if not isinstance(reply, Heartbeat):
        raise InvariantViolation(f"a heartbeat was answered by {type(reply).__name__}")
    return reply


async def _give_up(
    services: Services, namespace: NamespaceRef, token: TaskToken, reason: str, identity: str
) -> None:
    """What an activity reports is too large to be kept: it has failed, for good."""
    await _tell(services, namespace, FailActivity(token, _server_failure(reason), identity))


async def _tell(services: Services, namespace: NamespaceRef, message: Answer) -> Any:
    """What the activity's machine makes of an answer: its workflow's, or its own."""
    token = message.token
    if token.kind:
        whom = Address(Kind(token.kind), token.workflow_id)
        return await services.engine.ask(namespace, whom, message)
    return await services.engine.submit(namespace, token.workflow_id, message)


def _version_of(request: object) -> bytes | None:
    """The serialised version of the worker that answers; clients that answer by id have none."""
    if isinstance(
        request, RespondActivityTaskCompletedRequest | RespondActivityTaskFailedRequest
    ) and request.HasField("worker_version"):
        return request.worker_version.SerializeToString()
    return None


def _is_too_large(services: Services, payloads: Payloads | None) -> bool:
    return payloads is not None and payloads.ByteSize() > services.limits.blob_size_bytes_max


def _server_failure(message: str) -> Failure:
    return Failure(message=message, server_failure_info=ServerFailureInfo(non_retryable=True))


def _check_retry_delays(failure: Failure) -> None:
    """Delays that failures name must be durations; sub-seconds beyond a second are the fault that
    remains possible."""
    current: Failure | None = failure
    while current is not None:
        info = current.application_failure_info
        if info.HasField("next_retry_delay"):
            delay = info.next_retry_delay
            if delay.seconds * delay.nanos < 0 or abs(delay.nanos) >= 1_000_000_000:
                raise InvalidArgument(
                    f"NextRetryDelay is not a valid duration: {delay.seconds}s {delay.nanos}ns"
                )
            durations.cap(delay)
        current = current.cause if current.HasField("cause") else None
