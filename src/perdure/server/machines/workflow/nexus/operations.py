"""What happens to a Nexus operation, in a turn: the step of its machine, recorded or buffered."""

from __future__ import annotations

import msgspec

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.workflow import changes
from perdure.server.machines.workflow.effects import CallNexus
from perdure.server.machines.workflow.nexus import attempts, events
from perdure.server.machines.workflow.nexus.due import CallToMake
from perdure.server.machines.workflow.nexus.state import Calls, CallState, PendingOperation
from perdure.server.machines.workflow.turn import Turn


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


def call(turn: Turn, pending: PendingOperation, call: CallToMake) -> None:
    """Have its handler asked."""
    take(turn, pending, call.begun(turn.now_ns))
    turn.effects.append(
        CallNexus(
            run_id=turn.run.recorded.run_id,
            scheduled_event_id=pending.operation.scheduled_event_id,
            attempt=call.attempt,
            is_cancel=call.is_cancel,
            timeout_ns=call.timeout_ns,
            operation_timeout_ns=call.operation_timeout_ns,
        )
    )


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
