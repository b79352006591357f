"""ExecuteMultiOperation of a start and an update: the open run is updated, or one is started that
has the update in its first task, in one turn.

What is wrong with the start is raised as it is, and what is wrong with the update as UpdateRefused;
either way nothing has changed.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import workflow_pb2

from perdure.server.machines.errors import Rejected, StartDeduplicated, UpdateRefused
from perdure.server.machines.workflow import updates
from perdure.server.machines.workflow.from_clients import start, update
from perdure.server.machines.workflow.inputs import (
    UpdatedWithStart,
    UpdateStage,
    UpdateStatus,
    UpdateWithStart,
    WorkflowStarted,
)
from perdure.server.machines.workflow.turn import Turn

START_DEDUPLICATED = "Workflow was not started: StartDeduped"


def absent(turn: Turn, message: UpdateWithStart) -> UpdatedWithStart:
    """Nothing has this workflow id yet."""
    return _begin(turn, message)


def running(turn: Turn, message: UpdateWithStart) -> UpdatedWithStart:
    """An open run gets the update when it has it already, when this request has started it, or when
    the conflict policy allows. Nothing of the start is attached to it."""
    known = updates.status_of(turn.workflow, message.update.update_id)
    if known is not None and known.completed_event_id:
        return UpdatedWithStart(start.answer(turn.run, is_new=False), known)
    request = message.start.request
    if known is not None or turn.run.pending.start_request_id == request.request_id:
        return _update(turn, message)
    if start.is_to_replace(request):
        return _begin(turn, message)
    if request.workflow_id_conflict_policy == workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING:
        return _update(turn, message)
    raise start.already_running(turn)


def closed(turn: Turn, message: UpdateWithStart) -> UpdatedWithStart:
    """An update that completed in the last run has its outcome; else the reuse policy decides."""
    run = turn.run
    known = updates.status_of(turn.workflow, message.update.update_id)
    if known is not None and known.completed_event_id:
        return UpdatedWithStart(start.answer(run, is_new=False), known)
    if run.pending.start_request_id == message.start.request.request_id:
        raise StartDeduplicated(START_DEDUPLICATED)
    start.check_reuse(turn, message.start.request)
    return _begin(turn, message)


def _update(turn: Turn, message: UpdateWithStart) -> UpdatedWithStart:
    try:
        status = update.running(turn, message.update)
    except Rejected as refusal:
        raise UpdateRefused(refusal) from refusal
    return UpdatedWithStart(start.answer(turn.run, is_new=False), status)


def _begin(turn: Turn, message: UpdateWithStart) -> UpdatedWithStart:
    """Start a run, in place of the open one if there is one, and let its first task bring the
    update."""
    try:
        update.check_room(None, turn, message.update)
    except Rejected as refusal:
        raise UpdateRefused(refusal) from refusal
    is_open = turn.workflow.run is not None and turn.run.is_open
    started: WorkflowStarted = (start.replace if is_open else start.begin)(turn, message.start)
    updates.admit(turn.workflow, message.update.update_id, message.update.request)
    status = UpdateStatus(started.run_id, message.update.update_id, UpdateStage.ADMITTED)
    return UpdatedWithStart(started, status)
