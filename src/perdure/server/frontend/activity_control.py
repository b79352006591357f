"""PauseActivity, UnpauseActivity, ResetActivity and UpdateActivityOptions, of a workflow's
activities."""

from __future__ import annotations

from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    PauseActivityResponse,
    ResetActivityRequest,
    ResetActivityResponse,
    UnpauseActivityRequest,
    UnpauseActivityResponse,
    UpdateActivityOptionsRequest,
    UpdateActivityOptionsResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_priority, is_uuid
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.workflow.inputs import (
    Input,
    PauseActivity,
    Reply,
    ResetActivity,
    UnpauseActivity,
    UpdateActivityOptions,
    UpdatedActivityOptions,
)
from perdure.transport import Caller

Request = (
    PauseActivityRequest
    | UnpauseActivityRequest
    | ResetActivityRequest
    | UpdateActivityOptionsRequest
)


async def pause_activity(
    services: Services, request: PauseActivityRequest, caller: Caller
) -> bytes:
    """Do not start activities, or not again."""
    namespace = _bind(services, request)
    await _submit(services, namespace, request, PauseActivity(request.execution.run_id, request))
    return PauseActivityResponse().SerializeToString()


async def unpause_activity(
    services: Services, request: UnpauseActivityRequest, caller: Caller
) -> bytes:
    """Go on with activities that are paused."""
    namespace = _bind(services, request)
    message = UnpauseActivity(request.execution.run_id, request, services.ids.uuid())
    await _submit(services, namespace, request, message)
    return UnpauseActivityResponse().SerializeToString()


async def reset_activity(
    services: Services, request: ResetActivityRequest, caller: Caller
) -> bytes:
    """Begin activities again."""
    namespace = _bind(services, request)
    message = ResetActivity(request.execution.run_id, request, services.ids.uuid())
    await _submit(services, namespace, request, message)
    return ResetActivityResponse().SerializeToString()


async def update_activity_options(
    services: Services, request: UpdateActivityOptionsRequest, caller: Caller
) -> bytes:
    """Give activities other options, and answer with those that hold now."""
    namespace = _bind(services, request)
    check_priority(request.activity_options.priority)
    if request.restore_original and request.update_mask.paths:
        raise InvalidArgument("Both UpdateMask and RestoreOriginal are provided")
    message = UpdateActivityOptions(request.execution.run_id, request)
    reply = await _submit(services, namespace, request, message)
    if not isinstance(reply, UpdatedActivityOptions):
        raise InvariantViolation(f"an update of options was answered by {type(reply).__name__}")
    return UpdateActivityOptionsResponse(
        activity_options=ActivityOptions.FromString(reply.options)
    ).SerializeToString()


def _bind(services: Services, request: Request) -> NamespaceRef:
    namespace = services.bind(request.namespace)
    if not request.execution.workflow_id:
        raise InvalidArgument("WorkflowId is not set on request.")
    if request.WhichOneof("activity") is None:
        raise InvalidArgument("Either Activity.Id or Activity.Type should be set on request.")
    if request.execution.run_id and not is_uuid(request.execution.run_id):
        raise InvalidArgument("RunId is not valid UUID.")
    return namespace


async def _submit(
    services: Services, namespace: NamespaceRef, request: Request, message: Input
) -> Reply:
    return await services.engine.submit(namespace, request.execution.workflow_id, message)
