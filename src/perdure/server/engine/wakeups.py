"""Wake-ups: each run has one time at which it must be looked at again, stored with it.

Those of the near future are also in memory, as a heap; further ones are read from the store as
their time comes closer, so that a million sleeping workflows cost disk, not memory. A wake-up that
comes too early, or for a run that is closed, is harmless.

The stall rule: when the loop was blocked or the process was stopped, work that was done meanwhile
is waiting to be read. It is all decided before any deadline that passed during the stall, so that
work which was done in time never times out. The same holds when the engine runs and its workers,
which live in another loop of the process, stand still: `hold_while` tells it.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable

from perdure.server.engine.clock import Clock
from perdure.server.machines.ports import SECOND_NS
from perdure.server.store.ports import RunNumber, Store, StoreUnavailable

logger = logging.getLogger(__name__)

HORIZON_NS = 60 * SECOND_NS
"""How far ahead wake-ups are kept in memory."""
PAGE = 1_000
"""Wake-ups read from the store, and begun, at a time."""
NAP_SECONDS_MIN = 0.001
"""So that a clock which stands still does not make us spin."""
TICK_SECONDS = 0.25
"""The longest nap, and the time between two marks by which a stall is noticed."""
STALL_NS = SECOND_NS
"""A mark that comes so much too late means a stall."""
GRACE_SECONDS = 1.0
"""After a stall, how long arrived work may take to be read from its connections before anything
times out."""
RETRY_SECONDS = 0.2

Fire = Callable[[RunNumber], Awaitable[None]]


class Wakeups:
    """Fires the wake-ups of a shard."""

    def __init__(self, store: Store, shard: int, clock: Clock, fire: Fire) -> None:
        self._store = store
        self._shard = shard
        self._clock = clock
        self._fire = fire
        self._heap: list[tuple[int, RunNumber]] = []
        self._armed: dict[RunNumber, int] = {}
        """The time that counts, per run with a wake-up in memory; other entries of the heap are
        stale."""
        self._passing: set[tuple[int, RunNumber]] = set()
        """Entries of the heap that count though they are not stored."""
        self._horizon_ns = 0
        """Everything stored that is due before this is in memory."""
        self._kick = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._ticked_ns = 0
        self._grace_ends_ns = 0
        self._workers_stand_still: Callable[[], bool] = _never
        self._is_holding = False
        self.is_firing = False
        """Whether anything that was due is being decided."""
        self.stalls = 0

    def start(self) -> None:
        """Begin to fire."""
        self._ticked_ns = self._clock.now_ns()
        loop = asyncio.get_running_loop()
        self._tasks = (loop.create_task(self._tick()), loop.create_task(self._run()))

    def hold_while(self, workers_stand_still: Callable[[], bool]) -> None:
        """Fire nothing while this is so, nor right afterwards."""
        self._workers_stand_still = workers_stand_still

    async def stop(self) -> None:
        """Fire no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def arm(self, run: RunNumber, wake_at_ns: int) -> bool:
        """The run's wake-up is stored (0: it has none any more); whether it is kept in memory from
        now on."""
        if not wake_at_ns or wake_at_ns >= self._horizon_ns:
            self._armed.pop(run, None)
            return False
        if self._armed.get(run) == wake_at_ns:
            return False
        self._armed[run] = wake_at_ns
        heapq.heappush(self._heap, (wake_at_ns, run))
        if self._heap[0][1] == run:
            self._kick.set()
        return True

    def look_again(self, run: RunNumber, at_ns: int) -> None:
        """Fire for the run at that time too, though nothing stored says so."""
        self._passing.add((at_ns, run))
        heapq.heappush(self._heap, (at_ns, run))
        if self._heap[0] == (at_ns, run):
            self._kick.set()

    def skipped(self, skipped_ns: int) -> None:
        """The clock has just jumped by so much: that was no stall, and something may be due."""
        self._ticked_ns += skipped_ns
        self._grace_ends_ns += skipped_ns if self._grace_ends_ns else 0
        self._kick.set()

    async def _run(self) -> None:
        while True:
            now_ns = self._clock.now_ns()
            if self._must_hold(now_ns):
                await asyncio.sleep(TICK_SECONDS)
                continue
            if self._has_stalled(now_ns) or now_ns < self._grace_ends_ns:
                await asyncio.sleep(GRACE_SECONDS)
                continue
            if now_ns + HORIZON_NS // 2 > self._horizon_ns:
                await self._read_ahead(now_ns)
            due = self._pop_due(now_ns)
            if due:
                self.is_firing = True
                try:
                    await asyncio.gather(*map(self._fire, due))
                finally:
                    self.is_firing = False
            else:
                await self._nap(now_ns)

    async def _tick(self) -> None:
        """Leave a mark of time now and then: a mark that is too old tells of a stall, wherever the
        rest of us was waiting when it began."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now_ns = self._clock.now_ns()
            self._has_stalled(now_ns)
            self._ticked_ns = now_ns

    def _must_hold(self, now_ns: int) -> bool:
        was_holding, self._is_holding = self._is_holding, self._workers_stand_still()
        if was_holding and not self._is_holding:
            self._grace_ends_ns = now_ns + int(GRACE_SECONDS * SECOND_NS)
        return self._is_holding

    def _has_stalled(self, now_ns: int) -> bool:
        """Whether the process stood still just now; said once for each time."""
        still_ns = now_ns - self._ticked_ns - int(TICK_SECONDS * SECOND_NS)
        if still_ns <= STALL_NS:
            return False
        self._ticked_ns = now_ns
        self.stalls += 1
        self._grace_ends_ns = now_ns + int(GRACE_SECONDS * SECOND_NS)
        logger.warning(
            "the server stood still for %.1f s: what arrived meanwhile goes first",
            still_ns / SECOND_NS,
        )
        return True

    def _pop_due(self, now_ns: int) -> list[RunNumber]:
        due: list[RunNumber] = []
        heap, armed = self._heap, self._armed
        while heap and heap[0][0] <= now_ns and len(due) < PAGE:
            wake_at_ns, run = heapq.heappop(heap)
            is_passing = (wake_at_ns, run) in self._passing
            if is_passing:
                self._passing.discard((wake_at_ns, run))
            if armed.get(run) == wake_at_ns:
                del armed[run]
                due.append(run)
            elif is_passing:
                due.append(run)
        return due

    async def _nap(self, now_ns: int) -> None:
        """Sleep until something may be due, and notice when that took far too long."""
        seconds = TICK_SECONDS
        if self._heap:
            seconds = min(seconds, max((self._heap[0][0] - now_ns) / SECOND_NS, NAP_SECONDS_MIN))
        self._kick.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._kick.wait()
        except TimeoutError:
            pass

    async def _read_ahead(self, now_ns: int) -> None:
        """Bring the wake-ups of the near future into memory; when they are very many, only the
        earliest."""
        until_ns = now_ns + HORIZON_NS
        horizon_ns, self._horizon_ns = self._horizon_ns, until_ns  # for what is armed meanwhile
        try:
            rows = await self._store.due(self._shard, until_ns, PAGE * 10)
        except StoreUnavailable as error:
            logger.warning("wake-ups cannot be read now: %s", error)
            self._horizon_ns = horizon_ns
            await asyncio.sleep(RETRY_SECONDS)
            return
        if len(rows) >= PAGE * 10:
            until_ns = rows[-1][0]
        self._horizon_ns = max(until_ns, now_ns + 1)
        for wake_at_ns, run in rows:
            if run not in self._armed:
                self._armed[run] = wake_at_ns
                heapq.heappush(self._heap, (wake_at_ns, run))


def _never() -> bool:
    return False
