"""Skipping time: the clock of a home for tests jumps to whatever is due next, as soon as nothing
can happen before that.

Rules, which are those of Temporal's time-skipping test server, and their names are its too:

* A counter of locks, 1 at first. While it is above zero, time passes as it does outside. A client
  unlocks it while it waits for a result, and locks it again when it has one. It may fall below
  zero, where Temporal's refuses to unlock: several clients may wait at a time.
* Whoever sleeps while time is unlocked (or unlocks it for that) is woken up as soon as nothing that
  is due earlier is left: also an activity, which is itself the work that is waited for.
* Time does not skip while a worker has something to do (a workflow task, a query, an update, an
  activity task, also one that nobody polls), nor while anything is being decided, written, or on
  its way to another workflow.
* Who sleeps while a result is awaited too has given up two locks: one task is not waited for, if no
  worker takes it. So a test can stop its worker, and sleep.
* Then it skips to the earliest deadline of all that is open, or to the end of a sleep. All that is
  due then is done before it skips again, or whoever slept goes on.

What is open is looked at anew when it has changed (`Machine.in_hand`), so that nothing cancelled
counts. Nothing here knows what kinds of deadlines there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from perdure.server.engine.api import EngineUnavailable
from perdure.server.engine.clock import SkippingClock
from perdure.server.engine.execution import Execution, ExecutionKey
from perdure.server.engine.open_work import OpenWork
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import InHand
from perdure.server.store.ports import StoreUnavailable

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.002
"""Until the next look while a worker has something to do: not all that workers do is news."""
REST_SECONDS = 0.05
"""Until the next look while nobody has anything to do and nothing is due."""
QUIET_TURNS = 4
"""Turns of the loop for which nothing may have happened before time skips."""
TOLD_SECONDS = 0.01
"""After somebody was told that a run is over, how long they have to lock time."""
SETTLE_SECONDS_MAX = 1.0
"""How long whoever slept waits, at most, for what became due with them; and who sleeps while a
result is awaited, for workers."""
LATEST_NS = 2**63 - 1 - 10**18
"""No time is skipped to that comes later (about the year 2230): it must fit into 64 bits."""


class Skippable(Protocol):
    """What is needed of the engine."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is being decided, written, delivered or asked."""
        ...

    def in_hand(self, key: ExecutionKey) -> InHand | None:
        """What a subject waits for; None when it is not in memory."""
        ...

    async def reload(self, key: ExecutionKey) -> None:
        """Bring a subject back into memory. Raises EngineUnavailable."""
        ...

    def skipped(self, skipped_ns: int) -> None:
        """The clock has just jumped by so much."""
        ...

    def tell_changes(self, changed: Callable[[ExecutionKey], None]) -> None:
        """Call when something is decided on a subject, and when what was decided is lost."""
        ...


class _Sleeper:
    """Somebody who sleeps until a time."""

    __slots__ = ("awake", "deadline_ns", "skipped_at", "unlocks")

    def __init__(self, deadline_ns: int, *, unlocks: bool) -> None:
        self.deadline_ns = deadline_ns
        self.unlocks = unlocks
        self.awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.skipped_at: float | None = None
        """By the loop's time: when a jump of the clock brought the end of the sleep."""


