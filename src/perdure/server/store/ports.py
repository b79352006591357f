"""What the engine asks of a store, and the one write that it makes.

A store is passive: it decides nothing. The engine hands it a `Commit`, whose rows are already bytes
and integers, and the store makes all of it durable in one transaction, or tells the truth about
what became of it:

* returned: every write is durable, but for those named in `CommitResult.poisoned`, of which nothing
  is;
* `StoreUnavailable`: nothing of it is durable, and the same commit may be tried again;
* `CommitUnknown`: nobody can say yet; compare `run_versions` with what was written;
* `LeaseLost`: another process owns the shard; nothing is durable and nothing more must be written.

Commits may be handed over before earlier ones are answered, and what is decided on top of a failure
must not become durable:

* a commit that was handed over before the failure of an earlier one was reported fails with it;
* what names a workflow whose write was poisoned is poisoned too: later in the same commit, and in
  commits that were handed over before the poisoning was reported.

A write is poisoned whole when it contradicts itself or what is stored: a run inserted that exists,
a run changed or made current that does not, a batch of history or an outbox sequence that is there
already, a record both put and deleted by one `RunWrite`. Deleting what is not there is no
contradiction.

Apart from that the writes of a commit are as if carried out one after the other, so the last one
counts. Within one `RunWrite` or `WorkflowWrite` rows are put before they are deleted: a dispatch or
outbox row in both lists is gone.

Runs are named by an integer that the engine gives out (`RunNumber`); it never changes and is never
used again. All times are integer nanoseconds since the epoch, UTC. Blobs are opaque here:
`codec.seal` has already been applied.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

import msgspec

from perdure.server.machines.search_attributes import Scalar
from perdure.server.visibility.query.tree import EVERYTHING, Query

RunNumber = int
RecordName = tuple[int, bytes]
"""Kind and key of a record."""


GROUPS_MAX = 10_000
"""Groups that a count may have."""


class StoreError(Exception):
    """The store could not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be written or read now; nothing was changed."""


class TooManyGroups(StoreError):
    """What a query groups by has too many values to count each."""


class CommitUnknown(StoreError):
    """The commit may or may not have become durable."""


class LeaseLost(StoreError):
    """The shard belongs to another owner; nothing was changed."""


class StoreInUse(StoreError):
    """Another process has this database open."""


class SchemaTooNew(StoreError):
    """The database was written by a newer version of Perdure."""


class CorruptBlob(StoreError):
    """A stored blob does not match its checksum or names an unknown codec."""


class Fence(msgspec.Struct, frozen=True):
    """Proof of ownership of a shard: a commit with an older range is refused."""

    shard: int
    range_id: int


class RunIdentity(msgspec.Struct, frozen=True):
    """The names of a run, written once when it is new. `run_id` is the 16 bytes of its UUID.

    `workflow_id` is the id of whatever `kind` of thing it is a run of: ids of different kinds have
    nothing to do with each other. What is not a workflow (kind 0) is in no list or count but those
    of its own kind.
    """

    namespace: int
    workflow_id: str
    run_id: bytes
    kind: int = 0


class HistoryBatch(msgspec.Struct, frozen=True):
    """Events `first_event_id`..`last_event_id`, in one sealed blob (a serialised `History` when
    opened).

    `size_bytes` is the length of the serialised `History` before sealing.
    """

    first_event_id: int
    last_event_id: int
    size_bytes: int
    blob: bytes


class Record(msgspec.Struct, frozen=True):
    """One keyed part of a run's state (a pending activity, a timer, a request id...), a row of its
    own."""

    kind: int
    key: bytes
    blob: bytes


class DispatchRow(msgspec.Struct, frozen=True):
    """A task that waits for a poller. Named by run and event; `stamp` tells a stale one from a live
    one."""

    run: RunNumber
    event_id: int
    namespace: int
    queue: str
    kind: int
    priority: int
    ready_at_ns: int
    stamp: int
    directive: bytes = b""


class OutboxRow(msgspec.Struct, frozen=True):
    """A durable effect on another workflow. `sequence` is unique in the shard and grows."""

    sequence: int
    run: RunNumber
    blob: bytes


class VisibilityRow(msgspec.Struct, frozen=True):
    """What runs are found and ordered by in lists; `close_time_ns` is 0 while a run is open.

    The status says the same: open workflows are running or paused, closed ones are neither. None
    is closed before it starts, and while one is open its history has no length or size, nor its
    state transitions.

    What a list shows of a run is made of its head when it is read, so it need not be stored twice.
    0 and "" stand for what a run does not have, or for what goes without saying: a run that begins
    at once is executed when it starts, and is its own root unless another is named.
    """

    workflow_type: str
    status: int
    start_time_ns: int
    close_time_ns: int
    execution_time_ns: int = 0
    task_queue: str = ""
    history_length: int = 0
    history_size_bytes: int = 0
    state_transitions: int = 0
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    root_workflow_id: str = ""
    root_run_id: str = ""
    build_ids: tuple[str, ...] = ()
    attributes: tuple[tuple[str, Scalar], ...] = ()
    """All other search attributes, as pairs of field and value: several pairs of a field are the
    elements of a list, or the words of a text."""


class RunWrite(msgspec.Struct):
    """Everything that one commit changes of one run. Fields left at their default are left as they
    are."""

    run: RunNumber
    version: int
    turn: int
    head: bytes
    insert: RunIdentity | None = None
    wake_at_ns: int | None = None
    """When the run must be looked at again; None when nothing is due ever. Always written."""
    held: int = 0
    """What somebody may be busy with for the run, as bits; it has a wake-up then. Always
    written."""
    records_put: list[Record] = []
    records_deleted: list[RecordName] = []
    history: list[HistoryBatch] = []
    visibility: VisibilityRow | None = None
    dispatch_put: list[DispatchRow] = []
    dispatch_deleted: list[int] = []
    """Event ids of dispatch rows of this run that are gone."""
    is_copy: bool = False
    """With `insert`: its history was begun by `copy_history`."""


class WorkflowWrite(msgspec.Struct):
    """What must become durable together of one workflow: usually one run, two when a chain goes
    on."""

    namespace: int
    workflow_id: str
    runs: list[RunWrite]
    current: RunNumber | None = None
    """The run that the workflow id names from now on; None when that does not change."""
    outbox_put: list[OutboxRow] = []
    outbox_deleted: list[int] = []
    runs_deleted: list[RunNumber] = []
    """Runs that are gone, with what is on offer of them. Their records and their history are left
    over: see `leftovers`."""
    kind: int = 0
    """Of what the id is, as in `RunIdentity`."""


class Commit(msgspec.Struct):
    """One transaction."""

    fence: Fence
    writes: list[WorkflowWrite]


class CommitResult(msgspec.Struct, frozen=True):
    """Which writes (by index in `Commit.writes`) could not be written, and why. All others are
    durable."""

    poisoned: dict[int, str] = {}


class LoadedRun(msgspec.Struct):
    """A run as it was last committed."""

    run: RunNumber
    identity: RunIdentity
    version: int
    turn: int
    head: bytes
    wake_at_ns: int | None
    records: list[Record]
    is_current: bool


class NamespaceRow(msgspec.Struct, frozen=True):
    """A namespace: its number, its unique name, and its settings (a sealed
    `DescribeNamespaceResponse`)."""

    number: int
    name: str
    blob: bytes


class ClosedRun(msgspec.Struct, frozen=True):
    """A run that is over, and since when."""

    close_time_ns: int
    run: RunNumber
    identity: RunIdentity


class BatchRow(msgspec.Struct, frozen=True):
    """A batch operation: its sealed blob says what it is and how far it has come."""

    namespace: int
    job_id: str
    blob: bytes


class VisibilityCursor(msgspec.Struct, frozen=True):
    """The place after the last row of a page; `keys` are its values of what a query orders by."""

    close_time_ns: int
    start_time_ns: int
    run: RunNumber
    keys: tuple[Scalar | None, ...] = ()


class ListedRun(msgspec.Struct, frozen=True):
    """A run on a list, as it was last committed; `records` are those of the names asked for."""

    run: RunNumber
    identity: RunIdentity
    head: bytes
    records: list[Record]


class VisibilityPage(msgspec.Struct, frozen=True):
    """`next` is None on the last page."""

    runs: list[ListedRun]
    next: VisibilityCursor | None


class BacklogCursor(msgspec.Struct, frozen=True):
    """The place after the last row of a backlog page."""

    priority: int
    ready_at_ns: int
    run: RunNumber
    event_id: int


class QueueKey(msgspec.Struct, frozen=True):
    """A task queue: `kind` is 1 for workflow tasks, 2 for activity tasks.

    `version` tells the part of it that is for the workers of one version of a deployment. Stores do
    not know of parts: they are asked for the whole.
    """

    namespace: int
    queue: str
    kind: int
    version: str = ""

    @property
    def whole(self) -> QueueKey:
        """The queue with all its parts."""
        return QueueKey(self.namespace, self.queue, self.kind) if self.version else self

    def part(self, version: str) -> QueueKey:
        """The part of it for the workers of a version, "" for those of none."""
        if version == self.version:
            return self
        return QueueKey(self.namespace, self.queue, self.kind, version)


class NamedKind(enum.IntEnum):
    """What has a name in a namespace and no history. Stored: never reuse a number."""

    WORKER_DEPLOYMENT = 1
    NEXUS_ENDPOINT = 2
    """Of all namespaces: it is stored under the number 0, which none has."""


class NamedRow(msgspec.Struct, frozen=True):
    """A thing of a namespace that is found by its kind and name."""

    kind: int
    namespace: int
    name: str
    blob: bytes


class BacklogPart(msgspec.Struct, frozen=True):
    """The dispatch rows of a queue that have one priority: how many, and the oldest's time."""

    priority: int
    count: int
    ready_at_ns: int


