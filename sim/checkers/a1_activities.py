"""A1: a scheduled activity has exactly one terminal event, or its run closed."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType

from sim.audit import Audit, StoredRun

_TERMINAL = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: "activity_task_completed_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: "activity_task_failed_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: "activity_task_timed_out_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: "activity_task_canceled_event_attributes",
}


def check(audit: Audit) -> Iterator[str]:
    """Every activity that ends twice, out of nothing, or is forgotten."""
    for stored in audit.runs:
        yield from _check_run(stored)


def _check_run(stored: StoredRun) -> Iterator[str]:
    running: set[int] = set()
    for event in stored.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            running.add(event.event_id)
        attributes = _TERMINAL.get(event.event_type)
        if attributes is None:
            continue
        scheduled = getattr(event, attributes).scheduled_event_id
        if scheduled not in running:
            yield f"{stored.run_id}: event {event.event_id} ends no running activity"
        running.discard(scheduled)
    if stored.run.is_open and running != stored.run.activities.keys():
        yield f"{stored.run_id}: activities {running} run, {set(stored.run.activities)} are pending"
