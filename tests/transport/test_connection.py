"""The server's end of an HTTP/2 connection, rule by rule."""

from __future__ import annotations

import pytest

from perdure.transport.http2 import frames
from perdure.transport.http2.connection import (
    CONNECTION_WINDOW_BYTES,
    CONTROL_FRAMES_MAX,
    DRAIN_PING,
    HEADER_BLOCK_FRAMES_MAX,
    RAPID_RESETS_MAX,
    STREAM_WINDOW_BYTES,
    Connection,
    Failed,
    Opened,
    Probed,
    Received,
    Reset,
)
from perdure.transport.http2.frames import ErrorCode, Flag, FrameType, Setting, frame
from perdure.transport.http2.header_blocks import STATUS_200, literal
from perdure.transport.http2.requests import Request
from perdure.transport.http2.sending import CREDIT_OF_CALL
from tests.transport.peer import GREETING, REQUEST, Frame, Peer, data

TRAILERS = literal(b"grpc-status", b"0")


@pytest.fixture
def peer() -> Peer:
    """A client that has said hello."""
    return Peer()


def test_it_greets_with_its_settings_and_a_large_window() -> None:
    peer = Peer.__new__(Peer)
    peer.connection = Connection(lambda request: request)
    assert peer.take() == []
    peer.send(GREETING)
    settings, window, _ = peer.take()
    assert settings.kind == FrameType.SETTINGS
    announced = dict(frames.SETTING.iter_unpack(settings.payload))
    assert announced[Setting.INITIAL_WINDOW_SIZE] == STREAM_WINDOW_BYTES
    assert announced[Setting.MAX_CONCURRENT_STREAMS] == 2**31 - 1
    assert (window.kind, window.stream_id) == (FrameType.WINDOW_UPDATE, 0)
    assert frames.NUMBER.unpack(window.payload)[0] == CONNECTION_WINDOW_BYTES - 65_535


def test_settings_are_acknowledged(peer: Peer) -> None:
    peer.send(frames.settings([(Setting.MAX_FRAME_SIZE, 20_000)]))
    assert peer.take() == [Frame(FrameType.SETTINGS, Flag.ACK, 0, b"")]


def test_a_ping_is_answered_with_what_it_carried(peer: Peer) -> None:
    peer.send(frames.ping(b"12345678"))
    assert peer.take() == [Frame(FrameType.PING, Flag.ACK, 0, b"12345678")]


def test_the_answer_to_a_probe_is_an_event(peer: Peer) -> None:
    assert peer.send(frames.ping(b"12345678", is_answer=True)) == [Probed(b"12345678")]


def test_a_request_and_its_body_are_events(peer: Peer) -> None:
    events = peer.open(1)
    assert isinstance(events[0], Opened)
    assert events[0].stream_id == 1
    assert not events[0].is_whole
    assert events[0].head.path == b"/a.Service/echo"
    assert peer.send(data(1, b"part") + data(1, b"rest", ends=True)) == [
        Received(1, b"part", False),
        Received(1, b"rest", True),
    ]


def test_trailers_end_a_request(peer: Peer) -> None:
    peer.open(1)
    assert peer.send(peer.request(1, (("x", "y"),), ends=True)) == [Received(1, b"", True)]


def test_padding_and_priority_are_taken_off(peer: Peer) -> None:
    block = peer.encoder.encode(REQUEST)
    flags = Flag.PADDED | Flag.PRIORITY | Flag.END_HEADERS
    padded = bytes([3]) + bytes(5) + block + bytes(3)
    (opened,) = peer.send(frame(FrameType.HEADERS, flags, 1, padded))
    assert isinstance(opened, Opened)
    body = frame(FrameType.DATA, Flag.PADDED | Flag.END_STREAM, 1, bytes([2]) + b"text" + bytes(2))
    assert peer.send(body) == [Received(1, b"text", True)]


def test_a_header_block_may_be_continued(peer: Peer) -> None:
    block = peer.encoder.encode(REQUEST)
    assert peer.send(frame(FrameType.HEADERS, Flag.END_STREAM, 1, block[:10])) == []
    assert peer.send(frame(FrameType.CONTINUATION, 0, 1, block[10:20])) == []
    (opened,) = peer.send(frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, block[20:]))
    assert isinstance(opened, Opened)
    assert opened.is_whole


def test_unknown_frames_and_priorities_are_passed_over(peer: Peer) -> None:
    unknown = frame(0xFA, 0xFF, 77, b"whatever")
    assert peer.send(unknown + frame(FrameType.PRIORITY, 0, 3, bytes(5))) == []
    assert peer.take() == []


