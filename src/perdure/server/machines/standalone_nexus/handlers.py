"""What the handler of a standalone Nexus operation says, and what time does to it."""

from __future__ import annotations

from typing import Any

import msgspec
from temporalio.api.failure.v1 import Failure, TimeoutFailureInfo

from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.standalone_nexus import inputs
from perdure.server.machines.standalone_nexus.state import Status
from perdure.server.machines.standalone_nexus.turn import Turn, call, end, put
from perdure.server.machines.workflow.inputs import (
    Done,
    NexusCancelAnswered,
    NexusStartAnswered,
    WakeUp,
)
from perdure.server.machines.workflow.nexus import attempts
from perdure.server.machines.workflow.nexus.attempts import (
    CancelEnded,
    Failed,
    Happening,
    Started,
    Succeeded,
)
from perdure.server.machines.workflow.nexus.due import CallToMake
from perdure.server.machines.workflow.nexus.due import due as due_of
from perdure.server.machines.workflow.nexus.events import TIMED_OUT
from perdure.server.machines.workflow.nexus.state import Calls, CallState

_replace = msgspec.structs.replace
_BAD_COMPLETION = "bad request"


def start_answered(turn: Turn, message: NexusStartAnswered) -> Done:
    """A call to start it is over; an answer that nobody waits for any more changes nothing."""
    take(turn, attempts.StartAnswered(message.attempt, message.outcome))
    go_on(turn)  # Somebody may have asked to cancel it meanwhile.
    return Done()


def cancel_answered(turn: Turn, message: NexusCancelAnswered) -> Done:
    """The same of a call to cancel it."""
    take(turn, attempts.CancelAnswered(message.attempt, message.outcome))
    return Done()


def complete(turn: Turn, message: inputs.CompleteOperation) -> Done:
    """It has ended. Raises NotFound when it was another operation that did."""
    if message.request_id != turn.head.pending.operation.request_id:
        raise turn.not_found()
    take(
        turn,
        attempts.Completed(
            message.outcome, message.operation_token, message.start_time_ns, message.links
        ),
    )
    return Done()


def complete_closed(turn: Turn, message: inputs.CompleteOperation) -> Done:
    """It is over already."""
    raise InvalidArgument(_BAD_COMPLETION)


def wake_up(turn: Turn, message: WakeUp) -> Done:
    """Do what is due."""
    if message.calls_are_lost:
        lost = attempts.step(turn.head.pending.calls, attempts.CallsLost(), turn.now_ns)
        if isinstance(lost, Calls):
            put(turn, lost, counts=False)
    go_on(turn)
    turn.rearm()
    return Done()


def go_on(turn: Turn) -> None:
    """Do all that is due."""
    while turn.run.is_open:
        due = due_of(turn.head.pending, turn.now_ns, turn.limits)
        if due is None:
            return
        if isinstance(due, CallToMake):
            calls = attempts.step(turn.head.pending.calls, due.begun(turn.now_ns), turn.now_ns)
            assert isinstance(calls, Calls), "a call that is due can begin"
            call(turn, due, calls)
        else:
            take(turn, due)


def take(turn: Turn, happening: Happening, **fields: Any) -> None:
    """Let something happen to it."""
    before = turn.head.pending.calls
    match attempts.step(before, happening, turn.now_ns):
        case None:
            return
        case Calls() as calls:
            put(turn, calls, **fields)
        case Started(calls=calls, links=links):
            put(turn, calls, links=turn.head.links + links)
        case CancelEnded(calls=calls):
            put(turn, calls)
        case Succeeded() as succeeded:
            calls, links = _ended(turn, before, succeeded, is_answer=False)
            end(turn, Status.COMPLETED, calls, result=succeeded.payload, links=links)
        case Failed() as failed:
            _fail(turn, before, failed, is_answer=isinstance(happening, attempts.StartAnswered))


def _fail(turn: Turn, before: Calls, failed: Failed, *, is_answer: bool) -> None:
    failure = failed.cause
    status = Status.CANCELED if failed.is_canceled else Status.FAILED
    if failed.timeout_type:
        status = Status.TIMED_OUT
        is_answer = before.state != CallState.STARTED
        info = TimeoutFailureInfo(timeout_type=failed.timeout_type)  # type: ignore[arg-type]
        timed_out = Failure(message=TIMED_OUT, timeout_failure_info=info)
        failure = timed_out.SerializeToString(deterministic=True)
    calls, links = _ended(turn, before, failed, is_answer=is_answer)
    if is_answer:
        calls = _replace(calls, failure=failure)
    end(turn, status, calls, failure=failure, links=links)


def _ended(
    turn: Turn, before: Calls, ended: Succeeded | Failed, *, is_answer: bool
) -> tuple[Calls, tuple[bytes, ...]]:
    """Its calls when it has ended, and all its links. `is_answer`: it was the call to start it that
    failed for good."""
    links = turn.head.links + ended.links
    if ended.started is None:
        return _replace(before, completed_ns=turn.now_ns) if is_answer else before, links
    # It had been started, though nobody has said so.
    calls = _replace(ended.started.calls, completed_ns=ended.started.time_ns)
    return calls, links + ended.started.links
