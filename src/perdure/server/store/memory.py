"""The store that keeps everything in dictionaries: the reference model, and what `:memory:` means.

It promises what every store promises but durability. A commit is carried out whole before it first
could wait, so commits keep their order without a queue. What was stored outlives `close`: whoever
holds the object may go on with it, as a process goes on with its database file.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cmp_to_key, partial

import msgspec

from perdure.server.machines.search_attributes import DATETIME, Scalar
from perdure.server.store.ports import (
    GROUPS_MAX,
    BacklogCursor,
    BacklogPart,
    BatchRow,
    ClosedRun,
    Commit,
    CommitResult,
    DispatchRow,
    Fence,
    HistoryBatch,
    LeaseLost,
    ListedRun,
    LoadedRun,
    NamedRow,
    NamespaceRow,
    OutboxRow,
    QueueKey,
    Record,
    RecordName,
    RunIdentity,
    RunNumber,
    RunWrite,
    StoreStatistics,
    TooManyGroups,
    VisibilityCursor,
    VisibilityPage,
    VisibilityRow,
    WorkflowWrite,
)
from perdure.server.store.shown import ShownRun
from perdure.server.visibility.query.evaluate import evaluate
from perdure.server.visibility.query.tree import EVERYTHING, Attribute, Order, Query

WorkflowKey = tuple[int, str, int]
DispatchKey = tuple[RunNumber, int]


class _Refused(Exception):
    """A write that no store can carry out, with the reason."""


class _Run(msgspec.Struct):
    """All that is kept of one run."""

    shard: int
    identity: RunIdentity
    version: int
    turn: int
    head: bytes
    wake_at_ns: int | None
    held: int
    visibility: VisibilityRow | None
    records: dict[tuple[int, bytes], bytes]
    history: dict[int, HistoryBatch]


class MemoryStore:
    """A store without a disk."""

    def __init__(self) -> None:
        self._ranges: dict[int, int] = {}
        self._runs: dict[RunNumber, _Run] = {}
        self._numbers: dict[tuple[int, str, bytes, int], RunNumber] = {}
        self._current: dict[WorkflowKey, RunNumber] = {}
        self._dispatch: dict[DispatchKey, DispatchRow] = {}
        self._queues: defaultdict[QueueKey, set[DispatchKey]] = defaultdict(set)
        self._outbox: dict[int, OutboxRow] = {}
        self._leftovers: dict[RunNumber, dict[int, HistoryBatch]] = {}
        """Histories without a run: copied for one, or of one that was deleted."""
        self._namespaces: dict[str, NamespaceRow] = {}
        self._namespace_numbers = 0
        self._queue_configs: dict[QueueKey, bytes] = {}
        self._batches: dict[tuple[int, str], BatchRow] = {}
        self._named: dict[tuple[int, int, str], bytes] = {}
        self._wakes: defaultdict[int, list[tuple[int, RunNumber]]] = defaultdict(list)
        self._marks = (0, 0, 0)
        self._groups = 0
        self._writes = 0
        self._busy_seconds = 0.0

    async def acquire(self, shard: int) -> Fence:
        """Take the shard over; fences given out before are refused from now on."""
        self._ranges[shard] = self._ranges.get(shard, 0) + 1
        return Fence(shard, self._ranges[shard])

    async def commit(self, commit: Commit) -> CommitResult:
        """Carry out every write that can be, and name the others."""
        started = time.perf_counter()
        fence = commit.fence
        if self._ranges.get(fence.shard) != fence.range_id:
            raise LeaseLost(f"shard {fence.shard} is no longer held with range {fence.range_id}")
        poisoned: dict[int, str] = {}
        bad_workflows: set[WorkflowKey] = set()
        for index, write in enumerate(commit.writes):
            key = (write.namespace, write.workflow_id, write.kind)
            if key in bad_workflows:
                poisoned[index] = "an earlier write of the same workflow could not be written"
                continue
            try:
                self._check(write)
            except _Refused as refusal:
                poisoned[index] = str(refusal)
                bad_workflows.add(key)
            else:
                self._apply(fence.shard, write)
        self._groups += 1
        self._writes += len(commit.writes)
        self._busy_seconds += time.perf_counter() - started
        return CommitResult(poisoned)

    def _check(self, write: WorkflowWrite) -> None:
        """Raise _Refused unless `write` can be applied whole."""
        inserted: set[RunNumber] = set()
        batches: set[tuple[RunNumber, int]] = set()
        for run_write in write.runs:
            number = run_write.run
            known = number in self._runs or number in inserted
            if run_write.insert is not None:
                if known:
                    raise _Refused(f"run {number} exists already")
                inserted.add(number)
            elif not known:
                raise _Refused(f"run {number} does not exist")
            stored = self._runs.get(number)
            for batch in run_write.history:
                key = (number, batch.first_event_id)
                if key in batches or (stored and batch.first_event_id in stored.history):
                    raise _Refused(f"run {number} has a batch at event {batch.first_event_id}")
                batches.add(key)
            put = {(record.kind, record.key) for record in run_write.records_put}
            if not put.isdisjoint(run_write.records_deleted):
                raise _Refused(f"run {number} has a record both put and deleted")
        current = write.current
        if not (current is None or current in inserted or current in self._runs):
            raise _Refused(f"run {current} does not exist")
        sequences = [row.sequence for row in write.outbox_put]
        gone = set(write.outbox_deleted)
        if len(set(sequences)) != len(sequences) or any(
            sequence in self._outbox and sequence not in gone for sequence in sequences
        ):
            raise _Refused("an outbox sequence is in use already")

    def _apply(self, shard: int, write: WorkflowWrite) -> None:
        """Apply a write that was checked."""
        run_mark, turn_mark, outbox_mark = self._marks
        for run_write in write.runs:
            self._apply_run(shard, run_write)
            run_mark = max(run_mark, run_write.run)
            turn_mark = max(turn_mark, run_write.turn)
        if write.current is not None:
            self._current[write.namespace, write.workflow_id, write.kind] = write.current
        for number in write.runs_deleted:
            self._delete_run(number)
        for row in write.outbox_put:
            self._outbox[row.sequence] = OutboxRow(row.sequence, row.run, bytes(row.blob))
            outbox_mark = max(outbox_mark, row.sequence)
        for sequence in write.outbox_deleted:
            self._outbox.pop(sequence, None)
        self._marks = (run_mark, turn_mark, outbox_mark)

    def _apply_run(self, shard: int, write: RunWrite) -> None:
        number = write.run
        if write.insert is not None:
            identity = write.insert
            history = self._leftovers.pop(number, {}) if write.is_copy else {}
            run = _Run(shard, identity, 0, 0, b"", None, 0, None, {}, history)
            self._runs[number] = run
            self._numbers[_names(identity)] = number
        else:
            run = self._runs[number]
        run.version, run.turn, run.head = write.version, write.turn, bytes(write.head)
        if write.wake_at_ns is not None and write.wake_at_ns != run.wake_at_ns:
            heapq.heappush(self._wakes[run.shard], (write.wake_at_ns, number))
        run.wake_at_ns = write.wake_at_ns
        run.held = write.held
        for kind_and_key in write.records_deleted:
            run.records.pop(kind_and_key, None)
        for record in write.records_put:
            run.records[record.kind, bytes(record.key)] = bytes(record.blob)
        for batch in write.history:
            run.history[batch.first_event_id] = batch
        if write.visibility is not None:
            run.visibility = write.visibility
        for row in write.dispatch_put:
            self._drop_dispatch((row.run, row.event_id))
            self._dispatch[row.run, row.event_id] = row
            self._queues[QueueKey(row.namespace, row.queue, row.kind)].add((row.run, row.event_id))
        for event_id in write.dispatch_deleted:
            self._drop_dispatch((number, event_id))

    def _delete_run(self, number: RunNumber) -> None:
        run = self._runs.pop(number, None)
        if run is None:
            return
        identity = run.identity
        del self._numbers[_names(identity)]
        key = _key(identity)
        if self._current.get(key) == number:
            del self._current[key]
        for row in [row for row in self._dispatch if row[0] == number]:
            self._drop_dispatch(row)
        self._leftovers[number] = run.history

    def _drop_dispatch(self, key: DispatchKey) -> None:
        row = self._dispatch.pop(key, None)
        if row is None:
            return
        queue = QueueKey(row.namespace, row.queue, row.kind)
        self._queues[queue].discard(key)
        if not self._queues[queue]:
            del self._queues[queue]

    def absent(self, namespace: int, workflow_id: str, kind: int = 0) -> bool:
        """Whether the workflow id has no run."""
        return (namespace, workflow_id, kind) not in self._current

    async def run_versions(self, runs: Sequence[RunNumber]) -> dict[RunNumber, tuple[int, int]]:
        """The (version, turn) of each run that exists."""
        return {
            number: (self._runs[number].version, self._runs[number].turn)
            for number in runs
            if number in self._runs
        }

    async def last_numbers(self) -> tuple[RunNumber, int, int]:
        """The highest run number, turn and outbox sequence ever written."""
        return self._marks

    async def load_current(
        self, namespace: int, workflow_id: str, kind: int = 0
    ) -> LoadedRun | None:
        """The current run of a workflow id."""
        number = self._current.get((namespace, workflow_id, kind))
        return None if number is None else self._loaded(number)

    async def load_run(
        self, namespace: int, workflow_id: str, run_id: bytes, kind: int = 0
    ) -> LoadedRun | None:
        """One run by its names."""
        number = self._numbers.get((namespace, workflow_id, run_id, kind))
        return None if number is None else self._loaded(number)

    async def load_number(self, run: RunNumber) -> LoadedRun | None:
        """One run by its number."""
        return self._loaded(run) if run in self._runs else None

    def _loaded(self, number: RunNumber) -> LoadedRun:
        run = self._runs[number]
        identity = run.identity
        return LoadedRun(
            run=number,
            identity=identity,
            version=run.version,
            turn=run.turn,
            head=run.head,
            wake_at_ns=run.wake_at_ns,
            records=[Record(*key, run.records[key]) for key in sorted(run.records)],
            is_current=self._current.get(_key(identity)) == number,
        )

    async def read_history(
        self, run: RunNumber, first_event_id: int, last_event_id: int, limit_bytes: int
    ) -> list[HistoryBatch]:
        """The batches that hold events of the range: one, then as many as fit the limit."""
        stored = self._runs.get(run)
        if stored is None:
            return []
        found = (
            batch
            for _, batch in sorted(stored.history.items())
            if batch.last_event_id >= first_event_id and batch.first_event_id <= last_event_id
        )
        return take_batches(found, limit_bytes)

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
        copied = self._leftovers.setdefault(target, {})
        batches = [
            batch
            for first_event_id, batch in sorted(self._runs[source].history.items())
            if first_event_id > after_event_id and batch.last_event_id <= last_event_id
        ][:limit]
        for batch in batches:
            copied[batch.first_event_id] = batch
        run_mark, turn_mark, outbox_mark = self._marks
        self._marks = (max(run_mark, target), turn_mark, outbox_mark)
        return batches[-1].last_event_id if batches else after_event_id

    async def leftovers(self) -> list[RunNumber]:
        """Numbers of which no run exists, but records or history do."""
        return sorted(self._leftovers)

    async def clear_leftovers(self, run: RunNumber, limit: int) -> bool:
        """Forget a history without a run."""
        history = self._leftovers.get(run, {})
        for first_event_id in sorted(history)[:limit]:
            del history[first_event_id]
        if not history:
            self._leftovers.pop(run, None)
        return bool(history)

    async def due(self, shard: int, until_ns: int, limit: int) -> list[tuple[int, RunNumber]]:
        """(wake_at_ns, run) with wake_at_ns <= until_ns, earliest first."""
        found: list[tuple[int, RunNumber]] = []
        wakes = self._wakes[shard]
        while len(found) < limit and (head := self._first_wake(shard)) and head[0] <= until_ns:
            heapq.heappop(wakes)
            if not found or found[-1] != head:
                found.append(head)
        for wake in found:
            heapq.heappush(wakes, wake)
        return found

    async def next_wake(self, shard: int) -> int | None:
        """The earliest wake_at_ns of all."""
        head = self._first_wake(shard)
        return None if head is None else head[0]

    def _first_wake(self, shard: int) -> tuple[int, RunNumber] | None:
        """The earliest wake-up that is still true; older ones that were moved are dropped."""
        wakes = self._wakes[shard]
        while wakes:
            wake_at_ns, number = wakes[0]
            run = self._runs.get(number)
            if run is not None and run.wake_at_ns == wake_at_ns:
                return wakes[0]
            heapq.heappop(wakes)
        return None

    async def queues_with_backlog(self) -> list[QueueKey]:
        """Each queue that has a dispatch row."""
        return sorted(self._queues, key=lambda queue: (queue.namespace, queue.queue, queue.kind))

    async def backlog(
        self, queue: QueueKey, after: BacklogCursor | None, limit: int
    ) -> list[DispatchRow]:
        """Dispatch rows of a queue in order of (priority, ready_at_ns, run, event_id)."""
        rows = [self._dispatch[key] for key in self._queues.get(queue, ())]
        places = ((row.priority, row.ready_at_ns, row.run, row.event_id, row) for row in rows)
        if after is not None:
            start = (after.priority, after.ready_at_ns, after.run, after.event_id)
            places = (place for place in places if place[:4] > start)
        return [place[4] for place in heapq.nsmallest(limit, places, key=lambda place: place[:4])]

    async def backlog_parts(self, queue: QueueKey) -> list[BacklogPart]:
        """How much of a backlog a queue has, by priority."""
        times: dict[int, list[int]] = {}
        for key in self._queues.get(queue, ()):
            row = self._dispatch[key]
            times.setdefault(row.priority, []).append(row.ready_at_ns)
        return [
            BacklogPart(priority, len(times[priority]), min(times[priority]))
            for priority in sorted(times)
        ]

    async def queue_configs(self) -> list[tuple[QueueKey, bytes]]:
        """What was set of each task queue, in order."""
        keys = sorted(self._queue_configs, key=lambda key: (key.namespace, key.queue, key.kind))
        return [(key, self._queue_configs[key]) for key in keys]

    async def put_queue_config(self, queue: QueueKey, blob: bytes) -> None:
        """Insert, or replace, what is set of a task queue."""
        self._queue_configs[queue] = bytes(blob)

    async def named(self, kind: int) -> list[NamedRow]:
        """All of a kind, in order."""
        return [NamedRow(*key, self._named[key]) for key in sorted(self._named) if key[0] == kind]

    async def put_named(self, row: NamedRow) -> None:
        """Insert, or replace, a named thing."""
        self._named[row.kind, row.namespace, row.name] = bytes(row.blob)

    async def delete_named(self, kind: int, namespace: int, name: str) -> None:
        """Delete a named thing."""
        self._named.pop((kind, namespace, name), None)

    async def outbox(self, after: int, limit: int) -> list[OutboxRow]:
        """Outbox rows with a higher sequence, in order."""
        later = (sequence for sequence in self._outbox if sequence > after)
        return [self._outbox[sequence] for sequence in heapq.nsmallest(limit, later)]

    async def started_runs(self, after: RunNumber, limit: int) -> list[RunNumber]:
        """Open runs with a higher number, in order."""
        later = (
            number
            for number, run in self._runs.items()
            if number > after
            and run.identity.kind == 0
            and run.visibility is not None
            and run.visibility.close_time_ns == 0
        )
        return heapq.nsmallest(limit, later)

    async def runs_held(
        self, shard: int, what: int, after: RunNumber, limit: int
    ) -> list[RunNumber]:
        """Runs with a higher number of which any of that is held, in order."""
        later = (
            number
            for number, run in self._runs.items()
            if number > after
            and run.shard == shard
            and run.held & what
            and run.wake_at_ns is not None
        )
        return heapq.nsmallest(limit, later)

    async def namespaces(self) -> list[NamespaceRow]:
        """All of them, by number."""
        return list(self._namespaces.values())

    async def put_namespace(self, name: str, blob: bytes) -> NamespaceRow:
        """Insert a namespace, or replace its settings."""
        known = self._namespaces.get(name)
        if known is None:
            self._namespace_numbers += 1
        number = known.number if known else self._namespace_numbers
        self._namespaces[name] = NamespaceRow(number, name, bytes(blob))
        return self._namespaces[name]

    async def rename_namespace(self, number: int, name: str, blob: bytes) -> None:
        """Replace the name and the settings of a namespace."""
        rows = [row for row in self._namespaces.values() if row.number != number]
        rows.append(NamespaceRow(number, name, bytes(blob)))
        self._namespaces = {row.name: row for row in sorted(rows, key=lambda row: row.number)}

    async def drop_namespace(self, number: int) -> None:
        """Forget a namespace."""
        self._namespaces = {
            name: row for name, row in self._namespaces.items() if row.number != number
        }
        self._queue_configs = {
            key: blob for key, blob in self._queue_configs.items() if key.namespace != number
        }
        self._batches = {key: row for key, row in self._batches.items() if key[0] != number}
        self._named = {key: blob for key, blob in self._named.items() if key[1] != number}

    async def closed_runs(
        self, namespace: int, from_ns: int, until_ns: int, after: RunNumber, limit: int
    ) -> list[ClosedRun]:
        """Runs that closed in a time, the earliest first."""
        found = (
            (run.visibility.close_time_ns, number)
            for number, run in self._runs.items()
            if run.identity.namespace == namespace
            and run.visibility is not None
            and 0 < run.visibility.close_time_ns < until_ns
            and (run.visibility.close_time_ns, number) > (from_ns, after)
        )
        return [
            ClosedRun(close_time_ns, number, self._runs[number].identity)
            for close_time_ns, number in heapq.nsmallest(limit, found)
        ]

    async def batches(self) -> list[BatchRow]:
        """All batch operations."""
        return [self._batches[key] for key in sorted(self._batches)]

    async def put_batch(self, row: BatchRow) -> None:
        """Insert, or replace, a batch operation."""
        self._batches[row.namespace, row.job_id] = row

    async def delete_batch(self, namespace: int, job_id: str) -> None:
        """Forget a batch operation."""
        self._batches.pop((namespace, job_id), None)

    async def list_executions(
        self,
        namespace: int,
        after: VisibilityCursor | None,
        limit: int,
        records: Sequence[RecordName] = (),
        query: Query = EVERYTHING,
        kind: int = 0,
    ) -> VisibilityPage:
        """Runs that a query is true of, in its order."""
        found = self._found(namespace, query, kind)
        places = (_place(number, run, query.order) for number, run in found)
        order = query.order or NEWEST_FIRST
        if after is not None:
            start = _Place((*(after.keys or _newest(after.close_time_ns, after.start_time_ns)),
                            after.run), after)  # fmt: skip
            places = (place for place in places if _compare(order, place, start) > 0)
        key = cmp_to_key(partial(_compare, order))
        page = heapq.nsmallest(limit + 1, places, key=key)
        listed = [self._listed(place.cursor.run, records) for place in page[:limit]]
        return VisibilityPage(listed, page[limit - 1].cursor if len(page) > limit else None)

    async def count_executions(
        self,
        namespace: int,
        query: Query = EVERYTHING,
        groups_max: int = GROUPS_MAX,
        kind: int = 0,
    ) -> dict[Scalar | None, int]:
        """How many runs a query is true of, by what it groups by."""
        group = query.group
        counts = Counter(
            None if group is None else run.one(group)
            for _, run in self._found(namespace, query, kind)
        )
        if len(counts) > groups_max:
            raise TooManyGroups
        return counts

    def _found(
        self, namespace: int, query: Query, kind: int
    ) -> Iterator[tuple[RunNumber, ShownRun]]:
        for number, run in self._runs.items():
            if run.visibility is None or run.identity.namespace != namespace:
                continue
            if run.identity.kind != kind:
                continue
            shown = ShownRun(run.identity, run.visibility)
            if query.filter is None or evaluate(query.filter, shown):
                yield number, shown

    def _listed(self, number: RunNumber, names: Sequence[RecordName]) -> ListedRun:
        run = self._runs[number]
        records = [Record(*name, run.records[name]) for name in names if name in run.records]
        return ListedRun(number, run.identity, run.head, records)

    def statistics(self) -> StoreStatistics:
        """Counters since the store was made."""
        return StoreStatistics(self._groups, self._writes, self._busy_seconds)

    async def close(self) -> None:
        """Nothing to finish; what was stored stays with this object."""


def _key(identity: RunIdentity) -> WorkflowKey:
    return identity.namespace, identity.workflow_id, identity.kind


def _names(identity: RunIdentity) -> tuple[int, str, bytes, int]:
    return identity.namespace, identity.workflow_id, identity.run_id, identity.kind


class _Place(msgspec.Struct):
    """Where a run stands in a list: values to order by, the last of which is its number."""

    keys: tuple[Scalar | None, ...]
    cursor: VisibilityCursor


_CLOSE = Attribute("CloseTime", DATETIME, "CloseTime")
NEWEST_FIRST = (Order(_CLOSE), Order(_CLOSE, descending=True))
"""Open runs, the newest start first; then closed ones, the newest close first: whether a run is
closed is the first key."""


def _newest(close_time_ns: int, start_time_ns: int) -> tuple[Scalar, ...]:
    return (close_time_ns != 0, close_time_ns or start_time_ns)


def _place(number: RunNumber, run: ShownRun, order: Sequence[Order]) -> _Place:
    row = run.row
    keys = tuple(run.one(part.attribute) for part in order)
    cursor = VisibilityCursor(row.close_time_ns, row.start_time_ns, number, keys)
    return _Place((*(keys or _newest(row.close_time_ns, row.start_time_ns)), number), cursor)


def _compare(order: Sequence[Order], one: _Place, other: _Place) -> int:
    """Below 0 when `one` comes first. A missing value comes before all others, and so last when
    they fall; of equal runs the one with the higher number comes first."""
    falling = [*(part.descending for part in order), True]
    for key, against, descending in zip(one.keys, other.keys, falling, strict=True):
        if key != against:
            is_less = key is None or (against is not None and key < against)  # type: ignore[operator]
            return 1 if is_less == descending else -1
    return 0


def take_batches(batches: Iterable[HistoryBatch], limit_bytes: int) -> list[HistoryBatch]:
    """The first batch, and those after it that fit the limit with it, by `size_bytes`."""
    taken: list[HistoryBatch] = []
    total = 0
    for batch in batches:
        total += batch.size_bytes
        if taken and total > limit_bytes:
            break
        taken.append(batch)
    return taken
