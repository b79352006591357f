"""PollWorkflowTaskQueue, RespondWorkflowTaskCompleted, RespondWorkflowTaskFailed."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import WorkerVersionStamp
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import command_type_pb2, deployment_pb2, task_queue_pb2
from temporalio.api.failure.v1 import Failure, ServerFailureInfo
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollNexusTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
)

from perdure.server.engine.api import NamespaceRef, Poll, QueryTaskWithHistory
from perdure.server.frontend import responses
from perdure.server.frontend.nexus_operations import endpoints_of
from perdure.server.frontend.services import Services
from perdure.server.frontend.sessions import held_by
from perdure.server.frontend.system_operations import problems_of
from perdure.server.frontend.validation import (
    check_identity,
    check_partition,
    check_queue,
    check_worker_version,
    long_poll_seconds,
)
from perdure.server.machines.activity import failures
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.errors import (
    FailedPrecondition,
    InvalidArgument,
    InvariantViolation,
    NotFound,
)
from perdure.server.machines.ports import SECOND_NS, Limits
from perdure.server.machines.workflow.inputs import (
    CompleteWorkflowTask,
    FailWorkflowTask,
    RefusedWorkflowTask,
    WorkflowTaskCompleted,
)
from perdure.transport import Caller

CONTINUE_AS_NEW = command_type_pb2.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION
FAILURE_TOO_LARGE = "Failure exceeds size limit."

_ELSEWHERE: dict[int, str] = {
    command_type_pb2.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION: (
        "request_cancel_external_workflow_execution_command_attributes"
    ),
    command_type_pb2.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION: (
        "signal_external_workflow_execution_command_attributes"
    ),
    command_type_pb2.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION: (
        "start_child_workflow_execution_command_attributes"
    ),
}
"""The commands that may name another namespace, and their attributes."""

_WORKFLOW_TASK = RespondWorkflowTaskCompletedResponse.WORKFLOW_TASK_FIELD_NUMBER
_ACTIVITY_TASKS = RespondWorkflowTaskCompletedResponse.ACTIVITY_TASKS_FIELD_NUMBER


async def poll_workflow_task_queue(
    services: Services, request: PollWorkflowTaskQueueRequest, caller: Caller
) -> bytes:
    """Wait for a workflow task; an empty response when none came in time."""
    namespace = services.bind(request.namespace)
    seconds = long_poll_seconds(
        caller.time_remaining(), services.limits.task_poll_ns_max / SECOND_NS
    )
    check_identity(request.identity, services.limits)
    check_worker_version(request, request.task_queue, services.limits)
    check_queue(request.HasField("task_queue"), request.task_queue, services.limits)
    check_partition(request.task_queue, "Workflow")
    poll = poll_of(namespace, request, takes_early=caller.in_process)
    held = held_by(caller.session)
    if held is not None and poll.sticky_for:
        held.polls_sticky(namespace, poll.queue)
    ready = await services.engine.poll_workflow_task(poll, seconds)
    if ready is None:
        return b""
    if isinstance(ready, QueryTaskWithHistory):
        if held is not None:
            held.hold_query(ready.task_id)
        return responses.query_task(ready)
    if held is not None:
        held.hold(namespace, ready.task)
    return responses.workflow_task(ready)


def poll_of(
    namespace: NamespaceRef,
    request: PollWorkflowTaskQueueRequest
    | PollActivityTaskQueueRequest
    | PollNexusTaskQueueRequest,
    *,
    takes_early: bool = False,
    sdk: tuple[str, str] = ("", ""),
) -> Poll:
    """The poll that a request asks for."""
    queue = request.task_queue
    build_id = request.worker_version_capabilities.build_id
    return Poll(
        namespace=namespace,
        queue=queue.name,
        identity=request.identity,
        sticky_for=(
            queue.normal_name if queue.kind == task_queue_pb2.TASK_QUEUE_KIND_STICKY else ""
        ),
        worker_version=(
            WorkerVersionStamp(build_id=build_id).SerializeToString() if build_id else b""
        ),
        worker_instance=request.worker_instance_key,
        takes_early=takes_early,
        version=version_of(request.deployment_options),
        deployment=(
            request.deployment_options.SerializeToString()
            if request.HasField("deployment_options")
            else b""
        ),
        rate_per_second=_wanted_rate(request),
        sdk=sdk,
    )


def version_of(options: WorkerDeploymentOptions) -> VersionName | None:
    """The version that a worker is of; None for an unversioned one."""
    if options.worker_versioning_mode != deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED:
        return None
    return VersionName(options.deployment_name, options.build_id)


def _wanted_rate(
    request: PollWorkflowTaskQueueRequest
    | PollActivityTaskQueueRequest
    | PollNexusTaskQueueRequest,
) -> float | None:
    """What a worker of activities wants their queue to be limited to."""
    if not isinstance(request, PollActivityTaskQueueRequest):
        return None
    metadata = request.task_queue_metadata
    if not metadata.HasField("max_tasks_per_second"):
        return None
    return metadata.max_tasks_per_second.value


PAGES_ARE_OFF = "workflow task completion pagination is disabled for this namespace {}"


async def respond_workflow_task_completed(
    services: Services, request: RespondWorkflowTaskCompletedRequest, caller: Caller
) -> bytes:
    """Carry out a worker's commands, and hand it what it may do next."""
    namespace, token = services.bind_token(request.task_token, request.namespace)
    check_identity(request.identity, services.limits)
    check_worker_version(request, request.sticky_attributes.worker_task_queue, services.limits)
    if request.sticky_attributes.worker_task_queue.name:
        check_queue(True, request.sticky_attributes.worker_task_queue, services.limits)
    if request.page_number > 0 or request.intermediate_page:
        # Temporal's history.enableWorkflowTaskCompletionPagination, which its stock server has off.
        raise FailedPrecondition(PAGES_ARE_OFF.format(namespace.name))
    _check_namespaces(services, namespace, request.commands)
    reply = await services.engine.submit(
        namespace,
        token.workflow_id,
        CompleteWorkflowTask(
            token,
            request,
            namespace.search_attributes,
            _served(services, namespace, request),
            endpoints_of(services, request),
            problems_of(services, namespace, request),
        ),
    )
    held = held_by(caller.session)
    if held is not None:
        held.release(token)
    if isinstance(reply, RefusedWorkflowTask):
        raise (NotFound if reply.is_not_found else InvalidArgument)(reply.message)
    if not isinstance(reply, WorkflowTaskCompleted):
        raise InvariantViolation(f"a completion was answered by {type(reply).__name__}")
    parts = []
    if reply.reset_history_event_id:
        reset_to = RespondWorkflowTaskCompletedResponse(
            reset_history_event_id=reply.reset_history_event_id
        )
        parts.append(reset_to.SerializeToString())
    if reply.workflow_task is not None or reply.activity_tasks:
        ready, activities = await services.engine.with_tasks(namespace, token.workflow_id, reply)
        if ready is not None:
            parts.append(responses.embedded(_WORKFLOW_TASK, responses.workflow_task(ready)))
            if held is not None:
                held.hold(namespace, ready.task)
        for activity in activities:
            if held is not None:
                held.hold(namespace, activity.task)
            parts.append(
                responses.embedded(_ACTIVITY_TASKS, responses.activity_task(namespace, activity))
            )
    return b"".join(parts)


