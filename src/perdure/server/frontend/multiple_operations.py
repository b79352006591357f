"""ExecuteMultiOperation: a start and an update in one request, which is all that there is of it.

What goes wrong is told of each operation: one that was not at fault itself was aborted.
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status as StatusMessage  # type: ignore[import-untyped]
from temporalio.api.errordetails.v1 import MultiOperationExecutionFailure
from temporalio.api.failure.v1 import MultiOperationExecutionAborted
from temporalio.api.workflowservice.v1 import (
    ExecuteMultiOperationRequest,
    ExecuteMultiOperationResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    UpdateWorkflowExecutionRequest,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend import starting, updating
from perdure.server.frontend.errors import TYPE_URL, failure_of, status_of
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_execution
from perdure.server.machines.errors import (
    FailedPrecondition,
    InvalidArgument,
    Rejected,
    UpdateRefused,
)
from perdure.server.machines.timeouts import default_times
from perdure.server.machines.wire import duration_ns
from perdure.server.machines.workflow.inputs import (
    StartWorkflow,
    UpdateWithStart,
    WorkflowStarted,
)
from perdure.server.namespaces.registry import NamespaceNotFound
from perdure.transport import Caller, CallFailed, Code

METHOD = "ExecuteMultiOperation"
FAILED = "Update-with-Start could not be executed."
OTHER_NAMESPACE = "Operation namespace did not match request's namespace."
OTHER_WORKFLOW = "WorkflowId is not consistent with previous operation(s)."

Refusal = Rejected | NamespaceNotFound
OperationStatus = MultiOperationExecutionFailure.OperationStatus


async def execute_multi_operation(
    services: Services, request: ExecuteMultiOperationRequest, caller: Caller
) -> bytes:
    """Update a workflow, and start it first if it is not running."""
    namespace = services.bind(request.namespace)
    operations = [operation.WhichOneof("operation") for operation in request.operations]
    if operations != ["start_workflow", "update_workflow"]:
        raise InvalidArgument("Operations have to be exactly [Start, Update].")
    start, update = request.operations[0].start_workflow, request.operations[1].update_workflow
    wrong_start = _problem_of_start(services, namespace, start)
    wrong_update = _problem_of_update(
        services, namespace, update, start.workflow_id if wrong_start is None else ""
    )
    if wrong_start is not None or wrong_update is not None:
        raise _failed(wrong_start, wrong_update)
    default_times(start, services.limits)
    if not start.request_id:
        start.request_id = services.ids.uuid()
    try:
        await starting.settle_versions(services, namespace, start)
    except FailedPrecondition as refusal:
        raise _failed(refusal, None) from None
    try:
        started, answer = await services.engine.update_with_start(
            namespace,
            start.workflow_id,
            UpdateWithStart(StartWorkflow(start), updating.update_input(update)),
            stage=update.wait_policy.lifecycle_stage,
            timeout_seconds=updating.wait_seconds(services),
        )
    except UpdateRefused as refused:
        raise _failed(None, refused.refusal, has_started=refused.has_started) from refused
    except Rejected as refusal:
        raise _failed(refusal, None) from refusal
    response = ExecuteMultiOperationResponse()
    # What is answered of an update that was over before has no links.
    has_links = started.is_new or not answer.was_completed
    start_response = response.responses.add().start_workflow
    _tell_start(start_response, namespace, start, started, has_link=has_links)
    update_response = updating.update_response(namespace, update, answer)
    if not has_links:
        update_response.ClearField("link")
    response.responses.add().update_workflow.CopyFrom(update_response)
    return response.SerializeToString()


def _problem_of_start(
    services: Services, namespace: NamespaceRef, request: StartWorkflowExecutionRequest
) -> Refusal | None:
    try:
        if request.namespace and request.namespace != namespace.name:
            raise InvalidArgument(OTHER_NAMESPACE)
        starting.default_policies(request)
        starting.check_start(request, services.limits, namespace)
        if request.cron_schedule:
            raise InvalidArgument("CronSchedule is not allowed.")
        if request.request_eager_execution:
            raise InvalidArgument("RequestEagerExecution is not supported.")
        if duration_ns(request.workflow_start_delay):
            raise InvalidArgument("WorkflowStartDelay is not supported.")
        if not request.namespace:
            raise NamespaceNotFound(request.namespace)
        starting.check_sizes(request, services.limits)
    except (Rejected, NamespaceNotFound) as refusal:
        return refusal
    return None


def _problem_of_update(
    services: Services,
    namespace: NamespaceRef,
    request: UpdateWorkflowExecutionRequest,
    workflow_id: str,
) -> Refusal | None:
    """`workflow_id` is that of the start; "" when that is wrong itself."""
    target = request.workflow_execution
    try:
        if request.namespace and request.namespace != namespace.name:
            raise InvalidArgument(OTHER_NAMESPACE)
        check_execution(request.HasField("workflow_execution"), target)
        updating.check_update(request, services.limits, services.ids)
        if request.first_execution_run_id:
            raise InvalidArgument("FirstExecutionRunId is not allowed.")
        if target.run_id:
            raise InvalidArgument("RunId is not allowed.")
        if workflow_id and target.workflow_id != workflow_id:
            raise InvalidArgument(OTHER_WORKFLOW)
    except Rejected as refusal:
        return refusal
    return None


def _tell_start(
    response: StartWorkflowExecutionResponse,
    namespace: NamespaceRef,
    request: StartWorkflowExecutionRequest,
    started: WorkflowStarted,
    *,
    has_link: bool,
) -> None:
    response.run_id = started.run_id
    response.started = started.is_new
    response.status = started.status  # type: ignore[assignment]
    if started.is_new:
        response.first_execution_run_id = started.first_execution_run_id
    if has_link:
        starting.link_to_start(response, namespace, request.workflow_id)


def _failed(
    start: Refusal | None, update: Refusal | None, *, has_started: bool = False
) -> CallFailed:
    """The status of the whole: its code is that of the first operation that is at fault."""
    causes = [None if cause is None else failure_of(cause, METHOD) for cause in (start, update)]
    code = next(cause.code for cause in causes if cause is not None)
    failure = MultiOperationExecutionFailure(
        statuses=[
            OperationStatus() if has_started and cause is None else _status(cause)
            for cause in causes
        ]
    )
    return CallFailed(code, FAILED, status_of(code, FAILED, failure))


def _status(cause: CallFailed | None) -> OperationStatus:
    if cause is None:
        detail = MultiOperationExecutionAborted.DESCRIPTOR.full_name
        aborted = AnyMessage(type_url=TYPE_URL + detail)
        return OperationStatus(
            code=Code.ABORTED, message="Operation was aborted.", details=[aborted]
        )
    details = StatusMessage.FromString(cause.details).details
    return OperationStatus(code=cause.code, message=cause.message, details=details)
