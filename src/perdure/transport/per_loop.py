"""A transport for each event loop that calls, since a connection belongs to its loop.

Most programs have one loop, whose transport is found by one comparison. The transports of loops
that have ended are forgotten with them. A process that was forked has a loop of its own, and is
refused: gRPC's threads and sockets are those of the process that it was forked from.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from perdure.transport.grpc_session import GrpcSessionTransport


class PerLoopTransport:
    """Calls over the transport of the loop that is running."""

    has_connection_per_loop = True

    def __init__(self, make: Callable[[], GrpcSessionTransport]) -> None:
        self._make = make
        self._process_id = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: GrpcSessionTransport
        self._others: WeakKeyDictionary[asyncio.AbstractEventLoop, GrpcSessionTransport] = (
            WeakKeyDictionary()
        )

    @property
    def current(self) -> GrpcSessionTransport:
        """The transport of the running loop. Raises AssertionError in a forked process."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return self._transport
        if self._process_id != os.getpid():
            raise AssertionError("Cannot use client across forks")
        if self._loop is None or self._loop.is_closed():
            known = self._others.pop(loop) if loop in self._others else self._make()
            self._loop, self._transport = loop, known
            return known
        if loop not in self._others:
            self._others[loop] = self._make()
        return self._others[loop]

    @property
    def has_session(self) -> bool:
        """Whether calls travel over a session now."""
        return self.current.has_session

    def call(
        self,
        method: str,
        request: bytes,
        metadata: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Coroutine[Any, Any, bytes]:
        """The serialised response of `/package.Service/Method`. Raises CallFailed."""
        return self.current.call(method, request, metadata, timeout_seconds)

    async def close(self) -> None:
        """End the connection of this loop. Those of others end with their loops."""
        await self.current.close()
