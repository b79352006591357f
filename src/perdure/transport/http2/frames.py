"""HTTP/2 frames as bytes (RFC 9113, sections 4, 6 and 7): their numbers, and how they are built."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends before its first frame."""

HEADER = struct.Struct(">BHBBL")
"""Length (24 bits, as 8 and 16), type, flags, stream."""
HEADER_BYTES = 9
NUMBER = struct.Struct(">L")
NUMBERS = struct.Struct(">LL")
SETTING = struct.Struct(">HL")

STREAM_ID_MAX = 2**31 - 1
WINDOW_MAX = 2**31 - 1
WINDOW_DEFAULT = 65_535
FRAME_BYTES_DEFAULT = 16_384
"""The largest payload that a peer sends until it is told otherwise; we never tell otherwise."""
FRAME_BYTES_MAX = 2**24 - 1


class FrameType(IntEnum):
    """What a frame is."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntEnum):
    """Bits of a frame's flags; the same bit means another thing in another type."""

    ACK = 0x1
    END_STREAM = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class ErrorCode(IntEnum):
    """Why a stream or a connection ended."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """What one end tells the other about itself."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ConnectionFailed(Exception):
    """The peer broke a rule in a way that ends the connection."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(f"{code.name}: {reason}")
        self.code = code
        self.reason = reason


class StreamFailed(Exception):
    """The peer broke a rule in a way that ends one stream."""

    def __init__(self, stream_id: int, code: ErrorCode) -> None:
        super().__init__(f"stream {stream_id}: {code.name}")
        self.stream_id = stream_id
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """One frame."""
    size = len(payload)
    return HEADER.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


def settings(values: Iterable[tuple[Setting, int]]) -> bytes:
    """What we tell about ourselves."""
    payload = b"".join(SETTING.pack(name, value) for name, value in values)
    return frame(FrameType.SETTINGS, 0, 0, payload)


SETTINGS_ACK = frame(FrameType.SETTINGS, Flag.ACK, 0)


def ping(payload: bytes, *, is_answer: bool = False) -> bytes:
    """A probe of eight bytes, or the answer to one."""
    return frame(FrameType.PING, Flag.ACK if is_answer else 0, 0, payload)


def window_update(stream_id: int, size: int) -> bytes:
    """Leave to send `size` more bytes on a stream, or on the connection (0)."""
    return frame(FrameType.WINDOW_UPDATE, 0, stream_id, NUMBER.pack(size))


def reset(stream_id: int, code: int) -> bytes:
    """The end of one stream."""
    return frame(FrameType.RST_STREAM, 0, stream_id, NUMBER.pack(code))


def go_away(last_stream_id: int, code: int, reason: str = "") -> bytes:
    """The end of the connection: streams after the last one were not looked at."""
    payload = NUMBERS.pack(last_stream_id, code) + reason.encode()
    return frame(FrameType.GOAWAY, 0, 0, payload)


def headers(stream_id: int, block: bytes, *, ends: bool, frame_bytes_max: int) -> bytes:
    """A header block, in as many frames as it takes."""
    end_stream = Flag.END_STREAM if ends else 0
    if len(block) <= frame_bytes_max:
        return frame(FrameType.HEADERS, end_stream | Flag.END_HEADERS, stream_id, block)
    parts = [block[at : at + frame_bytes_max] for at in range(0, len(block), frame_bytes_max)]
    built = [frame(FrameType.HEADERS, end_stream, stream_id, parts[0])]
    built += [frame(FrameType.CONTINUATION, 0, stream_id, part) for part in parts[1:-1]]
    built.append(frame(FrameType.CONTINUATION, Flag.END_HEADERS, stream_id, parts[-1]))
    return b"".join(built)
