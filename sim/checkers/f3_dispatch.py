"""F3: what is on offer in the store is what its runs expect to be on offer: there are no orphans,
and nothing is missing."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.expected_tasks import ExpectedTask, expected_tasks
from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every row that nobody expects, and every task without one."""
    rows: dict[int, set[ExpectedTask]] = {}
    for row in audit.dispatch:
        task = ExpectedTask(TaskKind(row.kind), row.event_id, row.stamp, row.queue)
        rows.setdefault(row.run, set()).add(task)
    for stored in audit.runs:
        found, expected = rows.pop(stored.number, set()), expected_tasks(stored.run)
        if found != expected:
            yield f"{stored.run_id}: on offer are {found}, expected {expected}"
    for number, found in rows.items():
        yield f"run {number} does not exist, and {found} are on offer"
