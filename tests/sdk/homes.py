"""Where programs run in the tests: the same program in each home, through a client.

A home is a name and what opens a client of it. Servers are started when the first test needs them
and live until the last has run; an embedded engine lives as long as its client.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import perdure
from perdure.client import Client
from tests.interop.servers import our_server, real_server

HOMES = ("embedded", "embedded in a thread", "ours", "real")
"""The engine in this process, our server in a process of its own, and the real one."""

SERVERS: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
    "ours": our_server,
    "real": real_server,
}


class Homes:
    """The homes of one test process."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._addresses: dict[str, str] = {}

    def start(self, home: str) -> None:
        """Starts what the home needs, once."""
        if home in SERVERS and home not in self._addresses:
            self._addresses[home] = self._stack.enter_context(SERVERS[home]())

    def address(self, home: str) -> str:
        """Where a server that was started listens."""
        return self._addresses[home]

    @contextlib.asynccontextmanager
    async def open(self, home: str) -> AsyncIterator[Client]:
        """A client of a home that was started."""
        if home not in SERVERS:
            async with perdure.embedded(thread=home != "embedded") as client:
                yield client
            return
        client = await Client.connect(self._addresses[home])
        try:
            yield client
        finally:
            await client.service_client.close()
