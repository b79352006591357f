"""The calls of a Nexus operation as a state machine: what becomes of it by each thing that can
happen, as a table.

    scheduled ──answer──► backing off ──its end──► scheduled
        │                      │
        └──► started ◄─────────┘   (by a completion that overtakes the answer)
        every state but the last ──► over

A request to cancel is called at the handler in the same manner, once the operation is started. What
comes late, or twice, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure

from perdure.server.machines.backoff import backoff_ns
from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    CancelOutcome,
    HandlerFailed,
    OperationFailed,
    OperationOutcome,
    StartOutcome,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.workflow.nexus.state import (
    Calls,
    CallState,
    Cancellation,
    CancelState,
)

# ---- what can happen


class StartAnswered(msgspec.Struct, frozen=True):
    """The so-manieth call to start it is over."""

    attempt: int
    outcome: StartOutcome


class Completed(msgspec.Struct, frozen=True):
    """Its handler tells how it ended."""

    outcome: OperationOutcome
    operation_token: str
    start_ns: int
    links: tuple[bytes, ...] = ()


class BackoffOver(msgspec.Struct, frozen=True):
    """The next call is due."""


class CallBegun(msgspec.Struct, frozen=True):
    """A call is made, and lost when it is not over by then."""

    lost_ns: int


class CallsLost(msgspec.Struct, frozen=True):
    """Whatever calls were under way died with the process that made them."""


class TimedOut(msgspec.Struct, frozen=True):
    """One of its timeouts has passed."""

    timeout_type: int


class CancelRequested(msgspec.Struct, frozen=True):
    """Its workflow does not want it any more."""

    requested_event_id: int


class CancelBackoffOver(msgspec.Struct, frozen=True):
    """The next call to cancel it is due."""


class CancelCallBegun(msgspec.Struct, frozen=True):
    """As of a call to start it."""

    lost_ns: int


class CancelAnswered(msgspec.Struct, frozen=True):
    """The so-manieth call to cancel it is over."""

    attempt: int
    outcome: CancelOutcome


Happening = (
    StartAnswered
    | Completed
    | BackoffOver
    | CallBegun
    | CallsLost
    | TimedOut
    | CancelRequested
    | CancelBackoffOver
    | CancelCallBegun
    | CancelAnswered
)


# ---- what becomes of it


class Started(msgspec.Struct, frozen=True):
    """It goes on at its handler; the event that says so is at `time_ns`."""

    calls: Calls
    time_ns: int
    links: tuple[bytes, ...]


class Succeeded(msgspec.Struct, frozen=True):
    """It is over; `started` first, if nobody knew that it had begun."""

    payload: bytes
    links: tuple[bytes, ...] = ()
    started: Started | None = None


class Failed(msgspec.Struct, frozen=True):
    """It is over, for this cause."""

    cause: bytes
    is_canceled: bool = False
    timeout_type: int = 0
    links: tuple[bytes, ...] = ()
    started: Started | None = None


class CancelEnded(msgspec.Struct, frozen=True):
    """Its handler knows that it is to end, or (`failure`) never will."""

    calls: Calls
    failure: bytes = b""


Result = Calls | Started | Succeeded | Failed | CancelEnded
"""`Calls`: nothing that an event tells."""


def step(calls: Calls, happening: Happening, now_ns: int) -> Result | None:
    """What becomes of an operation; None when that came too late, or twice."""
    return TABLE[CallState(calls.state), type(happening)](calls, happening, now_ns)


def call_error(message: str, *, is_final: bool) -> bytes:
    """The failure of a call that nobody has answered."""
    info = ApplicationFailureInfo(type="CallError", non_retryable=is_final)
    failure = Failure(message=message, application_failure_info=info)
    return failure.SerializeToString(deterministic=True)


def starts(calls: Calls, operation_token: str, links: tuple[bytes, ...], *, now_ns: int) -> Started:
    """It is started: a request to cancel it, if there is one, can be made now."""
    cancellation = calls.cancellation
    if cancellation is not None:
        cancellation = _begun(cancellation, now_ns)
    return Started(
        Calls(
            state=CallState.STARTED,
            due_ns=0,
            attempt=calls.attempt + 1,
            completed_ns=now_ns,
            started_ns=now_ns,
            operation_token=operation_token,
            cancellation=cancellation,
        ),
        now_ns,
        links,
    )


# ---- the rows of the table


def _nothing(calls: Calls, happening: Happening, now_ns: int) -> None:
    return None


def _start_answered(calls: Calls, answered: StartAnswered, now_ns: int) -> Result | None:
    if answered.attempt != calls.attempt + 1:
        return None
    match answered.outcome:
        case AsyncStarted(operation_token=token, links=links):
            return starts(calls, token, links, now_ns=now_ns)
        case SyncSuccess(payload=payload, links=links):
            return Succeeded(payload, links)
        case OperationFailed(failure=failure, is_canceled=is_canceled, links=links):
            return Failed(failure, is_canceled, links=links)
        case HandlerFailed() | Unreachable() as failed:
            if not failed.is_retryable:
                return Failed(_failure_of(failed))
            return msgspec.structs.replace(
                calls,
                state=CallState.BACKING_OFF,
                attempt=answered.attempt,
                due_ns=_again_ns(answered.attempt, now_ns),
                completed_ns=now_ns,
                failure=_failure_of(failed),
            )


def _again_ns(attempt: int, now_ns: int) -> int:
    """When to call again. No two calls end in the same nanosecond: the time is the seed."""
    return now_ns + backoff_ns(attempt, str(now_ns))


def _failure_of(failed: HandlerFailed | Unreachable) -> bytes:
    if isinstance(failed, HandlerFailed):
        return failed.failure
    return call_error(failed.message, is_final=not failed.is_retryable)


def _backoff_over(calls: Calls, happening: BackoffOver, now_ns: int) -> Calls:
    return msgspec.structs.replace(calls, state=CallState.SCHEDULED, due_ns=now_ns)


def _call_begun(calls: Calls, begun: CallBegun, now_ns: int) -> Calls:
    return msgspec.structs.replace(calls, due_ns=begun.lost_ns)


def _call_lost(calls: Calls, happening: CallsLost, now_ns: int) -> Calls:
    """It does not count."""
    return msgspec.structs.replace(calls, due_ns=now_ns)


def _completed_unstarted(calls: Calls, completed: Completed, now_ns: int) -> Result:
    """It had been started, though nobody has said so."""
    started = starts(calls, completed.operation_token, completed.links, now_ns=now_ns)
    if completed.start_ns:
        # Only the event bears a time that somebody else has told: it may be any time.
        started = msgspec.structs.replace(started, time_ns=completed.start_ns)
    return msgspec.structs.replace(_completed(calls, completed, now_ns), started=started)


def _completed(calls: Calls, completed: Completed, now_ns: int) -> Succeeded | Failed:
    if isinstance(completed.outcome, SyncSuccess):
        return Succeeded(completed.outcome.payload)
    return Failed(completed.outcome.failure, completed.outcome.is_canceled)


def _timed_out(calls: Calls, timed_out: TimedOut, now_ns: int) -> Failed:
    return Failed(b"", timeout_type=timed_out.timeout_type)


def _cancel_requested(calls: Calls, requested: CancelRequested, now_ns: int) -> Calls | None:
    if calls.cancellation is not None:
        return None
    cancellation = Cancellation(requested.requested_event_id, CancelState.WAITING)
    if calls.state == CallState.STARTED:
        cancellation = _begun(cancellation, now_ns)
    return msgspec.structs.replace(calls, cancellation=cancellation)


def _begun(cancellation: Cancellation, now_ns: int) -> Cancellation:
    return msgspec.structs.replace(
        cancellation, state=CancelState.SCHEDULED, requested_ns=now_ns, due_ns=now_ns
    )


def _cancel_backoff_over(calls: Calls, happening: CancelBackoffOver, now_ns: int) -> Calls | None:
    cancellation = calls.cancellation
    if cancellation is None or cancellation.state != CancelState.BACKING_OFF:
        return None
    return _with(calls, cancellation, state=CancelState.SCHEDULED, due_ns=now_ns)


def _cancel_call_begun(calls: Calls, begun: CancelCallBegun, now_ns: int) -> Calls | None:
    cancellation = calls.cancellation
    if cancellation is None or cancellation.state != CancelState.SCHEDULED:
        return None
    return _with(calls, cancellation, due_ns=begun.lost_ns)


def _cancel_call_lost(calls: Calls, happening: CallsLost, now_ns: int) -> Calls | None:
    cancellation = calls.cancellation
    if cancellation is None or cancellation.state != CancelState.SCHEDULED:
        return None
    return _with(calls, cancellation, due_ns=now_ns)


def _cancel_answered(
    calls: Calls, answered: CancelAnswered, now_ns: int
) -> Calls | CancelEnded | None:
    cancellation, outcome = calls.cancellation, answered.outcome
    if (
        cancellation is None
        or cancellation.state != CancelState.SCHEDULED
        or answered.attempt != cancellation.attempt + 1
    ):
        return None
    over: dict[str, Any] = {"attempt": answered.attempt, "completed_ns": now_ns}
    if isinstance(outcome, CancelAccepted):
        state = CancelState.SUCCEEDED
        return CancelEnded(_with(calls, cancellation, state=state, due_ns=0, failure=b"", **over))
    failure = _failure_of(outcome)
    if outcome.is_retryable:
        due_ns, state = _again_ns(answered.attempt, now_ns), CancelState.BACKING_OFF
        return _with(calls, cancellation, state=state, due_ns=due_ns, failure=failure, **over)
    state = CancelState.FAILED
    return CancelEnded(
        _with(calls, cancellation, state=state, due_ns=0, failure=failure, **over), failure
    )


def _with(calls: Calls, cancellation: Cancellation, **changed: Any) -> Calls:
    return msgspec.structs.replace(
        calls, cancellation=msgspec.structs.replace(cancellation, **changed)
    )


TABLE: dict[tuple[CallState, type], Callable[[Calls, Any, int], Result | None]] = {
    (CallState.SCHEDULED, StartAnswered): _start_answered,
    (CallState.SCHEDULED, Completed): _completed_unstarted,
    (CallState.SCHEDULED, BackoffOver): _nothing,
    (CallState.SCHEDULED, CallBegun): _call_begun,
    (CallState.SCHEDULED, CallsLost): _call_lost,
    (CallState.SCHEDULED, TimedOut): _timed_out,
    (CallState.SCHEDULED, CancelRequested): _cancel_requested,
    (CallState.SCHEDULED, CancelBackoffOver): _nothing,
    (CallState.SCHEDULED, CancelCallBegun): _nothing,
    (CallState.SCHEDULED, CancelAnswered): _nothing,
    (CallState.BACKING_OFF, StartAnswered): _nothing,
    (CallState.BACKING_OFF, Completed): _completed_unstarted,
    (CallState.BACKING_OFF, BackoffOver): _backoff_over,
    (CallState.BACKING_OFF, CallBegun): _nothing,
    (CallState.BACKING_OFF, CallsLost): _nothing,
    (CallState.BACKING_OFF, TimedOut): _timed_out,
    (CallState.BACKING_OFF, CancelRequested): _cancel_requested,
    (CallState.BACKING_OFF, CancelBackoffOver): _nothing,
    (CallState.BACKING_OFF, CancelCallBegun): _nothing,
    (CallState.BACKING_OFF, CancelAnswered): _nothing,
    (CallState.STARTED, StartAnswered): _nothing,
    (CallState.STARTED, Completed): _completed,
    (CallState.STARTED, BackoffOver): _nothing,
    (CallState.STARTED, CallBegun): _nothing,
    (CallState.STARTED, CallsLost): _cancel_call_lost,
    (CallState.STARTED, TimedOut): _timed_out,
    (CallState.STARTED, CancelRequested): _cancel_requested,
    (CallState.STARTED, CancelBackoffOver): _cancel_backoff_over,
    (CallState.STARTED, CancelCallBegun): _cancel_call_begun,
    (CallState.STARTED, CancelAnswered): _cancel_answered,
    **{
        (CallState.OUTCOME_BUFFERED, happening): _nothing
        for happening in (
            StartAnswered,
            Completed,
            BackoffOver,
            CallBegun,
            CallsLost,
            TimedOut,
            CancelRequested,
            CancelBackoffOver,
            CancelCallBegun,
            CancelAnswered,
        )
    },
}
