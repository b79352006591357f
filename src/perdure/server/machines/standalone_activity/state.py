"""What a standalone activity is, between two decisions.

It has no history: its head is all that changes, and is rewritten with each commit. What it was
started with (input, header, search attributes) never changes and is a record of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from perdure.server.machines.standalone.state import CancelRequest, start_of
from perdure.server.machines.workflow.state import PendingActivity

TASK_ID = 1
"""In the place of the id of the event that scheduled it: an activity offers one task."""


class Status(enum.IntEnum):
    """Temporal's ActivityExecutionStatus."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    TIMED_OUT = 6
    PAUSED = 7
    """Only shown: what is stored of it is that it runs."""


class Head(msgspec.Struct, array_like=True):
    """All of a run that changes. A new field goes at the end, with a default."""

    run_id: str
    request_id: str
    """Of its start."""
    schedule_time_ns: int
    start_delay_ns: int
    pending: PendingActivity
    """It is scheduled when the start delay is over; its options are what holds now."""
    status: int = Status.RUNNING
    close_time_ns: int = 0
    outcome: bytes = b""
    """A serialised ActivityExecutionOutcome, once it is over."""
    cancel: CancelRequest | None = None
    terminate_request_id: str = ""
    last_started_ns: int = 0
    heartbeats: int = 0
    transitions: int = 0
    wake_at_ns: int = 0
    """The armed wake-up; never later than the earliest deadline."""
    pause_request_id: str = ""
    """The newest one that paused it: it does so once."""
    sdk: tuple[str, str] = ("", "")
    """Name and version of the SDK of the worker that has, or had, the newest attempt."""
    restores_options: bool = False
    """The reset that the current attempt waits for gives it the options of its start again."""
    unpause_request_id: str = ""
    """The newest one that let it go on: it does so once, and ends no later pause."""
    reset_request_id: str = ""
    """The newest one that reset it."""


class ActivityRun:
    """One run: the head, and the serialised StartActivityExecutionRequest."""

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
    def wake_at_ns(self) -> int:
        """When it must be looked at again; 0: never."""
        return self.head.wake_at_ns

    @property
    def last_event_id(self) -> int:
        """It has no events."""
        return 0

    @property
    def shown_status(self) -> Status:
        """The status as it is shown: one that nobody gets before it is unpaused is paused."""
        attempt = self.head.pending.attempt
        if self.is_open and attempt.pause is not None and not attempt.started_time_ns:
            return Status.PAUSED
        return Status(self.head.status)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Head).decode


def encode_head(run: ActivityRun) -> bytes:
    """The part that every commit writes."""
    return _encode(run.head)


def decode_run(head: bytes, records: Iterable[tuple[int, bytes, bytes]]) -> ActivityRun:
    """The run that a head and its record make; b"" is in the place of a record that was not
    asked for."""
    return ActivityRun(_decode(head), start_of(records))