def test_a_whole_answer_is_headers_data_and_trailers(peer: Peer) -> None:
    peer.open(1, ends=True)
    peer.connection.respond(1, STATUS_200, b"body", TRAILERS)
    head, body, trailers = peer.take()
    assert peer.fields_of(head) == {":status": "200"}
    assert body == Frame(FrameType.DATA, 0, 1, b"body")
    assert trailers.flags == Flag.END_HEADERS | Flag.END_STREAM
    assert peer.fields_of(trailers) == {"grpc-status": "0"}
    assert peer.connection.stream_count == 0


def test_an_answer_before_the_request_is_complete_tells_the_peer_to_stop(peer: Peer) -> None:
    peer.open(1)
    peer.connection.respond(1, STATUS_200, b"body", TRAILERS)
    assert peer.take()[-1] == Frame(FrameType.RST_STREAM, 0, 1, bytes(4))
    # What was on its way is passed over.
    assert peer.send(data(1, b"late") + peer.request(1, (("x", "y"),), ends=True)) == []
    assert peer.open(3)


def test_data_waits_for_the_streams_window(peer: Peer) -> None:
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, 3)]))
    peer.take()
    peer.open(1, ends=True)
    peer.connection.respond(1, STATUS_200, b"abcdefgh", TRAILERS)
    assert [f.payload for f in peer.take() if f.kind == FrameType.DATA] == [b"abc"]
    assert peer.connection.queued_bytes == 5
    assert not peer.connection.has_output
    peer.send(frames.window_update(1, 4))
    assert [f.payload for f in peer.take()] == [b"defg"]
    # Settings move the windows of open streams too: from 0 left to 97.
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, 100)]))
    sent = peer.take()
    assert [f.payload for f in sent if f.kind == FrameType.DATA] == [b"h"]
    assert sent[-1].flags & Flag.END_STREAM
    assert peer.connection.queued_bytes == 0


def test_data_waits_for_the_connections_window_and_streams_take_turns(peer: Peer) -> None:
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, 2**20)]))
    peer.take()
    for stream_id in (1, 3):
        peer.open(stream_id, ends=True)
        peer.connection.respond(stream_id, STATUS_200, bytes(100_000), TRAILERS)
    sent = [f for f in peer.take() if f.kind == FrameType.DATA]
    assert sum(len(f.payload) for f in sent) == 65_535
    assert [f.stream_id for f in sent] == [1, 3, 1, 3]
    peer.send(frames.window_update(0, 200_000))
    sent += [f for f in peer.take() if f.kind == FrameType.DATA]
    for stream_id in (1, 3):
        assert sum(len(f.payload) for f in sent if f.stream_id == stream_id) == 100_000
    assert peer.connection.stream_count == 0


def test_no_frame_is_larger_than_the_peer_takes(peer: Peer) -> None:
    peer.open(1, ends=True)
    peer.connection.respond(1, STATUS_200, bytes(40_000), literal(b"x", bytes(40_000)))
    assert max(len(f.payload) for f in peer.take()) == 16_384


def test_a_socket_that_takes_no_more_leaves_data_waiting(peer: Peer) -> None:
    peer.open(1, ends=True)
    peer.connection.is_writable = False
    peer.connection.respond(1, STATUS_200, b"body", TRAILERS)
    assert [f.kind for f in peer.take()] == [FrameType.HEADERS]
    assert not peer.connection.has_output
    peer.connection.is_writable = True
    assert [f.kind for f in peer.take()] == [FrameType.DATA, FrameType.HEADERS]


def test_a_reset_stream_gives_its_waiting_data_up(peer: Peer) -> None:
    peer.send(frames.settings([(Setting.INITIAL_WINDOW_SIZE, 0)]))
    peer.open(1, ends=True)
    peer.connection.respond(1, STATUS_200, b"body", TRAILERS)
    assert peer.send(frames.reset(1, ErrorCode.CANCEL)) == [Reset(1, ErrorCode.CANCEL)]
    assert (peer.connection.queued_bytes, peer.connection.stream_count) == (0, 0)
    peer.take()
    peer.connection.respond(1, STATUS_200, b"body", TRAILERS)
    assert peer.take() == []


