"""A standalone Nexus operation as lists and descriptions show it, and what it is found by."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from temporalio.api.common.v1 import Link
from temporalio.api.enums.v1 import (
    NexusOperationCancellationState,
    PendingNexusOperationState,
    common_pb2,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.nexus.v1 import (
    NexusOperationExecutionCancellationInfo,
    NexusOperationExecutionInfo,
    NexusOperationExecutionListInfo,
)
from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

from perdure.server.machines.search_attributes import KEYWORD, NO_CUSTOM, CustomAttributes
from perdure.server.machines.standalone_nexus.state import OperationRun
from perdure.server.machines.standalone_nexus.state import Status as OperationStatus
from perdure.server.machines.standalone_nexus.turn import tried
from perdure.server.machines.wire import set_duration, set_timestamp
from perdure.server.machines.workflow.nexus.state import CallState, CancelState
from perdure.server.machines.workflow.state import Status
from perdure.server.store.ports import VisibilityRow
from perdure.server.visibility.query.tree import Attribute
from perdure.server.visibility.values import values_of

STATUSES: dict[OperationStatus, Status] = {
    OperationStatus.RUNNING: Status.RUNNING,
    OperationStatus.COMPLETED: Status.COMPLETED,
    OperationStatus.FAILED: Status.FAILED,
    OperationStatus.CANCELED: Status.CANCELED,
    OperationStatus.TERMINATED: Status.TERMINATED,
    OperationStatus.TIMED_OUT: Status.TIMED_OUT,
}
"""What a status is stored as: queries call it the same of any run."""
_ENDPOINT, _SERVICE = "NexusEndpoint", "NexusService"
QUERY_NAMES: Mapping[str, str | Attribute] = MappingProxyType(
    {
        "OperationId": "WorkflowId",
        "Operation": "WorkflowType",
        "Endpoint": Attribute("Endpoint", KEYWORD, _ENDPOINT),
        "Service": Attribute("Service", KEYWORD, _SERVICE),
    }
)
"""What queries call what operations have."""

CALL_STATES: dict[CallState, PendingNexusOperationState.ValueType] = {
    CallState.SCHEDULED: common_pb2.PENDING_NEXUS_OPERATION_STATE_SCHEDULED,
    CallState.BACKING_OFF: common_pb2.PENDING_NEXUS_OPERATION_STATE_BACKING_OFF,
    CallState.STARTED: common_pb2.PENDING_NEXUS_OPERATION_STATE_STARTED,
}
CANCEL_STATES: dict[CancelState, NexusOperationCancellationState.ValueType] = {
    CancelState.WAITING: common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_UNSPECIFIED,
    CancelState.SCHEDULED: common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_SCHEDULED,
    CancelState.BACKING_OFF: common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_BACKING_OFF,
    CancelState.SUCCEEDED: common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_SUCCEEDED,
    CancelState.FAILED: common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_FAILED,
}


def operation_row(run: OperationRun, custom: CustomAttributes = NO_CUSTOM) -> VisibilityRow:
    """What a run is found by; `custom` are the search attributes of its namespace."""
    head = run.head
    operation = head.pending.operation
    start = StartNexusOperationExecutionRequest.FromString(run.start)
    return VisibilityRow(
        workflow_type=operation.operation,
        status=STATUSES[OperationStatus(head.status)],
        start_time_ns=operation.scheduled_ns,
        close_time_ns=head.close_time_ns,
        history_length=0,
        history_size_bytes=0,
        state_transitions=0 if run.is_open else head.transitions,
        attributes=(
            *values_of(start.search_attributes, custom),
            (_ENDPOINT, operation.endpoint),
            (_SERVICE, operation.service),
        ),
    )


def operation_list_info(run: OperationRun) -> NexusOperationExecutionListInfo:
    """What a list shows of a run."""
    head = run.head
    operation = head.pending.operation
    start = StartNexusOperationExecutionRequest.FromString(run.start)
    info = NexusOperationExecutionListInfo(
        operation_id=start.operation_id,
        run_id=head.run_id,
        endpoint=operation.endpoint,
        service=operation.service,
        operation=operation.operation,
        status=head.status,  # type: ignore[arg-type]
        search_attributes=start.search_attributes,
    )
    set_timestamp(info.schedule_time, operation.scheduled_ns)
    if not run.is_open:
        set_timestamp(info.close_time, head.close_time_ns)
        set_duration(info.execution_duration, max(0, head.close_time_ns - operation.scheduled_ns))
        info.state_transition_count = head.transitions
    return info


def operation_info(
    run: OperationRun, now_ns: int, blocked_reason: str
) -> NexusOperationExecutionInfo:
    """What a description shows of a run. `blocked_reason`: why no calls get through to its
    endpoint, if they do not."""
    head = run.head
    operation, calls = head.pending.operation, head.pending.calls
    start = StartNexusOperationExecutionRequest.FromString(run.start)
    info = NexusOperationExecutionInfo(
        operation_id=start.operation_id,
        run_id=head.run_id,
        endpoint=operation.endpoint,
        service=operation.service,
        operation=operation.operation,
        status=head.status,  # type: ignore[arg-type]
        attempt=tried(calls),
        request_id=operation.request_id,
        operation_token=calls.operation_token,
        state_transition_count=head.transitions,
        search_attributes=start.search_attributes,
        nexus_header=start.nexus_header,
        links=map(Link.FromString, head.links),
        identity=start.identity,
        state_size_bytes=len(run.start) + len(head.result or b"") + len(head.failure),
    )
    info.search_attributes.SetInParent()
    if start.HasField("user_metadata"):
        info.user_metadata.CopyFrom(start.user_metadata)
    _add_times(info, run, now_ns)
    if calls.failure:
        info.last_attempt_failure.ParseFromString(calls.failure)
    if run.is_open:
        info.state = CALL_STATES[CallState(calls.state)]
    if run.is_open and calls.state == CallState.SCHEDULED and blocked_reason:
        info.state = common_pb2.PENDING_NEXUS_OPERATION_STATE_BLOCKED
        info.blocked_reason = blocked_reason
    if head.cancel is not None:
        info.cancellation_info.CopyFrom(_cancellation_info(run, blocked_reason))
    return info


def _add_times(info: NexusOperationExecutionInfo, run: OperationRun, now_ns: int) -> None:
    head = run.head
    operation, calls = head.pending.operation, head.pending.calls
    for field, length_ns in (
        (info.schedule_to_close_timeout, operation.schedule_to_close_ns),
        (info.schedule_to_start_timeout, operation.schedule_to_start_ns),
        (info.start_to_close_timeout, operation.start_to_close_ns),
    ):
        if length_ns:
            set_duration(field, length_ns)
    set_timestamp(info.schedule_time, operation.scheduled_ns)
    if operation.schedule_to_close_ns:
        expires_ns = operation.scheduled_ns + operation.schedule_to_close_ns
        set_timestamp(info.expiration_time, expires_ns)
    if calls.completed_ns:
        set_timestamp(info.last_attempt_complete_time, calls.completed_ns)
    if run.is_open and calls.state == CallState.BACKING_OFF:
        set_timestamp(info.next_attempt_schedule_time, calls.due_ns)
    if not run.is_open:
        set_timestamp(info.close_time, head.close_time_ns)
    until_ns = now_ns if run.is_open else head.close_time_ns
    set_duration(info.execution_duration, max(0, until_ns - operation.scheduled_ns))


def _cancellation_info(
    run: OperationRun, blocked_reason: str
) -> NexusOperationExecutionCancellationInfo:
    asked, cancellation = run.head.cancel, run.head.pending.calls.cancellation
    info = NexusOperationExecutionCancellationInfo()
    if asked is not None:
        info.reason = asked.reason
    if cancellation is None:
        return info
    info.state = CANCEL_STATES[CancelState(cancellation.state)]
    is_under_way = cancellation.state == CancelState.SCHEDULED
    info.attempt = cancellation.attempt + is_under_way
    if cancellation.completed_ns:
        set_timestamp(info.last_attempt_complete_time, cancellation.completed_ns)
    if cancellation.failure:
        info.last_attempt_failure.CopyFrom(Failure.FromString(cancellation.failure))
    if cancellation.state == CancelState.BACKING_OFF:
        set_timestamp(info.next_attempt_schedule_time, cancellation.due_ns)
    if is_under_way and blocked_reason and run.is_open:
        info.state = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_BLOCKED
        info.blocked_reason = blocked_reason
    return info
