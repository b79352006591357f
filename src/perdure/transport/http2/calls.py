"""The calls of one connection: each is a stream of the connection below and a handler above."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from perdure.transport.http2.grpc_framing import (
    ANSWER_HEAD,
    TRAILERS_OK,
    CallHead,
    MessageReader,
    failure_answer,
    failure_trailers,
    framed,
    whole_message,
)
from perdure.transport.http2.sending import Sending
from perdure.transport.port import STREAM_MESSAGE_BYTES_MAX, CallFailed, Code, Handler

HELD_BYTES_MAX = 256 * 1024 * 1024
"""Parts of requests that one connection may leave with us."""


class Link(Protocol):
    """What calls need of their connection."""

    loop: asyncio.AbstractEventLoop
    held_bytes: int
    """What has arrived of requests that are not complete."""

    @property
    def connection(self) -> Sending:
        """Where answers go."""
        ...

    def flush_soon(self) -> None:
        """Send what the connection has to send, at the end of this turn of the loop."""
        ...

    def done(self, stream_id: int) -> None:
        """A call was answered."""
        ...


def deadline_exceeded() -> CallFailed:
    """What a call is answered with that took too long."""
    return CallFailed(Code.DEADLINE_EXCEEDED, "context deadline exceeded")


class UnaryCall:
    """One request, one answer. It is the `Caller` that its handler sees."""

    in_process = False

    __slots__ = (
        "_deadline",
        "_handler",
        "_head",
        "_held_bytes",
        "_link",
        "_reader",
        "_request",
        "_task",
        "_timer",
        "session",
        "stream_id",
    )

    def __init__(self, link: Link, stream_id: int, head: CallHead, handler: Handler) -> None:
        self._link = link
        self.stream_id = stream_id
        self._head = head
        self._handler = handler
        self._reader: MessageReader | None = None
        self._held_bytes = 0
        self._request: bytes | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self.session: object | None = None
        if head.timeout_seconds is not None:
            self._deadline = link.loop.time() + head.timeout_seconds
            self._timer = link.loop.call_later(head.timeout_seconds, self._expire)

    # -- what the handler sees ------------------------------------------------------------------

    def time_remaining(self) -> float | None:
        """Seconds until the caller gives up."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self._link.loop.time())

    def header(self, name: str) -> str:
        """The value of a header; of one whose name ends in `-bin`, as it travelled: in base64."""
        return self._head.fields.get(name.encode(), b"").decode("latin-1")

    # -- what the connection says ---------------------------------------------------------------

    def receive(self, data: bytes, *, is_last: bool) -> None:
        """Take a part of the request, and begin when it is complete."""
        try:
            if data and not self._take_whole(data):
                self._collect(data)
        except CallFailed as failure:
            self.fail(failure)
            return
        if is_last:
            if self._request is None or (self._reader is not None and self._reader.waiting_bytes):
                self.fail(CallFailed(Code.INTERNAL, "the request ended before its message did"))
            else:
                request = self._request
                self._let_go()
                self._begin(request)

    def _take_whole(self, data: bytes) -> bool:
        """Nearly always, the request is one message in one frame (of which some say only
        afterwards, by an empty one, that it was the last)."""
        if self._reader is not None or self._request is not None:
            return False
        self._request = whole_message(data, is_gzip=self._head.is_gzip)
        if self._request is None:
            return False
        self._hold(len(data))
        return True

    def _collect(self, data: bytes) -> None:
        if self._reader is None:
            self._reader = MessageReader(is_gzip=self._head.is_gzip)
        self._hold(len(data))
        messages = self._reader.feed(data)
        if len(messages) > (1 if self._request is None else 0):
            raise CallFailed(Code.INTERNAL, "more than one message in the request of a unary call")
        if messages:
            self._request = messages[0]

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        self._link.held_bytes += size
        if self._link.held_bytes > HELD_BYTES_MAX:
            raise CallFailed(Code.RESOURCE_EXHAUSTED, "too many requests are not complete")

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        self._let_go()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def fail(self, failure: CallFailed) -> None:
        """Answer with a failure."""
        self._end()
        self._link.connection.send_last_headers(self.stream_id, failure_answer(failure))
        self._link.flush_soon()

    # -- inside ---------------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Nothing of the request is kept here any more."""
        self._link.held_bytes -= self._held_bytes
        self._held_bytes = 0
        self._reader = self._request = None

    def _begin(self, request: bytes) -> None:
        self._task = self._link.loop.create_task(self._run(request))

    async def _run(self, request: bytes) -> None:
        is_answered = False
        try:
            answer = await self._handler(request, self)
            self._link.connection.respond(self.stream_id, ANSWER_HEAD, framed(answer), TRAILERS_OK)
            is_answered = True
            self._end()
            self._link.flush_soon()
        except CallFailed as failure:
            is_answered = True
            self.fail(failure)
        finally:
            if not is_answered:
                # Cancelled, which the peer knows or was told; or our own error, which goes on.
                self.fail(CallFailed(Code.UNKNOWN, "the call ended without an answer"))

    def _expire(self) -> None:
        self.fail(deadline_exceeded())
        if self._task is not None:
            self._task.cancel()

    def _end(self) -> None:
        if self._held_bytes:
            self._let_go()
        if self._timer is not None:
            self._timer.cancel()
        self._link.done(self.stream_id)


