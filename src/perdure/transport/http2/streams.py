"""One stream of a connection: how much may be sent each way, and what waits to be sent."""

from __future__ import annotations

from collections import deque


class Stream:
    """A request that is not answered in full. It ends with the last frame of our answer, or with a
    reset from either end, so our half of it is always open."""

    __slots__ = (
        "bytes_expected",
        "id",
        "is_remote_open",
        "period",
        "queue",
        "send_window",
        "trailers",
        "uncredited",
    )

    def __init__(self, stream_id: int, *, send_window: int, period: int) -> None:
        self.id = stream_id
        self.send_window = send_window
        self.uncredited = 0
        """Bytes received that the peer has not been given leave to send again."""
        self.is_remote_open = True
        self.bytes_expected: int | None = None
        """What is missing of the announced length of the body, if one was announced."""
        self.period = period
        """In which period of the connection it was opened."""
        self.queue: deque[memoryview] | None = None
        """Data that waits for leave to be sent."""
        self.trailers: bytes | None = None
        """The header block that ends the stream when all data has been sent."""

    def put(self, data: bytes) -> None:
        """Let data wait."""
        if self.queue is None:
            self.queue = deque()
        self.queue.append(memoryview(data))

    def take(self, bytes_max: int) -> bytes:
        """The next data to send, at most so much of it."""
        assert self.queue
        first = self.queue[0]
        if len(first) <= bytes_max:
            self.queue.popleft()
            return first.tobytes()
        self.queue[0] = first[bytes_max:]
        return first[:bytes_max].tobytes()
