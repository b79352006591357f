"""SignalWithStartWorkflowExecution."""

from __future__ import annotations

from temporalio.api.common.v1 import Link
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy, event_type_pb2, workflow_pb2
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionResponse,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend import starting
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import (
    check_links,
    check_priority,
    check_search_attributes,
    check_user_queue,
    is_too_long,
)
from perdure.server.machines.activity import retry
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.ports import Limits
from perdure.server.machines.timeouts import default_times
from perdure.server.machines.workflow.inputs import SignalWithStart, StartWorkflow, WorkflowStarted
from perdure.transport import Caller

_SHARED_FIELDS = frozenset(StartWorkflowExecutionRequest.DESCRIPTOR.fields_by_name) & frozenset(
    SignalWithStartWorkflowExecutionRequest.DESCRIPTOR.fields_by_name
)
"""What the request has in common with a plain start."""


async def signal_with_start_workflow_execution(
    services: Services, request: SignalWithStartWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Signal a workflow, and start it first if it is not running."""
    return (await signal_with_start(services, request)).SerializeToString()


def prepare(
    services: Services, namespace: NamespaceRef, request: SignalWithStartWorkflowExecutionRequest
) -> StartWorkflowExecutionRequest:
    """The start that the request asks for, with all defaults. Raises InvalidArgument."""
    start = _start_of(request)
    _default_policies(start)
    _check(request, start, services.limits, namespace)
    default_times(start, services.limits)
    return start


async def signal_with_start(
    services: Services, request: SignalWithStartWorkflowExecutionRequest
) -> SignalWithStartWorkflowExecutionResponse:
    """The same, whoever asks for it."""
    namespace = services.bind_for_start(request.namespace)
    start = prepare(services, namespace, request)
    if not start.request_id:
        start.request_id = services.ids.uuid()
    signal = SignalWorkflowExecutionRequest(
        signal_name=request.signal_name,
        input=request.signal_input if request.HasField("signal_input") else None,
        identity=request.identity,
        request_id=start.request_id,
        header=request.header if request.HasField("header") else None,
        links=request.links,
    )
    await starting.settle_versions(services, namespace, start)
    reply = await services.engine.submit(
        namespace, start.workflow_id, SignalWithStart(StartWorkflow(start), signal)
    )
    if not isinstance(reply, WorkflowStarted):
        raise InvariantViolation(f"a signal with start was answered by {type(reply).__name__}")
    event = Link.WorkflowEvent(
        namespace=namespace.name,
        workflow_id=start.workflow_id,
        run_id=reply.run_id,
        request_id_ref=Link.WorkflowEvent.RequestIdReference(
            request_id=start.request_id,
            event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        ),
    )
    return SignalWithStartWorkflowExecutionResponse(
        run_id=reply.run_id,
        first_execution_run_id=reply.first_execution_run_id,
        started=reply.is_new,
        signal_link=Link(workflow_event=event),
    )


def _start_of(request: SignalWithStartWorkflowExecutionRequest) -> StartWorkflowExecutionRequest:
    """The start that the request asks for, whole."""
    start = StartWorkflowExecutionRequest()
    for field, value in request.ListFields():
        if field.name not in _SHARED_FIELDS:
            continue
        if field.is_repeated:
            getattr(start, field.name).extend(value)
        elif field.message_type is not None:
            getattr(start, field.name).CopyFrom(value)
        else:
            setattr(start, field.name, value)
    return start


def _default_policies(start: StartWorkflowExecutionRequest) -> None:
    """A running workflow is signalled, unless the request says otherwise."""
    is_unspecified = not start.workflow_id_conflict_policy
    starting.default_policies(start)
    fail = workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_FAIL
    if is_unspecified and start.workflow_id_conflict_policy == fail:
        start.workflow_id_conflict_policy = workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING


def _check(
    request: SignalWithStartWorkflowExecutionRequest,
    start: StartWorkflowExecutionRequest,
    limits: Limits,
    namespace: NamespaceRef,
) -> None:
    """In the order of the real server."""
    _check_length("WorkflowId", start.workflow_id, limits, "WorkflowId is not set on request.")
    starting.check_schedule(start)
    _check_length("signal name", request.signal_name, limits, "signal not set")
    _check_length("workflow type name", start.workflow_type.name, limits, "workflow type not set")
    check_user_queue(start.HasField("task_queue"), start.task_queue, limits)
    _check_length("Request ID", start.request_id, limits)
    starting.check_timeouts(start)
    if start.HasField("retry_policy"):
        retry.with_defaults(start.retry_policy)
        if problem := retry.validate(start.retry_policy):
            raise InvalidArgument(problem)
    starting.check_policies(start)
    _check_conflict_policy(start)
    check_search_attributes(start.search_attributes, namespace, limits)
    check_priority(start.priority)
    check_links(start.links, limits)
    starting.check_unbuilt(start)
    if request.signal_input.ByteSize() > limits.blob_size_bytes_max:
        raise InvalidArgument("Blob data size exceeds limit.")
    starting.check_sizes(start, limits)


def _check_length(what: str, text: str, limits: Limits, refusal: str = "") -> None:
    if not text and refusal:
        raise InvalidArgument(refusal)
    if is_too_long(text, limits.id_length_max):
        size = len(text.encode())
        raise InvalidArgument(
            f"{what} exceeds maximum allowed length ({size}/{limits.id_length_max})"
        )


def _check_conflict_policy(start: StartWorkflowExecutionRequest) -> None:
    policy = start.workflow_id_conflict_policy
    if policy == workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_FAIL:
        name = WorkflowIdConflictPolicy.Name(policy)
        raise InvalidArgument(
            f"Invalid WorkflowIDConflictPolicy: {name} is not supported for this operation."
        )
