"""What an id of executions without a workflow stands for, between two decisions.

Their runs have no history: a head is all that changes, and is rewritten with each commit. What a
run was started with (input, header, search attributes) never changes and is a record of its own.
What a head holds is up to each kind.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

START_RECORD = 1
"""The kind of the record that has the request of the start."""
START_KEY = b"start"


class Phase(enum.StrEnum):
    """Where an execution stands; the first half of each row of a transition table."""

    ABSENT = "absent"
    OPEN = "open"
    CLOSED = "closed"


class CancelRequest(msgspec.Struct, array_like=True, frozen=True):
    """Who wants it to cancel, why, and by which request."""

    request_id: str
    identity: str
    reason: str


class StandaloneRun(Protocol):
    """One run: its head, and the serialised request of its start."""

    head: Any
    start: bytes

    @property
    def run_id(self) -> str:
        """A UUID."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        ...

    @property
    def shown_status(self) -> int:
        """The status as it is shown."""
        ...


RunT = TypeVar("RunT", bound=StandaloneRun)
HeadT = TypeVar("HeadT", bound=msgspec.Struct)


class Standalone(Generic[RunT]):
    """What an id names: the unit of decision."""

    __slots__ = ("id", "namespace", "namespace_id", "run")

    def __init__(self, namespace: str, namespace_id: str, id_: str, run: RunT | None) -> None:
        self.namespace = namespace
        self.namespace_id = namespace_id
        self.id = id_
        self.run = run

    @property
    def must_stay(self) -> bool:
        """Nothing of it is in memory alone."""
        return False

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        if self.run is None:
            return Phase.ABSENT
        return Phase.OPEN if self.run.is_open else Phase.CLOSED


def encode_record(run: StandaloneRun, kind: int, key: bytes) -> bytes | None:
    """The one record."""
    return run.start


def record_key(kind: int, key: bytes) -> bytes:
    """As it is."""
    return key


def start_of(records: Iterable[tuple[int, bytes, bytes]]) -> bytes:
    """The content of the one record; b"" when it was not asked for."""
    start = b""
    for _, _, content in records:
        start = content
    return start
