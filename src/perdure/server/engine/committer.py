"""Group commit: turns are collected while the previous group is being written, then sealed together
and made durable at once.

Rules. One group is in the store's hands at a time; the next is sealed when that one is settled, on
the loop, after everything that was ready has been decided. Nobody hears of a turn before its group
is durable. A write that is lost takes with it what was decided on the same workflow afterwards (its
execution is dropped, and loaded again by whoever comes next); other workflows of the group are not
touched. After `CommitUnknown` the stored versions tell which writes landed, and nothing is sealed
until they have told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from perdure.server.engine.api import EngineStopped, EngineUnavailable, NamespaceRef
from perdure.server.engine.cache import ExecutionCache
from perdure.server.engine.execution import Execution, ExecutionKey
from perdure.server.engine.sealing import PendingWrite, Projection
from perdure.server.store.ports import (
    Commit,
    CommitUnknown,
    Fence,
    LeaseLost,
    Store,
    StoreUnavailable,
    WorkflowWrite,
)

logger = logging.getLogger(__name__)

UNKNOWN_RETRY_SECONDS = 0.05
"""Pause between two questions about a commit of unknown outcome."""
GATHER_SECONDS = 0.003
"""Under load, how long turns are gathered before they are sealed: a commit costs nearly the same
for one workflow as for ten."""
BUSY_WRITES = 4
"""A group of so many workflows means load."""
CROWD_GATHER_SECONDS = 0.008
"""How long turns are gathered while a crowd of workflows goes on at once: each waits longer in line
than for this."""
CROWD_WRITES, CROWD_WORKFLOWS = 64, 56
"""So many workflows among the last so many writes are a crowd. A few that go on as fast as they can
come by again within fewer writes."""
WRITES_PER_GROUP_MAX = 500
"""Workflows in one group: a bound on the time that a commit takes, and so on everybody's
latency."""


EXPECTED_LOOP_TURNS_MAX = 4
"""Turns of the loop that an answer may take from a worker on the same loop that waits for nothing:
its poll ends, its task begins, and it answers."""


class Group:
    """Turns that become durable together."""

    __slots__ = ("_is_over", "_loop", "_readers", "acknowledged", "moved", "writes")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_over = False
        self._readers: list[asyncio.Future[None]] = []
        self.writes: dict[Execution, PendingWrite] = {}
        self.acknowledged: dict[int, Callable[[Exception | None], None]] = {}
        """Outbox rows that go without a turn, and who hears of it."""
        self.moved: dict[Execution, Group] = {}
        """Where writes went for which this group had no room."""

    def settled(self) -> asyncio.Future[None]:
        """Done when the group is durable or lost. Fails with EngineUnavailable when that cannot be
        known for now."""
        reader: asyncio.Future[None] = self._loop.create_future()
        if self._is_over:
            reader.set_result(None)
        else:
            self._readers.append(reader)
        return reader

    def tell_readers(self, error: Exception | None = None) -> None:
        """The group is settled; or, with `error`, nobody can say when it will be."""
        self._is_over = error is None
        readers, self._readers = self._readers, []
        for reader in readers:
            if reader.done():
                continue
            if error is None:
                reader.set_result(None)
            else:
                reader.set_exception(error)

    def refuse_answers(self, error: Exception) -> None:
        """Whoever waits for an answer is told that there is none for now; what else waits goes on
        waiting."""
        self.tell_readers(error)
        for write in self.writes.values():
            write.settle_answers(error)


class Committer:
    """The way to disk of one shard."""

    def __init__(
        self,
        store: Store,
        fence: Fence,
        cache: ExecutionCache,
        project: Projection,
        *,
        last_turn: int,
        on_lease_lost: Callable[[], None],
    ) -> None:
        self._store = store
        self._fence = fence
        self._cache = cache
        self._project = project
        self._turn = last_turn
        self._on_lease_lost = on_lease_lost
        self._loop = asyncio.get_running_loop()
        self._open = Group(self._loop)
        self._task: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._gather_seconds = 0.0
        self._recent: deque[ExecutionKey] = deque(maxlen=CROWD_WRITES)
        """The workflows of the last writes."""
        self._expected: set[Execution] = set()
        """Workflows whose next turn is expected within a few turns of the loop."""
        self._in_flight: Group | None = None
        self._dropped_in_flight: dict[ExecutionKey, Group] = {}
        """Workflows that were dropped while a commit of theirs is under way: until it has settled,
        what is stored of them is not yet what was decided."""
        self.group_writes_max = WRITES_PER_GROUP_MAX

    def pending_write(self, execution: Execution, namespace: NamespaceRef) -> PendingWrite:
        """The part of the open group that is about this workflow. Raises EngineStopped."""
        if self._is_stopped:
            raise EngineStopped("the engine has stopped")
        self._expected.discard(execution)
        write = self._open.writes.get(execution)
        if write is None:
            write = self._open.writes[execution] = PendingWrite(execution, namespace)
            execution.pins += 1
            execution.group = self._open
            if self._task is None:
                self._task = self._loop.create_task(self._run())
        return write

    def expect_answer(self, execution: Execution) -> None:
        """The next turn of a workflow is about to come, and may share the open group with what it
        answers."""
        self._expected.add(execution)

    def acknowledge(self, sequence: int, settled: Callable[[Exception | None], None]) -> None:
        """Delete an outbox row that nothing follows from; `settled` as `PendingWrite.when_durable`.
        Raises EngineStopped."""
        if self._is_stopped:
            raise EngineStopped("the engine has stopped")
        self._open.acknowledged[sequence] = settled
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    @property
    def is_busy(self) -> bool:
        """Whether anything is not durable yet."""
        return self._task is not None

    async def settle(self, execution: Execution) -> None:
        """Return when everything decided on the workflow so far is durable or lost. Raises
        EngineUnavailable when the store cannot say."""
        group = execution.group
        while group is not None:
            await group.settled()
            group = group.moved.get(execution)

    def when_settled(
        self, execution: Execution, callback: Callable[[Exception | None], None]
    ) -> None:
        """Call back when everything decided on the workflow so far is durable, or lost: with the
        reason. At once, if nothing is under way."""
        group = execution.group
        if group is None:
            callback(None)
        else:
            group.writes[execution].when_durable(callback)

    async def settle_dropped(self, key: ExecutionKey) -> None:
        """Return when what is stored of a workflow may be loaded."""
        group = self._dropped_in_flight.get(key)
        if group is not None:
            await group.settled()

    async def stop(self) -> None:
        """Write what was decided, and take no more."""
        self._is_stopped = True
        while self._task is not None:
            await asyncio.shield(self._task)

    def drop(self, execution: Execution, error: Exception) -> None:
        """Forget what is decided and not yet sealed of a workflow whose state cannot be trusted."""
        self._cache.discard(execution)
        if execution.group is not None and execution.group is not self._open:
            self._dropped_in_flight[execution.key] = execution.group
        elif self._in_flight is not None and execution in self._in_flight.writes:
            self._dropped_in_flight[execution.key] = self._in_flight
        write = self._open.writes.pop(execution, None)
        if write is not None:
            execution.pins -= 1
            execution.group = None
            write.settle(error)
            if not self._open.writes and not self._open.acknowledged:
                self._open.tell_readers()
                self._open = Group(self._loop)

    async def _run(self) -> None:
        try:
            while self._open.writes or self._open.acknowledged:
                await asyncio.sleep(self._gather_seconds)
                for _ in range(EXPECTED_LOOP_TURNS_MAX):
                    if self._expected:
                        await asyncio.sleep(0)
                self._expected.clear()
                group = self._next_group()
                self._gather_seconds = self._gather_seconds_after(group)
                self._in_flight = group
                await self._commit(group)
                self._in_flight = None
                self._dropped_in_flight.clear()
        finally:
            self._task = None

    def _gather_seconds_after(self, group: Group) -> float:
        if len(group.writes) < BUSY_WRITES:
            return 0.0
        self._recent.extend(execution.key for execution in group.writes)
        is_crowd = len(set(self._recent)) >= CROWD_WORKFLOWS
        return CROWD_GATHER_SECONDS if is_crowd else GATHER_SECONDS

    def _next_group(self) -> Group:
        group, self._open = self._open, Group(self._loop)
        if len(group.writes) > self.group_writes_max:
            rest = list(group.writes.items())[self.group_writes_max :]
            for execution, write in rest:
                del group.writes[execution]
                self._open.writes[execution] = write
                execution.group = group.moved[execution] = self._open
        return group

    async def _commit(self, group: Group) -> None:
        """Seal a group, hand it over, and tell everybody what became of it."""
        self._turn += 1
        turn = self._turn
        writes = list(group.writes.values())
        writes, sealed, broken = self._seal(group, turn)
        committed_event_ids = [write.runs[-1].run.last_event_id for write in writes]
        if group.acknowledged:
            sealed.append(WorkflowWrite(0, "", [], outbox_deleted=list(group.acknowledged)))
        errors = await self._write(sealed, turn) if sealed else {}
        group.tell_readers()
        for settled in group.acknowledged.values():
            settled(errors.get(len(writes)))
        for write, bug in broken:
            self._settle(group, write, bug)
        for index, write in enumerate(writes):
            error = errors.get(index)
            execution = write.execution
            if error is None and execution.current_run == write.runs[-1].number:
                execution.committed_event_id = committed_event_ids[index]
            self._settle(group, write, error)

    def _seal(
        self, group: Group, turn: int
    ) -> tuple[list[PendingWrite], list[WorkflowWrite], list[tuple[PendingWrite, Exception]]]:
        """Encode each write; one that cannot be encoded is a bug of ours, and is lost alone."""
        writes: list[PendingWrite] = []
        sealed: list[WorkflowWrite] = []
        broken: list[tuple[PendingWrite, Exception]] = []
        for write in group.writes.values():
            try:
                sealed.append(write.seal(turn, self._project))
                writes.append(write)
            except Exception as error:
                logger.exception("a write of %r cannot be encoded", write.execution.key[1])
                broken.append((write, error))
        return writes, sealed, broken

    def _settle(self, group: Group, write: PendingWrite, error: Exception | None) -> None:
        execution = write.execution
        execution.pins -= 1
        if execution.group is group:
            execution.group = None
        if error is not None:
            self.drop(execution, error)
        write.settle(error)

    async def _write(self, sealed: list[WorkflowWrite], turn: int) -> dict[int, Exception]:
        """Make a commit; the writes (by index) that are lost, and why."""
        try:
            result = await self._store.commit(Commit(self._fence, sealed))
        except StoreUnavailable as error:
            logger.warning("a commit of %d workflows failed: %s", len(sealed), error)
            return dict.fromkeys(range(len(sealed)), EngineUnavailable(str(error)))
        except CommitUnknown as error:
            logger.warning("the outcome of a commit is unknown, asking the store: %s", error)
            return await self._find_out(sealed, turn)
        except LeaseLost as error:
            logger.error("another process owns the shard now: %s", error)
            self._is_stopped = True
            self._on_lease_lost()
            self._cache.drop_all()
            return dict.fromkeys(range(len(sealed)), EngineUnavailable(str(error)))
        return {
            index: EngineUnavailable(f"the store refused the write: {reason}")
            for index, reason in result.poisoned.items()
        }

    async def _find_out(self, sealed: list[WorkflowWrite], turn: int) -> dict[int, Exception]:
        """Compare versions until the store answers: each write landed as a whole or not at all."""
        runs = [write.runs[-1].run for write in sealed if write.runs]
        runs += [number for write in sealed for number in write.runs_deleted]
        stored: dict[int, tuple[int, int]] | None = None
        while stored is None:
            try:
                stored = await self._store.run_versions(runs)
            except StoreUnavailable as error:
                unknown = EngineUnavailable(f"the outcome of a commit is not known yet: {error}")
                for group in (self._in_flight, self._open):
                    if group is not None:
                        group.refuse_answers(unknown)
                await asyncio.sleep(UNKNOWN_RETRY_SECONDS)
        return {
            index: EngineUnavailable("the commit did not become durable")
            for index, write in enumerate(sealed)
            if not _has_landed(write, turn, stored)
        }


def _has_landed(write: WorkflowWrite, turn: int, stored: dict[int, tuple[int, int]]) -> bool:
    """Whether the versions of the runs say that a write is durable."""
    if write.runs_deleted:
        return stored.keys().isdisjoint(write.runs_deleted)
    # What acknowledges rows has no version to compare: it is done again.
    return bool(write.runs) and stored.get(write.runs[-1].run) == (write.runs[-1].version, turn)
