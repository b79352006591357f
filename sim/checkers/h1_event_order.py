"""H1: event ids are 1..n without gaps, times do not decrease, and batches are contiguous."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType

from perdure.server.machines.wire import timestamp_ns
from sim.audit import Audit, StoredRun

BUFFERABLE = frozenset(
    (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        EventType.EVENT_TYPE_TIMER_FIRED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_FAILED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_CANCELED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT,
        EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED,
        EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_FAILED,
    )
)
"""Events that keep their arrival time when they are flushed from the buffer; the started event of
an activity also keeps the time of the attempt."""
TRANSIENT = frozenset(
    (
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    )
)
"""Events of a transient attempt are written when it completes, with the times that they had."""


def check(audit: Audit) -> Iterator[str]:
    """Every run that breaks the order of its events."""
    for stored in audit.runs:
        yield from _check_batches(stored)
        yield from _check_events(stored)


def _check_batches(stored: StoredRun) -> Iterator[str]:
    expected = 1
    for batch in stored.batches:
        if batch.first_event_id != expected:
            yield f"{stored.run_id}: a batch begins with {batch.first_event_id}, not {expected}"
        if len(batch.entries) != batch.last_event_id - batch.first_event_id + 1:
            yield f"{stored.run_id}: batch {batch.first_event_id} has {len(batch.entries)} events"
        expected = batch.last_event_id + 1
    if stored.run.recorded.next_event_id != expected:
        yield f"{stored.run_id}: its head expects event {stored.run.recorded.next_event_id}"


def _check_events(stored: StoredRun) -> Iterator[str]:
    newest_ns = 0
    for index, event in enumerate(stored.events, 1):
        if event.event_id != index:
            yield f"{stored.run_id}: event {event.event_id} stands at {index}"
        time_ns = timestamp_ns(event.event_time)
        if time_ns < newest_ns and event.event_type not in BUFFERABLE | TRANSIENT:
            yield f"{stored.run_id}: event {index} is {newest_ns - time_ns} ns before one earlier"
        if event.event_type != EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED:
            newest_ns = max(newest_ns, time_ns)  # Its time may be what a handler has told.
