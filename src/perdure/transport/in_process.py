"""The port within one process: the caller's task runs the handler. Bytes are passed here too, so
that nobody shares a mutable message."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

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
            return await handler(request, _Caller(metadata, None))
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                return await handler(request, _Caller(metadata, deadline))
        except TimeoutError:
            if not limit.expired():
                raise
            raise CallFailed(Code.DEADLINE_EXCEEDED, "context deadline exceeded") from None

    def close(self, end: CallFailed) -> None:
        """Refuse all calls from now on. Those under way are the service's to end."""
        self._handlers, self._end = {}, end


class _Caller:
    __slots__ = ("_deadline", "_metadata", "session")

    def __init__(self, metadata: Mapping[str, str] | None, deadline: float | None) -> None:
        self._metadata = metadata or {}
        self._deadline = deadline
        self.session: object | None = None

    def time_remaining(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    def header(self, name: str) -> str:
        return self._metadata.get(name, "")
