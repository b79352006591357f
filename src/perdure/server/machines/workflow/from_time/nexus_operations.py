"""Nexus operations whose time has come: a call to their handler, the end of a backoff, or a
timeout."""

from __future__ import annotations

from perdure.server.machines.workflow import workflow_task
from perdure.server.machines.workflow.nexus import attempts, operations, timing
from perdure.server.machines.workflow.nexus.due import CallToMake
from perdure.server.machines.workflow.nexus.due import due as due_of
from perdure.server.machines.workflow.nexus.state import CallState, CancelState, PendingOperation
from perdure.server.machines.workflow.turn import Turn


def due(turn: Turn, *, calls_are_lost: bool) -> bool:
    """Do all that is due, and tell whether that changed more than what is under way."""
    is_news = has_changed = False
    for pending in list(turn.run.nexus_operations.values()):
        if calls_are_lost:
            operations.take(turn, pending, attempts.CallsLost())
        deadline_ns = timing.operation_deadline(pending)
        if not deadline_ns or deadline_ns > turn.now_ns:
            continue
        was_waiting = _is_backing_off(pending)
        news = _do(turn, pending)
        is_news = is_news or news
        has_changed = has_changed or news or was_waiting != _is_backing_off(pending)
    if is_news:
        workflow_task.schedule_if_needed(turn)
    return has_changed


def _is_backing_off(pending: PendingOperation) -> tuple[bool, bool]:
    calls = pending.calls
    return (
        calls.state == CallState.BACKING_OFF,
        calls.cancellation is not None and calls.cancellation.state == CancelState.BACKING_OFF,
    )


def _do(turn: Turn, pending: PendingOperation) -> bool:
    """Do all that is due of an operation; whether that is news for its workflow."""
    is_news = False
    while (next_one := due_of(pending, turn.now_ns, turn.limits)) is not None:
        if isinstance(next_one, CallToMake):
            operations.call(turn, pending, next_one)
            continue
        is_news = operations.take(turn, pending, next_one) or is_news
        if isinstance(next_one, attempts.TimedOut):
            break
    return is_news
