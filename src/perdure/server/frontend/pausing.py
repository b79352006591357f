"""PauseWorkflowExecution, which is off unless the configuration says otherwise, and
UnpauseWorkflowExecution."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    PauseWorkflowExecutionRequest,
    PauseWorkflowExecutionResponse,
    UnpauseWorkflowExecutionRequest,
    UnpauseWorkflowExecutionResponse,
)

from perdure.server.frontend import switched_off
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import is_too_long, is_uuid
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import Limits
from perdure.server.machines.workflow.inputs import PauseWorkflow, UnpauseWorkflow
from perdure.transport import Caller


async def pause_workflow_execution(
    services: Services, request: PauseWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Let a workflow do nothing until it is unpaused."""
    namespace = services.bind(request.namespace)
    if not services.limits.is_workflow_pause_enabled:
        raise switched_off.refusal("PauseWorkflowExecution", request.namespace)
    _check(request, services.limits)
    await services.engine.submit(
        namespace, request.workflow_id, PauseWorkflow(request.run_id, request)
    )
    return PauseWorkflowExecutionResponse().SerializeToString()


async def unpause_workflow_execution(
    services: Services, request: UnpauseWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Let a paused workflow go on."""
    namespace = services.bind(request.namespace)
    _check(request, services.limits)
    await services.engine.submit(
        namespace, request.workflow_id, UnpauseWorkflow(request.run_id, request)
    )
    return UnpauseWorkflowExecutionResponse().SerializeToString()


def _check(
    request: PauseWorkflowExecutionRequest | UnpauseWorkflowExecutionRequest, limits: Limits
) -> None:
    for what, text in (
        ("reason", request.reason),
        ("request id", request.request_id),
        ("identity", request.identity),
    ):
        if is_too_long(text, limits.id_length_max):
            raise InvalidArgument(f"{what} is too long.")
    if not request.workflow_id:
        raise InvalidArgument("Can't load workflow execution.  WorkflowId not set.")
    if request.run_id and not is_uuid(request.run_id):
        raise InvalidArgument("RunId is not valid UUID.")
