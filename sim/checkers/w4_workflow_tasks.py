"""W4: at most one workflow task is outstanding, and whatever the workflow has not seen has a task
scheduled or started for it, or waits in the buffer."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType

from sim.audit import Audit, StoredRun
from sim.checkers.h1_event_order import BUFFERABLE

NEWS = BUFFERABLE - {
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
}
"""What a workflow must hear of."""
_TASK_ENDS = frozenset(
    (
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    )
)


def check(audit: Audit) -> Iterator[str]:
    """Every run with two tasks, or with news and no task."""
    for stored in audit.runs:
        yield from _check_outstanding(stored)
        yield from _check_news(stored)


def _check_outstanding(stored: StoredRun) -> Iterator[str]:
    outstanding = 0
    for event in stored.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
            outstanding += 1
        elif event.event_type in _TASK_ENDS:
            outstanding -= 1
        if outstanding not in (0, 1):
            yield f"{stored.run_id}: {outstanding} tasks are outstanding at {event.event_id}"
            return
    run = stored.run
    if run.recorded.workflow_task is not None and run.pending.transient_task is not None:
        yield f"{stored.run_id}: a recorded and a transient task are outstanding"


def _check_news(stored: StoredRun) -> Iterator[str]:
    run = stored.run
    if not run.is_open or not run.pending.is_first_task_scheduled or run.workflow_task is not None:
        return
    if run.pending.pause is not None:
        return
    for event in reversed(stored.events):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            return
        if event.event_type in NEWS:
            yield f"{stored.run_id}: event {event.event_id} has no task"
    yield f"{stored.run_id}: it has no task, and has never had one"
