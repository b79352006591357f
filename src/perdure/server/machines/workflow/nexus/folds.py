"""The part of `evolve` that is about Nexus operations."""

from __future__ import annotations

from collections.abc import Callable

from temporalio.api.enums.v1 import event_type_pb2
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.wire import duration_ns
from perdure.server.machines.workflow import changes
from perdure.server.machines.workflow.nexus import attempts
from perdure.server.machines.workflow.nexus.state import (
    Calls,
    CallState,
    Operation,
    PendingOperation,
)
from perdure.server.machines.workflow.state import RecordKind, Run

Touched = set[tuple[RecordKind, int | str]]
Fold = Callable[[Run, HistoryEvent, int, Touched], None]


def _scheduled(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    attributes = event.nexus_operation_scheduled_event_attributes
    run.nexus_operations[event.event_id] = PendingOperation(
        operation=Operation(
            scheduled_event_id=event.event_id,
            endpoint=attributes.endpoint,
            endpoint_id=attributes.endpoint_id,
            service=attributes.service,
            operation=attributes.operation,
            request_id=attributes.request_id,
            scheduled_ns=time_ns,
            schedule_to_close_ns=duration_ns(attributes.schedule_to_close_timeout),
            schedule_to_start_ns=duration_ns(attributes.schedule_to_start_timeout),
            start_to_close_ns=duration_ns(attributes.start_to_close_timeout),
        ),
        calls=Calls(state=CallState.SCHEDULED, due_ns=time_ns),
    )
    touched.add((RecordKind.NEXUS_OPERATION, event.event_id))


def _started(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    attributes = event.nexus_operation_started_event_attributes
    pending = run.nexus_operations.get(attributes.scheduled_event_id)
    if pending is None:
        raise InvariantViolation(f"event {event.event_id} starts no pending Nexus operation")
    pending.operation.started_event_id = event.event_id
    if pending.calls.state in (CallState.SCHEDULED, CallState.BACKING_OFF):
        # It was started by the run whose history this one has taken over.
        token = attributes.operation_token
        started = attempts.starts(pending.calls, token, (), now_ns=time_ns)
        pending.calls = started.calls
    touched.add((RecordKind.NEXUS_OPERATION, attributes.scheduled_event_id))


def _over(attributes_name: str) -> Fold:
    def fold(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
        scheduled: int = getattr(event, attributes_name).scheduled_event_id
        if run.nexus_operations.pop(scheduled, None) is None:
            raise InvariantViolation(f"event {event.event_id} ends no pending Nexus operation")
        touched.add((RecordKind.NEXUS_OPERATION, scheduled))

    return fold


def _nothing(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    """A request to cancel, and what became of it, are pending only: a reset forgets them."""


TOLD_TIMES = frozenset((event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_STARTED,))
"""Events that happened when somebody else says so: the run's own time goes on as it was."""
EVENTS: dict[int, Fold] = {
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED: _scheduled,
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_STARTED: _started,
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_COMPLETED: _over(
        "nexus_operation_completed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_FAILED: _over(
        "nexus_operation_failed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCELED: _over(
        "nexus_operation_canceled_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT: _over(
        "nexus_operation_timed_out_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED: _nothing,
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED: _nothing,
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_FAILED: _nothing,
}


def calls_changed(run: Run, change: changes.NexusCallsChanged, touched: Touched) -> None:
    """Take over the pending half of an operation, whole."""
    run.nexus_operations[change.scheduled_event_id].calls = change.calls
    touched.add((RecordKind.NEXUS_OPERATION, change.scheduled_event_id))
