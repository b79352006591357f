"""A session over gRPC, from the peer's side, with unary calls for services that have none.

Whether the service has sessions is asked once, with the first call: one that does not know the
method answers UNIMPLEMENTED, and is called the ordinary way from then on. A session that was lost
is opened again by the next call; the calls that it carried have failed, and are their callers' to
try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
import msgspec

from perdure.transport.grpc_client import GrpcTransport, failure_of
from perdure.transport.port import CallFailed, Code
from perdure.transport.session import METHOD, ClientSession

END_OF_STREAM: Any = grpc.aio.EOF  # type: ignore[attr-defined]
OPEN_SECONDS = 10.0
"""A service that does not even greet after this long is not there."""


class GrpcSessionTransport:
    """Calls over one session, or over a channel where there are no sessions."""

    def __init__(self, unary: GrpcTransport, headers: Mapping[str, str] | None = None) -> None:
        self._unary = unary
        self._headers = headers
        self._session: ClientSession | None = None
        self._opening: asyncio.Task[ClientSession | None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._has_sessions = True

    @property
    def has_session(self) -> bool:
        """Whether calls travel over a session now."""
        return self._session is not None and not self._session.is_closed

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """The serialised response of `/package.Service/Method`. Raises CallFailed."""
        session = self._session
        if self._has_sessions and (session is None or session.is_closed):
            session = await self._opened()
        if session is None:
            return await self._unary.call(method, request, metadata, timeout_seconds)
        return await session.call(method, request, metadata, timeout_seconds)

    async def close(self) -> None:
        """End the session and the connection."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._unary.close()

    async def _opened(self) -> ClientSession | None:
        """The new session, opened once however many calls want it."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(self._no_longer_opening)
        return await asyncio.shield(self._opening)

    def _no_longer_opening(self, done: asyncio.Task[ClientSession | None]) -> None:
        self._opening = None
        if not done.cancelled():
            done.exception()  # Whoever asked has it; nobody may be left who did.

    async def _open(self) -> ClientSession | None:
        headers = tuple(self._headers.items()) if self._headers else None
        method: Any = self._unary.channel.stream_stream(METHOD, None, None)
        stream: Any = method(metadata=headers)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                greeting = await stream.read()
        except TimeoutError:
            stream.cancel()
            raise CallFailed(Code.UNAVAILABLE, "the service does not answer") from None
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise failure_of(error) from None
            self._has_sessions = False
            return None
        outgoing: asyncio.Queue[bytes] = asyncio.Queue()
        session = ClientSession(outgoing.put_nowait)
        try:
            if greeting is END_OF_STREAM:
                raise msgspec.DecodeError("it ends at once")
            session.receive(greeting)
        except msgspec.MsgspecError as error:
            stream.cancel()
            raise CallFailed(Code.UNAVAILABLE, f"the service has no session: {error}") from None
        self._session = session
        task = asyncio.get_running_loop().create_task(_run(stream, session, outgoing))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return session


async def _run(stream: Any, session: ClientSession, outgoing: asyncio.Queue[bytes]) -> None:
    """Carry messages both ways until the stream ends, for whatever reason."""
    writing = asyncio.get_running_loop().create_task(_write(stream, outgoing))
    try:
        while (message := await stream.read()) is not END_OF_STREAM:
            session.receive(message)
    except (grpc.aio.AioRpcError, msgspec.MsgspecError, asyncio.CancelledError):
        stream.cancel()
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        session.close()


async def _write(stream: Any, outgoing: asyncio.Queue[bytes]) -> None:
    while True:
        await stream.write(await outgoing.get())
