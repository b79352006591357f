"""A4: a recorded result was produced by some worker that had the task."""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit, StoredRun


def check(audit: Audit) -> Iterator[str]:
    """Every result that nobody produced."""
    for stored in audit.runs:
        for event in stored.events:
            if not event.HasField("activity_task_completed_event_attributes"):
                continue
            attributes = event.activity_task_completed_event_attributes
            scheduled = stored.events[attributes.scheduled_event_id - 1]
            name = scheduled.activity_task_scheduled_event_attributes.activity_id
            produced, is_cut = set(), False
            origin: StoredRun | None = stored
            while origin is not None:  # A run that a reset made has results of the one before.
                produced |= audit.ledger.results.get((origin.run_id, name), set())
                produced |= audit.ledger.results.get((origin.base_run_id, name), set())
                is_cut = origin.base_run_id in audit.ledger.deleted  # Nobody knows its own base.
                origin = audit.run_named(origin.base_run_id)
            if is_cut:
                continue
            if attributes.result.payloads[0].data not in produced:
                yield f"{stored.run_id}: nobody produced the result of {name}"
