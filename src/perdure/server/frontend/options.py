"""UpdateWorkflowExecutionOptions, and the options that come with a reset."""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflow.v1 import (
    PostResetOperation,
    VersioningOverride,
    WorkflowExecutionOptions,
)
from temporalio.api.workflowservice.v1 import (
    UpdateWorkflowExecutionOptionsRequest,
    UpdateWorkflowExecutionOptionsResponse,
)

from perdure.server.frontend.errors import Unimplemented
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_priority, is_uuid
from perdure.server.machines.errors import FailedPrecondition, InvalidArgument, InvariantViolation
from perdure.server.machines.workflow.inputs import UpdatedWorkflowOptions, UpdateWorkflowOptions
from perdure.server.machines.workflow.options import bad_path
from perdure.transport import Caller

_OPERATION_NAMES = {
    "signal_workflow": "*workflow.PostResetOperation_SignalWorkflow_",
    None: "<nil>",
}
"""Operations after a reset that the real server refuses, as it names them."""


async def update_workflow_execution_options(
    services: Services, request: UpdateWorkflowExecutionOptionsRequest, caller: Caller
) -> bytes:
    """Change the options of a run that a mask names."""
    namespace = services.bind(request.namespace)
    target = request.workflow_execution
    _check_target(target)
    options = request.workflow_execution_options
    if not request.HasField("workflow_execution_options"):
        raise InvalidArgument("WorkflowExecutionOptions is required")
    if not request.HasField("update_mask"):
        raise InvalidArgument("UpdateMask is required")
    if options.HasField("time_skipping_config"):
        raise Unimplemented("The Time-Skipping feature is not enabled for namespace.")
    if (problem := bad_path(request.update_mask)) is not None:
        raise InvalidArgument(f"error parsing UpdateMask: {problem}")
    check_priority(options.priority)
    if options.HasField("versioning_override"):
        _check_override(options.versioning_override, target)
    reply = await services.engine.submit(
        namespace, target.workflow_id, UpdateWorkflowOptions(target.run_id, request)
    )
    if not isinstance(reply, UpdatedWorkflowOptions):
        raise InvariantViolation(f"an update of options was answered by {type(reply).__name__}")
    return UpdateWorkflowExecutionOptionsResponse(
        workflow_execution_options=WorkflowExecutionOptions.FromString(reply.options)
    ).SerializeToString()


def check_operations(operations: Iterable[PostResetOperation]) -> None:
    """What shall be done after a reset must be a change of options."""
    for operation in operations:
        kind = operation.WhichOneof("variant")
        if kind != "update_workflow_options":
            raise InvalidArgument(f"unsupported post reset operation: {_OPERATION_NAMES[kind]}")
        update = operation.update_workflow_options
        if not update.HasField("update_mask"):
            raise InvalidArgument("UpdateMask is required")
        if (problem := bad_path(update.update_mask)) is not None:
            raise InvalidArgument(f"error applying update_options: {problem}")
        if update.workflow_execution_options.HasField("versioning_override"):
            raise Unimplemented("Versioning overrides are not built yet.")


def _check_target(target: WorkflowExecution) -> None:
    if not target.workflow_id:
        raise InvalidArgument("WorkflowId is not set on request.")
    if target.run_id and not is_uuid(target.run_id):
        raise InvalidArgument("RunId is not valid UUID.")


def _check_override(override: VersioningOverride, target: WorkflowExecution) -> None:
    """Nothing can be overridden here; that the version to pin to does not exist is told later."""
    if override.HasField("pinned"):
        if not override.pinned.behavior:
            raise InvalidArgument("must specify pinned override behavior if override is pinned.")
        if not override.pinned.HasField("version"):
            raise FailedPrecondition(
                "must specify a specific pinned override version because workflow with id"
                f" {target.workflow_id} has behavior Unspecified and is not yet pinned to any"
                " version"
            )
        return
    if override.WhichOneof("override") is None and not override.behavior:
        raise InvalidArgument("override behavior is required")
    raise Unimplemented("Versioning overrides are not built yet.")
