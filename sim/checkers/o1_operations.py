"""O1: a Nexus operation is started at most once and has exactly one end, or its run closed; its
result is one that its handler gave."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType

from sim.audit import Audit, StoredRun
from sim.workload.facts import OPERATION_ENDS


def check(audit: Audit) -> Iterator[str]:
    """Every operation that ends twice, out of nothing, or with a result that nobody gave."""
    for stored in audit.runs:
        yield from _check_run(audit, stored)


def _check_run(audit: Audit, stored: StoredRun) -> Iterator[str]:
    running: dict[int, str] = {}
    started: set[int] = set()
    for event in stored.events:
        if event.event_type == EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED:
            scheduled = event.nexus_operation_scheduled_event_attributes
            running[event.event_id] = scheduled.request_id
        elif event.event_type == EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED:
            event_id = event.nexus_operation_started_event_attributes.scheduled_event_id
            if event_id in started or event_id not in running:
                yield f"{stored.run_id}: event {event.event_id} starts no waiting operation"
            started.add(event_id)
        elif event.event_type in OPERATION_ENDS:
            attributes = getattr(event, event.WhichOneof("attributes") or "")
            request_id = running.pop(attributes.scheduled_event_id, None)
            if request_id is None:
                yield f"{stored.run_id}: event {event.event_id} ends no running operation"
            elif event.event_type == EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED:
                known = audit.ledger.operation_results.get(request_id)
                if known != attributes.result.data:
                    yield f"{stored.run_id}: event {event.event_id} has a result of nobody"
    if stored.run.is_open and running.keys() != stored.run.nexus_operations.keys():
        pending = set(stored.run.nexus_operations)
        yield f"{stored.run_id}: operations {set(running)} run, {pending} are pending"
