"""What happens to a Nexus operation, in a turn: the step of its machine, recorded or buffered."""

from __future__ import annotations

import msgspec

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.nexus.outcomes import Unreachable
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.workflow import changes
from perdure.server.machines.workflow.effects import CallNexus
from perdure.server.machines.workflow.nexus import attempts, events
from perdure.server.machines.workflow.nexus.state import Calls, CallState, PendingOperation
from perdure.server.machines.workflow.nexus.timing import time_left_ns
from perdure.server.machines.workflow.turn import Turn

GRACE_NS = 2 * SECOND_NS
"""A call that has not ended so long after its timeout never will."""
TOO_LATE_TO_CANCEL = "not enough time to execute another request before ScheduleToClose timeout"


def take(turn: Turn, pending: PendingOperation, happening: attempts.Happening) -> bool:
    """Let something happen to an operation; whether that is news for its workflow, which then must
    get a workflow task."""
    result = attempts.step(pending.calls, happening, turn.now_ns)
    match result:
        case None:
            return False
        case Calls():
            _change(turn, pending, result)
            return False
        case attempts.Started():
            _start(turn, pending, result)
        case attempts.Succeeded() | attempts.Failed():
            if result.started is not None:
                _start(turn, pending, result.started)
            _end(turn, pending, result)
        case attempts.CancelEnded():
            _end_cancellation(turn, pending, result)
    return True


def has_time_to_start(turn: Turn, pending: PendingOperation) -> bool:
    """Whether another call to start it makes sense before it times out."""
    left_ns = time_left_ns(pending.operation, turn.now_ns)
    least_ns = turn.limits.nexus_call_timeout_ns_min
    return all(left is None or left >= least_ns for left in left_ns)


def call_to_start(turn: Turn, pending: PendingOperation) -> None:
    """Have the handler asked to start it. The shell may be asked again, when that was lost."""
    operation, now_ns = pending.operation, turn.now_ns
    closes_ns, starts_ns = time_left_ns(operation, now_ns)
    timeout_ns = turn.limits.nexus_call_timeout_ns
    for left_ns in (closes_ns, starts_ns):
        if left_ns is not None:
            timeout_ns = min(timeout_ns, left_ns)
    ends_ns = [left_ns for left_ns in (closes_ns, operation.start_to_close_ns) if left_ns]
    take(turn, pending, attempts.CallBegun(now_ns + timeout_ns + GRACE_NS))
    turn.effects.append(
        CallNexus(
            run_id=turn.run.recorded.run_id,
            scheduled_event_id=operation.scheduled_event_id,
            attempt=pending.calls.attempt + 1,
            is_cancel=False,
            timeout_ns=timeout_ns,
            operation_timeout_ns=min(ends_ns, default=0),
        )
    )


def call_to_cancel(turn: Turn, pending: PendingOperation) -> bool:
    """Have the handler asked to cancel it, if there is time for that; whether it is news that there
    is not."""
    operation, cancellation = pending.operation, pending.calls.cancellation
    if cancellation is None:
        raise InvariantViolation("nobody has asked to cancel the operation")
    attempt, timeout_ns = cancellation.attempt + 1, turn.limits.nexus_call_timeout_ns
    left_ns, _ = time_left_ns(operation, turn.now_ns)
    if left_ns is not None:
        if left_ns < turn.limits.nexus_call_timeout_ns_min:
            unreachable = Unreachable(TOO_LATE_TO_CANCEL, is_retryable=False)
            return take(turn, pending, attempts.CancelAnswered(attempt, unreachable))
        timeout_ns = min(timeout_ns, left_ns)
    take(turn, pending, attempts.CancelCallBegun(turn.now_ns + timeout_ns + GRACE_NS))
    turn.effects.append(
        CallNexus(
            run_id=turn.run.recorded.run_id,
            scheduled_event_id=operation.scheduled_event_id,
            attempt=attempt,
            is_cancel=True,
            timeout_ns=timeout_ns,
        )
    )
    return False


def _change(turn: Turn, pending: PendingOperation, calls: Calls) -> None:
    turn.change(changes.NexusCallsChanged(pending.operation.scheduled_event_id, calls))


def _start(turn: Turn, pending: PendingOperation, started: attempts.Started) -> None:
    _change(turn, pending, started.calls)
    token = started.calls.operation_token
    event = events.started(pending.operation, token, started.links)
    turn.record_or_buffer(event, started.time_ns if started.time_ns != turn.now_ns else None)


def _end(
    turn: Turn, pending: PendingOperation, ended: attempts.Succeeded | attempts.Failed
) -> None:
    operation = pending.operation
    if isinstance(ended, attempts.Succeeded):
        event = events.completed(operation, ended.payload, ended.links)
    else:
        event = events.failed(pending, ended)
    if not turn.record_or_buffer(event):
        over = msgspec.structs.replace(
            pending.calls, state=CallState.OUTCOME_BUFFERED, due_ns=0, cancellation=None
        )
        _change(turn, pending, over)


def _end_cancellation(turn: Turn, pending: PendingOperation, ended: attempts.CancelEnded) -> None:
    _change(turn, pending, ended.calls)
    operation, cancellation = pending.operation, ended.calls.cancellation
    if cancellation is None:
        raise InvariantViolation("a request to cancel ended that was never made")
    requested = cancellation.requested_event_id
    if ended.failure:
        event = events.cancel_request_failed(operation, requested, ended.failure)
    else:
        event = events.cancel_request_completed(operation, requested)
    turn.record_or_buffer(event)
