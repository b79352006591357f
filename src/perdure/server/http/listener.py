"""HTTP/1.1 on a port, by h11: requests come in whole, and answers go out whole.

What speaks the protocol, and what answers, are imported with the first connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from perdure.server.http.messages import Request, Response
from perdure.transport.listening import BindFailed

if TYPE_CHECKING:
    import h11

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 4 * 1024 * 1024
HEADER_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 1_000
IDLE_SECONDS = 60.0
"""A connection that sends nothing for so long between requests is closed."""
REQUEST_SECONDS = 60.0
"""From its first byte on a request has so long to come in whole, however it trickles."""
STATUS_TOO_LATE = 408
STATUS_TOO_LARGE = 413
STATUS_BAD = 400
STATUS_FAILED = 500

Answer = Callable[[Request], Awaitable[Response]]


class HttpListener:
    """A port that HTTP is spoken on. `make_answer` is called when somebody connects first."""

    def __init__(self, host: str, port: int, make_answer: Callable[[], Answer]) -> None:
        self.host = host
        self._wanted_port = port
        self._make_answer = make_answer
        self._answer: Answer | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises BindFailed."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._connect, self.host, self._wanted_port)
        except OSError as error:
            raise BindFailed(
                f"cannot listen on {self.host}:{self._wanted_port}: {error.strerror or error}"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    async def stop(self) -> None:
        """Listen no more, and end what is under way."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()

    def _connect(self) -> asyncio.Protocol:
        if self._answer is None:
            self._answer = self._make_answer()
        return _Connection(self._answer, self._connections)


class _Connection(asyncio.Protocol):
    """One connection: its requests are answered one after the other."""

    def __init__(self, answer: Answer, connections: set[_Connection]) -> None:
        import h11

        self._h11: Any = h11
        self._answer = answer
        self._connections = connections
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADER_BYTES_MAX)
        self._transport: asyncio.Transport
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._ahead_bytes = 0
        self._has_begun = False
        """A request comes in."""
        self._idle: asyncio.TimerHandle | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class.
        if len(self._connections) >= CONNECTIONS_MAX:
            self._transport.abort()
            return
        self._connections.add(self)
        self._watch(IDLE_SECONDS)

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody is there any more: what was asked for is not needed."""
        self._connections.discard(self)
        self._may_write.set()
        if self._idle is not None:
            self._idle.cancel()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        self._protocol.receive_data(data)
        if self._task is not None:
            # It is read on, since that is how we learn that its peer has gone; within bounds.
            self._ahead_bytes += len(data)
            if self._ahead_bytes > HEADER_BYTES_MAX:
                self._transport.pause_reading()
            return
        if not self._has_begun:
            self._has_begun = True
            self._watch(REQUEST_SECONDS)
        self._go_on()

    def eof_received(self) -> None:
        """The other end sends no more, and so waits for nothing: the connection is closed."""

    def pause_writing(self) -> None:
        """The other end does not read."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._may_write.set()

    def close(self) -> None:
        """End it."""
        self._transport.close()

    def _watch(self, seconds: float) -> None:
        """Begin to wait for what comes next."""
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        if self._task is not None:
            return
        if self._has_begun:
            self._refuse(STATUS_TOO_LATE, f"the request took longer than {REQUEST_SECONDS:g} s")
        self._transport.abort()

    def _go_on(self) -> None:
        """Take the events of the protocol, up to the end of a request."""
        h11 = self._h11
        try:
            while self._task is None:
                event = self._protocol.next_event()
                if event is h11.NEED_DATA:
                    if self._protocol.they_are_waiting_for_100_continue:
                        go_on = h11.InformationalResponse(status_code=100, headers=[])
                        self._send(go_on)
                    return
                if event is h11.PAUSED:
                    return
                if isinstance(event, h11.ConnectionClosed):
                    self._transport.close()
                    return
                self._take(event)
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint or STATUS_BAD, str(error))

    def _take(self, event: Any) -> None:
        h11 = self._h11
        if isinstance(event, h11.Request):
            self._head, self._body = event, bytearray()
            if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
                # A proxy before us may have read the other of the two.
                raise h11.RemoteProtocolError(
                    "both Content-Length and Transfer-Encoding", error_status_hint=STATUS_BAD
                )
        elif isinstance(event, h11.Data):
            self._body += event.data
            if len(self._body) > BODY_BYTES_MAX:
                raise h11.RemoteProtocolError(
                    "http: request body too large", error_status_hint=STATUS_TOO_LARGE
                )
        elif isinstance(event, h11.EndOfMessage):
            assert self._head is not None
            request = Request(
                self._head.method.decode(),
                self._head.target.decode(errors="replace"),
                _headers(self._head.headers),
                bytes(self._body),
            )
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: Request) -> None:
        try:
            response = await self._answer(request)
        except Exception:
            logger.critical("%s failed by a bug", request.method, exc_info=True)
            response = Response(STATUS_FAILED, b'{"code":13,"message":"something went wrong"}')
        if self._transport.is_closing():
            return
        self._respond(response, has_body=request.method != "HEAD")
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._may_write.wait()
        except TimeoutError:
            self._transport.abort()  # Who does not read would keep the answer in memory for ever.
            return
        self._task = None
        if self._transport.is_closing():
            return
        if self._protocol.our_state is self._h11.MUST_CLOSE:
            self._transport.close()
            return
        self._has_begun = self._ahead_bytes > 0
        self._ahead_bytes = 0
        self._protocol.start_next_cycle()
        self._transport.resume_reading()
        self._watch(REQUEST_SECONDS if self._has_begun else IDLE_SECONDS)
        self._go_on()

    def _respond(self, response: Response, *, has_body: bool) -> None:
        h11 = self._h11
        headers = [
            *([("Content-Type", response.content_type)] if response.content_type else []),
            ("Content-Length", str(len(response.body))),
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
        ]
        self._send(h11.Response(status_code=response.status, headers=headers))
        if has_body:
            self._send(h11.Data(data=response.body))
        self._send(h11.EndOfMessage())

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no request, and close."""
        import json

        h11 = self._h11
        if self._protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"code": 3, "message": message}).encode()
            self._respond(Response(status, body), has_body=True)
        self._transport.close()

    def _send(self, event: Any) -> None:
        self._transport.write(self._protocol.send(event) or b"")


def _headers(received: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as text; one that came several times has all its values."""
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in received:
        name, value = name_bytes.decode(errors="replace"), value_bytes.decode(errors="replace")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
