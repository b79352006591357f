"""StartWorkflowExecution."""

from __future__ import annotations

from temporalio.api.enums.v1 import deployment_pb2, event_type_pb2, workflow_pb2
from temporalio.api.workflowservice.v1 import (
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend import responses
from perdure.server.frontend.callbacks import check_callbacks
from perdure.server.frontend.errors import Unimplemented
from perdure.server.frontend.overrides import check_version, reactivate
from perdure.server.frontend.services import Services
from perdure.server.frontend.switched_off import NO_TIME_SKIPPING
from perdure.server.frontend.validation import (
    check_duration,
    check_links,
    check_priority,
    check_search_attributes,
    check_user_queue,
    is_too_long,
)
from perdure.server.machines.activity import retry
from perdure.server.machines.activity.failures import cut_causes
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.ports import Limits
from perdure.server.machines.schedule import cron
from perdure.server.machines.timeouts import default_times
from perdure.server.machines.workflow.inputs import StartWorkflow, WorkflowStarted
from perdure.server.machines.workflow.overrides import check_override, to_new_form
from perdure.transport import Caller

_EAGER_TASK = StartWorkflowExecutionResponse.EAGER_WORKFLOW_TASK_FIELD_NUMBER
VERSIONED = deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED
_REUSE_TERMINATE = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING
_ATTACHED = event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED
_CONFLICT_TERMINATE = workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING


async def start_workflow_execution(
    services: Services, request: StartWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Start a run, or answer with the one that the policies of the request lead to."""
    namespace = services.bind_for_start(request.namespace)
    default_policies(request)
    check_start(request, services.limits, namespace)
    check_sizes(request, services.limits)
    default_times(request, services.limits)
    if not request.request_id:
        request.request_id = services.ids.uuid()
    await settle_versions(services, namespace, request)
    reply = await services.engine.submit(namespace, request.workflow_id, StartWorkflow(request))
    if not isinstance(reply, WorkflowStarted):
        raise InvariantViolation(f"a start was answered by {type(reply).__name__}")
    if request.HasField("versioning_override"):
        await reactivate(services, namespace, request.versioning_override)
    return await _respond(services, namespace, request.workflow_id, request.request_id, reply)


async def settle_versions(
    services: Services, namespace: NamespaceRef, request: StartWorkflowExecutionRequest
) -> None:
    """An override must name a version that there is; and a worker gets its task with the answer
    only where no other version could be meant. Raises FailedPrecondition."""
    queue = request.task_queue.name
    if request.HasField("versioning_override"):
        await check_version(services, namespace, queue, request.versioning_override)
    if request.request_eager_execution:
        options = request.eager_worker_deployment_options
        is_versioned = options.worker_versioning_mode == VERSIONED
        if is_versioned or services.engine.deployments.versions_of(namespace, queue):
            request.request_eager_execution = False


def default_policies(request: StartWorkflowExecutionRequest) -> None:
    """Fill in the policies; the deprecated reuse policy becomes the conflict policy that replaced
    it."""
    if not request.workflow_id_conflict_policy:
        if request.workflow_id_reuse_policy == _REUSE_TERMINATE:
            request.workflow_id_conflict_policy = _CONFLICT_TERMINATE
            request.workflow_id_reuse_policy = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
        else:
            request.workflow_id_conflict_policy = workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_FAIL
    if not request.workflow_id_reuse_policy:
        request.workflow_id_reuse_policy = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE


def check_start(
    request: StartWorkflowExecutionRequest, limits: Limits, namespace: NamespaceRef
) -> None:
    """Everything but sizes, in the order of the real server, so that a request with several faults
    gets the same answer."""
    length_max = limits.id_length_max
    if not request.workflow_id:
        raise InvalidArgument("WorkflowId is not set on request.")
    if is_too_long(request.workflow_id, length_max):
        size = len(request.workflow_id.encode())
        raise InvalidArgument(f"WorkflowId exceeds maximum allowed length ({size}/{length_max})")
    if request.HasField("retry_policy"):
        retry.with_defaults(request.retry_policy)
        if problem := retry.validate(request.retry_policy):
            raise InvalidArgument(problem)
    check_schedule(request)
    if not request.workflow_type.name:
        raise InvalidArgument("WorkflowType is not set on request.")
    if is_too_long(request.workflow_type.name, length_max):
        raise InvalidArgument("WorkflowType length exceeds limit.")
    check_user_queue(request.HasField("task_queue"), request.task_queue, limits)
    check_timeouts(request)
    if is_too_long(request.request_id, length_max):
        raise InvalidArgument("RequestId length exceeds limit.")
    check_policies(request)
    check_search_attributes(request.search_attributes, namespace, limits)
    check_priority(request.priority)
    if request.completion_callbacks:
        check_callbacks(request, limits)
    check_links(request.links, limits)
    check_unbuilt(request)
    cut_causes(request.continued_failure, limits.failure_depth_max)


def check_sizes(request: StartWorkflowExecutionRequest, limits: Limits) -> None:
    """Input and memo must not be too large."""
    if request.input.ByteSize() > limits.blob_size_bytes_max:
        raise InvalidArgument("Blob data size exceeds limit.")
    if request.memo.ByteSize() > limits.memo_size_bytes_max:
        raise InvalidArgument("Memo size exceeds limit.")


def check_schedule(request: StartWorkflowExecutionRequest) -> None:
    """A cron schedule must be one, and goes with no delay."""
    if problem := cron.validate(request.cron_schedule):
        raise InvalidArgument(problem)
    if request.cron_schedule and request.HasField("workflow_start_delay"):
        raise InvalidArgument("CronSchedule and WorkflowStartDelay may not be used together.")
    if request.HasField("workflow_start_delay"):
        check_duration(
            request.workflow_start_delay,
            "An invalid WorkflowStartDelaySeconds is set on request.",
        )


def check_timeouts(request: StartWorkflowExecutionRequest) -> None:
    """Timeouts must be durations."""
    for field, words in (
        ("workflow_execution_timeout", "WorkflowExecutionTimeoutSeconds"),
        ("workflow_run_timeout", "WorkflowRunTimeoutSeconds"),
        ("workflow_task_timeout", "WorkflowTaskTimeoutSeconds"),
    ):
        if request.HasField(field):  # type: ignore[arg-type]
            check_duration(getattr(request, field), f"An invalid {words} is set on request.")


def check_policies(request: StartWorkflowExecutionRequest) -> None:
    """Policies must not contradict each other."""
    reuse, conflict = request.workflow_id_reuse_policy, request.workflow_id_conflict_policy
    if reuse == _REUSE_TERMINATE:
        raise InvalidArgument(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING"
            " cannot be used together with a WorkflowIDConflictPolicy"
        )
    if (
        conflict == _CONFLICT_TERMINATE
        and reuse == workflow_pb2.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
    ):
        raise InvalidArgument(
            "Invalid WorkflowIDReusePolicy: WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE cannot be"
            " used together with WorkflowIdConflictPolicy"
            " WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"
        )
    options = request.on_conflict_options
    if options.attach_completion_callbacks and not options.attach_request_id:
        raise InvalidArgument("attaching request ID is required for attaching completion callbacks")


def check_unbuilt(request: StartWorkflowExecutionRequest) -> None:
    """What would silently not happen is refused, and so is an override that says nothing."""
    if request.HasField("time_skipping_config"):
        raise Unimplemented(NO_TIME_SKIPPING)
    if request.HasField("versioning_override"):
        check_override(request.versioning_override)
        to_new_form(request.versioning_override)


async def _respond(
    services: Services,
    namespace: NamespaceRef,
    workflow_id: str,
    request_id: str,
    reply: WorkflowStarted,
) -> bytes:
    answer = StartWorkflowExecutionResponse()
    answer.run_id = reply.run_id
    answer.first_execution_run_id = reply.first_execution_run_id
    answer.started = reply.is_new
    answer.status = reply.status  # type: ignore[assignment]
    if reply.is_attached:
        event = answer.link.workflow_event
        event.namespace = namespace.name
        event.workflow_id = workflow_id
        event.run_id = reply.run_id
        event.request_id_ref.request_id = request_id
        event.request_id_ref.event_type = _ATTACHED
    else:
        link_to_start(answer, namespace, workflow_id)
    response = answer.SerializeToString()
    if reply.eager_task is None:
        return response
    ready = await services.engine.with_history(namespace, workflow_id, reply.eager_task)
    return response + responses.embedded(_EAGER_TASK, responses.workflow_task(ready))


def link_to_start(
    answer: StartWorkflowExecutionResponse, namespace: NamespaceRef, workflow_id: str
) -> None:
    """Add the link to the first event of the run that is answered."""
    event = answer.link.workflow_event
    event.namespace = namespace.name
    event.workflow_id = workflow_id
    event.run_id = answer.run_id
    event.event_ref.event_id = 1
    event.event_ref.event_type = event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
