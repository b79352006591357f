"""Small conversions between integers of nanoseconds and protobuf's time types, and the framing of a
History."""

from __future__ import annotations

import itertools

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from perdure.server.machines.errors import InvariantViolation

SECOND_NS = 1_000_000_000
TIMESTAMP_SECONDS_MIN = -62_135_596_800
TIMESTAMP_SECONDS_MAX = 253_402_300_799
"""From the beginning of the year 1 to the end of the year 9999."""


def timestamp(time_ns: int) -> Timestamp:
    """The Timestamp of a time in nanoseconds since the epoch."""
    return Timestamp(seconds=time_ns // SECOND_NS, nanos=time_ns % SECOND_NS)


def set_timestamp(target: Timestamp, time_ns: int) -> None:
    """Set the Timestamp of a message in place: much cheaper than to copy one there."""
    target.seconds, target.nanos = divmod(time_ns, SECOND_NS)


def set_duration(target: Duration, length_ns: int) -> None:
    """Set the Duration of a message (not negative) in place."""
    target.seconds, target.nanos = divmod(length_ns, SECOND_NS)


def timestamp_ns(value: Timestamp) -> int:
    """Nanoseconds since the epoch."""
    return value.seconds * SECOND_NS + value.nanos


def is_timestamp(value: Timestamp) -> bool:
    """Whether it is one of the years 1 to 9999, as protobuf demands."""
    is_in_range = TIMESTAMP_SECONDS_MIN <= value.seconds <= TIMESTAMP_SECONDS_MAX
    return is_in_range and 0 <= value.nanos < SECOND_NS


def duration(length_ns: int) -> Duration:
    """The Duration of a length in nanoseconds (not negative)."""
    return Duration(seconds=length_ns // SECOND_NS, nanos=length_ns % SECOND_NS)


def duration_ns(value: Duration) -> int:
    """Nanoseconds."""
    return value.seconds * SECOND_NS + value.nanos


def entries_of(history: bytes) -> list[bytes]:
    """Each event of a serialised `History`, as an entry of one."""
    offsets = entry_offsets(history)
    return [history[begin:end] for begin, end in itertools.pairwise(offsets)]


def event_of(entry: bytes) -> bytes:
    """The serialised event of an entry."""
    position = 1
    while entry[position] >= 0x80:
        position += 1
    return entry[position + 1 :]


def entry_offsets(history: bytes) -> list[int]:
    """Where each entry of a serialised `History` begins, and, last, where the History ends."""
    offsets = [0]
    position, end = 0, len(history)
    while position < end:
        if history[position] != 0x0A:
            raise InvariantViolation("a stored history is not a sequence of events")
        position += 1
        size = shift = 0
        while True:
            byte = history[position]
            position += 1
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        position += size
        offsets.append(position)
    if position != end:
        raise InvariantViolation("a stored history ends within an event")
    return offsets


def history_entry(event: bytes) -> bytes:
    """One serialised event as an element of a serialised `History`: concatenated entries are a
    valid History."""
    size = len(event)
    if size < 0x80:
        return b"\x0a" + bytes((size,)) + event
    if size < 0x4000:
        return b"\x0a" + bytes((size & 0x7F | 0x80, size >> 7)) + event
    prefix = bytearray(b"\x0a")
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + event
