"""PauseWorkflowExecution and UnpauseWorkflowExecution.

A paused run hears everything and does nothing: it has no workflow task, and none of its activities
is on offer. A task that a worker holds may be completed; the event that says when the run was
paused is buffered as all others, but the pause holds at once.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.errors import FailedPrecondition, NotFound
from perdure.server.machines.workflow import activity_task, changes, events, workflow_task
from perdure.server.machines.workflow.deadlines import first_task_due
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import Done, PauseWorkflow, UnpauseWorkflow
from perdure.server.machines.workflow.state import AttemptState, PendingActivity, WorkflowPause
from perdure.server.machines.workflow.turn import Turn

_CAUSE = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_PAUSE_REQUESTED_BEFORE_TASK_STARTED


def pause(turn: Turn, message: PauseWorkflow) -> Done:
    """Take back what is on offer, and record (or buffer) the pause."""
    pending, request = turn.run.pending, message.request
    if pending.pause is not None:
        if pending.pause.request_id == request.request_id:
            return Done()
        raise FailedPrecondition("workflow is already paused.")
    _take_task_back(turn)
    turn.record_or_buffer(
        events.workflow_paused(request.identity, request.reason, request.request_id)
    )
    for activity in _on_offer(turn):
        activity_task.withdraw(turn, activity.activity.scheduled_event_id)
    by = WorkflowPause(
        workflow_id=turn.workflow.workflow_id,
        identity=request.identity,
        time_ns=turn.now_ns,
        reason=request.reason,
        request_id=request.request_id,
    )
    turn.change(changes.PauseSet(by))
    turn.segment.visibility_changed = True
    return Done()


def unpause(turn: Turn, message: UnpauseWorkflow) -> Done:
    """Record (or buffer) that the run goes on, and offer what waited."""
    run, request = turn.run, message.request
    if run.pending.pause is None:
        raise FailedPrecondition("workflow is not paused.")
    turn.record_or_buffer(
        events.workflow_unpaused(request.identity, request.reason, request.request_id)
    )
    turn.change(changes.PauseSet(None))
    turn.segment.visibility_changed = True
    for activity in _on_offer(turn):
        activity_task.offer(turn, activity)
    if run.pending.is_first_task_scheduled:
        workflow_task.schedule_if_needed(turn)
    elif first_task_due(run) <= turn.now_ns:
        workflow_task.schedule(turn)
    return Done()


def closed(turn: Turn, message: PauseWorkflow | UnpauseWorkflow) -> Done:
    """It is over."""
    raise NotFound(WORKFLOW_COMPLETED)


def _take_task_back(turn: Turn) -> None:
    """A workflow task that nobody holds fails."""
    run = turn.run
    task = run.workflow_task
    if task is None or task.started_event_id:
        return
    workflow_task.withdraw(turn)
    if run.recorded.workflow_task is not None:
        turn.record(
            events.workflow_task_failed(
                scheduled_event_id=task.scheduled_event_id,
                started_event_id=0,
                cause=_CAUSE,
                failure=None,
                identity=workflow_task.HISTORY_SERVICE,
            )
        )
    turn.change(changes.TaskClosed(next_attempt=run.pending.attempt))


def _on_offer(turn: Turn) -> list[PendingActivity]:
    scheduled = AttemptState.SCHEDULED
    return [
        activity for activity in turn.run.activities.values() if activity.attempt.state == scheduled
    ]
