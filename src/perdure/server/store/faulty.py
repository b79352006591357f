"""A store that fails on purpose, around one that works: for the simulator and for engine tests.

What it does to a commit is one of `Fault`, from a script or by seeded odds. Like every store it
keeps the order of commits, and lets a commit fail that was handed over before the failure of an
earlier one was known. It looks at no clock: whoever wants commits to take time passes `delay`.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from perdure.server.machines.search_attributes import Scalar
from perdure.server.store.ports import (
    GROUPS_MAX,
    BacklogCursor,
    BacklogPart,
    BatchRow,
    ClosedRun,
    Commit,
    CommitResult,
    CommitUnknown,
    DispatchRow,
    Fence,
    HistoryBatch,
    LoadedRun,
    NamedRow,
    NamespaceRow,
    OutboxRow,
    QueueKey,
    RecordName,
    RunNumber,
    Store,
    StoreError,
    StoreStatistics,
    StoreUnavailable,
    VisibilityCursor,
    VisibilityPage,
)
from perdure.server.visibility.query.tree import EVERYTHING, Query

WorkflowKey = tuple[int, str]

POISONED = "this workflow is poisoned on purpose"
EARLIER_POISONED = "an earlier write of the same workflow could not be written"


class Fault(enum.Enum):
    """What becomes of one commit."""

    NONE = "carried out and reported"
    UNAVAILABLE = "not carried out; StoreUnavailable"
    UNKNOWN_DONE = "carried out, and then reported as CommitUnknown"
    UNKNOWN_LOST = "not carried out, and reported as CommitUnknown"
    OUTAGE = "not carried out, nor anything else for a while; StoreUnavailable"


class FaultOdds(msgspec.Struct, frozen=True):
    """Probabilities per commit (per read for `read_unavailable`), and how long an outage lasts."""

    unavailable: float = 0.0
    unknown_done: float = 0.0
    unknown_lost: float = 0.0
    outage: float = 0.0
    outage_operations_max: int = 10
    """An outage ends after one to this many commits and reads have been refused."""
    read_unavailable: float = 0.0


class FaultyStore:
    """`inner`, with faults."""

    def __init__(
        self,
        inner: Store,
        *,
        dice: random.Random | None = None,
        odds: FaultOdds | None = None,
        delay: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.inner = inner
        self.odds = odds or FaultOdds()
        self.poisoned_workflow_ids: set[str] = set()
        """Writes of these workflows are refused; whoever holds the store may change it."""
        self.is_unavailable = False
        """While it is set nothing is written or read."""
        self._dice = dice or random.Random(0)
        self._delay = delay
        self._script: deque[Fault] = deque()
        self._outage_operations = 0
        self._in_order = asyncio.Lock()
        self._failures: list[set[WorkflowKey] | None] = []
        """One entry per failure: the workflows that failed, or None for all."""

    def play(self, faults: Iterable[Fault]) -> None:
        """Decide the fate of the next commits, one each; the odds apply again after them."""
        self._script.extend(faults)

    async def acquire(self, shard: int) -> Fence:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        return await self.inner.acquire(shard)

    async def commit(self, commit: Commit) -> CommitResult:
        """As the inner store, or what the script or the odds say."""
        failures_seen = len(self._failures)
        async with self._in_order:
            if self._delay is not None:
                await self._delay()
            unseen = self._failures[failures_seen:]
            if None in unseen:
                raise StoreUnavailable("an earlier commit failed before this one was written")
            bad_workflows = {key for keys in unseen for key in keys or ()}
            match self._fate():
                case Fault.NONE:
                    return await self._carry_out(commit, bad_workflows)
                case Fault.UNKNOWN_DONE:
                    result = await self._carry_out(commit, bad_workflows)
                    self._failures.append(None)
                    raise CommitUnknown(f"carried out, {len(result.poisoned)} poisoned")
                case Fault.UNKNOWN_LOST:
                    self._failures.append(None)
                    raise CommitUnknown("not carried out")
                case Fault.UNAVAILABLE | Fault.OUTAGE:
                    self._failures.append(None)
                    raise StoreUnavailable("refused before anything was written")

    def _fate(self) -> Fault:
        if self._is_out():
            return Fault.OUTAGE
        fault = self._script.popleft() if self._script else self._throw()
        if fault is Fault.OUTAGE:
            # This refusal is the first of them.
            self._outage_operations = self._dice.randint(1, self.odds.outage_operations_max) - 1
        return fault

    def _throw(self) -> Fault:
        """A fault by the odds, for one throw of the dice."""
        throw = self._dice.random()
        for fault, odds in (
            (Fault.UNAVAILABLE, self.odds.unavailable),
            (Fault.UNKNOWN_DONE, self.odds.unknown_done),
            (Fault.UNKNOWN_LOST, self.odds.unknown_lost),
            (Fault.OUTAGE, self.odds.outage),
        ):
            if throw < odds:
                return fault
            throw -= odds
        return Fault.NONE

    def _is_out(self) -> bool:
        """Whether this operation falls into an outage; it counts as one of those refused."""
        if self._outage_operations > 0:
            self._outage_operations -= 1
            return True
        return self.is_unavailable

    async def _carry_out(self, commit: Commit, bad_workflows: set[WorkflowKey]) -> CommitResult:
        """Have the inner store write what is not poisoned."""
        poisoned: dict[int, str] = {}
        kept: list[int] = []
        new_bad: set[WorkflowKey] = set()
        for index, write in enumerate(commit.writes):
            key = (write.namespace, write.workflow_id)
            if key in bad_workflows or key in new_bad:
                poisoned[index] = EARLIER_POISONED
            elif write.workflow_id in self.poisoned_workflow_ids:
                poisoned[index] = POISONED
                new_bad.add(key)
            else:
                kept.append(index)
        try:
            result = await self.inner.commit(
                Commit(commit.fence, [commit.writes[index] for index in kept])
            )
        except StoreError:
            self._failures.append(None)
            raise
        for index, reason in result.poisoned.items():
            write = commit.writes[kept[index]]
            poisoned[kept[index]] = reason
            new_bad.add((write.namespace, write.workflow_id))
        if new_bad:
            self._failures.append(new_bad)
        return CommitResult(poisoned)

    async def _before_read(self, odds: float) -> None:
        if self._delay is not None:
            await self._delay()
        if self._is_out() or (odds and self._dice.random() < odds):
            raise StoreUnavailable("refused to read")

    def absent(self, namespace: int, workflow_id: str, kind: int = 0) -> bool:
        """As the inner store; nothing is certain while that cannot be read."""
        if self._outage_operations > 0 or self.is_unavailable:
            return False
        return self.inner.absent(namespace, workflow_id, kind)

    async def run_versions(self, runs: Sequence[RunNumber]) -> dict[RunNumber, tuple[int, int]]:
        """As the inner store, after the commits before it, or StoreUnavailable."""
        async with self._in_order:
            await self._before_read(self.odds.read_unavailable)
            return await self.inner.run_versions(runs)

    async def last_numbers(self) -> tuple[RunNumber, int, int]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.last_numbers()

    async def load_current(
        self, namespace: int, workflow_id: str, kind: int = 0
    ) -> LoadedRun | None:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.load_current(namespace, workflow_id, kind)

    async def load_run(
        self, namespace: int, workflow_id: str, run_id: bytes, kind: int = 0
    ) -> LoadedRun | None:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.load_run(namespace, workflow_id, run_id, kind)

    async def load_number(self, run: RunNumber) -> LoadedRun | None:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.load_number(run)

    async def read_history(
        self, run: RunNumber, first_event_id: int, last_event_id: int, limit_bytes: int
    ) -> list[HistoryBatch]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.read_history(run, first_event_id, last_event_id, limit_bytes)

    async def copy_history(
        self,
        shard: int,
        source: RunNumber,
        target: RunNumber,
        after_event_id: int,
        last_event_id: int,
        limit: int,
    ) -> int:
        """Copy some batches to the number of a run that is to come."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.copy_history(
            shard, source, target, after_event_id, last_event_id, limit
        )

    async def leftovers(self) -> list[RunNumber]:
        """Numbers of which no run exists, but records or history do."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.leftovers()

    async def clear_leftovers(self, run: RunNumber, limit: int) -> bool:
        """Delete some of what is left over of a run."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.clear_leftovers(run, limit)

    async def due(self, shard: int, until_ns: int, limit: int) -> list[tuple[int, RunNumber]]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.due(shard, until_ns, limit)

    async def next_wake(self, shard: int) -> int | None:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.next_wake(shard)

    async def queues_with_backlog(self) -> list[QueueKey]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.queues_with_backlog()

    async def backlog(
        self, queue: QueueKey, after: BacklogCursor | None, limit: int
    ) -> list[DispatchRow]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.backlog(queue, after, limit)

    async def backlog_parts(self, queue: QueueKey) -> list[BacklogPart]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.backlog_parts(queue)

    async def queue_configs(self) -> list[tuple[QueueKey, bytes]]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.queue_configs()

    async def put_queue_config(self, queue: QueueKey, blob: bytes) -> None:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        await self.inner.put_queue_config(queue, blob)

    async def named(self, kind: int) -> list[NamedRow]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.named(kind)

    async def put_named(self, row: NamedRow) -> None:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        await self.inner.put_named(row)

    async def delete_named(self, kind: int, namespace: int, name: str) -> None:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        await self.inner.delete_named(kind, namespace, name)

    async def outbox(self, after: int, limit: int) -> list[OutboxRow]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.outbox(after, limit)

    async def started_runs(self, after: RunNumber, limit: int) -> list[RunNumber]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.started_runs(after, limit)

    async def runs_held(
        self, shard: int, what: int, after: RunNumber, limit: int
    ) -> list[RunNumber]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.runs_held(shard, what, after, limit)

    async def namespaces(self) -> list[NamespaceRow]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.namespaces()

    async def put_namespace(self, name: str, blob: bytes) -> NamespaceRow:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        return await self.inner.put_namespace(name, blob)

    async def rename_namespace(self, number: int, name: str, blob: bytes) -> None:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        await self.inner.rename_namespace(number, name, blob)

    async def drop_namespace(self, number: int) -> None:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        await self.inner.drop_namespace(number)

    async def closed_runs(
        self, namespace: int, from_ns: int, until_ns: int, after: RunNumber, limit: int
    ) -> list[ClosedRun]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.closed_runs(namespace, from_ns, until_ns, after, limit)

    async def batches(self) -> list[BatchRow]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.batches()

    async def put_batch(self, row: BatchRow) -> None:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        await self.inner.put_batch(row)

    async def delete_batch(self, namespace: int, job_id: str) -> None:
        """As the inner store, unless it is unavailable."""
        await self._before_read(0.0)
        await self.inner.delete_batch(namespace, job_id)

    async def list_executions(
        self,
        namespace: int,
        after: VisibilityCursor | None,
        limit: int,
        records: Sequence[RecordName] = (),
        query: Query = EVERYTHING,
        kind: int = 0,
    ) -> VisibilityPage:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.list_executions(namespace, after, limit, records, query, kind)

    async def count_executions(
        self,
        namespace: int,
        query: Query = EVERYTHING,
        groups_max: int = GROUPS_MAX,
        kind: int = 0,
    ) -> dict[Scalar | None, int]:
        """As the inner store, or StoreUnavailable."""
        await self._before_read(self.odds.read_unavailable)
        return await self.inner.count_executions(namespace, query, groups_max, kind)

    def statistics(self) -> StoreStatistics:
        """The inner store's."""
        return self.inner.statistics()

    async def close(self) -> None:
        """Close the inner store; this works whatever the faults."""
        await self.inner.close()
