"""F3: what is on offer in the store is what its runs expect to be on offer: there are no orphans,
and nothing is missing."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.machines.standalone_activity.state import TASK_ID, ActivityRun
from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.expected_tasks import ExpectedTask, expected_tasks
from perdure.server.machines.workflow.state import AttemptState
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
    for job in audit.jobs:
        found, wanted = rows.pop(job.number, set()), _expected_of(job.run)
        if found != wanted:
            yield f"{job.run.run_id}: on offer are {found}, expected {wanted}"
    for number, found in rows.items():
        yield f"run {number} does not exist, and {found} are on offer"


def _expected_of(run: ActivityRun) -> set[ExpectedTask]:
    attempt = run.head.pending.attempt
    if not run.is_open or attempt.state != AttemptState.SCHEDULED:
        return set()
    queue = run.head.pending.options.task_queue
    return {ExpectedTask(TaskKind.ACTIVITY, TASK_ID, attempt.stamp, queue)}
