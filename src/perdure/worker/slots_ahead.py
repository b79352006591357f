"""One place that is ready before there is a task for it.

Workers ask the service for a task when they have a place for it. Nobody is asked for local
activities, so their places could be taken when there is one; but a supplier of the user's own may
take its time, or count on being asked for each kind of task from the beginning.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from perdure.worker.slots import TaskSlots


class SlotsAhead:
    """Places, the next of which is taken as soon as one is gone. Whoever waits is served in turn.

    None are given before `open`, nor after `close`.
    """

    def __init__(self, slots: TaskSlots) -> None:
        self._slots = slots
        self._is_ready = False
        self._gone = asyncio.Event()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._keeping: asyncio.Task[None] | None = None
        self.kind = slots.kind
        self.failed = 0

    def open(self) -> None:
        """Begins to keep a place ready."""
        self._keeping = asyncio.create_task(self._keep(), name="perdure place kept ready")

    async def close(self) -> None:
        """Gives the place back that is kept ready, or waits for none any more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        if self.try_take():
            self._slots.give_back()

    @property
    def used(self) -> int:
        """How many tasks are being worked on."""
        return self._slots.used

    @property
    def processed(self) -> int:
        """How many tasks are done."""
        return self._slots.processed

    @property
    def available(self) -> int:
        """How many tasks more there could be, as far as that is known."""
        return self._slots.available

    def try_take(self) -> bool:
        """Takes the place that is ready, if there is one."""
        if not self._is_ready:
            return False
        self._is_ready = False
        self._gone.set()
        return True

    async def take(self) -> None:
        """Waits for a place."""
        if self.try_take():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._slots.give_back()
            raise

    def use(self, task: Any) -> None:
        """The task is worked on in a place that was taken."""
        self._slots.use(task)

    def give_back(self, task: Any = None) -> None:
        """Frees the place of a task that is done, or one for which there was no task."""
        self._slots.give_back(task)

    async def _keep(self) -> None:
        while True:
            await self._slots.take()
            self._gone.clear()
            self._is_ready = True
            while self._waiters and self._is_ready:
                waiter = self._waiters.popleft()
                if not waiter.done() and self.try_take():
                    waiter.set_result(None)
            await self._gone.wait()
