"""Carrying out commits on the writer's connection, and telling the truth about what became of them.

One commit is one transaction and one `executemany` per statement. When a row is refused, the group
is carried out again write by write, each in a savepoint, and only the bad ones are left out.

What a failed COMMIT means depends on where it failed. A full disk refuses a write, never a sync, so
it stops the commit before its last frame is in the log, and nothing of it can ever be found again.
Any other failure (of the sync, above all) may leave a log in which the whole commit can be read
after a crash, while this process takes it for rolled back: both answers would be lies. So the
commit is *settled*: a small transaction is written, which takes the same place in the log, and when
that one is durable the failed one is certainly gone. While even that fails the outcome is unknown,
and nothing else is written or told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

import apsw

from perdure.server.store.ports import (
    Commit,
    CommitResult,
    CommitUnknown,
    Fence,
    LeaseLost,
    RunNumber,
    StoreUnavailable,
    WorkflowWrite,
)
from perdure.server.store.sqlite.connections import (
    ENVIRONMENT_ERRORS,
    ROW_ERRORS,
    SqliteSettings,
    open_writer,
)
from perdure.server.store.sqlite.rows import Parameters, RowRefused, Rows
from perdure.server.store.sqlite.statements import statements

T = TypeVar("T")
WorkflowKey = tuple[int, str, int]
Marks = tuple[int, int, int]
"""Above every run number, turn and outbox sequence in use."""

NUMBERS_AHEAD = 1000
"""How far a mark is raised at once, so that few groups write one. At most so many numbers are left
out when the database is opened again."""
BUILD_LISTS_MAX = 1000
"""Lists of build ids that have a number. Workers have few; what clients make up has no end."""
REFUSALS = (RowRefused, *ROW_ERRORS)
EARLIER_REFUSED = "an earlier write of the same workflow could not be written"


class GroupWriter:
    """Owns the writing connection; used by one thread at a time."""

    def __init__(self, path: str, settings: SqliteSettings, connection: apsw.Connection) -> None:
        self._path = path
        self._settings = settings
        self._sql = statements()
        self._connection: apsw.Connection | None = None
        self._unsettled = False
        self._build_lists: dict[str, int] = {}
        self._has_all_build_lists = False
        self._marks: dict[int, Marks] = {}
        """By shard: marks that are certain to be stored."""
        self.log_pages = 0
        self._adopt(connection)
        self.page_bytes: int = connection.pragma("page_size")

    def _adopt(self, connection: apsw.Connection) -> None:
        connection.set_wal_hook(self._note_log_pages)
        self._connection = connection

    def _note_log_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.log_pages = pages
        return 0

    def execute(self, commit: Commit, bad_workflows: set[WorkflowKey]) -> CommitResult:
        """Make the writes durable, but for those of `bad_workflows` and those that are refused.

        The keys of what was refused are added to `bad_workflows`.
        """
        writes = list(enumerate(commit.writes))
        poisoned: dict[int, str] = {}
        if bad_workflows:
            poisoned = {
                index: EARLIER_REFUSED
                for index, write in writes
                if (write.namespace, write.workflow_id, write.kind) in bad_workflows
            }
            writes = [pair for pair in writes if pair[0] not in poisoned]
        try:
            rows = Rows(commit.fence.shard, [write for _, write in writes], self._build_lists)
            with self._transaction() as connection:
                self._check_fence(connection, commit.fence)
                self._write(connection, rows)
                marks = self._raise_marks(connection, commit.fence.shard, [rows])
                build_lists = self._learn(connection, rows.build_lists_unknown)
            self._marks[commit.fence.shard] = marks
            self._build_lists = build_lists
        except REFUSALS:
            self._one_by_one(commit.fence, writes, bad_workflows, poisoned)
        return CommitResult(poisoned)

    def _one_by_one(
        self,
        fence: Fence,
        writes: Sequence[tuple[int, WorkflowWrite]],
        bad_workflows: set[WorkflowKey],
        poisoned: dict[int, str],
    ) -> None:
        """The same in savepoints; what is refused is put into `bad_workflows` and `poisoned`."""
        written: list[Rows] = []
        with self._transaction() as connection:
            self._check_fence(connection, fence)
            for index, write in writes:
                key = (write.namespace, write.workflow_id, write.kind)
                if key in bad_workflows:
                    poisoned[index] = EARLIER_REFUSED
                    continue
                connection.execute("SAVEPOINT one_write")
                try:
                    rows = Rows(fence.shard, [write], self._build_lists)
                    self._write(connection, rows)
                    written.append(rows)
                except REFUSALS as refusal:
                    connection.execute("ROLLBACK TO one_write")
                    poisoned[index] = f"{type(refusal).__name__}: {refusal}"
                    bad_workflows.add(key)
                connection.execute("RELEASE one_write")
            marks = self._raise_marks(connection, fence.shard, written)
        self._marks[fence.shard] = marks

    def _check_fence(self, connection: apsw.Connection, fence: Fence) -> None:
        if connection.execute(self._sql["range"], (fence.shard,)).get != fence.range_id:
            raise LeaseLost(f"shard {fence.shard} is no longer held with range {fence.range_id}")

    def _write(self, connection: apsw.Connection, rows: Rows) -> None:
        """Every statement of a group. Raises one of REFUSALS when a row cannot be written."""
        many = self._many
        many(connection, "uncurrent", rows.uncurrent)
        many(connection, "insert_run", rows.inserts)
        many(connection, "update_run", rows.updates, exact=True)
        many(connection, "update_visible_run", rows.visible_updates, exact=True)
        many(connection, "make_current", rows.made_current, exact=True)
        many(connection, "delete_attributes", rows.attributes_deleted)
        many(connection, "put_attribute", rows.attributes_put)
        many(connection, "insert_history", rows.history)
        many(connection, "delete_record", rows.records_deleted)
        many(connection, "put_record", rows.records_put)
        many(connection, "delete_dispatch", rows.dispatch_deleted)
        many(connection, "put_dispatch", rows.dispatch_put)
        many(connection, "delete_outbox", rows.outbox_deleted)
        many(connection, "insert_outbox", rows.outbox_put)
        many(connection, "delete_leftover", rows.runs_completed)
        many(connection, "delete_run", rows.runs_deleted)
        many(connection, "delete_attributes", rows.runs_deleted)
        many(connection, "delete_dispatch_of_run", rows.runs_deleted)
        many(connection, "put_leftover", rows.runs_deleted)

    def _many(
        self,
        connection: apsw.Connection,
        name: str,
        rows: Sequence[Parameters],
        *,
        exact: bool = False,
    ) -> None:
        """Run a statement for each row; with `exact` each must have changed one that exists."""
        if not rows:
            return
        before = connection.total_changes() if exact else 0
        connection.executemany(self._sql[name], rows)
        if exact and connection.total_changes() - before != len(rows):
            raise RowRefused(f"{name}: the run does not exist")

    def _raise_marks(
        self, connection: apsw.Connection, shard: int, groups: Sequence[Rows]
    ) -> Marks:
        """The marks that are stored with this transaction, none below a number in it."""
        stored = self._marks.get(shard, (0, 0, 0))
        run, turn, outbox = stored
        for rows in groups:
            if rows.run_max > run:
                run = rows.run_max + NUMBERS_AHEAD
            if rows.turn_max > turn:
                turn = rows.turn_max + NUMBERS_AHEAD
            if rows.outbox_max > outbox:
                outbox = rows.outbox_max + NUMBERS_AHEAD
        marks = (run, turn, outbox)
        if marks != stored:
            connection.execute(self._sql["raise_marks"], (*marks, shard))
        return marks

    def _learn(self, connection: apsw.Connection, unknown: set[str]) -> dict[str, int]:
        """Give numbers to lists of build ids that rows were written with, for rows to come."""
        if not unknown or self._has_all_build_lists:
            return self._build_lists
        known = dict(connection.execute(self._sql["build_lists"]))
        room = max(0, BUILD_LISTS_MAX - len(known))
        self._has_all_build_lists = room == 0
        self._many(connection, "put_build_list", [(text,) for text in sorted(unknown)[:room]])
        return dict(connection.execute(self._sql["build_lists"]))

    def copy_history(
        self,
        shard: int,
        source: RunNumber,
        target: RunNumber,
        after_event_id: int,
        last_event_id: int,
        limit: int,
    ) -> int:
        """See `Store.copy_history`; it is a transaction of its own."""
        run, turn, outbox = self._marks.get(shard, (0, 0, 0))
        marks = (max(run, target + NUMBERS_AHEAD), turn, outbox)
        with self._transaction() as connection:
            parameters = (source, target, after_event_id, last_event_id, limit)
            copied = connection.execute(self._sql["copy_history"], parameters).fetchall()
            connection.execute(self._sql["put_leftover"], (target,))
            connection.execute(self._sql["raise_marks"], (*marks, shard))
        self._marks[shard] = marks
        last: int = max((int(str(row[0])) for row in copied), default=after_event_id)
        return last

    def clear_leftovers(self, run: RunNumber, limit: int) -> bool:
        """See `Store.clear_leftovers`; it is a transaction of its own."""
        with self._transaction() as connection:
            if connection.execute(self._sql["is_leftover"], (run,)).get is None:
                return False
            before = connection.total_changes()
            connection.execute(self._sql["clear_history"], (run, limit))
            connection.execute(self._sql["clear_records"], (run, limit))
            is_clear = connection.total_changes() - before < limit
            if is_clear:
                connection.execute(self._sql["delete_leftover"], (run,))
        return not is_clear

    def transact(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in a transaction of its own."""
        with self._transaction() as connection:
            return work(connection)

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        """A transaction that ends durable, or raises what `Store.commit` may raise."""
        connection = self._ready()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
        except ENVIRONMENT_ERRORS as error:
            raise StoreUnavailable(f"the database cannot be written: {error}") from error
        else:
            self._end(connection)
        finally:
            self._roll_back()

    def _end(self, connection: apsw.Connection) -> None:
        """Make a transaction durable, or say what became of it."""
        try:
            connection.execute("COMMIT")
        except apsw.FullError as error:
            raise StoreUnavailable(f"the disk is full: {error}") from error
        except ENVIRONMENT_ERRORS as error:
            self._roll_back()
            self._unsettled = True
            if self._settle():
                raise StoreUnavailable(f"the commit failed: {error}") from error
            raise CommitUnknown(f"the commit may or may not be durable: {error}") from error

    def _ready(self) -> apsw.Connection:
        """The connection, usable and with nothing unsettled before it, or StoreUnavailable."""
        if self._unsettled and not self._settle():
            raise StoreUnavailable("the database cannot be written; an earlier commit is unsettled")
        return self._opened()

    def _opened(self) -> apsw.Connection:
        if self._connection is None:
            try:
                self._adopt(open_writer(self._path, self._settings))
            except ENVIRONMENT_ERRORS as error:
                raise StoreUnavailable(f"the database cannot be opened: {error}") from error
        assert self._connection is not None
        return self._connection

    def _roll_back(self) -> None:
        """Leave the connection outside any transaction, or drop it."""
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return
        try:
            connection.execute("ROLLBACK")
        except apsw.Error:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # A connection in trouble may be unable even to close; it is not used again either way.
            with suppress(apsw.Error):
                connection.close(True)

    def _settle(self) -> bool:
        """Whether a failed COMMIT is certainly gone from the log."""
        try:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(self._sql["settle"])
            connection.execute("COMMIT")
        except (StoreUnavailable, *ENVIRONMENT_ERRORS):
            self._roll_back()
            return False
        self._unsettled = False
        return True

    def checkpoint(self, mode: int, wait_milliseconds: int = 0) -> None:
        """Copy the log into the database. When that fails nothing is lost: the log stays."""
        connection = self._connection
        if connection is None or self._unsettled:
            return
        with suppress(*ENVIRONMENT_ERRORS):
            connection.set_busy_timeout(wait_milliseconds)
            connection.wal_checkpoint(mode=mode)

    def free_pages(self, pages_max: int) -> None:
        """Give unused pages back to the file system."""
        connection = self._connection
        if connection is None or self._unsettled:
            return
        with suppress(*ENVIRONMENT_ERRORS):
            if connection.pragma("freelist_count"):
                # Each step frees one page, so the statement must be run to its end.
                connection.execute(f"PRAGMA incremental_vacuum({pages_max})").fetchall()

    def close(self) -> None:
        """Copy the log, let it go, and close."""
        self.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE, self._settings.reader_wait_milliseconds)
        self._drop()
