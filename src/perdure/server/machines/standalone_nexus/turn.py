"""What one decision on a standalone Nexus operation writes: to its calls, and to its handler."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.errors import OperationAlreadyStarted
from perdure.server.machines.standalone import turn as shared
from perdure.server.machines.standalone.turn import Family
from perdure.server.machines.standalone_nexus.state import NO_EVENT, Head, OperationRun, Status
from perdure.server.machines.workflow import deadlines
from perdure.server.machines.workflow.effects import CallNexus
from perdure.server.machines.workflow.nexus.due import CallToMake
from perdure.server.machines.workflow.nexus.state import Calls, CallState, PendingOperation
from perdure.server.machines.workflow.nexus.timing import operation_deadline

_replace = msgspec.structs.replace

Turn: TypeAlias = shared.Turn[OperationRun, Head]


def put(turn: Turn, calls: Calls, *, counts: bool = True, **fields: Any) -> None:
    """Its calls stand like this now."""
    pending = PendingOperation(turn.head.pending.operation, calls)
    turn.change(counts=counts, pending=pending, **fields)


def call(turn: Turn, call: CallToMake, calls: Calls) -> None:
    """Have its handler asked."""
    put(turn, calls, counts=False)
    turn.effects.append(
        CallNexus(
            run_id=turn.run.run_id,
            scheduled_event_id=NO_EVENT,
            attempt=call.attempt,
            is_cancel=call.is_cancel,
            timeout_ns=call.timeout_ns,
            operation_timeout_ns=call.operation_timeout_ns,
        )
    )


def end(turn: Turn, status: Status, calls: Calls, **fields: Any) -> None:
    """The operation is over."""
    calls = _replace(calls, due_ns=deadlines.NEVER)
    turn.end(status, PendingOperation(turn.head.pending.operation, calls), **fields)


def tried(calls: Calls) -> int:
    """How many calls to start it there were, with the one that is under way."""
    return calls.attempt + (calls.state == CallState.SCHEDULED)


# ---- what standalone Nexus operations have of their own


def _terminate(turn: Turn, failure: Failure, request_id: str) -> None:
    content = failure.SerializeToString(deterministic=True)
    calls = turn.head.pending.calls
    end(turn, Status.TERMINATED, calls, failure=content, terminate_request_id=request_id)


def _already_started(request_id: str, run_id: str) -> OperationAlreadyStarted:
    return OperationAlreadyStarted(
        f"nexus operation execution already started: request_id={request_id}, run_id={run_id}",
        start_request_id=request_id,
        run_id=run_id,
    )


OPERATIONS = Family(
    noun="operation",
    statuses={
        Status.COMPLETED: "Succeeded",
        Status.FAILED: "Failed",
        Status.CANCELED: "Canceled",
        Status.TIMED_OUT: "TimedOut",
    },
    deletion="Delete Nexus operation execution",
    already_started=_already_started,
    deadline=operation_deadline,
    terminate=_terminate,
)
