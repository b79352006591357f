"""What a connection has to send: answers, cut to what the peer has given leave for.

Control frames and header blocks are not subject to flow control; data is. An answer that fits goes
out at once, as one piece; one that does not waits at its stream, and streams with something to send
take turns, a frame each. While the socket takes no more (`is_writable` is false), data waits here,
where it is counted.
"""

from __future__ import annotations

from perdure.transport.http2 import frames
from perdure.transport.http2.frames import (
    FRAME_BYTES_DEFAULT,
    HEADER,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    ConnectionFailed,
    ErrorCode,
    Flag,
    FrameType,
    StreamFailed,
)
from perdure.transport.http2.header_blocks import TABLE_BYTES
from perdure.transport.http2.streams import Stream

ABANDONED_MAX = 10_000
"""Streams of which is remembered that we ended them before the peer did: what it had sent by then
may still arrive."""
CREDIT_OF_CALL = 8
CREDIT_OF_FRAME = 2
"""Control frames that a peer may send for each request, for each answer, and for each frame of
waiting data that it got: some give leave for each of them by itself, and measure the line with
pings."""
FLUSH_BYTES = 1024 * 1024
"""Data that is handed to the socket at a time."""
_EMPTY_TABLE = b"\x20"
"""The note, in a header block, that the table of who sends it has no room for anything."""

_END_HEADERS = Flag.END_HEADERS
_END = Flag.END_HEADERS | Flag.END_STREAM


