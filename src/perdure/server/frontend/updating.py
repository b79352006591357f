"""UpdateWorkflowExecution and PollWorkflowExecutionUpdate.

Both wait for a stage of the update, but no longer than a slice: an answer with an earlier stage
means "ask again". A caller that has less time than that hears nothing when it is over.
"""

from __future__ import annotations

from temporalio.api.common.v1 import Link, WorkflowExecution
from temporalio.api.enums.v1 import event_type_pb2, update_pb2
from temporalio.api.update.v1 import Outcome, UpdateRef
from temporalio.api.workflowservice.v1 import (
    PollWorkflowExecutionUpdateRequest,
    PollWorkflowExecutionUpdateResponse,
    UpdateWorkflowExecutionRequest,
    UpdateWorkflowExecutionResponse,
)

from perdure.server.engine.api import NamespaceRef, UpdateAnswer
from perdure.server.frontend.callbacks import check_each
from perdure.server.frontend.errors import PermissionDenied
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_execution, is_too_long, is_uuid
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.wire import SECOND_NS
from perdure.server.machines.workflow.inputs import PollUpdate, UpdateStage, UpdateWorkflow
from perdure.transport import Caller

ADMITTED_REFUSED = (
    "UpdateWorkflowExecution issued asynchronously and waiting on update admitted is not supported."
)
NO_REQUEST_ID = "invalid *update.Request: request_id is required when completion_callbacks are set"
_COMPLETED = update_pb2.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
REJECTED = "Update rejected"


async def update_workflow_execution(
    services: Services, request: UpdateWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Send an update, once per id, and wait for it."""
    namespace = services.bind(request.namespace)
    check_execution(request.HasField("workflow_execution"), request.workflow_execution)
    check_update(request, services.limits, services.ids)
    answer = await services.engine.update(
        namespace,
        request.workflow_execution.workflow_id,
        update_input(request),
        stage=request.wait_policy.lifecycle_stage,
        timeout_seconds=wait_seconds(services),
    )
    return update_response(namespace, request, answer).SerializeToString()


async def poll_workflow_execution_update(
    services: Services, request: PollWorkflowExecutionUpdateRequest, caller: Caller
) -> bytes:
    """Ask for the outcome of an update, and wait for it."""
    namespace = services.bind(request.namespace)
    if not request.HasField("update_ref"):
        raise InvalidArgument("UpdateRef is not set on request.")
    ref = request.update_ref
    if not ref.workflow_execution.workflow_id:
        raise InvalidArgument("Can't load workflow execution.  WorkflowId not set.")
    _check_run_id(ref.workflow_execution.run_id)
    answer = await services.engine.update(
        namespace,
        ref.workflow_execution.workflow_id,
        PollUpdate(ref.workflow_execution.run_id, ref.update_id),
        stage=request.wait_policy.lifecycle_stage,
        timeout_seconds=wait_seconds(services),
    )
    return PollWorkflowExecutionUpdateResponse(
        outcome=_outcome(answer),
        stage=answer.stage,  # type: ignore[arg-type]
        update_ref=_ref(ref.workflow_execution.workflow_id, answer),
    ).SerializeToString()


def check_update(request: UpdateWorkflowExecutionRequest, limits: Limits, ids: Ids) -> None:
    """In the order of the real server; fills in what may be left out: who names no stage waits for
    the outcome."""
    update = request.request
    if not update.HasField("meta"):
        raise InvalidArgument("Update meta is not set on request.")
    if is_too_long(update.meta.update_id, limits.id_length_max):
        raise InvalidArgument("UpdateId length exceeds limit.")
    if not update.meta.update_id:
        update.meta.update_id = ids.uuid()
    if not update.HasField("input"):
        raise InvalidArgument("Update input is not set on request.")
    if not update.input.name:
        raise InvalidArgument("Update name is not set on request.")
    if update.completion_callbacks:
        if not update.request_id:
            raise InvalidArgument(NO_REQUEST_ID)
        if limits.are_update_callbacks_enabled:
            check_each(update.completion_callbacks, limits)
    if request.wait_policy.lifecycle_stage == int(UpdateStage.ADMITTED):
        raise PermissionDenied(ADMITTED_REFUSED)
    if not request.wait_policy.lifecycle_stage:
        request.wait_policy.lifecycle_stage = _COMPLETED


def wait_seconds(services: Services) -> float:
    """How long a call waits before it is answered with the stage that was reached."""
    return services.limits.history_poll_ns_max / SECOND_NS


def update_input(request: UpdateWorkflowExecutionRequest) -> UpdateWorkflow:
    """What the machine is asked to decide on."""
    return UpdateWorkflow(
        run_id=request.workflow_execution.run_id,
        update_id=request.request.meta.update_id,
        request=request.request.SerializeToString(deterministic=True),
        first_execution_run_id=request.first_execution_run_id,
    )


def update_response(
    namespace: NamespaceRef, request: UpdateWorkflowExecutionRequest, answer: UpdateAnswer
) -> UpdateWorkflowExecutionResponse:
    """The answer, with a link to what became of the update."""
    workflow_id = request.workflow_execution.workflow_id
    response = UpdateWorkflowExecutionResponse(
        update_ref=_ref(workflow_id, answer),
        outcome=_outcome(answer),
        stage=answer.stage,  # type: ignore[arg-type]
    )
    if answer.stage == UpdateStage.ADMITTED:
        return response
    if response.outcome.failure.ByteSize():
        response.link.workflow.CopyFrom(
            Link.Workflow(
                namespace=namespace.name,
                workflow_id=workflow_id,
                run_id=answer.run_id,
                reason=REJECTED,
            )
        )
    else:
        event = response.link.workflow_event
        event.namespace = namespace.name
        event.workflow_id = workflow_id
        event.run_id = answer.run_id
        event.request_id_ref.request_id = request.request.request_id
        event.request_id_ref.event_type = (
            event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
        )
    return response


def _ref(workflow_id: str, answer: UpdateAnswer) -> UpdateRef:
    return UpdateRef(
        workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=answer.run_id),
        update_id=answer.update_id,
    )


def _outcome(answer: UpdateAnswer) -> Outcome | None:
    return None if answer.outcome is None else Outcome.FromString(answer.outcome)


def _check_run_id(run_id: str) -> None:
    if run_id and not is_uuid(run_id):
        raise InvalidArgument("RunId is not valid UUID.")