class StoreStatistics(msgspec.Struct, frozen=True):
    """Counters for logs and metrics: groups written, writes in them, seconds the writer was
    busy."""

    groups: int
    writes: int
    busy_seconds: float


class Store(Protocol):
    """A durable place for the workflows of some shards. All methods may be called from one event
    loop only.

    `commit` calls are carried out in the order in which they were made, and their results arrive in
    that order. Reads see every commit whose result has arrived (they may see newer ones).
    """

    async def acquire(self, shard: int) -> Fence:
        """Take the shard over: its range becomes one higher, so older fences are refused from now
        on."""
        ...

    async def commit(self, commit: Commit) -> CommitResult:
        """Make the writes durable. Raises StoreUnavailable, CommitUnknown or LeaseLost."""
        ...

    def absent(self, namespace: int, workflow_id: str, kind: int = 0) -> bool:
        """Whether the workflow id certainly has no run; False also when that cannot be told now.

        Answered at once, and true of every commit whose result has arrived. It spares the start of
        a new workflow the wait for `load_current`.
        """
        ...

    async def run_versions(self, runs: Sequence[RunNumber]) -> dict[RunNumber, tuple[int, int]]:
        """The durable (version, turn) of each run that exists."""
        ...

    async def last_numbers(self) -> tuple[RunNumber, int, int]:
        """Run number, turn and outbox sequence up to which any may have been used (0: none was):
        number from there on. They may lie above what was written, and never fall."""
        ...

    async def load_current(
        self, namespace: int, workflow_id: str, kind: int = 0
    ) -> LoadedRun | None:
        """The current run of a workflow id, open or closed."""
        ...

    async def load_run(
        self, namespace: int, workflow_id: str, run_id: bytes, kind: int = 0
    ) -> LoadedRun | None:
        """One run by its names."""
        ...

    async def load_number(self, run: RunNumber) -> LoadedRun | None:
        """One run by its number."""
        ...

    async def read_history(
        self, run: RunNumber, first_event_id: int, last_event_id: int, limit_bytes: int
    ) -> list[HistoryBatch]:
        """The batches that hold events of the closed range, in order; at least one, then as many as
        fit the limit.

        The blobs are as they were written (sealed).
        """
        ...

    async def copy_history(
        self,
        shard: int,
        source: RunNumber,
        target: RunNumber,
        after_event_id: int,
        last_event_id: int,
        limit: int,
    ) -> int:
        """Copy some batches of `source` that lie between two events to `target`, durably: the last
        event of which there is a copy now (`after_event_id` when there was no more to copy).

        `target` must be the number of no run yet. It is one of the `leftovers` until it is inserted
        as a copy, so it is no loss when that never happens.
        """
        ...

    async def leftovers(self) -> list[RunNumber]:
        """Numbers of which no run exists (any more), but records or history do."""
        ...

    async def clear_leftovers(self, run: RunNumber, limit: int) -> bool:
        """Delete some of what is left over of a run; whether there may be more. Of a run that
        exists nothing is."""
        ...

    async def due(self, shard: int, until_ns: int, limit: int) -> list[tuple[int, RunNumber]]:
        """(wake_at_ns, run) with wake_at_ns <= until_ns, earliest first."""
        ...

    async def next_wake(self, shard: int) -> int | None:
        """The earliest wake_at_ns of all."""
        ...

    async def queues_with_backlog(self) -> list[QueueKey]:
        """Each queue that has a dispatch row."""
        ...

    async def backlog(
        self, queue: QueueKey, after: BacklogCursor | None, limit: int
    ) -> list[DispatchRow]:
        """Dispatch rows of a queue in order of (priority, ready_at_ns, run, event_id)."""
        ...

    async def backlog_parts(self, queue: QueueKey) -> list[BacklogPart]:
        """How much of a backlog a queue has, by priority."""
        ...

    async def queue_configs(self) -> list[tuple[QueueKey, bytes]]:
        """What was set of each task queue, in order."""
        ...

    async def put_queue_config(self, queue: QueueKey, blob: bytes) -> None:
        """Insert, or replace, what is set of a task queue. Durable when it returns."""
        ...

    async def named(self, kind: int) -> list[NamedRow]:
        """All of a kind, by namespace and name."""
        ...

    async def put_named(self, row: NamedRow) -> None:
        """Insert, or replace, a named thing. Durable when it returns."""
        ...

    async def delete_named(self, kind: int, namespace: int, name: str) -> None:
        """Delete a named thing, if it is there. Durable when it returns."""
        ...

    async def outbox(self, after: int, limit: int) -> list[OutboxRow]:
        """Outbox rows with a higher sequence, in order."""
        ...

    async def started_runs(self, after: RunNumber, limit: int) -> list[RunNumber]:
        """Open runs (close_time_ns 0 in visibility) with a higher number, in order: for audits and
        scavenging."""
        ...

    async def runs_held(
        self, shard: int, what: int, after: RunNumber, limit: int
    ) -> list[RunNumber]:
        """Runs with a higher number of which any of that (`RunWrite.held`) is held, and that have
        a wake-up, in order. Others are passed over fast, however many they are."""
        ...

    async def namespaces(self) -> list[NamespaceRow]:
        """All of them."""
        ...

    async def put_namespace(self, name: str, blob: bytes) -> NamespaceRow:
        """Insert, or replace the settings of, a namespace. The number of an existing one is
        kept."""
        ...

    async def rename_namespace(self, number: int, name: str, blob: bytes) -> None:
        """Replace the name and the settings of a namespace. Durable when it returns."""
        ...

    async def drop_namespace(self, number: int) -> None:
        """Forget a namespace that has no runs any more, and all that was set in it; its number is
        never used again. Durable when it returns."""
        ...

    async def closed_runs(
        self, namespace: int, from_ns: int, until_ns: int, after: RunNumber, limit: int
    ) -> list[ClosedRun]:
        """Runs that closed in [from_ns, until_ns), the earliest first; at `from_ns` itself only
        those with a number above `after`."""
        ...

    async def batches(self) -> list[BatchRow]:
        """All batch operations, in order of namespace and job id."""
        ...

    async def put_batch(self, row: BatchRow) -> None:
        """Insert, or replace, a batch operation. Durable when it returns."""
        ...

    async def delete_batch(self, namespace: int, job_id: str) -> None:
        """Forget a batch operation. Durable when it returns."""
        ...

    async def list_executions(
        self,
        namespace: int,
        after: VisibilityCursor | None,
        limit: int,
        records: Sequence[RecordName] = (),
        query: Query = EVERYTHING,
        kind: int = 0,
    ) -> VisibilityPage:
        """Runs that a query is true of: in its order, or open ones first, newest start first; then
        closed ones, newest close first. Each with the records of these names that it has. Of
        another kind than workflows: the newest first, when the query has no order.

        `after` must come from a page of the same query.
        """
        ...

    async def count_executions(
        self,
        namespace: int,
        query: Query = EVERYTHING,
        groups_max: int = GROUPS_MAX,
        kind: int = 0,
    ) -> dict[Scalar | None, int]:
        """How many runs a query is true of, by their value of what it groups by (None when it
        groups by nothing, and for runs without a value). Raises TooManyGroups."""
        ...

    def statistics(self) -> StoreStatistics:
        """Counters since the store was opened."""
        ...

    async def close(self) -> None:
        """Finish what was handed over, checkpoint, and let go of the database."""
        ...