def test_leave_to_send_is_given_again_in_large_steps(peer: Peer) -> None:
    peer.open(1)
    granted = {0: 0, 1: 0}
    updates = 0
    sent = 0
    while sent < 2 * CONNECTION_WINDOW_BYTES:
        assert peer.send(data(1, bytes(16_384)))
        sent += 16_384
        for given in peer.take():
            assert given.kind == FrameType.WINDOW_UPDATE
            granted[given.stream_id] += frames.NUMBER.unpack(given.payload)[0]
            updates += 1
    assert granted == {0: sent, 1: sent}
    assert updates < sent // 16_384 // 10


def test_a_table_that_the_peer_keeps_small_is_noted_once(peer: Peer) -> None:
    peer.send(frames.settings([(Setting.HEADER_TABLE_SIZE, 0)]))
    peer.take()
    peer.decoder.max_allowed_table_size = 0
    for stream_id in (1, 3):
        peer.open(stream_id, ends=True)
        peer.connection.respond(stream_id, STATUS_200, b"body", TRAILERS)
        head, _, _ = peer.take()
        assert peer.fields_of(head) == {":status": "200"}


def test_a_header_list_beyond_the_limit_is_refused_and_the_connection_goes_on(peer: Peer) -> None:
    # One entry of the table, named again and again: small to send, large to have.
    large = (*REQUEST, *((("x", "y" * 3000),) * 6))
    assert peer.send(peer.request(1, large, ends=True)) == []
    (answer,) = peer.take()
    assert peer.fields_of(answer) == {":status": "431"}
    assert isinstance(peer.open(3)[0], Opened)


MALFORMED_REQUESTS = {
    "no path": tuple(field for field in REQUEST if field[0] != ":path"),
    "an empty path": tuple(f if f[0] != ":path" else (":path", "") for f in REQUEST),
    "no method": REQUEST[1:],
    "a method twice": (REQUEST[0], *REQUEST),
    "an unknown pseudo-field": ((":what", "x"), *REQUEST),
    "a pseudo-field of answers": ((":status", "200"), *REQUEST),
    "a pseudo-field after others": (*REQUEST[:-1], ("x", "y"), (":authority", "here")),
    "upper case": (*REQUEST, ("X-Y", "z")),
    "a field of the connection": (*REQUEST, ("connection", "close")),
    "another transfer encoding": (*REQUEST[:-2], ("te", "gzip")),
    "a line break in a value": (*REQUEST, ("x", "a\r\nb: c")),
    "a space around a value": (*REQUEST, ("x", " a")),
    "no number as its length": (*REQUEST, ("content-length", "-1")),
}


@pytest.mark.parametrize("fields", MALFORMED_REQUESTS.values(), ids=MALFORMED_REQUESTS)
def test_a_malformed_request_ends_its_stream_only(
    peer: Peer, fields: tuple[tuple[str, str], ...]
) -> None:
    assert peer.send(peer.request(1, fields)) == [Reset(1, ErrorCode.PROTOCOL_ERROR)]
    assert peer.take()[-1].kind == FrameType.RST_STREAM
    assert isinstance(peer.open(3)[0], Opened)


@pytest.mark.parametrize(("announced", "sent"), [(3, 4), (5, 4)])
def test_a_body_of_another_length_than_announced_is_malformed(
    peer: Peer, announced: int, sent: int
) -> None:
    peer.send(peer.request(1, (*REQUEST, ("content-length", str(announced)))))
    assert peer.send(data(1, bytes(sent), ends=True)) == [Reset(1, ErrorCode.PROTOCOL_ERROR)]


