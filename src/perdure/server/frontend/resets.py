"""ResetWorkflowExecution and DeleteWorkflowExecution."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DeleteWorkflowExecutionResponse,
    ResetWorkflowExecutionRequest,
    ResetWorkflowExecutionResponse,
)

from perdure.server.frontend.options import check_operations
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_execution, is_too_long
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import Address, Kind
from perdure.transport import Caller


async def reset_workflow_execution(
    services: Services, request: ResetWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Begin a run with the history of another, up to a workflow task."""
    namespace = services.bind(request.namespace)
    target = request.workflow_execution
    check_execution(request.HasField("workflow_execution"), target)
    if not request.request_id:
        raise InvalidArgument("RequestId is not set on request.")
    if is_too_long(request.request_id, services.limits.id_length_max):
        raise InvalidArgument("RequestId length exceeds limit.")
    if request.workflow_task_finish_event_id <= 1:
        raise InvalidArgument("Workflow task finish ID must be > 1 && <= workflow last event ID.")
    check_operations(request.post_reset_operations)
    run_id = await services.engine.reset(namespace, target.workflow_id, request)
    return ResetWorkflowExecutionResponse(run_id=run_id).SerializeToString()


async def delete_workflow_execution(
    services: Services, request: DeleteWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Forget a run, which ends first if it is open."""
    namespace = services.bind(request.namespace)
    target = request.workflow_execution
    check_execution(request.HasField("workflow_execution"), target)
    await services.engine.delete(
        namespace, Address(Kind.WORKFLOW, target.workflow_id), target.run_id
    )
    return DeleteWorkflowExecutionResponse().SerializeToString()
