"""A session: many calls of one peer over one stream, and one life.

Unary gRPC costs each call a stream of its own. A session carries calls as small frames; all that is
ready in one turn of the event loop travels as one message. It also tells the service when the peer
is gone: whatever the service keeps for it (the tasks that a worker holds) ends with the stream.

Frames are MessagePack arrays, and a message is an array of frames:

    [0, id, method, request, seconds, headers]   the peer calls (seconds and headers may be nil)
    [1, id]                                      the peer no longer wants the answer
    [2, id, response]                            the service answers
    [3, id, code, text, details]                 the service refuses
    [4]                                          the service greets, before anything else

Ids are the peer's and are never used twice in a session. Answers come in any order. A call that is
not answered when the stream ends has failed as UNAVAILABLE: it may or may not have been carried
out, so it is tried again with the same request id, as after a lost connection.

Formats only grow: further elements at the end of a frame, and kinds of frames which are unknown,
are passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from perdure.transport.deadlines import Deadlines
from perdure.transport.port import (
    REQUEST_BYTES_MAX,
    CallFailed,
    Code,
    Handler,
    services_of,
    too_large,
    unknown_method,
)

METHOD = "/perdure.session.v1.SessionService/Open"
"""The gRPC method that carries a session: a stream of messages each way."""

CALL, FORGET, ANSWER, REFUSE, GREET = range(5)
MESSAGE_BYTES = 1024 * 1024
"""Frames of one turn that are larger together travel in several messages: a peer refuses what is
too large, and the session ends with it."""
PARKED_CALLS_MAX = 20_000
"""Calls of one session that may be under way at a time."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[list[Any]]).decode


class SessionState(Protocol):
    """What the service keeps for the peer of a session."""

    async def close(self) -> None:
        """The peer is gone."""
        ...


class Outgoing:
    """Collects frames, and hands over all of one turn of the loop as one message, or as few."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._frames: list[tuple[Any, ...]] = []
        self._loop = asyncio.get_running_loop()

    def put(self, *frame: Any) -> None:
        """Send a frame with the next message."""
        if not self._frames:
            self._loop.call_soon(self._flush)
        self._frames.append(frame)

    def _flush(self) -> None:
        frames, self._frames = self._frames, []
        self._hand_over(frames)

    def _hand_over(self, frames: list[tuple[Any, ...]]) -> None:
        message = _encode(frames)
        if len(message) <= MESSAGE_BYTES or len(frames) == 1:
            self._send(message)
            return
        half = len(frames) // 2
        self._hand_over(frames[:half])
        self._hand_over(frames[half:])


class ServerSession:
    """The service's end: carries out calls until the stream ends."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        state: SessionState,
        send: Callable[[bytes], None],
    ) -> None:
        self._handlers = handlers
        self._services = services_of(handlers)
        self._state = state
        self._out = Outgoing(send)
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._out.put(GREET)

    def receive(self, message: bytes) -> None:
        """Take a message. Raises msgspec.MsgspecError for one that is none."""
        for frame in _decode(message):
            kind = frame[0] if frame else None
            if kind == CALL:
                self._call(frame)
            elif kind == FORGET:
                self._forget(frame)

    async def close(self) -> None:
        """The stream has ended: nobody wants the answers any more."""
        calls = list(self._calls.values())
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._state.close()

    def _forget(self, frame: list[Any]) -> None:
        match frame[1:2]:
            case [int() as number]:
                task = self._calls.get(number)
                if task is not None:
                    # One that has not begun yet never will, and cannot clear up after itself.
                    task.add_done_callback(lambda _: self._calls.pop(number, None))
                    task.cancel()
            case _:
                raise msgspec.ValidationError("a frame does not say which call to forget")

    def _call(self, frame: list[Any]) -> None:
        match frame[1:6]:
            case [
                int() as number,
                str() as method,
                bytes() as request,
                int() | float() | None as seconds,
                dict() | None as headers,
            ]:
                if number in self._calls:
                    raise msgspec.ValidationError(f"call {number} is made twice")
                self._begin(number, method, request, seconds, headers)
            case _:
                raise msgspec.ValidationError("a frame is no call")

    def _begin(
        self,
        number: int,
        method: str,
        request: bytes,
        seconds: float | None,
        headers: dict[Any, Any] | None,
    ) -> None:
        handler = self._handlers.get(method)
        if handler is None:
            self._refuse(number, unknown_method(method, self._services))
        elif len(request) > REQUEST_BYTES_MAX:
            self._refuse(number, too_large(len(request)))
        elif len(self._calls) >= PARKED_CALLS_MAX:
            self._refuse(
                number, CallFailed(Code.RESOURCE_EXHAUSTED, "too many calls in one session")
            )
        else:
            caller = _SessionCaller(self._loop, self._state, seconds, headers)
            task = self._loop.create_task(self._carry_out(number, handler, request, caller))
            self._calls[number] = task

    async def _carry_out(
        self, number: int, handler: Handler, request: bytes, caller: _SessionCaller
    ) -> None:
        try:
            self._out.put(ANSWER, number, await handler(request, caller))
        except CallFailed as failure:
            self._refuse(number, failure)
        finally:
            self._calls.pop(number, None)

    def _refuse(self, number: int, failure: CallFailed) -> None:
        self._out.put(REFUSE, number, int(failure.code), failure.message, failure.details)


