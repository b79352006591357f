"""One constructor for each type of event about Nexus operations, as in `workflow.events`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from temporalio.api.command.v1 import ScheduleNexusOperationCommandAttributes
from temporalio.api.common.v1 import Link, Payload
from temporalio.api.enums.v1 import event_type_pb2
from temporalio.api.failure.v1 import Failure, NexusOperationFailureInfo, TimeoutFailureInfo
from temporalio.api.history.v1 import (
    HistoryEvent,
    NexusOperationCanceledEventAttributes,
    NexusOperationCancelRequestCompletedEventAttributes,
    NexusOperationCancelRequestedEventAttributes,
    NexusOperationCancelRequestFailedEventAttributes,
    NexusOperationCompletedEventAttributes,
    NexusOperationFailedEventAttributes,
    NexusOperationScheduledEventAttributes,
    NexusOperationStartedEventAttributes,
    NexusOperationTimedOutEventAttributes,
)

from perdure.server.machines.wire import set_duration
from perdure.server.machines.workflow.nexus.attempts import Failed
from perdure.server.machines.workflow.nexus.state import Operation, PendingOperation

FAILED = "nexus operation completed unsuccessfully"
TIMED_OUT = "operation timed out"


def scheduled(
    completed_event_id: int,
    command: ScheduleNexusOperationCommandAttributes,
    *,
    endpoint_id: str,
    request_id: str,
    timeouts_ns: tuple[int, int, int],
) -> HistoryEvent:
    """NexusOperationScheduled; the timeouts are schedule-to-close, schedule-to-start and
    start-to-close, 0 for none."""
    attributes = NexusOperationScheduledEventAttributes(
        endpoint=command.endpoint,
        endpoint_id=endpoint_id,
        service=command.service,
        operation=command.operation,
        input=command.input if command.HasField("input") else None,
        nexus_header={name.lower(): value for name, value in command.nexus_header.items()},
        workflow_task_completed_event_id=completed_event_id,
        request_id=request_id,
    )
    fields = ("schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout")
    for field, timeout_ns in zip(fields, timeouts_ns, strict=True):
        if timeout_ns or command.HasField(field):  # type: ignore[arg-type]
            getattr(attributes, field).SetInParent()
            set_duration(getattr(attributes, field), timeout_ns)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
        nexus_operation_scheduled_event_attributes=attributes,
    )


def started(operation: Operation, token: str, links: tuple[bytes, ...]) -> HistoryEvent:
    """NexusOperationStarted."""
    return _linked(
        HistoryEvent(
            event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_STARTED,
            nexus_operation_started_event_attributes=NexusOperationStartedEventAttributes(
                scheduled_event_id=operation.scheduled_event_id,
                operation_id=token,
                operation_token=token,
                request_id=operation.request_id,
            ),
        ),
        links,
    )


def completed(operation: Operation, payload: bytes, links: tuple[bytes, ...]) -> HistoryEvent:
    """NexusOperationCompleted."""
    return _linked(
        HistoryEvent(
            event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_COMPLETED,
            nexus_operation_completed_event_attributes=NexusOperationCompletedEventAttributes(
                scheduled_event_id=operation.scheduled_event_id,
                result=Payload.FromString(payload) if payload else None,
                request_id=operation.request_id,
            ),
        ),
        links,
    )


def failed(pending: PendingOperation, ended: Failed) -> HistoryEvent:
    """NexusOperationFailed, Canceled or TimedOut."""
    operation, token = pending.operation, pending.calls.operation_token
    cause = Failure.FromString(ended.cause)
    if ended.timeout_type:
        cause = Failure(
            message=TIMED_OUT,
            timeout_failure_info=TimeoutFailureInfo(timeout_type=ended.timeout_type),  # type: ignore[arg-type]
        )
    common: dict[str, Any] = {
        "scheduled_event_id": operation.scheduled_event_id,
        "failure": Failure(
            message=FAILED,
            cause=cause,
            nexus_operation_execution_failure_info=NexusOperationFailureInfo(
                scheduled_event_id=operation.scheduled_event_id,
                endpoint=operation.endpoint,
                service=operation.service,
                operation=operation.operation,
                operation_id=token,
                operation_token=token,
            ),
        ),
        "request_id": operation.request_id,
    }
    if ended.timeout_type:
        event = HistoryEvent(
            event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT,
            nexus_operation_timed_out_event_attributes=NexusOperationTimedOutEventAttributes(
                **common
            ),
        )
    elif ended.is_canceled:
        event = HistoryEvent(
            event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCELED,
            nexus_operation_canceled_event_attributes=NexusOperationCanceledEventAttributes(
                **common
            ),
        )
    else:
        event = HistoryEvent(
            event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_FAILED,
            nexus_operation_failed_event_attributes=NexusOperationFailedEventAttributes(**common),
        )
    return _linked(event, ended.links)


def cancel_requested(completed_event_id: int, scheduled_event_id: int) -> HistoryEvent:
    """NexusOperationCancelRequested."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED,
        nexus_operation_cancel_requested_event_attributes=NexusOperationCancelRequestedEventAttributes(
            scheduled_event_id=scheduled_event_id,
            workflow_task_completed_event_id=completed_event_id,
        ),
    )


def cancel_request_completed(operation: Operation, requested_event_id: int) -> HistoryEvent:
    """NexusOperationCancelRequestCompleted."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED,
        worker_may_ignore=True,
        nexus_operation_cancel_request_completed_event_attributes=NexusOperationCancelRequestCompletedEventAttributes(
            requested_event_id=requested_event_id, scheduled_event_id=operation.scheduled_event_id
        ),
    )


def cancel_request_failed(
    operation: Operation, requested_event_id: int, failure: bytes
) -> HistoryEvent:
    """NexusOperationCancelRequestFailed."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_FAILED,
        worker_may_ignore=True,
        nexus_operation_cancel_request_failed_event_attributes=NexusOperationCancelRequestFailedEventAttributes(
            requested_event_id=requested_event_id,
            failure=Failure.FromString(failure),
            scheduled_event_id=operation.scheduled_event_id,
        ),
    )


def _linked(event: HistoryEvent, links: Iterable[bytes]) -> HistoryEvent:
    event.links.extend(Link.FromString(link) for link in links)
    return event
