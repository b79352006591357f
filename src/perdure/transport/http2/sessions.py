"""Sessions over a gRPC stream, from the service's side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from perdure.transport.http2.calls import StreamingCall
from perdure.transport.port import CallFailed, Code, Handler
from perdure.transport.session import OpenState, ServerSession


class Sessions:
    """Opens sessions, and remembers those that are being closed."""

    def __init__(self, handlers: Mapping[str, Handler], open_state: OpenState) -> None:
        self._handlers = handlers
        self._open_state = open_state
        self._closing: set[asyncio.Task[None]] = set()

    def open(self, call: StreamingCall) -> _Session:
        """The session of a stream that has just been opened."""
        return _Session(self, call, ServerSession(self._handlers, self._open_state(), call.send))

    def close(self, session: ServerSession) -> None:
        """What the peer held is given back, however long that takes."""
        task = asyncio.get_running_loop().create_task(session.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Session:
    def __init__(self, sessions: Sessions, call: StreamingCall, session: ServerSession) -> None:
        self._sessions = sessions
        self._call = call
        self._session = session

    def receive(self, message: bytes) -> None:
        try:
            self._session.receive(message)
        except msgspec.MsgspecError as error:
            raise CallFailed(Code.INVALID_ARGUMENT, f"not a session: {error}") from None

    def end(self) -> None:
        self._call.finish()

    def close(self) -> None:
        self._sessions.close(self._session)
