"""The port over gRPC, spoken by ourselves: listens, and carries each connection's bytes between its
socket and its state."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from perdure.transport.http2.builtin_services import Health, Reflection
from perdure.transport.http2.calls import Call, OpenStream, StreamingCall, UnaryCall
from perdure.transport.http2.connection import (
    DRAIN_PING,
    Connection,
    Failed,
    Opened,
    Probed,
    Received,
    Reset,
)
from perdure.transport.http2.grpc_framing import (
    NOT_GRPC_TEXT,
    CallHead,
    failure_answer,
    head_of,
)
from perdure.transport.http2.header_blocks import literal
from perdure.transport.http2.lifetime import PROBE, Lifetime, Limits, Order
from perdure.transport.http2.sessions import Sessions
from perdure.transport.listening import BindFailed
from perdure.transport.port import CallFailed, Code, Handler, services_of, unknown_method
from perdure.transport.session import METHOD, OpenState

TICK_SECONDS = 1.0
"""How often the ages of connections are looked at."""
FORGIVE_TICKS = 10
AGE_JITTER = 0.1
"""So that connections which were opened together do not end together."""
BACKLOG = 4096
WRITE_BUFFER_BYTES = 1024 * 1024
"""What the socket may have waiting before we stop giving it more, and stop reading requests."""
QUEUED_BYTES_MAX = 512 * 1024 * 1024
"""Answers that one peer may leave waiting: a few of the largest."""
EVENTS_PER_TURN = 1000
"""What one peer may bring in a turn of the loop; the rest waits until the others had theirs."""
LINGER_SECONDS = 0.5
"""For how long streams are still taken from a peer that knows of the end of its connection."""
CLOSE_SECONDS_MAX = 5.0
"""How long a peer may take to read what is sent before its connection is closed."""

_TRAILERS_OF_TEXT = literal(b"grpc-status", b"%d" % Code.UNIMPLEMENTED)


class Http2Server:
    """Serves a table of handlers on one address, and over sessions when it is told what to keep for
    one. Without encryption."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        *,
        host: str,
        port: int,
        open_state: OpenState | None = None,
        limits: Limits = Limits(),  # noqa: B008 - it is frozen
    ) -> None:
        services = services_of(handlers)
        self._host = host
        self.port = port
        self._health = Health(services)
        self.links: set[_Link] = set()
        self._all_gone = asyncio.Event()
        self._ticks = 0
        self._listener: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.limits = limits
        self.handlers: dict[str, Handler] = {**handlers, **self._health.handlers()}
        self.streams: dict[str, OpenStream] = {
            **self._health.streams(),
            **Reflection(services).streams(),
        }
        if open_state is not None:
            self.streams[METHOD] = Sessions(self.handlers, open_state).open
        methods = (*self.handlers, *self.streams)
        self.services = frozenset(name.removeprefix("/").rpartition("/")[0] for name in methods)

    async def start(self) -> int:
        """Listen; the port, which is a free one when 0 was asked for. Raises BindFailed."""
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                lambda: _Link(self, loop), self._host, self.port, backlog=BACKLOG
            )
        except OSError as error:
            address = f"[{self._host}]" if ":" in self._host else self._host
            raise BindFailed(f"cannot listen on {address}:{self.port}") from error
        self._ticking = loop.create_task(self._tick())
        self.port = self._listener.sockets[0].getsockname()[1]
        return self.port

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, and cancel those that are not done after the grace."""
        if self._listener is None or self._ticking is None:
            return
        self._listener.close()
        self._listener = None
        self._health.stop()
        for link in list(self.links):
            link.drain()
        if self.links and grace_seconds > 0:
            self._all_gone.clear()
            try:
                async with asyncio.timeout(grace_seconds):
                    await self._all_gone.wait()
            except TimeoutError:
                pass
        for link in list(self.links):
            link.close()
        self._ticking.cancel()

    def tick(self, now: float) -> None:
        """Look after all connections; `now` is the loop's time."""
        self._ticks += 1
        for link in list(self.links):
            link.tick(now, forgives=self._ticks % FORGIVE_TICKS == 0)

    def opened(self, link: _Link) -> None:
        """A connection was made."""
        self.links.add(link)

    def closed(self, link: _Link) -> None:
        """A connection is gone."""
        self.links.discard(link)
        if not self.links:
            self._all_gone.set()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick(loop.time())


