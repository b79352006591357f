"""What a checker looks at: everything that is stored, taken apart, beside the ledger."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.engine.pipeline import run_of
from perdure.server.housekeeping.batches.job import Job, job_of
from perdure.server.machines.deployment import state
from perdure.server.machines.deployment.state import Deployment
from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.ports import Kind
from perdure.server.machines.standalone_activity.state import ActivityRun
from perdure.server.machines.standalone_nexus.state import OperationRun
from perdure.server.machines.wire import entries_of
from perdure.server.machines.workflow.state import Run
from perdure.server.store.codec import unseal
from perdure.server.store.ports import (
    CorruptBlob,
    DispatchRow,
    LoadedRun,
    NamedKind,
    RunNumber,
    Store,
    VisibilityCursor,
)
from perdure.server.visibility.query.binding import understand
from sim.ledger import Ledger
from sim.namespace import NAMESPACE
from sim.workload.facts import STEP

BYTES_MAX = 1 << 40
ROWS_MAX = 1 << 20


PAGE_RUNS = 3
"""Small, so that lists have several pages."""
_STATUSES = (
    "Running",
    "Completed",
    "Failed",
    "Canceled",
    "Terminated",
    "ContinuedAsNew",
    "TimedOut",
    "Paused",
)
_QUERIES = (
    *(f"ExecutionStatus = '{status}'" for status in _STATUSES),
    *(f"{STEP} = 's{index}'" for index in range(2)),
)


class StoredBatch(msgspec.Struct):
    """A batch of history: what its row says of it, and the entries that are in it."""

    first_event_id: int
    last_event_id: int
    size_bytes: int
    entries: list[bytes]


class StoredRun(msgspec.Struct):
    """A run, as it is stored."""

    number: RunNumber
    workflow_id: str
    run_id: str
    is_current: bool
    version: int
    wake_at_ns: int | None
    run: Run
    batches: list[StoredBatch]
    events: list[HistoryEvent]
    problems: list[str] = []
    """What of it could not be read back."""

    base_run_id: str = ""
    """The run whose beginning it took over, if a reset made it."""
    reset_run_id: str = ""
    """The run that took over its beginning."""

    @property
    def is_base(self) -> bool:
        """Whether a reset made another run of its beginning."""
        return bool(self.reset_run_id)

    @property
    def entries(self) -> list[bytes]:
        """Its history, an entry per event."""
        return [entry for batch in self.batches for entry in batch.entries]


class StoredJob(msgspec.Struct):
    """A run of a standalone activity, as it is stored."""

    number: RunNumber
    activity_id: str
    is_current: bool
    run: ActivityRun


class StoredOperation(msgspec.Struct):
    """A run of a Nexus operation without a workflow, as it is stored."""

    number: RunNumber
    operation_id: str
    is_current: bool
    wake_at_ns: int | None
    run: OperationRun


class Listing(msgspec.Struct):
    """What a query finds, and how many it says there are."""

    numbers: set[RunNumber]
    count: int


class Audit(msgspec.Struct):
    """A store at one moment."""

    runs: list[StoredRun]
    ledger: Ledger
    now_ns: int
    dispatch: list[DispatchRow] = []
    """What is on offer."""
    ranges: list[int] = []
    """Of the commits, in their order."""
    jobs: list[StoredJob] = []
    operations: list[StoredOperation] = []
    """Those without a workflow."""
    schedules: dict[str, Any] = {}
    """What is kept of each, by id."""
    listings: dict[str, Listing] = {}
    """By query."""
    deployments: dict[str, Deployment] = {}
    batches: dict[str, Job] = {}
    """Batch operations, by id."""
    is_final: bool = False
    """Nothing more will happen: what was begun must be over."""

    def run_named(self, run_id: str) -> StoredRun | None:
        """A run by its id."""
        for stored in self.runs:
            if stored.run_id == run_id:
                return stored
        return None

    def is_deleted(self, run_id: str) -> bool:
        """Whether somebody has asked to delete a run."""
        return run_id in self.ledger.deleted

    def runs_of(self, workflow_id: str) -> list[StoredRun]:
        """All runs of a workflow, oldest first."""
        return [stored for stored in self.runs if stored.workflow_id == workflow_id]


class Auditor:
    """Takes audits of one store; what has not changed since the last one is not read again."""

    def __init__(self, store: Store, ledger: Ledger, ranges: Sequence[int] = ()) -> None:
        self._store = store
        self._ledger = ledger
        self._ranges = ranges
        self._known: dict[RunNumber, StoredRun] = {}

    async def take(self, now_ns: int, *, is_final: bool = False) -> Audit:
        """Read everything."""
        last, _, _ = await self._store.last_numbers()
        runs, jobs, operations, schedules = [], [], [], {}
        namespace = NAMESPACE.number
        for number in range(1, last + 1):
            loaded = await self._store.load_number(number)
            if loaded is None:
                continue
            if Kind(loaded.identity.kind) is Kind.ACTIVITY:
                run = run_of(loaded)
                jobs.append(StoredJob(number, loaded.identity.workflow_id, loaded.is_current, run))
                continue
            if Kind(loaded.identity.kind) is Kind.NEXUS_OPERATION:
                operations.append(
                    StoredOperation(
                        number,
                        loaded.identity.workflow_id,
                        loaded.is_current,
                        loaded.wake_at_ns,
                        run_of(loaded),
                    )
                )
                continue
            if Kind(loaded.identity.kind) is not Kind.WORKFLOW:
                schedules[loaded.identity.workflow_id] = run_of(loaded)
                continue
            known = self._known.get(number)
            if known is None or known.version != loaded.version:
                known = self._known[number] = await self._read(loaded)
            known.is_current = loaded.is_current
            namespace = loaded.identity.namespace
            runs.append(known)
        born = self._ledger.born
        runs.sort(key=lambda stored: born.get(stored.number, stored.number))
        return Audit(
            runs,
            self._ledger,
            now_ns,
            dispatch=[row async for row in self._dispatch()],
            ranges=list(self._ranges),
            listings={query: await self._list(namespace, query) for query in _QUERIES},
            jobs=jobs,
            operations=operations,
            schedules=schedules,
            deployments={
                row.name: state.decode(unseal(row.blob))
                for row in await self._store.named(NamedKind.WORKER_DEPLOYMENT)
            },
            batches={row.job_id: job_of(row) for row in await self._store.batches()},
            is_final=is_final,
        )

    async def _list(self, namespace: int, text: str) -> Listing:
        query = understand(text, NAMESPACE.search_attributes)
        numbers: set[RunNumber] = set()
        cursor: VisibilityCursor | None = None
        while True:
            page = await self._store.list_executions(namespace, cursor, PAGE_RUNS, query=query)
            numbers.update(listed.run for listed in page.runs)
            cursor = page.next
            if cursor is None:
                break
        counts = await self._store.count_executions(namespace, query)
        return Listing(numbers, sum(counts.values()))

    async def _dispatch(self) -> AsyncIterator[DispatchRow]:
        for queue in await self._store.queues_with_backlog():
            for row in await self._store.backlog(queue, None, ROWS_MAX):
                yield row

    async def _read(self, loaded: LoadedRun) -> StoredRun:
        stored = StoredRun(
            number=loaded.run,
            workflow_id=loaded.identity.workflow_id,
            run_id=str(uuid.UUID(bytes=loaded.identity.run_id)),
            is_current=loaded.is_current,
            version=loaded.version,
            wake_at_ns=loaded.wake_at_ns,
            run=run_of(loaded),
            batches=[],
            events=[],
        )
        stored.reset_run_id = stored.run.pending.reset_run_id
        for batch in await self._store.read_history(loaded.run, 1, BYTES_MAX, BYTES_MAX):
            try:
                entries = entries_of(unseal(batch.blob))
                stored.events.extend(map(_event, entries))
            except (CorruptBlob, DecodeError, InvariantViolation) as error:
                stored.problems.append(f"batch {batch.first_event_id}: {error}")
                continue
            stored.batches.append(
                StoredBatch(batch.first_event_id, batch.last_event_id, batch.size_bytes, entries)
            )
        for event in stored.events:
            failed = event.workflow_task_failed_event_attributes
            if failed.new_run_id == stored.run_id:
                stored.base_run_id = failed.base_run_id
        return stored


def _event(entry: bytes) -> HistoryEvent:
    position = 1
    while entry[position] >= 0x80:
        position += 1
    return HistoryEvent.FromString(entry[position + 1 :])
