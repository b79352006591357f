"""PollNexusTaskQueue, RespondNexusTaskCompleted, RespondNexusTaskFailed."""

from __future__ import annotations

import json

from temporalio.api.nexus.v1 import Failure as NexusFailure
from temporalio.api.nexus.v1 import StartOperationResponse
from temporalio.api.workflowservice.v1 import (
    PollNexusTaskQueueRequest,
    PollNexusTaskQueueResponse,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskCompletedResponse,
    RespondNexusTaskFailedRequest,
    RespondNexusTaskFailedResponse,
)

from perdure.server.engine.nexus.content import problem_of_token
from perdure.server.engine.nexus.tasks import WorkerAnswer
from perdure.server.frontend import workflow_tasks
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import QueryToken, encode_query_token
from perdure.server.frontend.validation import (
    check_identity,
    check_partition,
    check_queue,
    check_worker_version,
    long_poll_seconds,
)
from perdure.server.machines.activity.failures import cut_causes
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import SECOND_NS
from perdure.transport import Caller


async def poll_nexus_task_queue(
    services: Services, request: PollNexusTaskQueueRequest, caller: Caller
) -> bytes:
    """Wait for a request to a Nexus handler; an empty response when none came in time."""
    namespace = services.bind(request.namespace)
    seconds = long_poll_seconds(
        caller.time_remaining(), services.limits.task_poll_ns_max / SECOND_NS
    )
    check_queue(request.HasField("task_queue"), request.task_queue, services.limits)
    check_identity(request.identity, services.limits)
    check_worker_version(request, request.task_queue, services.limits)
    check_partition(request.task_queue, "Nexus")
    if request.worker_heartbeat:
        services.workers.record(
            namespace.number, request.worker_heartbeat, now_ns=services.clock.now_ns()
        )
    poll = workflow_tasks.poll_of(namespace, request)
    task = await services.engine.nexus.tasks.poll(poll, seconds)
    if task is None:
        return b""
    token = QueryToken(task.namespace_id, task.queue, task.task_id)
    response = PollNexusTaskQueueResponse(
        task_token=encode_query_token(token), request=task.request
    )
    if task.poller_advice:
        response.poller_scaling_decision.poll_request_delta_suggestion = task.poller_advice
    return response.SerializeToString()


async def respond_nexus_task_completed(
    services: Services, request: RespondNexusTaskCompletedRequest, caller: Caller
) -> bytes:
    """What a handler answers."""
    if request.namespace:
        services.bind(request.namespace)
    _, token = services.bind_query_token(request.task_token, request.namespace)
    check_identity(request.identity, services.limits)
    started = request.response.start_operation
    _check_started(started)
    if started.HasField("failure"):
        cut_causes(started.failure, services.limits.failure_depth_max)
    answer = WorkerAnswer(response=request.response)
    services.engine.nexus.tasks.answer(token.task_id, answer)
    return RespondNexusTaskCompletedResponse().SerializeToString()


async def respond_nexus_task_failed(
    services: Services, request: RespondNexusTaskFailedRequest, caller: Caller
) -> bytes:
    """A handler could not carry out its request."""
    if request.namespace:
        services.bind(request.namespace)
    _, token = services.bind_query_token(request.task_token, request.namespace)
    check_identity(request.identity, services.limits)
    if request.HasField("error"):
        _check_details(request.error.failure)
        answer = WorkerAnswer(error=request.error)
    elif not request.HasField("failure"):
        raise InvalidArgument("request must contain error or failure")
    elif not request.failure.HasField("nexus_handler_failure_info"):
        raise InvalidArgument(
            "request Failure must contain error or failure with NexusHandlerFailureInfo"
        )
    else:
        cut_causes(request.failure, services.limits.failure_depth_max)
        answer = WorkerAnswer(failure=request.failure)
    services.engine.nexus.tasks.answer(token.task_id, answer)
    return RespondNexusTaskFailedResponse().SerializeToString()


def _check_started(started: StartOperationResponse) -> None:
    """What a handler started must have a token, and failures details that are JSON."""
    if started.HasField("operation_error"):
        _check_details(started.operation_error.failure)
    if started.HasField("async_success"):
        # The word is that of the real server.
        found = started.async_success
        token = found.operation_token or found.operation_id
        if not token:
            raise InvalidArgument("missing opration token in response")
        if problem := problem_of_token(token):
            raise InvalidArgument(problem)


def _check_details(failure: NexusFailure) -> None:
    current: NexusFailure | None = failure
    while current is not None:
        if current.details:
            try:
                json.loads(current.details)
            except (ValueError, RecursionError):
                raise InvalidArgument("failure details must be JSON serializable") from None
        current = current.cause if current.HasField("cause") else None