class ClientSession:
    """The peer's end: makes calls until the stream ends."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._out = Outgoing(send)
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._last_number = 0
        self._loop = asyncio.get_running_loop()
        self._end: CallFailed | None = None
        self._deadlines: Deadlines[asyncio.Future[bytes]] = Deadlines(_expire)

    @property
    def is_closed(self) -> bool:
        """Whether the stream has ended."""
        return self._end is not None

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """The serialised response of `/package.Service/Method`. Raises CallFailed."""
        if self._end is not None:
            raise _copy(self._end)
        if len(request) > REQUEST_BYTES_MAX:
            raise too_large(len(request))
        self._last_number += 1
        number = self._last_number
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._answers[number] = answer
        self._out.put(CALL, number, method, request, timeout_seconds, metadata)
        watched = None
        if timeout_seconds is not None:
            watched = self._deadlines.add(answer, timeout_seconds)
        try:
            return await answer
        finally:
            if watched is not None:
                watched.discard(answer)
            if self._answers.pop(number, None) is not None and self._end is None:
                self._out.put(FORGET, number)

    def receive(self, message: bytes) -> None:
        """Take a message. Raises msgspec.MsgspecError for one that is none."""
        for frame in _decode(message):
            if frame[0] == ANSWER:
                answer = self._answers.pop(frame[1], None)
                if answer is not None and not answer.done():
                    answer.set_result(frame[2])
            elif frame[0] == REFUSE:
                answer = self._answers.pop(frame[1], None)
                if answer is not None and not answer.done():
                    answer.set_exception(CallFailed(Code(frame[2]), frame[3], frame[4]))

    def close(self, end: CallFailed | None = None) -> None:
        """The stream has ended: calls under way have failed, as will later ones. Unless told
        otherwise, they failed as UNAVAILABLE; what is told first counts."""
        if self._end is None:
            self._end = end or CallFailed(Code.UNAVAILABLE, "the session with the service was lost")
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(_copy(self._end))


class _SessionCaller:
    __slots__ = ("_deadline", "_headers", "_loop", "session")
    in_process = False

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        session: SessionState,
        seconds: float | None,
        headers: Mapping[Any, Any] | None,
    ) -> None:
        self._loop = loop
        self._headers = headers or {}
        self._deadline = None if seconds is None else loop.time() + seconds
        self.session: object | None = session

    def time_remaining(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self._loop.time())

    def header(self, name: str) -> str:
        value = self._headers.get(name)
        return value if isinstance(value, str) else ""


def _expire(answer: asyncio.Future[bytes]) -> None:
    if not answer.done():
        answer.set_exception(CallFailed(Code.DEADLINE_EXCEEDED, "context deadline exceeded"))


def _copy(failure: CallFailed) -> CallFailed:
    """A failure of its own for each caller: raising one that others hold changes its traceback."""
    return CallFailed(failure.code, failure.message, failure.details)


OpenState = Callable[[], SessionState]
"""Makes what the service keeps for a new session."""
