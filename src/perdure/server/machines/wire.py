"""Small conversions between integers of nanoseconds and protobuf's time types, and the framing of a
History."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

SECOND_NS = 1_000_000_000


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


def duration(length_ns: int) -> Duration:
    """The Duration of a length in nanoseconds (not negative)."""
    return Duration(seconds=length_ns // SECOND_NS, nanos=length_ns % SECOND_NS)


def duration_ns(value: Duration) -> int:
    """Nanoseconds."""
    return value.seconds * SECOND_NS + value.nanos


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
