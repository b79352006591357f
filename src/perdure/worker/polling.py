"""Keeps polls for tasks open while there are places for what they bring.

A task is handed over once its start is durable, so a poll takes at least that long, and the number
of polls bounds how many tasks begin per second. So there are more of them once tasks have come in
faster than polls are answered. They are not given up again: a poll that waits costs next to
nothing, and the one to give up would have to be at the right one of the worker's queues.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from perdure.service import RPCError, RPCStatusCode
from perdure.worker.slots import TaskSlots

_log = logging.getLogger("perdure.worker")

_Task = TypeVar("_Task")

FATAL: Final = frozenset(
    {
        RPCStatusCode.NOT_FOUND,  # there is no such namespace
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.UNIMPLEMENTED,
        RPCStatusCode.FAILED_PRECONDITION,
    }
)
"""What no further poll would make better: it stops the worker."""

BUSY_SECONDS: Final = 0.05
"""A poll that brings a task this soon tells that there are more."""

BACKOFF_SECONDS: Final = 0.1
BACKOFF_SECONDS_THROTTLED: Final = 1.0
BACKOFF_SECONDS_MAX: Final = 5.0
BACKOFF_COEFFICIENT: Final = 1.7
JITTER: Final = 0.2
QUIET_FAILURES: Final = 2
"""So many failures in a row may be a server that restarts; further ones are worth a warning."""


class PollCount:
    """The polls for tasks of one kind at one queue."""

    def __init__(self) -> None:
        self.current = 0
        self.is_autoscaling = False
        self.last_task_ns = 0
        """When one brought a task; zero before the first."""


class Pollers(Generic[_Task]):
    """Some loops that take a place, wait for a task, and hand it over along with the place."""

    def __init__(
        self,
        *,
        name: str,
        count: int,
        count_max: int,
        slots: TaskSlots,
        next_task: Callable[[], Awaitable[_Task | None]],
        accept: Callable[[_Task], None],
        permit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._name = name
        self._count = count
        self._count_max = count_max
        self._slots = slots
        self._next_task = next_task
        self._accept = accept
        self._permit = permit
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting_for_tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.failure: asyncio.Future[None] = self._loop.create_future()
        """Fails with the error that no further poll would make better."""

    def start(self) -> None:
        """Begins to poll."""
        for _ in range(self._count):
            self._add()

    def stop_polling(self) -> None:
        """Begins no more polls; those that wait for a task go on to."""
        self._stopping = True
        for task in self._tasks:
            if task not in self._waiting_for_tasks:
                task.cancel()

    async def close(self, *, polls_end_within_seconds: float) -> None:
        """Waits for the last polls, and cancels those that do not end in time."""
        tasks = set(self._tasks)
        if tasks and polls_end_within_seconds > 0:
            await asyncio.wait(tasks, timeout=polls_end_within_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        forget(self.failure)

    def _add(self) -> None:
        task = self._loop.create_task(
            self._poll_until_stopped(), name=f"perdure {self._name} poller"
        )
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failure.done():
            self.failure.set_exception(error)

    async def _poll_until_stopped(self) -> None:
        this_task = asyncio.current_task()
        assert this_task is not None
        failures = 0
        while not self._stopping:
            await self._slots.take()
            handed_over = False
            error: RPCError | None = None
            try:
                if self._permit is not None:
                    await self._permit()
                self._waiting_for_tasks.add(this_task)
                began = self._loop.time()
                task = await self._next_task()
                if task is not None:
                    self._note_task(self._loop.time() - began)
                    handed_over = True
                    self._accept(task)
                failures = 0
            except RPCError as refused:
                if refused.status in FATAL:
                    raise
                error = refused
            finally:
                self._waiting_for_tasks.discard(this_task)
                if not handed_over:
                    self._slots.give_back()
            if error is not None and not self._stopping:
                failures += 1
                await self._wait_after(error, failures)

    def _note_task(self, seconds: float) -> None:
        """A poll has brought a task after so long."""
        busy = seconds < BUSY_SECONDS and not self._stopping
        if busy and len(self._tasks) < self._count_max:
            self._add()

    async def _wait_after(self, error: RPCError, failures: int) -> None:
        level = logging.WARNING if failures > QUIET_FAILURES else logging.DEBUG
        _log.log(level, "A %s poll failed: %s: %s", self._name, error.status.name, error.message)
        throttled = error.status is RPCStatusCode.RESOURCE_EXHAUSTED
        first = BACKOFF_SECONDS_THROTTLED if throttled else BACKOFF_SECONDS
        seconds = min(first * BACKOFF_COEFFICIENT ** (failures - 1), BACKOFF_SECONDS_MAX)
        await asyncio.sleep(seconds * random.uniform(1 - JITTER, 1 + JITTER))


def forget(failure: asyncio.Future[None]) -> None:
    """Nobody waits for a failure any more, so nobody is warned that nobody has seen it."""
    if not failure.cancel() and not failure.cancelled():
        failure.exception()


class Rate:
    """At most so many per second: whoever comes too early waits."""

    def __init__(self, per_second: float) -> None:
        self._interval_seconds = 1 / per_second
        self._next = 0.0

    async def permit(self) -> None:
        """Waits for the next point in time that is nobody else's."""
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._interval_seconds
        if at > now:
            await asyncio.sleep(at - now)