def _check_namespaces(
    services: Services, namespace: NamespaceRef, commands: Sequence[Command]
) -> None:
    """A command may not name a namespace that there is not; its workflow task goes on. Raises
    NamespaceNotFound."""
    for command in commands:
        field = _ELSEWHERE.get(command.command_type)
        if field is not None:
            name = getattr(command, field).namespace
            if name and name != namespace.name:
                services.namespaces.by_name(name)


def _served(
    services: Services, namespace: NamespaceRef, request: RespondWorkflowTaskCompletedRequest
) -> dict[str, frozenset[VersionName]]:
    """Which versions have workers on the queue that a successor is to have."""
    if not request.commands or request.commands[-1].command_type != CONTINUE_AS_NEW:
        return {}
    command = request.commands[-1].continue_as_new_workflow_execution_command_attributes
    queue = command.task_queue.name
    if not queue:
        return {}
    return {queue: services.engine.deployments.versions_of(namespace, queue)}


async def respond_workflow_task_failed(
    services: Services, request: RespondWorkflowTaskFailedRequest, caller: Caller
) -> bytes:
    """A worker could not carry out its task."""
    namespace, token = services.bind_token(request.task_token, request.namespace)
    check_identity(request.identity, services.limits)
    failures.cut_causes(request.failure, services.limits.failure_depth_max)
    if request.failure.ByteSize() > services.limits.blob_size_bytes_max:
        request.failure.CopyFrom(too_large(request.failure, services.limits))
    await services.engine.submit(namespace, token.workflow_id, FailWorkflowTask(token, request))
    held = held_by(caller.session)
    if held is not None:
        held.release(token)
    return RespondWorkflowTaskFailedResponse().SerializeToString()


def too_large(failure: Failure, limits: Limits) -> Failure:
    """What stands for a failure that exceeds the limit: its most important parts are the cause."""
    return Failure(
        message=FAILURE_TOO_LARGE,
        server_failure_info=ServerFailureInfo(non_retryable=True),
        cause=failures.truncated(failure, limits.blob_size_bytes_warn),
    )
