"""Z1: a nominal time of a schedule yields at most one start, of a workflow whose id follows from
the time; overlap policies hold; a schedule is there from its creation to its deletion."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import datetime

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.schedule.starting import SCHEDULED_BY, START_TIME, time_text
from perdure.server.machines.schedule.state import Overlap
from sim.audit import Audit, StoredRun
from sim.ledger import Planned

SEQUENTIAL = frozenset(Overlap) - {Overlap.ALLOW_ALL, Overlap.UNSPECIFIED}


def check(audit: Audit) -> Iterator[str]:
    """Every start that should not be, and every schedule that is lost."""
    started: dict[str, list[StoredRun]] = {}
    for stored in audit.runs:
        if schedule_id := _attribute(stored, SCHEDULED_BY):
            started.setdefault(schedule_id, []).append(stored)
    for schedule_id in started.keys() - audit.ledger.schedules.keys():
        yield f"nobody has created schedule {schedule_id}"
    for schedule_id, planned in audit.ledger.schedules.items():
        stored_state = audit.schedules.get(schedule_id)
        if planned.is_created and not planned.is_deleting and stored_state is None:
            yield f"schedule {schedule_id} is lost"
        if planned.is_deleted and stored_state is not None:
            yield f"schedule {schedule_id} was deleted, and is still there"
        firsts = [
            each
            for each in started.get(schedule_id, [])
            if not each.run.recorded.continued_run_id and not each.base_run_id
        ]
        yield from _check_times(schedule_id, planned, firsts)
        if planned.overlap in SEQUENTIAL and not audit.ledger.is_clock_set:
            yield from _check_overlap(audit, schedule_id, firsts)


def _check_times(schedule_id: str, planned: Planned, firsts: list[StoredRun]) -> Iterator[str]:
    seen: set[int] = set()
    for stored in firsts:
        text = _attribute(stored, START_TIME)
        nominal_ns = int(datetime.fromisoformat(text).timestamp()) * SECOND_NS
        expected = f"{planned.workflow_id}-{time_text(nominal_ns)}"
        if stored.workflow_id != expected:
            yield f"{schedule_id}: {stored.workflow_id} should be {expected}"
        if planned.is_triggered:
            continue
        if nominal_ns in seen:
            yield f"{schedule_id}: {text} has started twice"
        seen.add(nominal_ns)
        if nominal_ns % planned.interval_ns:
            yield f"{schedule_id}: {text} is no time of it"


def _check_overlap(audit: Audit, schedule_id: str, firsts: list[StoredRun]) -> Iterator[str]:
    firsts.sort(key=lambda stored: stored.number)
    for earlier, later in itertools.pairwise(firsts):
        closed_ns = _closed_ns(audit, earlier)
        if closed_ns is not None and closed_ns > later.run.recorded.start_time_ns:
            yield f"{schedule_id}: {later.workflow_id} began before the end of the one before"


def _closed_ns(audit: Audit, first: StoredRun) -> int | None:
    """When its chain ended; None when nobody can say any more."""
    stored: StoredRun | None = first
    while stored is not None and stored.run.recorded.successor_run_id:
        stored = audit.run_named(stored.run.recorded.successor_run_id)
    if stored is None:
        return None
    recorded = stored.run.recorded
    return 1 << 63 if stored.run.is_open else recorded.close_time_ns


def _attribute(stored: StoredRun, name: str) -> str:
    if not stored.events:
        return ""
    started = stored.events[0].workflow_execution_started_event_attributes
    if name not in started.search_attributes.indexed_fields:
        return ""
    return str(json.loads(started.search_attributes.indexed_fields[name].data))
