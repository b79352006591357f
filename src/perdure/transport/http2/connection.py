"""The server's end of an HTTP/2 connection, without any I/O: bytes go in, events come out; answers
go in, bytes come out.

Two rules. What a peer sends can raise nothing out of here: it is an event, or the end of its
stream, or the end of its connection (`Failed`, after which whatever else arrives is passed over).
And how the bytes were cut on their way changes nothing of what comes out.

`forgive` is called once in a while (a period): the counts that tell a flood from a busy peer start
again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from perdure.transport.http2 import frames
from perdure.transport.http2.frames import (
    FRAME_BYTES_DEFAULT,
    FRAME_BYTES_MAX,
    HEADER,
    HEADER_BYTES,
    NUMBER,
    PREFACE,
    SETTING,
    STREAM_ID_MAX,
    WINDOW_DEFAULT,
    WINDOW_MAX,
    ConnectionFailed,
    ErrorCode,
    Flag,
    FrameType,
    Setting,
    StreamFailed,
)
from perdure.transport.http2.header_blocks import (
    LIST_BYTES_MAX,
    BlockDecoder,
    Field,
    HeaderListTooLarge,
    status,
)
from perdure.transport.http2.requests import (
    MalformedRequest,
    Request,
    check_trailers,
    request_of,
)
from perdure.transport.http2.sending import CREDIT_OF_CALL, Sending
from perdure.transport.http2.streams import Stream

STREAM_WINDOW_BYTES = 1024 * 1024
CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
"""How much a peer may send ahead. Leave is given again when half of it has arrived, so a window
never closes, and nobody can be found to have sent beyond it: what bounds a peer is what it may
leave unfinished."""
STREAMS_MAX = 100_000
"""Streams that may be open at a time. More are announced: parked polls are no load."""
HEADER_BLOCK_BYTES_MAX = 64 * 1024
HEADER_BLOCK_FRAMES_MAX = 64
GAPS_MAX = 100
CONTROL_FRAMES_MAX = 10_000
"""Frames of a period that bring no request on, and that no call accounts for."""
RAPID_RESETS_MAX = 20_000
"""Streams that are opened and given up within a period."""

ANNOUNCED = (
    (Setting.MAX_CONCURRENT_STREAMS, STREAM_ID_MAX),
    (Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES),
    (Setting.MAX_HEADER_LIST_SIZE, LIST_BYTES_MAX),
)
DRAIN_PING = b"draining"
"""The probe whose answer says that the peer knows of the coming end of the connection."""
HTTP_1_METHODS = frozenset({b"GE", b"PO", b"PU", b"HE", b"OP", b"DE", b"PA", b"CO", b"TR"})
"""How requests of HTTP/1.1 begin."""
HTTP_1_INITIALS = frozenset(method[:1] for method in HTTP_1_METHODS)
HTTP_1_REFUSAL = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 38\r\n"
    b"connection: close\r\n\r\nThis port speaks gRPC over HTTP/2 only"
)
TOO_LARGE_ANSWER = status(431)

Head = TypeVar("Head")


class Opened(msgspec.Struct, Generic[Head], frozen=True, gc=False):
    """A request has begun; `is_whole` when it has no body."""

    stream_id: int
    head: Head
    is_whole: bool


class Received(msgspec.Struct, frozen=True, gc=False):
    """A part of a request's body; `is_last` when there is no more."""

    stream_id: int
    data: bytes
    is_last: bool


class Reset(msgspec.Struct, frozen=True, gc=False):
    """A stream has ended before its answer did."""

    stream_id: int
    code: int


class Probed(msgspec.Struct, frozen=True, gc=False):
    """The peer answered a probe."""

    payload: bytes


class Failed(msgspec.Struct, frozen=True, gc=False):
    """The connection is at its end: send what is to be sent, and close it."""

    code: ErrorCode
    reason: str


Event = Opened[Head] | Received | Reset | Probed | Failed


