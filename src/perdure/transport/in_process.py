"""The port within one process: the caller's task runs the handler. Bytes are passed here too, so
that nobody shares a mutable message."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

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


class InProcessTransport:
    """Calls handlers directly."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._services = services_of(handlers)
        self._end: CallFailed | None = None
        self._deadlines: Deadlines[_LimitedCaller] = Deadlines(_LimitedCaller.expire)

    async def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        """The serialised response of `/package.Service/Method`. Raises CallFailed."""
        handler = self._handlers.get(method)
        if handler is None:
            raise self._end or unknown_method(method, self._services)
        if len(request) > REQUEST_BYTES_MAX:
            raise too_large(len(request))
        if timeout_seconds is None:
            return await handler(request, _Caller(metadata))
        caller = _LimitedCaller(metadata, timeout_seconds)
        watched = self._deadlines.add(caller, timeout_seconds)
        try:
            return await handler(request, caller)
        except asyncio.CancelledError:
            if caller.was_cancelled_by_deadline:
                raise CallFailed(Code.DEADLINE_EXCEEDED, "context deadline exceeded") from None
            raise
        finally:
            watched.discard(caller)
            caller.end()

    def close(self, end: CallFailed) -> None:
        """Refuse all calls from now on. Those under way are the service's to end."""
        self._handlers, self._end = {}, end


class _Caller:
    __slots__ = ("_metadata", "session")
    in_process = True

    def __init__(self, metadata: Mapping[str, str] | None) -> None:
        self._metadata = metadata or {}
        self.session: object | None = None

    def time_remaining(self) -> float | None:
        return None

    def header(self, name: str) -> str:
        return self._metadata.get(name, "")


class _LimitedCaller:
    """A caller who waits for so long; then its task is cancelled, as by `asyncio.timeout`."""

    __slots__ = ("_cancelled_before", "_deadline", "_expired", "_metadata", "_task", "session")
    in_process = True

    def __init__(self, metadata: Mapping[str, str] | None, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._metadata = metadata or {}
        self._task = task
        self._cancelled_before = task.cancelling()
        self._deadline = task.get_loop().time() + seconds
        self._expired = False
        self.session: object | None = None

    def time_remaining(self) -> float | None:
        return max(0.0, self._deadline - self._task.get_loop().time())

    def header(self, name: str) -> str:
        return self._metadata.get(name, "")

    def expire(self) -> None:
        """Its time is up."""
        self._expired = True
        self._task.cancel()

    @property
    def was_cancelled_by_deadline(self) -> bool:
        """Whether nobody else has cancelled the task since."""
        return self._expired and self._task.cancelling() <= self._cancelled_before + 1

    def end(self) -> None:
        """The call is over: its task is no longer cancelled."""
        if self._expired:
            self._task.uncancel()
