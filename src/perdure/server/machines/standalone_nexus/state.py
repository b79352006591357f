"""What a standalone Nexus operation is, between two decisions.

It has no history: its head is all that changes, and is rewritten with each commit. What it was
started with (input, header, search attributes) never changes and is a record of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from perdure.server.machines.standalone.state import CancelRequest, start_of
from perdure.server.machines.workflow.nexus.state import CallState, PendingOperation

NO_EVENT = 0
"""In the place of the id of the event that scheduled it."""


class Status(enum.IntEnum):
    """Temporal's NexusOperationExecutionStatus."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    TIMED_OUT = 6


class Head(msgspec.Struct, array_like=True):
    """All of a run that changes. A new field goes at the end, with a default."""

    run_id: str
    request_id: str
    """Of its start; the handler is told another, which is the operation's."""
    pending: PendingOperation
    """As it stands, or stood when it ended."""
    status: int = Status.RUNNING
    close_time_ns: int = 0
    result: bytes | None = None
    """A serialised Payload, of one that has completed; b"" for an empty one."""
    failure: bytes = b""
    """A serialised Failure, of one that has ended otherwise."""
    links: tuple[bytes, ...] = ()
    """What its handler has told of: serialised `common.v1.Link`s."""
    cancel: CancelRequest | None = None
    terminate_request_id: str = ""
    transitions: int = 0
    wake_at_ns: int = 0
    """The armed wake-up; never later than the earliest deadline."""


class OperationRun:
    """One run: the head, and the serialised StartNexusOperationExecutionRequest."""

    __slots__ = ("head", "start")

    def __init__(self, head: Head, start: bytes) -> None:
        self.head = head
        self.start = start

    @property
    def run_id(self) -> str:
        """A UUID."""
        return self.head.run_id

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.head.status == Status.RUNNING

    @property
    def is_started(self) -> bool:
        """Whether its handler works on it, or has ended it."""
        return not self.is_open or self.head.pending.calls.state == CallState.STARTED

    @property
    def wake_at_ns(self) -> int:
        """When it must be looked at again; 0: never."""
        return self.head.wake_at_ns

    @property
    def last_event_id(self) -> int:
        """It has no events."""
        return 0

    @property
    def shown_status(self) -> Status:
        """The status as it is shown."""
        return Status(self.head.status)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Head).decode


def encode_head(run: OperationRun) -> bytes:
    """The part that every commit writes."""
    return _encode(run.head)


def decode_run(head: bytes, records: Iterable[tuple[int, bytes, bytes]]) -> OperationRun:
    """The run that a head and its record make; b"" is in the place of a record that was not
    asked for."""
    return OperationRun(_decode(head), start_of(records))