class TimeSkipper:
    """Skips the time of one engine. Runs from `start` to `stop`."""

    def __init__(
        self,
        engine: Skippable,
        clock: SkippingClock,
        housekeep: Callable[[], Awaitable[object]],
    ) -> None:
        """`housekeep` does what is done in the background at the time that it has become; may raise
        EngineUnavailable, StoreUnavailable."""
        self._engine = engine
        self._clock = clock
        self._housekeep = housekeep
        self._loop = asyncio.get_running_loop()
        self._locks = 1
        self._sleepers: list[_Sleeper] = []
        self._open = OpenWork(engine.in_hand)
        self._news = asyncio.Event()
        self._told_until = 0.0
        self._news_at = 0.0
        """By the loop's time: when something of any subject became durable, or somebody slept."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._engine.tell_changes(self._open.changed)
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Skip no more; whoever sleeps is woken up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for sleeper in self._sleepers:
            _wake(sleeper)

    def saw(self, execution: Execution, *, has_told: bool) -> None:
        """Something of a subject is durable; whether somebody is told that its run is over."""
        run = execution.run
        if run is not None and (run.is_open or run.wake_at_ns):
            self._open.opened(execution.key)
        else:
            self._open.closed(execution.key)
        self._news_at = self._loop.time()
        if has_told:
            self._told_until = self._news_at + TOLD_SECONDS
        self._news.set()

    # ---- what clients ask for

    def now_ns(self) -> int:
        """The time."""
        return self._clock.now_ns()

    def lock(self) -> None:
        """One lock more."""
        self._locks += 1

    def unlock(self) -> None:
        """One lock less."""
        self._locks -= 1
        self._news.set()

    async def sleep(self, duration_ns: int) -> None:
        """Return when so much time has passed. Raises InvalidArgument."""
        await self.sleep_until(self._clock.now_ns() + duration_ns)

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return when it is that time. Raises InvalidArgument."""
        with self._sleeper(deadline_ns, unlocks=False) as sleeper:
            await sleeper.awake

    async def unlock_with_sleep(self, duration_ns: int) -> None:
        """One lock less until so much time has passed; returns then. Raises InvalidArgument."""
        with self._sleeper(self._clock.now_ns() + duration_ns, unlocks=True) as sleeper:
            await sleeper.awake

    @contextmanager
    def _sleeper(self, deadline_ns: int, *, unlocks: bool) -> Iterator[_Sleeper]:
        if deadline_ns > LATEST_NS:
            raise InvalidArgument("Time cannot skip that far.")
        sleeper = _Sleeper(deadline_ns, unlocks=unlocks)
        self._sleepers.append(sleeper)
        self._news_at = self._loop.time()
        self._news.set()
        try:
            yield sleeper
        finally:
            self._sleepers.remove(sleeper)

    # ---- skipping

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._wake_sleepers()
                if self._may_skip() and await self._stays_quiet():
                    self._skip()
                for key in self._open.lost():
                    await self._engine.reload(key)
            except (EngineUnavailable, StoreUnavailable) as error:
                logger.warning("time cannot be skipped now: %s", error)
            await self._pause()

    def _locks_now(self) -> int:
        return self._locks - sum(sleeper.unlocks for sleeper in self._sleepers)

    def _may_skip(self) -> bool:
        return self._locks_now() <= 0 and self._loop.time() >= self._told_until and self._is_idle()

    def _is_idle(self) -> bool:
        """Whether nothing can happen before something is due."""
        if not self._engine.is_quiet:
            return False
        work = self._open.total()
        if 0 < work.next_ns <= self._clock.now_ns():
            return False
        if work.workflow_tasks and self._loop.time() < self._news_at + SETTLE_SECONDS_MAX:
            return False  # It may be that a worker is at it.
        # Locks beyond what clients have given up were given up for the tasks themselves.
        sleeping = sum(sleeper.unlocks for sleeper in self._sleepers)
        tasks = work.workflow_tasks + work.activity_tasks
        return tasks <= max(0, sleeping - max(0, self._locks))

    async def _stays_quiet(self) -> bool:
        for _ in range(QUIET_TURNS):
            await asyncio.sleep(0)
            if not self._engine.is_quiet:
                return False
        return self._may_skip()

    def _target_ns(self) -> int:
        """What is due next; 0 when nothing is."""
        times = [sleeper.deadline_ns for sleeper in self._sleepers if not sleeper.awake.done()]
        times.append(self._open.total().next_ns)
        return min((time_ns for time_ns in times if 0 < time_ns <= LATEST_NS), default=0)

    def _skip(self) -> None:
        now_ns, target_ns = self._clock.now_ns(), self._target_ns()
        if target_ns <= now_ns:
            return
        for sleeper in self._sleepers:
            if sleeper.deadline_ns <= target_ns:
                sleeper.skipped_at = self._loop.time()
        self._clock.skip(target_ns - now_ns)
        self._engine.skipped(target_ns - now_ns)
        self._news.set()

    async def _wake_sleepers(self) -> None:
        """Those whose time has come go on: if it was skipped to, when all that became due with it
        is done, or takes too long."""
        now_ns = self._clock.now_ns()
        for sleeper in list(self._sleepers):
            if sleeper.awake.done() or sleeper.deadline_ns > now_ns:
                continue
            if sleeper.skipped_at is not None:
                waited = self._loop.time() - sleeper.skipped_at
                if not self._is_idle() and waited < SETTLE_SECONDS_MAX:
                    continue
                await self._housekeep()
            _wake(sleeper)

    async def _pause(self) -> None:
        """Wait for news, or for the next time to look without any."""
        seconds: float | None = None
        if (left := self._told_until - self._loop.time()) > 0:
            seconds = left
        elif self._locks_now() <= 0:
            seconds = REST_SECONDS if self._is_idle() and not self._sleepers else LOOK_SECONDS
        elif self._sleepers:
            seconds = LOOK_SECONDS
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass


def _wake(sleeper: _Sleeper) -> None:
    if not sleeper.awake.done():
        sleeper.awake.set_result(None)
