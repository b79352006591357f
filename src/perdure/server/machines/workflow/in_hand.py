"""What a workflow waits for, workers or a time: a pure projection, asked where time is skipped."""

from __future__ import annotations

from perdure.server.machines.ports import InHand
from perdure.server.machines.workflow.deadlines import wake_at
from perdure.server.machines.workflow.state import AttemptState, PendingActivity, Run, Workflow


def in_hand(workflow: Workflow) -> InHand:
    """What its current run waits for. The deadlines are looked at anew: the armed wake-up may be
    that of something which is over."""
    run = workflow.run
    if run is None:
        return InHand()
    if not run.is_open:
        return InHand(next_ns=wake_at(run))
    return InHand(
        workflow_tasks=int(_needs_workflow_task(workflow, run)),
        activity_tasks=sum(_is_with_workers(run, one) for one in run.activities.values()),
        next_ns=wake_at(run),
    )


def _needs_workflow_task(workflow: Workflow, run: Run) -> bool:
    if run.pending.pause is not None and not run.is_task_started:
        return False  # It is not on offer.
    return (
        run.workflow_task is not None
        or run.speculative is not None
        or not (workflow.volatile is None or workflow.volatile.is_empty)
    )


def _is_with_workers(run: Run, pending: PendingActivity) -> bool:
    state = pending.attempt.state
    if state == AttemptState.STARTED:
        return True
    return state == AttemptState.SCHEDULED and run.pending.pause is None
