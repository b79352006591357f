"""Nexus operations of workflows: the endpoints that commands name, and what is shown of those that
are pending."""

from __future__ import annotations

from temporalio.api.enums.v1 import command_type_pb2, common_pb2
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import NexusOperationCancellationInfo, PendingNexusOperationInfo
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.services import Services
from perdure.server.machines.wire import duration, timestamp
from perdure.server.machines.workflow.commands.schedule_nexus_operation import SYSTEM_ENDPOINT
from perdure.server.machines.workflow.nexus.state import (
    CallState,
    Cancellation,
    CancelState,
    PendingOperation,
    is_pending,
)
from perdure.server.machines.workflow.state import Run
from perdure.server.visibility.operation_info import CALL_STATES, CANCEL_STATES

_SCHEDULE = command_type_pb2.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION


def endpoints_of(
    services: Services, request: RespondWorkflowTaskCompletedRequest
) -> dict[str, str]:
    """The endpoints that commands name, with their ids; those that there are."""
    found: dict[str, str] = {}
    for command in request.commands:
        if command.command_type == _SCHEDULE:
            name = command.schedule_nexus_operation_command_attributes.endpoint
            if name == SYSTEM_ENDPOINT:
                found[name] = ""  # Its operations are looked at by themselves.
            endpoint = services.engine.nexus.find(name)
            if endpoint is not None:
                found[name] = endpoint.id
    return found


def pending_operations(
    services: Services, namespace: NamespaceRef, run: Run
) -> list[PendingNexusOperationInfo]:
    """What is shown of the operations of a run that have not ended."""
    return [
        _shown(
            pending,
            services.engine.operations.blocked_reason(namespace, pending.operation.endpoint_id),
        )
        for pending in run.nexus_operations.values()
        if is_pending(pending)
    ]


def _shown(pending: PendingOperation, blocked_reason: str) -> PendingNexusOperationInfo:
    operation, calls = pending.operation, pending.calls
    info = PendingNexusOperationInfo(
        endpoint=operation.endpoint,
        service=operation.service,
        operation=operation.operation,
        operation_id=calls.operation_token,
        operation_token=calls.operation_token,
        scheduled_time=timestamp(operation.scheduled_ns),
        state=CALL_STATES[CallState(calls.state)],
        attempt=calls.attempt,
        scheduled_event_id=operation.scheduled_event_id,
    )
    for field, length_ns in (
        (info.schedule_to_close_timeout, operation.schedule_to_close_ns),
        (info.schedule_to_start_timeout, operation.schedule_to_start_ns),
        (info.start_to_close_timeout, operation.start_to_close_ns),
    ):
        if length_ns:
            field.CopyFrom(duration(length_ns))
    if calls.completed_ns:
        info.last_attempt_complete_time.CopyFrom(timestamp(calls.completed_ns))
    if calls.failure:
        info.last_attempt_failure.CopyFrom(Failure.FromString(calls.failure))
    if calls.state == CallState.BACKING_OFF:
        info.next_attempt_schedule_time.CopyFrom(timestamp(calls.due_ns))
    if calls.state == CallState.SCHEDULED and blocked_reason:
        info.state = common_pb2.PENDING_NEXUS_OPERATION_STATE_BLOCKED
        info.blocked_reason = blocked_reason
    if calls.cancellation is not None:
        info.cancellation_info.CopyFrom(_cancellation(calls.cancellation, blocked_reason))
    return info


def _cancellation(
    cancellation: Cancellation, blocked_reason: str
) -> NexusOperationCancellationInfo:
    info = NexusOperationCancellationInfo(
        state=CANCEL_STATES[CancelState(cancellation.state)], attempt=cancellation.attempt
    )
    if cancellation.requested_ns:
        info.requested_time.CopyFrom(timestamp(cancellation.requested_ns))
    if cancellation.completed_ns:
        info.last_attempt_complete_time.CopyFrom(timestamp(cancellation.completed_ns))
    if cancellation.failure:
        info.last_attempt_failure.CopyFrom(Failure.FromString(cancellation.failure))
    if cancellation.state == CancelState.BACKING_OFF:
        info.next_attempt_schedule_time.CopyFrom(timestamp(cancellation.due_ns))
    if cancellation.state == CancelState.SCHEDULED and blocked_reason:
        info.state = common_pb2.NEXUS_OPERATION_CANCELLATION_STATE_BLOCKED
        info.blocked_reason = blocked_reason
    return info