class Connection(Sending, Generic[Head]):
    """A connection and its streams. `interpret` makes of a request what the caller wants of it; it
    must be pure, since the result is used again for an equal request."""

    def __init__(self, interpret: Callable[[Request], Head]) -> None:
        super().__init__()

        def interpret_fields(fields: list[Field]) -> tuple[int | None, Head]:
            request = request_of(fields)
            return request.content_length, interpret(request)

        self._decoder = BlockDecoder(interpret_fields)
        self._events: list[Event[Head]] = []
        self._unread = b""
        self._unread_parts: list[bytes] = []
        self._unread_bytes = 0
        self._wanted_bytes = 0
        self._is_greeted = self._is_settled = self._has_failed = False
        self._is_going_away = False
        self._uncredited = 0
        self._gaps: list[range] = []
        self._block: bytearray | None = None
        self._block_head = (0, 0)
        self._block_frames = 0
        self._rapid_resets = 0
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            FrameType.DATA: self._on_data,
            FrameType.HEADERS: self._on_headers,
            FrameType.PRIORITY: self._on_priority,
            FrameType.RST_STREAM: self._on_reset,
            FrameType.SETTINGS: self._on_settings,
            FrameType.PUSH_PROMISE: self._on_push_promise,
            FrameType.PING: self._on_ping,
            FrameType.GOAWAY: self._on_go_away,
            FrameType.WINDOW_UPDATE: self._on_window_update,
            FrameType.CONTINUATION: self._on_continuation,
        }

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will be said on it, after an orderly end or a failure."""
        return self._has_failed or (self._is_going_away and not self._streams)

    def forgive(self) -> None:
        """Begin a new period."""
        self._period += 1
        self._rapid_resets = 0
        # What calls account for may take a while to arrive.
        self._control_frames = min(self._control_frames, 0) // 2

    def drain(self) -> None:
        """Ask the peer to open no more streams here. Those on their way are served still, until
        `go_away`. That is for when the peer has shown that it knows, by answering DRAIN_PING, or
        better a little later: some peers answer before they have sent the streams which they had
        opened by then."""
        self._put(frames.go_away(STREAM_ID_MAX, ErrorCode.NO_ERROR))
        self._put(frames.ping(DRAIN_PING))

    def go_away(self) -> None:
        """Take no more streams."""
        if not self._is_going_away:
            self._is_going_away = True
            self._put(frames.go_away(self._last_stream_id, ErrorCode.NO_ERROR))

    def probe(self, payload: bytes) -> None:
        """Ask for a sign of life."""
        self._put(frames.ping(payload))

    # -- receiving ------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event[Head]]:
        """What the peer's next bytes mean."""
        events: list[Event[Head]] = []
        self._events = events
        if self._has_failed:
            return events
        try:
            self._read(data)
        except ConnectionFailed as failure:
            self._fail(failure)
        return events

    def _fail(self, failure: ConnectionFailed) -> None:
        self._has_failed = True
        if failure.code is not ErrorCode.HTTP_1_1_REQUIRED:
            self._put(frames.go_away(self._last_stream_id, failure.code, failure.reason))
        self._events.append(Failed(failure.code, failure.reason))

    def _read(self, data: bytes) -> None:
        if self._unread_parts:
            # A large frame in small parts is put together once.
            self._unread_parts.append(data)
            self._unread_bytes += len(data)
            if self._unread_bytes < self._wanted_bytes:
                return
            data = b"".join(self._unread_parts)
            self._unread_parts.clear()
        position = 0 if self._is_greeted else self._read_preface(data)
        end = len(data)
        if self._is_greeted:
            while end - position >= HEADER_BYTES:
                high, low, kind, flags, stream_id = HEADER.unpack_from(data, position)
                size = high << 16 | low
                if size > FRAME_BYTES_DEFAULT:
                    raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "frame too large")
                after = position + HEADER_BYTES + size
                if after > end:
                    self._wanted_bytes = after - position
                    break
                payload = data[position + HEADER_BYTES : after]
                position = after
                self._take(kind, flags, stream_id & STREAM_ID_MAX, payload)
            else:
                self._wanted_bytes = HEADER_BYTES
        if position < end:
            self._unread_parts.append(data[position:])
            self._unread_bytes = end - position

    def _read_preface(self, data: bytes) -> int:
        """Where the frames begin; 0 while the preface is not complete."""
        if data.startswith(PREFACE):
            self._is_greeted = True
            self._put(frames.settings(ANNOUNCED))
            self._put(frames.window_update(0, CONNECTION_WINDOW_BYTES - WINDOW_DEFAULT))
            return len(PREFACE)
        is_undecided = PREFACE.startswith(data) or data in HTTP_1_INITIALS
        if not is_undecided:
            if data[:2] in HTTP_1_METHODS:
                self._put(HTTP_1_REFUSAL)
                raise ConnectionFailed(ErrorCode.HTTP_1_1_REQUIRED, "not HTTP/2")
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "not HTTP/2")
        self._wanted_bytes = len(data) + 1
        return 0

    def _take(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._block is not None and kind != FrameType.CONTINUATION:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a header block is not complete")
        if not self._is_settled:
            if kind != FrameType.SETTINGS or flags & Flag.ACK:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "settings come first")
            self._is_settled = True
        handler = self._handlers.get(kind)
        if handler is None:
            self._count_control_frame()
            return
        try:
            handler(flags, stream_id, payload)
        except StreamFailed as failure:
            self._end_by_failure(failure)

    def _end_by_failure(self, failure: StreamFailed) -> None:
        self.reset(failure.stream_id, failure.code)
        self._events.append(Reset(failure.stream_id, failure.code))

    def _count_control_frame(self) -> None:
        self._control_frames += 1
        if self._control_frames > CONTROL_FRAMES_MAX:
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames")

    # -- requests -------------------------------------------------------------------------------

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._credit_connection(size)
        data = _unpadded(payload) if flags & Flag.PADDED else payload
        stream = self._streams.get(stream_id)
        if stream is None:
            self._check_stray(stream_id)
            return
        if not stream.is_remote_open:
            raise StreamFailed(stream_id, ErrorCode.STREAM_CLOSED)
        is_last = flags & Flag.END_STREAM != 0
        if stream.bytes_expected is not None:
            stream.bytes_expected -= len(data)
            if stream.bytes_expected < 0 or (is_last and stream.bytes_expected):
                raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR)
        if is_last:
            stream.is_remote_open = False
        else:
            self._credit_stream(stream, size)
            if not data:
                self._count_control_frame()
                return
        self._events.append(Received(stream_id, data, is_last))

    def _credit_connection(self, size: int) -> None:
        self._uncredited += size
        if self._uncredited >= CONNECTION_WINDOW_BYTES // 2:
            self._put(frames.window_update(0, self._uncredited))
            self._uncredited = 0

    def _credit_stream(self, stream: Stream, size: int) -> None:
        stream.uncredited += size
        if stream.uncredited >= STREAM_WINDOW_BYTES // 2:
            self._put(frames.window_update(stream.id, stream.uncredited))
            stream.uncredited = 0

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if not stream_id & 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "not a stream of a client")
        if flags & Flag.PADDED:
            payload = _unpadded(payload)
        if flags & Flag.PRIORITY:
            if len(payload) < 5:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "no room for a priority")
            payload = payload[5:]
        if flags & Flag.END_HEADERS:
            self._on_block(flags, stream_id, payload)
        else:
            self._block = bytearray(payload)
            self._block_head = (flags, stream_id)
            self._block_frames = 1

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._block
        first_flags, first_stream_id = self._block_head
        if block is None or stream_id != first_stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "nothing to continue")
        block += payload
        self._block_frames += 1
        if len(block) > HEADER_BLOCK_BYTES_MAX or self._block_frames > HEADER_BLOCK_FRAMES_MAX:
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")
        if flags & Flag.END_HEADERS:
            self._block = None
            self._on_block(first_flags, stream_id, bytes(block))

    def _on_block(self, flags: int, stream_id: int, block: bytes) -> None:
        is_last = flags & Flag.END_STREAM != 0
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._on_trailers(stream, block, is_last=is_last)
        elif stream_id <= self._last_stream_id:
            self._decoder.skip(block)
            self._check_stray(stream_id)
        else:
            self._open(stream_id, block, is_last=is_last)

    def _open(self, stream_id: int, block: bytes, *, is_last: bool) -> None:
        if self._is_going_away:
            # The peer knows that this stream will not be looked at.
            self._decoder.skip(block)
            self._abandon(stream_id)
            return
        if stream_id > self._last_stream_id + 2 and len(self._gaps) < GAPS_MAX:
            self._gaps.append(range(self._last_stream_id + 2, stream_id))
        self._last_stream_id = stream_id
        self._control_frames -= CREDIT_OF_CALL
        stream = Stream(stream_id, send_window=self._send_window_initial, period=self._period)
        self._streams[stream_id] = stream
        stream.is_remote_open = not is_last
        try:
            content_length, head = self._decoder.meaning(block)
        except MalformedRequest:
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR) from None
        except HeaderListTooLarge:
            self.send_last_headers(stream_id, TOO_LARGE_ANSWER)
            return
        if len(self._streams) > STREAMS_MAX:
            self.reset(stream_id, ErrorCode.REFUSED_STREAM)
            return
        if content_length is not None:
            if is_last and content_length:
                raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR)
            stream.bytes_expected = content_length
        self._events.append(Opened(stream_id, head, is_last))

    def _on_trailers(self, stream: Stream, block: bytes, *, is_last: bool) -> None:
        if not stream.is_remote_open:
            self._decoder.skip(block)
            raise StreamFailed(stream.id, ErrorCode.STREAM_CLOSED)
        try:
            check_trailers(self._decoder.fields(block))
        except (MalformedRequest, HeaderListTooLarge):
            raise StreamFailed(stream.id, ErrorCode.PROTOCOL_ERROR) from None
        if not is_last or stream.bytes_expected:
            raise StreamFailed(stream.id, ErrorCode.PROTOCOL_ERROR)
        stream.is_remote_open = False
        self._events.append(Received(stream.id, b"", True))

    def _check_stray(self, stream_id: int) -> None:
        """Pass over what was sent on a stream before its end was known; whatever else comes on a
        stream that is not open is an error."""
        if stream_id in self._abandoned:
            return
        if self._is_idle(stream_id) or any(stream_id in gap for gap in self._gaps):
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} is not open")
        raise ConnectionFailed(ErrorCode.STREAM_CLOSED, f"stream {stream_id} has ended")

    def _is_idle(self, stream_id: int) -> bool:
        """Whether a stream was never opened."""
        return stream_id > self._last_stream_id or not stream_id & 1

    def _on_reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a reset has 4 bytes")
        if self._is_idle(stream_id) and stream_id not in self._abandoned:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} is not open")
        stream = self._streams.get(stream_id)
        if stream is None:
            self._count_control_frame()
            self._abandoned.pop(stream_id, None)
            return
        self._forget(stream)
        self._events.append(Reset(stream_id, NUMBER.unpack(payload)[0]))
        if stream.period == self._period:
            self._rapid_resets += 1
            if self._rapid_resets > RAPID_RESETS_MAX:
                raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many resets")

    # -- the connection itself ------------------------------------------------------------------

    def _on_priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Priorities are deprecated; that they are well-formed is all that is asked."""
        self._count_control_frame()
        if not stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a priority is of a stream")
        if len(payload) != 5:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a priority has 5 bytes")

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._count_control_frame()
        if stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "settings are of the connection")
        if len(payload) % SETTING.size or (flags & Flag.ACK and payload):
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "settings of a wrong size")
        if flags & Flag.ACK:
            return
        for name, value in SETTING.iter_unpack(payload):
            self._set(name, value)
        self._put(frames.SETTINGS_ACK)

    def _set(self, name: int, value: int) -> None:
        if name == Setting.INITIAL_WINDOW_SIZE:
            if value > WINDOW_MAX:
                raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "window too large")
            self._resize_windows(value)
        elif name == Setting.MAX_FRAME_SIZE:
            if not FRAME_BYTES_DEFAULT <= value <= FRAME_BYTES_MAX:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "no size for a frame")
            self._frame_bytes_max = value
        elif name == Setting.HEADER_TABLE_SIZE:
            self._limit_table(value)
        elif name == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "push is on or off")

    def _on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "clients promise nothing")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._count_control_frame()
        if stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a ping is of the connection")
        if len(payload) != 8:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a ping has 8 bytes")
        if not flags & Flag.ACK:
            self._put(frames.ping(payload, is_answer=True))
        else:
            self._events.append(Probed(payload))

    def _on_go_away(self, flags: int, stream_id: int, payload: bytes) -> None:
        """The peer opens no more streams, and closes the connection when it has its answers."""
        self._count_control_frame()
        if stream_id:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a goaway is of the connection")
        if len(payload) < 8:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a goaway has 8 bytes or more")

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._count_control_frame()
        if len(payload) != 4:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a window update has 4 bytes")
        size = NUMBER.unpack(payload)[0] & WINDOW_MAX
        if not stream_id:
            if not size:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a window update of nothing")
            self._widen(size)
            return
        if self._is_idle(stream_id) and stream_id not in self._abandoned:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} is not open")
        if not size:
            raise StreamFailed(stream_id, ErrorCode.PROTOCOL_ERROR)
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._widen_stream(stream, size)


def _unpadded(payload: bytes) -> bytes:
    if not payload:
        raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "no room for the padding's length")
    end = len(payload) - payload[0]
    if end < 1:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[1:end]