class Receiver(Protocol):
    """The service's end of a stream of messages."""

    def receive(self, message: bytes) -> None:
        """Take a message. Raises CallFailed to end the stream with a failure."""
        ...

    def end(self) -> None:
        """The peer sends no more."""
        ...

    def close(self) -> None:
        """The stream has ended, for whatever reason."""
        ...


class StreamingCall:
    """Messages each way, until either side ends it."""

    __slots__ = ("_is_closed", "_is_open", "_link", "_reader", "_receiver", "_timer", "stream_id")

    def __init__(
        self,
        link: Link,
        stream_id: int,
        head: CallHead,
        open_stream: Callable[[StreamingCall], Receiver],
    ) -> None:
        self._link = link
        self.stream_id = stream_id
        self._reader = MessageReader(is_gzip=head.is_gzip, bytes_max=STREAM_MESSAGE_BYTES_MAX)
        self._is_open = self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        if head.timeout_seconds is not None:
            self._timer = link.loop.call_later(head.timeout_seconds, self._expire)
        self._receiver = open_stream(self)

    def send(self, message: bytes) -> None:
        """Send a message; one that cannot be sent yet waits."""
        if self._is_closed:
            return
        connection = self._link.connection
        if not self._is_open:
            self._is_open = True
            connection.send_headers(self.stream_id, ANSWER_HEAD)
        connection.send_data(self.stream_id, framed(message))
        self._link.flush_soon()

    def finish(self) -> None:
        """End the stream; all went well."""
        self._finish(TRAILERS_OK)

    def fail(self, failure: CallFailed) -> None:
        """End the stream with a failure."""
        self._finish(failure_trailers(failure))

    def receive(self, data: bytes, *, is_last: bool) -> None:
        """Take a part of what the peer sends."""
        if self._is_closed:
            return
        try:
            for message in self._reader.feed(data):
                self._receiver.receive(message)
        except CallFailed as failure:
            self.fail(failure)
            return
        if not is_last:
            return
        if self._reader.waiting_bytes:
            self.fail(CallFailed(Code.INTERNAL, "the request ended before its message did"))
        else:
            self._receiver.end()

    def cancel(self) -> None:
        """The peer is gone, or wants no more."""
        if not self._is_closed:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._receiver.close()

    def _finish(self, trailers: bytes) -> None:
        if self._is_closed:
            return
        if not self._is_open:
            trailers = ANSWER_HEAD + trailers
        self._link.connection.send_last_headers(self.stream_id, trailers)
        self._link.done(self.stream_id)
        self.cancel()
        self._link.flush_soon()

    def _expire(self) -> None:
        self.fail(deadline_exceeded())


Call = UnaryCall | StreamingCall
OpenStream = Callable[[StreamingCall], Receiver]
"""Opens the service's end of a stream."""
