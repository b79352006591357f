"""Which tasks of a run should be on offer: a pure projection.

Dispatch rows are only an index of it. Whoever doubts them (a load, a scavenger, a test) compares
them with this.
"""

from __future__ import annotations

from typing import NamedTuple

from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.outstanding_task import WORKFLOW_TASK_ROW, is_on_sticky_queue
from perdure.server.machines.workflow.state import AttemptState, Run
from perdure.server.machines.workflow.versioning import is_in_transition


class ExpectedTask(NamedTuple):
    """What an offer of the task says; see `OfferTask`."""

    kind: TaskKind
    event_id: int
    stamp: int
    queue: str


def expected_tasks(run: Run) -> set[ExpectedTask]:
    """The tasks that wait for a poller; none of a closed run."""
    if not run.is_open:
        return set()
    expected = {
        ExpectedTask(
            TaskKind.ACTIVITY,
            pending.activity.scheduled_event_id,
            pending.attempt.stamp,
            pending.options.task_queue,
        )
        for pending in run.activities.values()
        if pending.attempt.state == AttemptState.SCHEDULED
        and run.pending.pause is None
        and not is_in_transition(run)
    }
    task = None if run.speculative is not None else run.workflow_task
    if task is not None and (not task.started_event_id or run.pending.is_task_undelivered):
        queue = run.pending.sticky_queue if is_on_sticky_queue(run) else run.recorded.task_queue
        expected.add(
            ExpectedTask(TaskKind.WORKFLOW, WORKFLOW_TASK_ROW, run.pending.task_stamp, queue)
        )
    return expected
