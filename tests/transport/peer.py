"""A client of HTTP/2 for tests: it can say anything, and reads what the server says frame by
frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hpack import Decoder, Encoder

from perdure.transport.http2 import frames
from perdure.transport.http2.connection import Connection, Event
from perdure.transport.http2.frames import Flag, FrameType
from perdure.transport.http2.requests import Request

REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.Service/echo"),
    (":authority", "here"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
GREETING = frames.PREFACE + frames.settings(())


@dataclass(frozen=True)
class Frame:
    """A frame as it was read."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


def parse(data: bytes) -> Iterator[Frame]:
    """The frames in what a server sent."""
    position = 0
    while position < len(data):
        high, low, kind, flags, stream_id = frames.HEADER.unpack_from(data, position)
        after = position + frames.HEADER_BYTES + (high << 16 | low)
        yield Frame(kind, flags, stream_id, data[position + frames.HEADER_BYTES : after])
        position = after


class Peer:
    """A client and the connection that it talks to, without a socket between."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.connection: Connection[Request] = Connection(lambda request: request)
        assert self.send(GREETING) == []
        self.take()

    def send(self, data: bytes) -> list[Event[Request]]:
        """What the connection makes of these bytes."""
        return self.connection.receive(data)

    def take(self) -> list[Frame]:
        """What it answers."""
        return list(parse(self.connection.take_output()))

    def request(
        self,
        stream_id: int,
        fields: tuple[tuple[str, str], ...] = REQUEST,
        *,
        ends: bool = False,
    ) -> bytes:
        """A HEADERS frame."""
        flags = Flag.END_HEADERS | (Flag.END_STREAM if ends else 0)
        return frames.frame(FrameType.HEADERS, flags, stream_id, self.encoder.encode(fields))

    def open(self, stream_id: int, *, ends: bool = False) -> list[Event[Request]]:
        """Open a stream."""
        return self.send(self.request(stream_id, ends=ends))

    def fields_of(self, frame: Frame) -> dict[str, str]:
        """The fields of a header block that was answered."""
        return {str(name): str(value) for name, value in self.decoder.decode(frame.payload)}


def data(stream_id: int, payload: bytes, *, ends: bool = False) -> bytes:
    """A DATA frame."""
    return frames.frame(FrameType.DATA, Flag.END_STREAM if ends else 0, stream_id, payload)
