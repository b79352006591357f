"""Places for tasks: how many a worker works on at once.

A place is taken before a task is asked for, used once there is a task, and given back when that is
done, or when there was none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol


class TaskSlots(Protocol):
    """Places, whoever decides how many there are. What uses one is told apart by identity."""

    kind: str
    """What decides how many there are, as the service is told."""
    failed: int
    """How many tasks that are done came to nothing."""

    @property
    def used(self) -> int:
        """How many tasks are being worked on."""
        ...

    @property
    def processed(self) -> int:
        """How many tasks are done."""
        ...

    @property
    def available(self) -> int:
        """How many tasks more there could be, as far as that is known."""
        ...

    def try_take(self) -> bool:
        """Takes a place if one is free and nobody waits for it."""
        ...

    async def take(self) -> None:
        """Waits for a place."""
        ...

    def use(self, task: Any) -> None:
        """The task is worked on in a place that was taken."""
        ...

    def give_back(self, task: Any = None) -> None:
        """Frees the place of a task that is done, or one for which there was no task."""
        ...


class Slots:
    """A number of places. Whoever waits is served in turn."""

    kind = "Fixed"

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = count
        self._waiters: deque[asyncio.Future[None]] = deque()
        self.used = 0
        self.processed = 0
        self.failed = 0

    @property
    def available(self) -> int:
        """How many tasks more there could be."""
        return self._count - self.used

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

    def use(self, task: Any) -> None:
        """The task is worked on in a place that was taken."""
        del task
        self.used += 1

    def give_back(self, task: Any = None) -> None:
        """Frees a place, or hands it to whoever has waited longest."""
        if task is not None:
            self.used -= 1
            self.processed += 1
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
