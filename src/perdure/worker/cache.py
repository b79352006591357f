"""The runs that a worker keeps between two tasks, so that their history need not be replayed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from perdure._replay.runner import WorkflowRunner
from perdure.worker.local_activities import RunLocals
from perdure.worker.payloads import RunPayloads

RUN_BYTES: Final = 24 * 1024
"""What a small run takes: its loop, its coroutine, its machines."""
BYTES_PER_HISTORY_BYTE: Final = 3
"""Values of the user's are objects, which are larger than their JSON."""
CACHE_BYTES_MAX: Final = 512 * 1024 * 1024


class CachedRun:
    """A run: its runner, once there is one, and the lock of whoever works on it."""

    __slots__ = (
        "bytes_estimated",
        "local_activities",
        "lock",
        "payloads",
        "run_id",
        "runner",
        "users",
    )

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.runner: WorkflowRunner | None = None
        self.lock = asyncio.Lock()
        self.users = 0
        self.bytes_estimated = 0
        self.local_activities: RunLocals | None = None
        """Those that are under way."""
        self.payloads: RunPayloads | None = None
        """What its payloads go through, if they go through anything."""

    def evict(self) -> None:
        """Ends the run here; the next task begins with a new runner."""
        runner, self.runner = self.runner, None
        self.payloads = None
        if runner is not None:
            runner.evict()
        if self.local_activities is not None:
            self.local_activities.abandon()
            self.local_activities = None


class RunCache:
    """The runs, least recently used first. Runs that are being worked on stay."""

    def __init__(self, runs_max: int, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self._runs: OrderedDict[str, CachedRun] = OrderedDict()
        self._runs_max = runs_max
        self._bytes_max = bytes_max
        self._bytes_estimated = 0
        self.hits = 0
        """So many tasks went on where their run stood."""
        self.misses = 0
        """For so many the history had to be read."""
        self.forced_evictions = 0
        """So many runs there was no room for."""

    def __len__(self) -> int:
        return len(self._runs)

    def enter(self, run_id: str) -> CachedRun:
        """The run, to be worked on until `leave`."""
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = CachedRun(run_id)
        else:
            self._runs.move_to_end(run_id)
        run.users += 1
        return run

    def leave(self, run: CachedRun, history_bytes: int) -> None:
        """The work is done. Runs without a runner are forgotten, and so are those there is no
        room for."""
        run.users -= 1
        estimated = 0
        if run.runner is not None:
            estimated = RUN_BYTES + BYTES_PER_HISTORY_BYTE * history_bytes
        self._bytes_estimated += estimated - run.bytes_estimated
        run.bytes_estimated = estimated
        if run.runner is None and run.users == 0:
            del self._runs[run.run_id]
        if len(self._runs) > self._runs_max or self._bytes_estimated > self._bytes_max:
            self._make_room()

    def clear(self) -> None:
        """Evicts all runs."""
        for run in self._runs.values():
            run.evict()
        self._runs.clear()
        self._bytes_estimated = 0

    def _make_room(self) -> None:
        excess_runs = len(self._runs) - self._runs_max
        evicted = []
        for run in self._runs.values():
            if excess_runs <= 0 and self._bytes_estimated <= self._bytes_max:
                break
            if run.users == 0:
                excess_runs -= 1
                self._bytes_estimated -= run.bytes_estimated
                evicted.append(run)
        for run in evicted:
            del self._runs[run.run_id]
            run.evict()
        self.forced_evictions += len(evicted)
