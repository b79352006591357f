"""What a parent hears of its children. News of a child that is not pending any more is old: it
changes nothing."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import changes, child_events, workflow_task
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import Done
from perdure.server.machines.workflow.messages import ChildClosed, ChildStarted, ChildStartFailed
from perdure.server.machines.workflow.state import Child
from perdure.server.machines.workflow.turn import Turn

CHILD_NOT_FOUND = "Pending child execution not found."


def started(turn: Turn, message: ChildStarted) -> Done:
    """Record (or buffer) that the child runs."""
    child = _pending(turn, message)
    if child.first_run_id:
        raise NotFound(CHILD_NOT_FOUND)
    _record_started(turn, child, message.child_run_id, message.header)
    workflow_task.schedule_if_needed(turn)
    return Done()


def start_failed(turn: Turn, message: ChildStartFailed) -> Done:
    """Record (or buffer) that there will be no child."""
    child = _pending(turn, message)
    if child.first_run_id:
        raise NotFound(CHILD_NOT_FOUND)
    event = child_events.child_start_failed(turn.workflow, child, message.cause, message.control)
    if not turn.record_or_buffer(event):
        turn.change(changes.ChildEndBuffered(child.initiated_event_id))
    workflow_task.schedule_if_needed(turn)
    return Done()


def closed(turn: Turn, message: ChildClosed) -> Done:
    """Record (or buffer) how the child ended."""
    child = _pending(turn, message)
    if child.workflow_id != message.child_workflow_id:
        raise NotFound(CHILD_NOT_FOUND)
    if not child.first_run_id:
        _record_started(turn, child, message.first_run_id, None)
    elif child.first_run_id != message.first_run_id:
        raise NotFound(CHILD_NOT_FOUND)
    if not turn.record_or_buffer(child_events.child_closed(turn.workflow, child, message)):
        turn.change(changes.ChildEndBuffered(child.initiated_event_id))
    workflow_task.schedule_if_needed(turn)
    return Done()


def too_late(turn: Turn, message: ChildStarted | ChildStartFailed | ChildClosed) -> Done:
    """The parent is over."""
    raise NotFound(WORKFLOW_COMPLETED)


def _pending(turn: Turn, message: ChildStarted | ChildStartFailed | ChildClosed) -> Child:
    child = turn.run.children.get(message.initiated_event_id)
    if child is None or child.is_over:
        raise NotFound(CHILD_NOT_FOUND)
    return child


def _record_started(turn: Turn, child: Child, run_id: str, header: bytes | None) -> None:
    if not turn.record_or_buffer(child_events.child_started(turn.workflow, child, run_id, header)):
        turn.change(changes.ChildStartBuffered(child.initiated_event_id, run_id))
