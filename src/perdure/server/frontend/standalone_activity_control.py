"""What is done to an activity without a workflow while it runs: cancel, terminate, delete, pause,
unpause, reset, other options. The last four can name an activity of a workflow as well."""

from __future__ import annotations

import hashlib
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DeleteActivityExecutionRequest,
    DeleteActivityExecutionResponse,
    PauseActivityExecutionRequest,
    PauseActivityExecutionResponse,
    PauseActivityRequest,
    RequestCancelActivityExecutionRequest,
    RequestCancelActivityExecutionResponse,
    ResetActivityExecutionRequest,
    ResetActivityExecutionResponse,
    ResetActivityRequest,
    TerminateActivityExecutionRequest,
    TerminateActivityExecutionResponse,
    UnpauseActivityExecutionRequest,
    UnpauseActivityExecutionResponse,
    UnpauseActivityRequest,
    UpdateActivityExecutionOptionsRequest,
    UpdateActivityExecutionOptionsResponse,
    UpdateActivityOptionsRequest,
    UpdateActivityOptionsResponse,
)

from perdure.server.frontend import activity_control
from perdure.server.frontend.services import Services
from perdure.server.frontend.standalone_activities import bind
from perdure.server.frontend.validation import check_priority
from perdure.server.machines import durations
from perdure.server.machines.activity.options import check_paths
from perdure.server.machines.errors import InvalidArgument, InvariantViolation
from perdure.server.machines.standalone.inputs import RequestCancel, Terminate
from perdure.server.machines.standalone_activity import inputs
from perdure.transport import Caller


async def request_cancel_activity_execution(
    services: Services, request: RequestCancelActivityExecutionRequest, caller: Caller
) -> bytes:
    """Ask a run to cancel."""
    message = RequestCancel(
        request.run_id, request.identity, _request_id(services, request), request.reason
    )
    await _ask(services, request, message)
    return RequestCancelActivityExecutionResponse().SerializeToString()


async def terminate_activity_execution(
    services: Services, request: TerminateActivityExecutionRequest, caller: Caller
) -> bytes:
    """End a run at once."""
    message = Terminate(
        request.run_id, request.identity, _request_id(services, request), request.reason
    )
    await _ask(services, request, message)
    return TerminateActivityExecutionResponse().SerializeToString()


async def delete_activity_execution(
    services: Services, request: DeleteActivityExecutionRequest, caller: Caller
) -> bytes:
    """Forget a run."""
    namespace, whom = bind(services, request)
    await services.engine.delete(namespace, whom, request.run_id)
    return DeleteActivityExecutionResponse().SerializeToString()


async def pause_activity_execution(
    services: Services, request: PauseActivityExecutionRequest, caller: Caller
) -> bytes:
    """Do not start a run, or not again."""
    if request.workflow_id:
        bind(services, request)
        of_workflow = PauseActivityRequest(
            **_of_workflow(request), reason=request.reason, request_id=request.request_id
        )
        await activity_control.pause_activity(services, of_workflow, caller)
    else:
        message = inputs.Pause(
            request.run_id, request.identity, _request_id(services, request), request.reason
        )
        await _ask(services, request, message)
    return PauseActivityExecutionResponse().SerializeToString()


async def unpause_activity_execution(
    services: Services, request: UnpauseActivityExecutionRequest, caller: Caller
) -> bytes:
    """Go on with a run that is paused."""
    if request.workflow_id:
        bind(services, request)
        of_workflow = UnpauseActivityRequest(**_of_workflow(request), jitter=request.jitter)
        await activity_control.unpause_activity(services, of_workflow, caller)
    else:
        bind(services, request)
        message = inputs.Unpause(
            request.run_id, _share(services, request.jitter), request_id=request.request_id
        )
        await _ask(services, request, message)
    return UnpauseActivityExecutionResponse().SerializeToString()


async def reset_activity_execution(
    services: Services, request: ResetActivityExecutionRequest, caller: Caller
) -> bytes:
    """Begin a run again."""
    if request.workflow_id:
        bind(services, request)
        of_workflow = ResetActivityRequest(
            **_of_workflow(request),
            jitter=request.jitter,
            keep_paused=request.keep_paused,
            reset_heartbeat=request.reset_heartbeat,
            restore_original_options=request.restore_original_options,
        )
        await activity_control.reset_activity(services, of_workflow, caller)
    else:
        bind(services, request)
        message = inputs.Reset(
            request.run_id,
            _share(services, request.jitter),
            resets_heartbeat=request.reset_heartbeat,
            keeps_paused=request.keep_paused,
            restores_options=request.restore_original_options,
            request_id=request.request_id,
        )
        await _ask(services, request, message)
    return ResetActivityExecutionResponse().SerializeToString()


async def update_activity_execution_options(
    services: Services, request: UpdateActivityExecutionOptionsRequest, caller: Caller
) -> bytes:
    """Give a run other options, and answer with those that hold now."""
    bind(services, request)
    if request.workflow_id:
        of_workflow = UpdateActivityOptionsRequest(
            **_of_workflow(request), restore_original=request.restore_original
        )
        for name in ("activity_options", "update_mask"):
            if request.HasField(name):
                getattr(of_workflow, name).CopyFrom(getattr(request, name))
        answer = await activity_control.update_activity_options(services, of_workflow, caller)
        options = UpdateActivityOptionsResponse.FromString(answer).activity_options
    else:
        options = await _set_options(services, request)
    return UpdateActivityExecutionOptionsResponse(activity_options=options).SerializeToString()


async def _set_options(
    services: Services, request: UpdateActivityExecutionOptionsRequest
) -> ActivityOptions:
    check_priority(request.activity_options.priority)
    if request.restore_original:
        if request.update_mask.paths:
            raise InvalidArgument("Both UpdateMask and RestoreOriginal are provided")
        message = inputs.SetOptions(request.run_id, None)
    else:
        if not request.HasField("activity_options"):
            raise InvalidArgument("ActivityOptions are not provided")
        if not request.HasField("update_mask"):
            raise InvalidArgument("UpdateMask is not provided")
        paths = tuple(request.update_mask.paths)
        check_paths(paths)
        message = inputs.SetOptions(request.run_id, request.activity_options, paths)
    reply = await _ask(services, request, message)
    if not isinstance(reply, inputs.OptionsSet):
        raise InvariantViolation(f"an update of options was answered by {type(reply).__name__}")
    return ActivityOptions.FromString(reply.options)


def _of_workflow(request: Any) -> dict[str, Any]:
    """What names an activity of a workflow in the call that is for those."""
    return {
        "namespace": request.namespace,
        "execution": WorkflowExecution(workflow_id=request.workflow_id, run_id=request.run_id),
        "id": request.activity_id,
        "identity": request.identity,
    }


async def _ask(services: Services, request: Any, message: Any) -> Any:
    namespace, whom = bind(services, request)
    return await services.engine.ask(namespace, whom, message)


def _request_id(services: Services, request: Any) -> str:
    return request.request_id or services.ids.uuid()


def _share(services: Services, jitter: Duration) -> int:
    """How much of a jitter one call waits, in nanoseconds. Raises InvalidArgument."""
    if problem := durations.problem_of(jitter):
        raise InvalidArgument(f"invalid jitter: {problem}")
    jitter_ns = durations.capped_ns(jitter)
    if jitter_ns <= 0:
        return 0
    digest = hashlib.sha1(services.ids.uuid().encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") % jitter_ns
