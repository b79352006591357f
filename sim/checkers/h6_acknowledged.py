"""H6, afterwards: what was answered before a crash is in the store after it.

(The witness compares each answer with the store as it is given; this finds what was taken back.)
"""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType

from perdure.server.machines.workflow.state import Status
from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every acknowledged completion or termination that is not stored."""
    events = {stored.run_id: stored.events for stored in audit.runs}
    for (run_id, started_event_id), completion in audit.ledger.completions.items():
        if audit.is_deleted(run_id):
            continue
        if completion.is_acknowledged and not any(
            event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
            and event.workflow_task_completed_event_attributes.started_event_id == started_event_id
            for event in events.get(run_id, ())
        ):
            yield f"{run_id}: the completion of task {started_event_id} is lost"
    for run_id in audit.ledger.terminated:
        stored = audit.run_named(run_id)
        if audit.is_deleted(run_id):
            continue
        if stored is None or stored.run.recorded.status != Status.TERMINATED:
            yield f"{run_id}: its termination is lost"
    jobs = {stored.run.run_id for stored in audit.jobs}
    for run_id, activity_id in audit.ledger.acknowledged_activities:
        if run_id not in jobs:
            yield from _check_activity(audit, run_id, activity_id)


def _check_activity(audit: Audit, run_id: str, activity_id: str) -> Iterator[str]:
    """An accepted result is recorded, buffered, or went down with its run."""
    stored = audit.run_named(run_id)
    if audit.is_deleted(run_id):
        return
    if stored is None:
        yield f"{run_id}: the run of an accepted result is lost"
        return
    scheduled = [
        event.event_id
        for event in stored.events
        if event.activity_task_scheduled_event_attributes.activity_id == activity_id
    ]
    is_recorded = any(
        event.activity_task_completed_event_attributes.scheduled_event_id in scheduled
        for event in stored.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    )
    if not is_recorded and not stored.run.buffered and stored.run.is_open:
        yield f"{run_id}: the accepted result of {activity_id} is lost"
