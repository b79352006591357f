"""Clients and a worker, at work on one server until they are told to finish."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Self

from sim.ledger import Ledger
from tests.crash.client import LoadClient
from tests.crash.connection import Connection
from tests.crash.worker import LoadWorker

CLIENTS = 12
POLLERS = 4
FINISH_SECONDS_MAX = 60.0


class Load:
    """Begins when it is entered. Its ledger says what was promised to it."""

    def __init__(
        self,
        port: int,
        dice: random.Random,
        *,
        clients: int = CLIENTS,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.ledger = Ledger()
        self.connection = Connection(port, timeout_seconds)
        self._worker = LoadWorker("worker", self.connection, self.ledger, dice)
        self._clients = [
            LoadClient(f"client-{number}", self.connection, self.ledger, dice)
            for number in range(clients)
        ]
        self._running: list[asyncio.Task[None]] = []
        self._working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._running = [loop.create_task(client.run()) for client in self._clients]
        self._working = loop.create_task(self._worker.run(POLLERS))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = [*self._running, *([self._working] if self._working else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.connection.close()

    @property
    def problems(self) -> list[str]:
        """What clients and workers saw that must not be."""
        found = list(self._worker.problems)
        for client in self._clients:
            found += client.problems
        return found

    @property
    def workflows_done(self) -> int:
        """Workflows that were followed to their end."""
        return sum(client.workflows_done for client in self._clients)

    @property
    def acknowledged(self) -> int:
        """Requests of all kinds that were acknowledged."""
        ledger = self.ledger
        return (
            sum(len(start.run_ids) for start in ledger.starts.values())
            + sum(signal.is_acknowledged for signal in ledger.signals.values())
            + sum(completion.is_acknowledged for completion in ledger.completions.values())
            + len(ledger.acknowledged_activities)
        )

    def check_alive(self) -> None:
        """Raise what a client or a worker has failed with."""
        for task in (*self._running, self._working):
            if task is not None and task.done():
                task.result()

    async def until_acknowledged(self, more: int) -> None:
        """Return when so many more requests have been acknowledged."""
        wanted = self.acknowledged + more
        async with asyncio.timeout(FINISH_SECONDS_MAX):
            while self.acknowledged < wanted:
                self.check_alive()
                await asyncio.sleep(0.01)

    async def finish(self) -> None:
        """Start nothing new, and let everything that was started come to its end."""
        for client in self._clients:
            client.is_stopping = True
        assert self._working is not None
        finished = asyncio.gather(*self._running)
        async with asyncio.timeout(FINISH_SECONDS_MAX):
            await asyncio.wait((finished, self._working), return_when=asyncio.FIRST_COMPLETED)
            self.check_alive()
            await finished
