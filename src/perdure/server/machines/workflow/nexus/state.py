"""What a pending Nexus operation is.

As of an activity, one half is recorded and the other is not: calls to a handler are no events, but
for the answer that starts or ends the operation. So a run that was made by a reset has the recorded
half, and calls anew.
"""

from __future__ import annotations

import enum

import msgspec


class CallState(enum.IntEnum):
    """Where an operation stands. Stored: never reuse a number."""

    SCHEDULED = 1
    """A call is due, or under way."""
    BACKING_OFF = 2
    STARTED = 3
    """The handler works on it, and will tell when it ends; also while the event that says so is
    buffered."""
    OUTCOME_BUFFERED = 4
    """Its end is known and waits, as a buffered event, for the workflow task to close."""


class CancelState(enum.IntEnum):
    """Where the request to cancel an operation stands: Temporal's
    NexusOperationCancellationState."""

    WAITING = 0
    """Only an operation that was started can be canceled."""
    SCHEDULED = 1
    BACKING_OFF = 2
    SUCCEEDED = 3
    FAILED = 4


class Cancellation(msgspec.Struct, array_like=True, frozen=True):
    """A request to cancel an operation. It is forgotten by a reset, as on the real server."""

    requested_event_id: int
    state: int
    requested_ns: int = 0
    """When the operation had been both started and asked to end."""
    attempt: int = 0
    """How many calls are over."""
    due_ns: int = 0
    """When the next call begins, or the one that is under way is given up for lost; 0 when there
    is none."""
    completed_ns: int = 0
    """When the newest call was over."""
    failure: bytes = b""
    """A serialised Failure, of that call."""


class Calls(msgspec.Struct, array_like=True, frozen=True):
    """The pending half."""

    state: int
    due_ns: int
    """As of a cancellation."""
    attempt: int = 0
    completed_ns: int = 0
    failure: bytes = b""
    started_ns: int = 0
    operation_token: str = ""
    """Of a started operation: what its handler knows it by. A completion may not have told it."""
    cancellation: Cancellation | None = None


class Operation(msgspec.Struct, array_like=True):
    """The recorded half. What the handler is given stays in the event that scheduled it."""

    scheduled_event_id: int
    endpoint: str
    endpoint_id: str
    service: str
    operation: str
    request_id: str
    scheduled_ns: int
    schedule_to_close_ns: int
    schedule_to_start_ns: int
    start_to_close_ns: int
    started_event_id: int = 0


class PendingOperation(msgspec.Struct, array_like=True):
    """Both halves, as they are stored: one row."""

    operation: Operation
    calls: Calls


def may_be_called(calls: Calls) -> bool:
    """Whether a call to its handler may be under way, or is due at once."""
    cancellation = calls.cancellation
    return calls.state == CallState.SCHEDULED or (
        cancellation is not None and cancellation.state == CancelState.SCHEDULED
    )


def is_pending(pending: PendingOperation) -> bool:
    """Whether it is not over; its end may be buffered."""
    return pending.calls.state != CallState.OUTCOME_BUFFERED
