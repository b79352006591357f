"""Nexus operations whose time has come: a call to their handler, the end of a backoff, or a
timeout."""

from __future__ import annotations

from temporalio.api.enums.v1 import workflow_pb2

from perdure.server.machines.workflow import workflow_task
from perdure.server.machines.workflow.nexus import attempts, operations, timing
from perdure.server.machines.workflow.nexus.state import CallState, CancelState, PendingOperation
from perdure.server.machines.workflow.turn import Turn


def due(turn: Turn) -> bool:
    """Do all that is due, and tell whether that changed more than what is under way."""
    is_news = has_changed = False
    for pending in list(turn.run.nexus_operations.values()):
        deadline_ns = timing.operation_deadline(pending)
        if not deadline_ns or deadline_ns > turn.now_ns:
            continue
        was_waiting = _is_backing_off(pending)
        is_over = _time_out(turn, pending)
        news = is_over or _call(turn, pending)
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


def _time_out(turn: Turn, pending: PendingOperation) -> bool:
    passed = [timeout for timeout in timing.timeouts_of(pending) if timeout[0] <= turn.now_ns]
    if not passed:
        return False
    return operations.take(turn, pending, attempts.TimedOut(min(passed)[1]))


def _call(turn: Turn, pending: PendingOperation) -> bool:
    """Make the calls that are due; whether an event says that there is no time for one."""
    now_ns = turn.now_ns
    if pending.calls.state == CallState.BACKING_OFF and pending.calls.due_ns <= now_ns:
        operations.take(turn, pending, attempts.BackoffOver())
    if pending.calls.state == CallState.SCHEDULED and pending.calls.due_ns <= now_ns:
        if not operations.has_time_to_start(turn, pending):
            return operations.take(
                turn, pending, attempts.TimedOut(_nearest_timeout(turn, pending))
            )
        operations.call_to_start(turn, pending)
    cancellation = pending.calls.cancellation
    if cancellation is None or not cancellation.due_ns or cancellation.due_ns > now_ns:
        return False
    operations.take(turn, pending, attempts.CancelBackoffOver())
    return operations.call_to_cancel(turn, pending)


def _nearest_timeout(turn: Turn, pending: PendingOperation) -> int:
    """Which of the two that bound a call leaves it less time."""
    closes_ns, starts_ns = timing.time_left_ns(pending.operation, turn.now_ns)
    if starts_ns is None or (closes_ns is not None and closes_ns < starts_ns):
        return workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
    return workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START
