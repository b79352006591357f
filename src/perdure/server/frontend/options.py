"""UpdateWorkflowExecutionOptions, and the options that come with a reset."""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflow.v1 import PostResetOperation, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    UpdateWorkflowExecutionOptionsRequest,
    UpdateWorkflowExecutionOptionsResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.errors import Unimplemented
from perdure.server.frontend.overrides import check_version, reactivate
from perdure.server.frontend.services import Services
from perdure.server.frontend.switched_off import NO_TIME_SKIPPING
from perdure.server.frontend.validation import check_priority, is_uuid
from perdure.server.machines.errors import FailedPrecondition, InvalidArgument, InvariantViolation
from perdure.server.machines.workflow.inputs import UpdatedWorkflowOptions, UpdateWorkflowOptions
from perdure.server.machines.workflow.options import bad_path
from perdure.server.machines.workflow.overrides import check_override, to_new_form
from perdure.server.machines.workflow.versioning import (
    PINNED,
    behavior_of,
    version_message,
    version_of,
)
from perdure.transport import Caller

_BEHAVIORS = {0: "Unspecified", 1: "Pinned", 2: "AutoUpgrade"}
"""As the real server writes a VersioningBehavior."""
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
        raise Unimplemented(NO_TIME_SKIPPING)
    if (problem := bad_path(request.update_mask)) is not None:
        raise InvalidArgument(f"error parsing UpdateMask: {problem}")
    check_priority(options.priority)
    await _settle_override(services, namespace, target, request)
    reply = await services.engine.submit(
        namespace, target.workflow_id, UpdateWorkflowOptions(target.run_id, request)
    )
    if not isinstance(reply, UpdatedWorkflowOptions):
        raise InvariantViolation(f"an update of options was answered by {type(reply).__name__}")
    if options.HasField("versioning_override"):
        await reactivate(services, namespace, options.versioning_override)
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
        options = update.workflow_execution_options
        if options.HasField("time_skipping_config"):
            raise Unimplemented(NO_TIME_SKIPPING)
        if options.HasField("versioning_override"):
            check_override(options.versioning_override)
            to_new_form(options.versioning_override)
        if not update.HasField("update_mask"):
            raise InvalidArgument("UpdateMask is required")
        if (problem := bad_path(update.update_mask)) is not None:
            raise InvalidArgument(f"error applying update_options: {problem}")


def _check_target(target: WorkflowExecution) -> None:
    if not target.workflow_id:
        raise InvalidArgument("WorkflowId is not set on request.")
    if target.run_id and not is_uuid(target.run_id):
        raise InvalidArgument("RunId is not valid UUID.")


async def _settle_override(
    services: Services,
    namespace: NamespaceRef,
    target: WorkflowExecution,
    request: UpdateWorkflowExecutionOptionsRequest,
) -> None:
    """An override must name a version that the workflow's queue has; one that names none means the
    version that the workflow is pinned to."""
    if not request.workflow_execution_options.HasField("versioning_override"):
        return
    override = request.workflow_execution_options.versioning_override
    view = await services.engine.describe(namespace, target.workflow_id, target.run_id)
    if not view.run.is_open:
        return  # It is refused as such.
    if override.pinned.behavior and not override.pinned.HasField("version"):
        behavior, version = behavior_of(view.run), version_of(view.run)
        if behavior != PINNED or version is None:
            raise FailedPrecondition(
                "must specify a specific pinned override version because workflow with id"
                f" {target.workflow_id} has behavior {_BEHAVIORS[behavior]} and is not yet pinned"
                " to any version"
            )
        override.pinned.version.CopyFrom(version_message(version))
    check_override(override)
    to_new_form(override)
    await check_version(services, namespace, view.run.recorded.task_queue, override)
