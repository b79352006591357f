"""What clients ask of a workflow: SignalWorkflowExecution, RequestCancel-,
TerminateWorkflowExecution, ResetStickyTaskQueue."""

from __future__ import annotations

from temporalio.api.common.v1 import Link
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionResponse,
    ResetStickyTaskQueueRequest,
    ResetStickyTaskQueueResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
    TerminateWorkflowExecutionResponse,
)

from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_execution, check_links, is_too_long
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.workflow.inputs import (
    CancelWorkflow,
    Done,
    ResetSticky,
    SignalWorkflow,
    TerminateWorkflow,
)
from perdure.transport import Caller

DEFAULT_TERMINATE_REASON = "terminated by user via frontend"
DEFAULT_TERMINATE_IDENTITY = "frontend-service"


async def signal_workflow_execution(
    services: Services, request: SignalWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Deliver a signal, once per request id."""
    namespace = services.bind(request.namespace)
    target = request.workflow_execution
    limits = services.limits
    check_execution(request.HasField("workflow_execution"), target)
    if not request.signal_name:
        raise InvalidArgument("SignalName is not set on request.")
    if is_too_long(request.signal_name, limits.id_length_max):
        raise InvalidArgument("SignalName length exceeds limit.")
    if is_too_long(request.request_id, limits.id_length_max):
        raise InvalidArgument("RequestId length exceeds limit.")
    check_links(request.links, services.limits)
    if request.input.ByteSize() > limits.blob_size_bytes_max:
        raise InvalidArgument("Blob data size exceeds limit.")
    reply = await services.engine.submit(
        namespace, target.workflow_id, SignalWorkflow(target.run_id, request)
    )
    if not isinstance(reply, Done):
        raise InvariantViolation(f"a signal was answered by {type(reply).__name__}")
    link = Link(
        workflow_event=Link.WorkflowEvent(
            namespace=namespace.name,
            workflow_id=target.workflow_id,
            run_id=reply.run_id or target.run_id,
            request_id_ref=Link.WorkflowEvent.RequestIdReference(
                request_id=request.request_id,
                event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
            ),
        )
    )
    return SignalWorkflowExecutionResponse(link=link).SerializeToString()


async def request_cancel_workflow_execution(
    services: Services, request: RequestCancelWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Ask a workflow to cancel."""
    namespace = services.bind(request.namespace)
    target = request.workflow_execution
    check_execution(request.HasField("workflow_execution"), target)
    check_links(request.links, services.limits)
    await services.engine.submit(
        namespace, target.workflow_id, CancelWorkflow(_run_of(request), request)
    )
    return RequestCancelWorkflowExecutionResponse().SerializeToString()


async def terminate_workflow_execution(
    services: Services, request: TerminateWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """End a run at once."""
    namespace = services.bind(request.namespace)
    target = request.workflow_execution
    check_execution(request.HasField("workflow_execution"), target)
    check_links(request.links, services.limits)
    if not request.reason:
        request.reason = DEFAULT_TERMINATE_REASON
    if not request.identity:
        request.identity = DEFAULT_TERMINATE_IDENTITY
    await services.engine.submit(
        namespace, target.workflow_id, TerminateWorkflow(_run_of(request), request)
    )
    return TerminateWorkflowExecutionResponse().SerializeToString()


def _run_of(
    request: RequestCancelWorkflowExecutionRequest | TerminateWorkflowExecutionRequest,
) -> str:
    """A request that names a chain of runs is about its newest one, whichever it names besides."""
    return "" if request.first_execution_run_id else request.workflow_execution.run_id


async def reset_sticky_task_queue(
    services: Services, request: ResetStickyTaskQueueRequest, caller: Caller
) -> bytes:
    """Forget which worker has the run in its cache."""
    namespace = services.bind(request.namespace)
    check_execution(request.HasField("execution"), request.execution)
    await services.engine.submit(
        namespace, request.execution.workflow_id, ResetSticky(request.execution.run_id)
    )
    return ResetStickyTaskQueueResponse().SerializeToString()