class Sending:
    """The sending half of a connection."""

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._streams: dict[int, Stream] = {}
        self._last_stream_id = 0
        self._abandoned: dict[int, None] = {}
        self._period = 0
        self._control_frames = 0
        """Frames of the period that brought no request on, less those that calls account for."""
        self._send_window = WINDOW_DEFAULT
        self._send_window_initial = WINDOW_DEFAULT
        self._frame_bytes_max = FRAME_BYTES_DEFAULT
        self._table_note = b""
        self._is_table_noted = False
        self._sendable: dict[int, Stream] = {}
        """Streams with data to send and leave to send some of it, in the order of their turns."""
        self.queued_bytes = 0
        """Data that waits for leave, or for the socket."""
        self.is_writable = True

    @property
    def stream_count(self) -> int:
        """Requests that are not answered in full."""
        return len(self._streams)

    @property
    def has_output(self) -> bool:
        """Whether there is anything that can be sent now."""
        return bool(self._out) or self._can_send_data()

    def take_output(self) -> bytes:
        """What to send now, at most a flush of data among it."""
        if self._sendable and self.is_writable:
            self._send_queued()
        output = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        return output

    def respond(self, stream_id: int, head: bytes, data: bytes, trailers: bytes) -> None:
        """A whole answer: two header blocks with data between. For a stream that has ended, this
        does nothing, as all that sends."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        size = len(data)
        if (
            size <= stream.send_window
            and size <= self._send_window
            and size <= self._frame_bytes_max
            and not self._sendable
            and self.is_writable
            and not self._table_note
            and len(trailers) <= FRAME_BYTES_DEFAULT
        ):
            self._send_window -= size
            self._out += (
                HEADER.pack(0, len(head), FrameType.HEADERS, _END_HEADERS, stream_id),
                head,
                HEADER.pack(size >> 16, size & 0xFFFF, FrameType.DATA, 0, stream_id),
                data,
                HEADER.pack(0, len(trailers), FrameType.HEADERS, _END, stream_id),
                trailers,
            )
            self._finish(stream)
            return
        self.send_headers(stream_id, head)
        self.send_data(stream_id, data)
        self.send_last_headers(stream_id, trailers)

    def send_headers(self, stream_id: int, block: bytes) -> None:
        """The header block that begins an answer."""
        if stream_id in self._streams:
            self._put_block(stream_id, block, ends=False)

    def send_data(self, stream_id: int, data: bytes) -> None:
        """A part of an answer's body."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        self.queued_bytes += len(data)
        stream.put(data)
        if stream.send_window > 0:
            self._sendable[stream_id] = stream

    def send_last_headers(self, stream_id: int, block: bytes) -> None:
        """The header block that ends an answer; when there is no other, it is the whole answer."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if stream.queue:
            stream.trailers = block
        else:
            self._put_block(stream_id, block, ends=True)
            self._finish(stream)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """End a stream without an answer, or without the rest of it."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._forget(stream)
        self._abandon(stream_id)
        self._put(frames.reset(stream_id, code))

    # -- inside ---------------------------------------------------------------------------------

    def _put(self, frame: bytes) -> None:
        self._out.append(frame)

    def _put_block(self, stream_id: int, block: bytes, *, ends: bool) -> None:
        if self._table_note:
            block = self._table_note + block
            self._table_note = b""
        self._put(
            frames.headers(stream_id, block, ends=ends, frame_bytes_max=self._frame_bytes_max)
        )

    def _limit_table(self, size: int) -> None:
        """The peer keeps a smaller table than the default. We use none, and must say so once."""
        if size < TABLE_BYTES and not self._is_table_noted:
            self._is_table_noted = True
            self._table_note = _EMPTY_TABLE

    def _finish(self, stream: Stream) -> None:
        """Our answer is complete; a peer that is still sending is told that nobody listens."""
        del self._streams[stream.id]
        self._control_frames -= CREDIT_OF_CALL
        if stream.is_remote_open:
            self._abandon(stream.id)
            self._put(frames.reset(stream.id, ErrorCode.NO_ERROR))

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.id]
        self._sendable.pop(stream.id, None)
        if stream.queue:
            self.queued_bytes -= sum(map(len, stream.queue))

    def _abandon(self, stream_id: int) -> None:
        self._abandoned[stream_id] = None
        if len(self._abandoned) > ABANDONED_MAX:
            del self._abandoned[next(iter(self._abandoned))]

    def _can_send_data(self) -> bool:
        return bool(self._sendable) and self._send_window > 0 and self.is_writable

    def _send_queued(self) -> None:
        """Let the streams take turns until leave, or a flush, is used up."""
        budget = FLUSH_BYTES
        while self._sendable and self._send_window > 0 and budget > 0:
            stream_id = next(iter(self._sendable))
            stream = self._sendable.pop(stream_id)
            size = min(stream.send_window, self._send_window, self._frame_bytes_max, FLUSH_BYTES)
            data = stream.take(size)
            stream.send_window -= len(data)
            self._send_window -= len(data)
            self.queued_bytes -= len(data)
            budget -= len(data)
            self._control_frames -= CREDIT_OF_FRAME
            self._put(frames.frame(FrameType.DATA, 0, stream_id, data))
            if stream.queue:
                if stream.send_window > 0:
                    self._sendable[stream_id] = stream
            elif stream.trailers is not None:
                self._put_block(stream_id, stream.trailers, ends=True)
                self._finish(stream)

    def _widen(self, size: int) -> None:
        self._send_window += size
        if self._send_window > WINDOW_MAX:
            raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "window too large")

    def _widen_stream(self, stream: Stream, size: int) -> None:
        if stream.send_window + size > WINDOW_MAX:
            raise StreamFailed(stream.id, ErrorCode.FLOW_CONTROL_ERROR)
        self._move_window(stream, size)

    def _resize_windows(self, size: int) -> None:
        """The peer's window for each stream, those that are open included."""
        change = size - self._send_window_initial
        self._send_window_initial = size
        for stream in self._streams.values():
            if stream.send_window + change > WINDOW_MAX:
                raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "window too large")
            self._move_window(stream, change)

    def _move_window(self, stream: Stream, change: int) -> None:
        stream.send_window += change
        if not stream.queue:
            return
        if stream.send_window > 0:
            self._sendable.setdefault(stream.id, stream)
        else:
            self._sendable.pop(stream.id, None)