class _Link(asyncio.Protocol):
    """One connection: its socket, its state, its calls."""

    def __init__(self, server: Http2Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._transport: Any = None
        self._calls: dict[int, Call] = {}
        self._is_flushing = False
        self._is_resting = False
        self._turn_events = 0
        self._linger_seconds = LINGER_SECONDS
        self._unsent_bytes = 0
        self.loop = loop
        self.held_bytes = 0
        self.connection: Connection[CallHead] = Connection(head_of)
        self._lifetime = Lifetime(
            server.limits, loop.time(), age_factor=1 + random.uniform(-AGE_JITTER, AGE_JITTER)
        )
        self._has_heard = False

    # -- what the socket says -------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read, since the peer does not read."""
        return not self.connection.is_writable

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._server.opened(self)
        self.flush_soon()

    def data_received(self, data: bytes) -> None:
        """The peer sent something."""
        self._has_heard = True
        connection = self.connection
        events = connection.receive(data)
        for event in events:
            kind = type(event)
            if kind is Opened:
                self._open(event)  # type: ignore[arg-type]
            elif kind is Received:
                call = self._calls.get(event.stream_id)  # type: ignore[union-attr]
                if call is not None:
                    call.receive(event.data, is_last=event.is_last)  # type: ignore[union-attr]
            elif kind is Reset:
                call = self._calls.pop(event.stream_id, None)  # type: ignore[union-attr]
                if call is not None:
                    call.cancel()
            elif kind is Probed and event.payload == DRAIN_PING:  # type: ignore[union-attr]
                self.loop.call_later(self._linger_seconds, self._go_away)
            elif kind is Failed:
                self._close()
                return
        self._turn_events += len(events)
        if self._turn_events > EVENTS_PER_TURN and not self._is_resting:
            self._is_resting = True
            self._read_or_pause()
            self.loop.call_soon(self._end_rest)
        if connection.has_output or connection.is_finished:
            self.flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._transport = None
        self._server.closed(self)
        self._cancel_calls()

    def pause_writing(self) -> None:
        """The peer does not read as fast as we answer: no further requests until it does."""
        self.connection.is_writable = False
        self._read_or_pause()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._has_heard = True
        self.connection.is_writable = True
        self._read_or_pause()
        self.flush_soon()

    # -- what calls say -------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """Send what there is to send at the end of this turn of the loop, as one piece."""
        if not self._is_flushing:
            self._is_flushing = True
            self.loop.call_soon(self._flush)

    def done(self, stream_id: int) -> None:
        """A call was answered."""
        self._calls.pop(stream_id, None)

    # -- what the server says -------------------------------------------------------------------

    def tick(self, now: float, *, forgives: bool) -> None:
        """Look at the connection's age, and for signs of life."""
        if self._transport is None:
            return
        connection = self.connection
        if forgives:
            connection.forgive()
        unsent_bytes = self._transport.get_write_buffer_size()
        if self._has_heard or unsent_bytes < self._unsent_bytes:
            self._lifetime.heard(now)
        self._has_heard = False
        self._unsent_bytes = unsent_bytes
        match self._lifetime.check(now, has_streams=connection.stream_count > 0):
            case Order.PROBE:
                connection.probe(PROBE)
                self.flush_soon()
            case Order.DRAIN:
                connection.drain()
                self.flush_soon()
            case Order.DROP:
                self.abort()

    def drain(self) -> None:
        """Let the connection end when its streams have ended; others are not taken."""
        self._linger_seconds = 0.0
        self.connection.drain()
        self.flush_soon()

    def close(self) -> None:
        """End all calls and close the connection; whoever waits on it learns that it is gone."""
        self._cancel_calls()
        self._close()

    def abort(self) -> None:
        """End all calls and drop the connection, whatever is still to be sent."""
        self._cancel_calls()
        if self._transport is not None:
            self._transport.abort()

    # -- inside ---------------------------------------------------------------------------------

    def _open(self, event: Opened[CallHead]) -> None:
        head = event.head
        stream_id = event.stream_id
        handler = self._server.handlers.get(head.method)
        if handler is not None and not head.http_refusal and head.refusal is None:
            call: Call = UnaryCall(self, stream_id, head, handler)
        else:
            open_stream = self._server.streams.get(head.method)
            if open_stream is None or head.http_refusal or head.refusal is not None:
                self._refuse(stream_id, head)
                return
            call = StreamingCall(self, stream_id, head, open_stream)
        self._calls[stream_id] = call
        if event.is_whole:
            call.receive(b"", is_last=True)

    def _refuse(self, stream_id: int, head: CallHead) -> None:
        """Refuse at once, whatever the caller wants to send: also one that opens a stream must hear
        it before it has said anything."""
        if head.http_refusal:
            self.connection.respond(stream_id, head.http_refusal, NOT_GRPC_TEXT, _TRAILERS_OF_TEXT)
            return
        failure: CallFailed = head.refusal or unknown_method(head.method, self._server.services)
        self.connection.send_last_headers(stream_id, failure_answer(failure))

    def _read_or_pause(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._is_resting or not self.connection.is_writable:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _end_rest(self) -> None:
        self._is_resting = False
        self._turn_events = 0
        self._read_or_pause()

    def _flush(self) -> None:
        self._is_flushing = False
        self._turn_events = 0
        if self._transport is None:
            return
        connection = self.connection
        output = connection.take_output()
        if output:
            self._transport.write(output)
        if connection.queued_bytes > QUEUED_BYTES_MAX:
            self.abort()
        elif connection.is_finished:
            self._close()
        elif connection.has_output:
            self.flush_soon()

    def _go_away(self) -> None:
        self.connection.go_away()
        self.flush_soon()

    def _cancel_calls(self) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()

    def _close(self) -> None:
        """Send what is to be sent, and close the socket."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._lifetime.drain(self.loop.time(), CLOSE_SECONDS_MAX)
        output = self.connection.take_output()
        if output:
            transport.write(output)
        transport.close()
