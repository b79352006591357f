"""A workflow task finds its poller, or loses it again before the task was delivered."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import changes, speculative, transitions, workflow_task
from perdure.server.machines.workflow.inputs import (
    Done,
    StartedWorkflowTask,
    StartWorkflowTask,
    StickyWorkerUnavailable,
    WorkflowTaskUndelivered,
)
from perdure.server.machines.workflow.outstanding_task import is_on_sticky_queue
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import is_versioned

STALE_OFFER = "the workflow task is no longer on offer"


def start(turn: Turn, message: StartWorkflowTask) -> StartedWorkflowTask:
    """Start the scheduled task, or deliver a started one that had not arrived."""
    run = turn.run
    task = run.workflow_task
    is_on_offer = task is not None and (not task.started_event_id or run.is_task_undelivered)
    if not is_on_offer or message.stamp != run.task_stamp:
        raise NotFound(STALE_OFFER)
    concerns_versions = message.version is not None or is_versioned(run)
    if concerns_versions and not transitions.meet(turn, message.version, message.target):
        raise NotFound(STALE_OFFER)
    reply = workflow_task.start(
        turn,
        request_id=message.request_id,
        identity=message.identity,
        worker_version=message.worker_version or None,
    )
    if run.speculative is None:
        workflow_task.withdraw(turn)
    return reply


def undelivered(turn: Turn, message: WorkflowTaskUndelivered) -> Done:
    """The started task goes on offer again, on the normal queue; its attempt and its started event
    stand."""
    run = turn.run
    if message.stamp != run.task_stamp or run.is_task_undelivered:
        raise NotFound(STALE_OFFER)
    task = run.workflow_task
    if message.start_id and (task is None or task.request_id != message.start_id):
        raise NotFound(STALE_OFFER)  # That start was lost, and others may hold the task.
    if run.speculative is not None:
        speculative.take_back(turn, run.speculative)
        return Done()
    turn.change(changes.TaskUndelivered())
    workflow_task.offer(turn)
    return Done()


def sticky_unavailable(turn: Turn, message: StickyWorkerUnavailable) -> Done:
    """The scheduled task moves from the sticky queue to the normal one; nothing is recorded, nor is
    it a transition: the real server does so where it hands out tasks."""
    turn.is_transition = False
    run = turn.run
    if message.stamp != run.task_stamp or not is_on_sticky_queue(run):
        raise NotFound(STALE_OFFER)
    if run.speculative is not None:
        speculative.leave_sticky_queue(turn, run.speculative)
        return Done()
    turn.change(changes.StickyUnavailable())
    workflow_task.offer(turn)
    return Done()
