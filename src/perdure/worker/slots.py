"""Places for tasks: how many a worker works on at once."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """A number of places. Whoever waits is served in turn."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiters: deque[asyncio.Future[None]] = deque()

    def try_take(self) -> bool:
        """Takes a place if one is free and nobody waits for it."""
        if self._free == 0 or self._waiters:
            return False
        self._free -= 1
        return True

    async def take(self) -> None:
        """Waits for a place."""
        if self.try_take():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give_back()  # it was handed over while this was being cancelled
            else:
                self._waiters.remove(waiter)
            raise

    def give_back(self) -> None:
        """Frees a place, or hands it to whoever has waited longest."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