STREAM_ERRORS = {
    "data after the end": (data(1, b"x", ends=True) + data(1, b"y"), ErrorCode.STREAM_CLOSED),
    "a window update of nothing": (frames.window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
    "too large a window": (frames.window_update(1, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "trailers that end nothing": (
        frame(FrameType.HEADERS, Flag.END_HEADERS, 1, literal(b"x", b"y")),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "trailers with a pseudo-field": (
        frame(FrameType.HEADERS, 5, 1, literal(b":path", b"y")),
        ErrorCode.PROTOCOL_ERROR,
    ),
}


@pytest.mark.parametrize(("sent", "code"), STREAM_ERRORS.values(), ids=STREAM_ERRORS)
def test_what_ends_a_stream(peer: Peer, sent: bytes, code: ErrorCode) -> None:
    peer.open(1)
    assert peer.send(sent)[-1] == Reset(1, code)
    assert peer.take()[-1].payload == code.to_bytes(4, "big")
    assert isinstance(peer.open(3)[0], Opened)


FLOOD = CONTROL_FRAMES_MAX + 3 * CREDIT_OF_CALL + 1
"""Two requests were made before, and one was answered."""

CONNECTION_ERRORS = {
    "a frame too large": (data(1, bytes(16_385)), ErrorCode.FRAME_SIZE_ERROR),
    "data on no stream": (data(0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on an idle stream": (data(9, b"x"), ErrorCode.PROTOCOL_ERROR),
    "a stream of a server": (frame(FrameType.HEADERS, 4, 2, b"\x82"), ErrorCode.PROTOCOL_ERROR),
    "a stream passed over": (frame(FrameType.HEADERS, 4, 3, b"\x82"), ErrorCode.PROTOCOL_ERROR),
    "a stream that has ended": (data(1, b"x"), ErrorCode.STREAM_CLOSED),
    "headers on a stream that has ended": (
        frame(FrameType.HEADERS, 4, 1, b"\x82"),
        ErrorCode.STREAM_CLOSED,
    ),
    "more padding than payload": (
        frame(FrameType.DATA, Flag.PADDED, 5, b"\x05ab"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "a padding without length": (
        frame(FrameType.DATA, Flag.PADDED, 5, b""),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "no room for a priority": (
        frame(FrameType.HEADERS, 0x24, 7, b"\x82"),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "an index beyond the table": (
        frame(FrameType.HEADERS, 4, 7, b"\xff\x7f"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "a literal cut short": (
        frame(FrameType.HEADERS, 4, 7, b"\x40\x05ab"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "a table too large": (
        frame(FrameType.HEADERS, 4, 7, b"\x3f\xe2\x1f"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "a continuation of nothing": (
        frame(FrameType.CONTINUATION, 4, 7, b""),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "another frame within a header block": (
        frame(FrameType.HEADERS, 0, 7, b"\x82") + frames.ping(bytes(8)),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "a block continued for ever": (
        frame(FrameType.HEADERS, 0, 7, b"")
        + frame(FrameType.CONTINUATION, 0, 7, b"") * HEADER_BLOCK_FRAMES_MAX,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "a promise": (frame(FrameType.PUSH_PROMISE, 4, 5, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "a short reset": (frame(FrameType.RST_STREAM, 0, 5, b""), ErrorCode.FRAME_SIZE_ERROR),
    "a reset of an idle stream": (frames.reset(9, 0), ErrorCode.PROTOCOL_ERROR),
    "a short priority": (frame(FrameType.PRIORITY, 0, 5, b""), ErrorCode.FRAME_SIZE_ERROR),
    "a priority of nothing": (frame(FrameType.PRIORITY, 0, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    "settings of a stream": (frame(FrameType.SETTINGS, 0, 5, b""), ErrorCode.PROTOCOL_ERROR),
    "settings cut short": (frame(FrameType.SETTINGS, 0, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
    "an acknowledgement with settings": (
        frame(FrameType.SETTINGS, Flag.ACK, 0, bytes(6)),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "a setting of too large a window": (
        frames.settings([(Setting.INITIAL_WINDOW_SIZE, 2**31)]),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "a setting of too small a frame": (
        frames.settings([(Setting.MAX_FRAME_SIZE, 16_383)]),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "half a push": (frames.settings([(Setting.ENABLE_PUSH, 2)]), ErrorCode.PROTOCOL_ERROR),
    "a ping of a stream": (frame(FrameType.PING, 0, 5, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "a short ping": (frame(FrameType.PING, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "a goaway of a stream": (frame(FrameType.GOAWAY, 0, 5, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "a short goaway": (frame(FrameType.GOAWAY, 0, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "a short window update": (
        frame(FrameType.WINDOW_UPDATE, 0, 5, b""),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "a window update of nothing": (frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
    "a window update of an idle stream": (frames.window_update(9, 1), ErrorCode.PROTOCOL_ERROR),
    "too large a window": (frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "a flood of pings": (frames.ping(bytes(8)) * FLOOD, 11),
    "a flood of settings": (frames.settings(()) * FLOOD, 11),
    "a flood of empty data": (data(5, b"") * FLOOD, 11),
    "a flood of unknown frames": (frame(0xFA, 0, 0) * FLOOD, 11),
}


@pytest.mark.parametrize(("sent", "code"), CONNECTION_ERRORS.values(), ids=CONNECTION_ERRORS)
def test_what_ends_a_connection(peer: Peer, sent: bytes, code: ErrorCode) -> None:
    # Stream 1 has ended, 3 was passed over, 5 is open.
    peer.open(1, ends=True)
    peer.connection.respond(1, STATUS_200, b"body", TRAILERS)
    peer.open(5)
    peer.take()
    failed = peer.send(sent)[-1]
    assert isinstance(failed, Failed)
    assert failed.code == code
    last = peer.take()[-1]
    assert last.kind == FrameType.GOAWAY
    assert frames.NUMBERS.unpack(last.payload[:8])[1] == code
    assert peer.connection.is_finished
    assert peer.send(peer.request(11)) == []


def test_calls_account_for_control_frames_also_when_those_come_late(peer: Peer) -> None:
    count = CONTROL_FRAMES_MAX
    for number in range(count):
        peer.open(2 * number + 1, ends=True)
    assert peer.send(frames.window_update(0, 9) * 2 * count) == []
    for _ in range(5):
        peer.connection.forgive()
    for number in range(count):
        peer.connection.respond(2 * number + 1, STATUS_200, b"body", TRAILERS)
    peer.connection.forgive()
    assert peer.send(frames.window_update(0, 9) * 3 * count) == []


def test_rapid_resets_are_a_flood_and_slow_ones_are_not(peer: Peer) -> None:
    def open_and_reset(count: int) -> Failed | None:
        for _ in range(count):
            stream_id = peer.connection._last_stream_id + 2 | 1
            peer.open(stream_id, ends=True)
            for event in peer.send(frames.reset(stream_id, ErrorCode.CANCEL)):
                if isinstance(event, Failed):
                    return event
        return None

    assert open_and_reset(RAPID_RESETS_MAX) is None
    peer.connection.forgive()
    assert open_and_reset(RAPID_RESETS_MAX) is None
    failed = open_and_reset(1)
    assert failed is not None
    assert failed.code is ErrorCode.ENHANCE_YOUR_CALM


def test_streams_parked_for_a_while_may_all_be_given_up_at_once(peer: Peer) -> None:
    count = RAPID_RESETS_MAX + 1
    for number in range(count):
        peer.open(2 * number + 1, ends=True)
    peer.connection.forgive()
    for number in range(count):
        stream_id = 2 * number + 1
        assert peer.send(frames.reset(stream_id, 8)) == [Reset(stream_id, 8)]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400"),
        (b"PRI * HTTP/3.0\r\n\r\n", b"\0\0"),
        (b"\x16\x03\x01\x02\x00", b"\0\0"),
        (frames.PREFACE + frames.ping(bytes(8)), b"\0\0"),
        (frames.PREFACE + frames.SETTINGS_ACK, b"\0\0"),
    ],
)
def test_what_does_not_begin_as_http_2_is_refused(sent: bytes, answer: bytes) -> None:
    connection: Connection[Request] = Connection(lambda request: request)
    events = connection.receive(sent)
    assert isinstance(events[-1], Failed)
    assert connection.take_output().startswith(answer)
    assert connection.is_finished


def test_draining_serves_what_is_on_its_way_and_then_names_the_last_stream(peer: Peer) -> None:
    peer.open(1, ends=True)
    peer.connection.drain()
    going, ping = peer.take()
    assert frames.NUMBERS.unpack(going.payload) == (2**31 - 1, ErrorCode.NO_ERROR)
    assert ping == Frame(FrameType.PING, 0, 0, DRAIN_PING)
    assert isinstance(peer.open(3, ends=True)[0], Opened)
    assert peer.send(frames.ping(DRAIN_PING, is_answer=True)) == [Probed(DRAIN_PING)]
    peer.connection.go_away()
    (gone,) = peer.take()
    assert frames.NUMBERS.unpack(gone.payload) == (3, ErrorCode.NO_ERROR)
    # Later streams are not looked at, but the table keeps step.
    assert peer.send(peer.request(5, (*REQUEST, ("new", "field")))) == []
    assert peer.send(data(5, b"x") + frames.reset(5, 8)) == []
    assert not peer.connection.is_finished
    for stream_id in (1, 3):
        peer.connection.respond(stream_id, STATUS_200, b"body", TRAILERS)
    assert peer.connection.is_finished


def test_bytes_may_arrive_one_by_one() -> None:
    peer = Peer.__new__(Peer)
    peer.connection = Connection(lambda request: request)
    events = []
    encoder_peer = Peer()
    for octet in GREETING + encoder_peer.request(1) + data(1, b"body", ends=True):
        events += peer.send(bytes([octet]))
    assert [type(event) for event in events] == [Opened, Received]
