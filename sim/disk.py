"""The disk of a world: a memory store that outlives the engine, behind faults, delays and crashes.

Each incarnation of the engine mounts it anew. What an incarnation had handed over and not heard of
when it crashed has happened, or has not: dice decide, as they do for a real disk.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from perdure.server.store.faulty import FaultOdds, FaultyStore
from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import (
    Commit,
    CommitResult,
    LoadedRun,
    OutboxRow,
    StoreError,
    WorkflowWrite,
)
from sim.trace import Trace

_T = TypeVar("_T")

DELAY_SECONDS_MAX = 0.02

Written = Callable[[WorkflowWrite, dict[int, OutboxRow], list[LoadedRun]], None]


class Platter(MemoryStore):
    """The memory store, noting each commit that reaches it."""

    # The one inheritance here: a store has fifteen methods, of which one is of interest.

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace
        self.reached: Commit | None = None
        """The newest commit that was carried out."""
        self.ranges: list[int] = []
        """Of each commit, in order."""
        self.written: Written = lambda write, rows, deleted: None
        """Hears of each write that is durable; with the messages, and the deleted runs, before."""

    async def commit(self, commit: Commit) -> CommitResult:
        """Carry it out and note it."""
        rows = dict(self._outbox)
        gone = [[await self.load_number(n) for n in each.runs_deleted] for each in commit.writes]
        result = await super().commit(commit)
        self.reached = commit
        self.ranges.append(commit.fence.range_id)
        names = ",".join(
            f"{write.workflow_id}:{'+'.join(str(run.run) for run in write.runs)}"
            for write in commit.writes
        )
        self._trace.note("commit", f"{fingerprint(commit):08x}", names, len(result.poisoned))
        for index, write in enumerate(commit.writes):
            if index not in result.poisoned:
                self.written(write, rows, [run for run in gone[index] if run is not None])
        return result


class Disk:
    """What one incarnation of the engine sees of the platter: `store`, until `unplug`."""

    def __init__(
        self, platter: Platter, trace: Trace, dice: random.Random, odds: FaultOdds
    ) -> None:
        self._platter = platter
        self._trace = trace
        self._dice = dice
        self.store = _Noting(platter, trace, dice=dice, odds=odds, delay=self._delay)

    def unplug(self) -> None:
        """The crash: a commit in flight happens now, or never."""
        commit = self.store.in_flight
        if commit is None or self._platter.reached is commit:
            return
        if self._dice.random() < 0.5:
            self._trace.note("crash", "the commit in flight is carried out")
            run_now(self._platter.commit(commit))
        else:
            self._trace.note("crash", "the commit in flight is lost")

    async def _delay(self) -> None:
        throw = self._dice.random()
        if throw < 0.5:
            await asyncio.sleep(0)
        else:
            await asyncio.sleep((throw - 0.5) * 2 * DELAY_SECONDS_MAX)


class _Noting(FaultyStore):
    """The faulty store, noting what became of each commit."""

    def __init__(
        self,
        inner: MemoryStore,
        trace: Trace,
        *,
        dice: random.Random,
        odds: FaultOdds,
        delay: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        super().__init__(inner, dice=dice, odds=odds, delay=delay)
        self._trace = trace
        self.in_flight: Commit | None = None

    async def commit(self, commit: Commit) -> CommitResult:
        """As the faulty store; a fault is noted."""
        self.in_flight = commit
        try:
            result = await super().commit(commit)
        except StoreError as error:
            self._trace.note("fault", type(error).__name__, error)
            self.in_flight = None
            raise
        self.in_flight = None
        return result


def fingerprint(commit: Commit) -> int:
    """A number for the content of a commit, whatever the order of its records."""
    parts = [
        msgspec.structs.replace(
            run,
            records_put=sorted(run.records_put, key=lambda record: (record.kind, record.key)),
            records_deleted=sorted(run.records_deleted),
            dispatch_put=sorted(run.dispatch_put, key=lambda row: row.event_id),
            dispatch_deleted=sorted(run.dispatch_deleted),
        )
        for write in commit.writes
        for run in write.runs
    ]
    return zlib.crc32(msgspec.msgpack.encode((commit.fence, parts)))


def run_now(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that never waits, as those of a memory store."""
    try:
        work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    work.close()
    raise AssertionError("a memory store never waits")
