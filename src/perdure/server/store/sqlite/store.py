"""The SQLite store: one file, one process, commits that survive power loss."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import apsw
import msgspec

from perdure.server.machines.search_attributes import Scalar
from perdure.server.store.memory import take_batches
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
    StoreStatistics,
    StoreUnavailable,
    VisibilityCursor,
    VisibilityPage,
)
from perdure.server.store.sqlite.connections import (
    ENVIRONMENT_ERRORS,
    SqliteSettings,
    migrate,
    open_writer,
)
from perdure.server.store.sqlite.groups import GroupWriter
from perdure.server.store.sqlite.lock import LockFile
from perdure.server.store.sqlite.readers import Glance, ReaderPool
from perdure.server.store.sqlite.statements import statements
from perdure.server.store.sqlite.visibility import VisibilityReader
from perdure.server.store.sqlite.writer import Writer
from perdure.server.visibility.query.tree import EVERYTHING, Query

INTEGER_MAX = 2**63 - 1


def open_sqlite(
    path: str | os.PathLike[str],
    *,
    vfs: str | None = None,
    settings: SqliteSettings | None = None,
) -> SqliteStore:
    """Open or create the database at `path`, through the SQLite file system `vfs` if one is named.

    Takes a few milliseconds and starts no thread. Raises StoreInUse, SchemaTooNew or
    StoreUnavailable.
    """
    settings = settings or SqliteSettings()
    if vfs is not None:
        settings = msgspec.structs.replace(settings, vfs=vfs)
    return _open(os.path.abspath(path), settings)


def _open(path: str, settings: SqliteSettings) -> SqliteStore:
    with ExitStack() as undo:
        try:
            lock = LockFile.hold(path)
            undo.callback(lock.release)
            connection = open_writer(path, settings)
            undo.callback(connection.close, True)
            migrate(connection, path)
        except (OSError, *ENVIRONMENT_ERRORS) as error:
            raise StoreUnavailable(f"{path} cannot be opened: {error}") from error
        undo.pop_all()
    return SqliteStore(path, settings, connection, lock)


class SqliteStore:
    """A store in one SQLite file. Made by `open_sqlite`."""

    def __init__(
        self, path: str, settings: SqliteSettings, connection: apsw.Connection, lock: LockFile
    ) -> None:
        self._sql = statements()
        self._lock = lock
        self._settings = settings
        self._readers = ReaderPool(path, settings)
        self._glance = Glance(path, settings)
        self._groups = GroupWriter(path, settings, connection)
        self._writer = Writer(self._groups, settings, self._readers.close)
        self._closing: asyncio.Future[None] | None = None

    def _check_open(self) -> None:
        if self._closing is not None:
            raise StoreUnavailable("the store is closed")

    async def acquire(self, shard: int) -> Fence:
        """Take the shard over; fences given out before are refused from now on."""
        self._check_open()

        def take(connection: apsw.Connection) -> Fence:
            return Fence(shard, connection.execute(self._sql["acquire"], (shard,)).get)

        return await self._writer.submit(lambda: self._groups.transact(take))

    async def commit(self, commit: Commit) -> CommitResult:
        """Make the writes durable. Raises StoreUnavailable, CommitUnknown or LeaseLost."""
        self._check_open()
        return await self._writer.commit(commit)

    def absent(self, namespace: int, workflow_id: str, kind: int = 0) -> bool:
        """Whether no run has this workflow id, looked up on the loop's thread."""
        if self._closing is not None:
            return False
        names = (namespace, workflow_id, kind)
        return self._glance.finds_nothing(self._sql["any_current"], names)

    async def run_versions(self, runs: Sequence[RunNumber]) -> dict[RunNumber, tuple[int, int]]:
        """The durable (version, turn) of each run that exists.

        Asked of the writer, which first makes certain what became of a failed commit.
        """
        self._check_open()

        def look(connection: apsw.Connection) -> dict[RunNumber, tuple[int, int]]:
            found = (
                (run, connection.execute(self._sql["run_version"], (run,)).get) for run in runs
            )
            return {run: versions for run, versions in found if versions is not None}

        return await self._writer.submit(lambda: self._groups.transact(look))

    async def last_numbers(self) -> tuple[RunNumber, int, int]:
        """The highest run number, turn and outbox sequence ever written."""
        (row,) = await self._all("last_numbers", ())
        return (row[0], row[1], row[2])

    async def load_current(
        self, namespace: int, workflow_id: str, kind: int = 0
    ) -> LoadedRun | None:
        """The current run of a workflow id."""
        return await self._load("load_current", (namespace, workflow_id, kind))

    async def load_run(
        self, namespace: int, workflow_id: str, run_id: bytes, kind: int = 0
    ) -> LoadedRun | None:
        """One run by its names."""
        return await self._load("load_run", (namespace, workflow_id, run_id, kind))

    async def load_number(self, run: RunNumber) -> LoadedRun | None:
        """One run by its number."""
        return await self._load("load_number", (run,))

    async def _load(self, name: str, parameters: tuple[Any, ...]) -> LoadedRun | None:
        self._check_open()

        def load(connection: apsw.Connection) -> LoadedRun | None:
            row = connection.execute(self._sql[name], parameters).fetchone()
            if row is None:
                return None
            (run, namespace, workflow_id, run_id, kind, version, turn, head, wake_at_ns,
             is_current) = row  # fmt: skip
            records = connection.execute(self._sql["records"], (run,))
            return LoadedRun(
                run=run,
                identity=RunIdentity(namespace, workflow_id, run_id, kind),
                version=version,
                turn=turn,
                head=head,
                wake_at_ns=wake_at_ns,
                records=[Record(*record) for record in records],
                is_current=bool(is_current),
            )

        return await self._readers.read(load)

    async def read_history(
        self, run: RunNumber, first_event_id: int, last_event_id: int, limit_bytes: int
    ) -> list[HistoryBatch]:
        """The batches that hold events of the range: one, then as many as fit the limit."""
        self._check_open()

        def read(connection: apsw.Connection) -> list[HistoryBatch]:
            rows = connection.execute(self._sql["history"], (run, first_event_id, last_event_id))
            return take_batches((HistoryBatch(*row) for row in rows), limit_bytes)

        return await self._readers.read(read)

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
        self._check_open()
        return await self._writer.submit(
            lambda: self._groups.copy_history(
                shard, source, target, after_event_id, last_event_id, limit
            )
        )

    async def leftovers(self) -> list[RunNumber]:
        """Numbers of which no run exists, but records or history do."""
        return [row[0] for row in await self._all("leftovers", ())]

    async def clear_leftovers(self, run: RunNumber, limit: int) -> bool:
        """Delete some of what is left over of a run."""
        self._check_open()
        return await self._writer.submit(lambda: self._groups.clear_leftovers(run, limit))

    async def due(self, shard: int, until_ns: int, limit: int) -> list[tuple[int, RunNumber]]:
        """(wake_at_ns, run) with wake_at_ns <= until_ns, earliest first."""
        rows = await self._all("due", (shard, until_ns, limit))
        return [(row[0], row[1]) for row in rows]

    async def next_wake(self, shard: int) -> int | None:
        """The earliest wake_at_ns of all."""
        rows = await self._all("next_wake", (shard,))
        return rows[0][0] if rows else None

    async def queues_with_backlog(self) -> list[QueueKey]:
        """Each queue that has a dispatch row."""
        self._check_open()

        def read(connection: apsw.Connection) -> list[QueueKey]:
            found: list[QueueKey] = []
            place: tuple[Any, ...] | None = (-1, "", 0)
            while place := connection.execute(self._sql["next_queue"], place).fetchone():
                found.append(QueueKey(*place))
            return found

        return await self._readers.read(read)

    async def backlog(
        self, queue: QueueKey, after: BacklogCursor | None, limit: int
    ) -> list[DispatchRow]:
        """Dispatch rows of a queue in order of (priority, ready_at_ns, run, event_id)."""
        place = (
            (-INTEGER_MAX, 0, 0, 0)
            if after is None
            else (after.priority, after.ready_at_ns, after.run, after.event_id)
        )
        rows = await self._all("backlog", (queue.namespace, queue.queue, queue.kind, *place, limit))
        return [DispatchRow(*row) for row in rows]

    async def backlog_parts(self, queue: QueueKey) -> list[BacklogPart]:
        """How much of a backlog a queue has, by priority."""
        rows = await self._all("backlog_parts", (queue.namespace, queue.queue, queue.kind))
        return [BacklogPart(*row) for row in rows]

    async def queue_configs(self) -> list[tuple[QueueKey, bytes]]:
        """What was set of each task queue, in order."""
        return [(QueueKey(*row[:3]), row[3]) for row in await self._all("queue_configs", ())]

    async def put_queue_config(self, queue: QueueKey, blob: bytes) -> None:
        """Insert, or replace, what is set of a task queue."""
        await self._carry_out(
            ("put_queue_config", (queue.namespace, queue.queue, queue.kind, blob))
        )

    async def named(self, kind: int) -> list[NamedRow]:
        """All of a kind, in order."""
        return [NamedRow(*row) for row in await self._all("named", (kind,))]

    async def put_named(self, row: NamedRow) -> None:
        """Insert, or replace, a named thing."""
        await self._carry_out(("put_named", (row.kind, row.namespace, row.name, row.blob)))

    async def delete_named(self, kind: int, namespace: int, name: str) -> None:
        """Delete a named thing."""
        await self._carry_out(("delete_named", (kind, namespace, name)))

    async def outbox(self, after: int, limit: int) -> list[OutboxRow]:
        """Outbox rows with a higher sequence, in order."""
        return [OutboxRow(*row) for row in await self._all("outbox", (after, limit))]

    async def started_runs(self, after: RunNumber, limit: int) -> list[RunNumber]:
        """Open runs with a higher number, in order."""
        return [row[0] for row in await self._all("started_runs", (after, limit))]

    async def runs_held(
        self, shard: int, what: int, after: RunNumber, limit: int
    ) -> list[RunNumber]:
        """Runs with a higher number of which any of that is held, in order."""
        rows = await self._all("runs_held", (shard, what, after, limit))
        return [row[0] for row in rows]

    async def namespaces(self) -> list[NamespaceRow]:
        """All of them, by number."""
        return [NamespaceRow(*row) for row in await self._all("namespaces", ())]

    async def put_namespace(self, name: str, blob: bytes) -> NamespaceRow:
        """Insert a namespace, or replace its settings."""
        self._check_open()

        def put(connection: apsw.Connection) -> NamespaceRow:
            return NamespaceRow(*connection.execute(self._sql["put_namespace"], (name, blob)).get)

        return await self._writer.submit(lambda: self._groups.transact(put))

    async def rename_namespace(self, number: int, name: str, blob: bytes) -> None:
        """Replace the name and the settings of a namespace."""
        await self._carry_out(("rename_namespace", (name, blob, number)))

    async def drop_namespace(self, number: int) -> None:
        """Forget a namespace. Its row stays, empty: so its number is not used again."""
        await self._carry_out(
            ("drop_namespace", (number,)),
            ("drop_queue_configs", (number,)),
            ("drop_batches", (number,)),
            ("drop_named", (number,)),
        )

    async def closed_runs(
        self, namespace: int, from_ns: int, until_ns: int, after: RunNumber, limit: int
    ) -> list[ClosedRun]:
        """Runs that closed in a time, the earliest first."""
        place = (namespace, from_ns, until_ns, after, limit)
        rows = await self._all("closed_runs", place)
        return [ClosedRun(row[0], row[1], RunIdentity(*row[2:])) for row in rows]

    async def batches(self) -> list[BatchRow]:
        """All batch operations."""
        return [BatchRow(*row) for row in await self._all("batches", ())]

    async def put_batch(self, row: BatchRow) -> None:
        """Insert, or replace, a batch operation."""
        await self._carry_out(("put_batch", (row.namespace, row.job_id, row.blob)))

    async def delete_batch(self, namespace: int, job_id: str) -> None:
        """Forget a batch operation."""
        await self._carry_out(("delete_batch", (namespace, job_id)))

    async def _carry_out(self, *steps: tuple[str, tuple[Any, ...]]) -> None:
        """Some statements with their parameters, in one transaction."""
        self._check_open()

        def carry_out(connection: apsw.Connection) -> None:
            for name, parameters in steps:
                connection.execute(self._sql[name], parameters)

        await self._writer.submit(lambda: self._groups.transact(carry_out))

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
        self._check_open()
        reader = VisibilityReader(self._sql, self._settings, namespace, query, kind)

        def read(connection: apsw.Connection) -> VisibilityPage:
            rows = reader.page(connection, after, limit + 1)
            runs = [self._listed(connection, row[2:7], records, kind) for row in rows[:limit]]
            if len(rows) <= limit:
                return VisibilityPage(runs, None)
            last = rows[limit - 1]
            return VisibilityPage(
                runs, VisibilityCursor(last[0], last[1], last[2], tuple(last[7:]))
            )

        return await self._readers.read(read)

    async def count_executions(
        self,
        namespace: int,
        query: Query = EVERYTHING,
        groups_max: int = GROUPS_MAX,
        kind: int = 0,
    ) -> dict[Scalar | None, int]:
        """How many runs a query is true of, by what it groups by."""
        self._check_open()
        reader = VisibilityReader(self._sql, self._settings, namespace, query, kind)
        return await self._readers.read(lambda connection: reader.count(connection, groups_max))

    def _listed(
        self,
        connection: apsw.Connection,
        row: tuple[Any, ...],
        names: Sequence[RecordName],
        kind: int,
    ) -> ListedRun:
        run, namespace, workflow_id, run_id, head = row
        found = (
            (*name, connection.execute(self._sql["record"], (run, *name)).get) for name in names
        )
        return ListedRun(
            run,
            RunIdentity(namespace, workflow_id, run_id, kind),
            head,
            [Record(*record) for record in found if record[2] is not None],
        )

    async def _all(self, name: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        self._check_open()
        sql = self._sql[name]
        return await self._readers.read(
            lambda connection: connection.execute(sql, parameters).fetchall()
        )

    def statistics(self) -> StoreStatistics:
        """Counters since the store was opened."""
        return self._writer.statistics()

    async def close(self) -> None:
        """Finish what was handed over, checkpoint, and let go of the database."""
        if self._closing is None:
            self._glance.close()
            self._closing = self._writer.close()
            self._closing.add_done_callback(self._let_go)
        await asyncio.shield(self._closing)

    def _let_go(self, _closed: asyncio.Future[None]) -> None:
        self._writer.join()
        self._lock.release()
