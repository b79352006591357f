"""What a batch can do to a workflow: one row for each operation.

Each is a call that anybody could make. Those that would add something each time (signals, resets)
carry a request id that follows from the job and the run, so that a batch which goes on after a
crash does nothing twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import Message
from temporalio.api.batch.v1 import (
    BatchOperationCancelActivities,
    BatchOperationCancellation,
    BatchOperationDeleteActivities,
    BatchOperationDeletion,
    BatchOperationReset,
    BatchOperationResetActivities,
    BatchOperationSignal,
    BatchOperationTerminateActivities,
    BatchOperationTermination,
    BatchOperationUnpauseActivities,
    BatchOperationUpdateActivityOptions,
    BatchOperationUpdateWorkflowExecutionOptions,
)
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import BatchOperationType, ResetType
from temporalio.api.workflowservice.v1 import (
    DeleteActivityExecutionRequest,
    DeleteWorkflowExecutionRequest,
    RequestCancelActivityExecutionRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetActivityRequest,
    SignalWorkflowExecutionRequest,
    TerminateActivityExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
    UpdateWorkflowExecutionOptionsRequest,
)

from perdure.server.machines.errors import InvalidArgument

Response = TypeVar("Response", bound=Message)


class Target(msgspec.Struct, frozen=True):
    """One workflow, or one activity without a workflow, that a batch is carried out on."""

    namespace: str
    job_id: str
    reason: str
    id: str
    run_id: str

    @property
    def execution(self) -> WorkflowExecution:
        """The workflow."""
        return WorkflowExecution(workflow_id=self.id, run_id=self.run_id)

    def request_id(self) -> str:
        """The same whenever the job comes to the same run."""
        name = f"{self.job_id} {self.id} {self.run_id}"
        return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


Make = Callable[[Any, Target], Message]
"""The call that carries an operation out."""


class Operation(msgspec.Struct, frozen=True):
    """One row: `check` raises InvalidArgument; without `make`, a reset."""

    type: int
    check: Callable[[Any], None]
    make: Make | None
    is_for_running: bool = True
    """Whether a query finds only what is running."""
    is_on_activities: bool = False
    """Whether it is done to activities without a workflow."""


def _fine(operation: Message) -> None:
    """Nothing can be wrong."""


def _terminate(operation: BatchOperationTermination, target: Target) -> Message:
    return TerminateWorkflowExecutionRequest(
        namespace=target.namespace,
        workflow_execution=target.execution,
        reason=target.reason,
        details=operation.details if operation.HasField("details") else None,
        identity=operation.identity,
    )


def _check_signal(operation: BatchOperationSignal) -> None:
    if not operation.signal:
        raise InvalidArgument("must provide signal name")


def _signal(operation: BatchOperationSignal, target: Target) -> Message:
    return SignalWorkflowExecutionRequest(
        namespace=target.namespace,
        workflow_execution=target.execution,
        signal_name=operation.signal,
        input=operation.input if operation.HasField("input") else None,
        header=operation.header if operation.HasField("header") else None,
        identity=operation.identity,
        request_id=target.request_id(),
    )


def _cancel(operation: BatchOperationCancellation, target: Target) -> Message:
    return RequestCancelWorkflowExecutionRequest(
        namespace=target.namespace,
        workflow_execution=target.execution,
        identity=operation.identity,
        request_id=target.request_id(),
    )


def _delete(operation: BatchOperationDeletion, target: Target) -> Message:
    return DeleteWorkflowExecutionRequest(
        namespace=target.namespace, workflow_execution=target.execution
    )


def _check_reset(operation: BatchOperationReset) -> None:
    if operation.HasField("options"):
        if operation.options.WhichOneof("target") is None:
            raise InvalidArgument("batch reset missing target")
        return
    if operation.reset_type not in (
        ResetType.RESET_TYPE_FIRST_WORKFLOW_TASK,
        ResetType.RESET_TYPE_LAST_WORKFLOW_TASK,
    ):
        raise InvalidArgument(f"unknown batch reset type {_reset_name(operation.reset_type)}")


def _reset_name(number: int) -> str:
    if number not in ResetType.values():
        return str(number)
    name = ResetType.Name(ResetType.ValueType(number))
    return name.removeprefix("RESET_TYPE_").title().replace("_", "")


def _check_update_options(operation: BatchOperationUpdateWorkflowExecutionOptions) -> None:
    if not operation.HasField("workflow_execution_options"):
        raise InvalidArgument("must provide UpdateOptions")
    if not operation.HasField("update_mask"):
        raise InvalidArgument("must provide UpdateMask")


def _update_options(
    operation: BatchOperationUpdateWorkflowExecutionOptions, target: Target
) -> Message:
    return UpdateWorkflowExecutionOptionsRequest(
        namespace=target.namespace,
        workflow_execution=target.execution,
        workflow_execution_options=operation.workflow_execution_options,
        update_mask=operation.update_mask,
        identity=operation.identity,
    )


def _check_unpause(operation: BatchOperationUnpauseActivities) -> None:
    if operation.WhichOneof("activity") is None:
        raise InvalidArgument("activity filter must be set")
    _check_filter(operation)


def _check_filter(
    operation: BatchOperationUnpauseActivities
    | BatchOperationResetActivities
    | BatchOperationUpdateActivityOptions,
) -> None:
    if not (operation.type or operation.match_all):
        raise InvalidArgument(
            "Either activity type must be set, or match all should be set to true"
        )


def _unpause(operation: BatchOperationUnpauseActivities, target: Target) -> Message:
    request = UnpauseActivityRequest(
        namespace=target.namespace,
        execution=target.execution,
        identity=operation.identity,
        reset_attempts=operation.reset_attempts,
        reset_heartbeat=operation.reset_heartbeat,
        jitter=operation.jitter if operation.HasField("jitter") else None,
    )
    if operation.match_all:
        request.unpause_all = True
    else:
        request.type = operation.type
    return request


def _check_reset_activities(operation: BatchOperationResetActivities) -> None:
    if operation.WhichOneof("activity") is None:
        raise InvalidArgument("must provide ActivityType or MatchAll")
    _check_filter(operation)


def _reset_activities(operation: BatchOperationResetActivities, target: Target) -> Message:
    request = ResetActivityRequest(
        namespace=target.namespace,
        execution=target.execution,
        identity=operation.identity,
        reset_heartbeat=operation.reset_heartbeat,
        keep_paused=operation.keep_paused,
        jitter=operation.jitter if operation.HasField("jitter") else None,
        restore_original_options=operation.restore_original_options,
    )
    if operation.match_all:
        request.match_all = True
    else:
        request.type = operation.type
    return request


def _check_update_activities(operation: BatchOperationUpdateActivityOptions) -> None:
    has_options = operation.HasField("activity_options")
    if has_options and operation.restore_original:
        raise InvalidArgument("cannot set both activity options and restore original")
    if operation.WhichOneof("activity") is None or not (has_options or operation.restore_original):
        raise InvalidArgument(
            "Either activity type must be set, or restore original should be set to true"
        )
    _check_filter(operation)


def _update_activities(operation: BatchOperationUpdateActivityOptions, target: Target) -> Message:
    request = UpdateActivityOptionsRequest(
        namespace=target.namespace,
        execution=target.execution,
        identity=operation.identity,
        activity_options=operation.activity_options
        if operation.HasField("activity_options")
        else None,
        update_mask=operation.update_mask if operation.HasField("update_mask") else None,
        restore_original=operation.restore_original,
    )
    if operation.match_all:
        request.match_all = True
    else:
        request.type = operation.type
    return request


def _cancel_activity(operation: BatchOperationCancelActivities, target: Target) -> Message:
    return RequestCancelActivityExecutionRequest(
        namespace=target.namespace,
        activity_id=target.id,
        run_id=target.run_id,
        identity=operation.identity,
        request_id=target.request_id(),
        reason=operation.reason or target.reason,
    )


def _terminate_activity(operation: BatchOperationTerminateActivities, target: Target) -> Message:
    return TerminateActivityExecutionRequest(
        namespace=target.namespace,
        activity_id=target.id,
        run_id=target.run_id,
        identity=operation.identity,
        request_id=target.request_id(),
        reason=operation.reason or target.reason,
    )


def _delete_activity(operation: BatchOperationDeleteActivities, target: Target) -> Message:
    return DeleteActivityExecutionRequest(
        namespace=target.namespace, activity_id=target.id, run_id=target.run_id
    )


OPERATIONS: dict[str, Operation] = {
    "termination_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_TERMINATE_WORKFLOW, _fine, _terminate
    ),
    "signal_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_SIGNAL_WORKFLOW, _check_signal, _signal
    ),
    "cancellation_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_CANCEL_WORKFLOW, _fine, _cancel
    ),
    "deletion_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_DELETE_WORKFLOW, _fine, _delete, False
    ),
    "reset_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_RESET_WORKFLOW, _check_reset, None, False
    ),
    "update_workflow_options_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_UPDATE_WORKFLOW_EXECUTION_OPTIONS,
        _check_update_options,
        _update_options,
    ),
    "unpause_activities_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_UNPAUSE_ACTIVITY, _check_unpause, _unpause
    ),
    "reset_activities_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_RESET_ACTIVITY,
        _check_reset_activities,
        _reset_activities,
    ),
    "update_activity_options_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_UPDATE_ACTIVITY_OPTIONS,
        _check_update_activities,
        _update_activities,
    ),
    "cancel_activities_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_CANCEL_ACTIVITY,
        _fine,
        _cancel_activity,
        is_on_activities=True,
    ),
    "terminate_activities_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_TERMINATE_ACTIVITY,
        _fine,
        _terminate_activity,
        is_on_activities=True,
    ),
    "delete_activities_operation": Operation(
        BatchOperationType.BATCH_OPERATION_TYPE_DELETE_ACTIVITY,
        _fine,
        _delete_activity,
        is_for_running=False,
        is_on_activities=True,
    ),
}
"""By the field of the request."""

Call = Callable[[Message, type[Any]], Awaitable[Any]]
"""One RPC: its request, and the class of its response. Raises CallFailed."""
