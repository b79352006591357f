"""Opening the database: how a connection is set up, and how the schema comes to its newest version.

`synchronous=FULL` makes each commit wait for the disk; the log is copied into the database by the
writer between groups (`wal_autocheckpoint=0`), never inside somebody's commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

import apsw
import msgspec

from perdure.server.store.ports import SchemaTooNew, StoreUnavailable
from perdure.server.store.sqlite.statements import migrations

ENVIRONMENT_ERRORS = (
    apsw.FullError,
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.NoLFSError,
    apsw.InterruptError,
    apsw.AbortError,
)
"""What goes wrong with the disk, the file or the machine, and not with a row."""

ROW_ERRORS = (
    apsw.ConstraintError,
    apsw.TooBigError,
    apsw.MismatchError,
    apsw.RangeError,
    TypeError,
    ValueError,
    OverflowError,
)
"""What goes wrong with a row, however often it is tried."""


PAGE_BYTES = 4096
"""Of a new file. A commit writes and sums each page that it touches whole, so pages of 8192 cost
nearly twice the time; a file of small workflows is as small with either."""


class SqliteSettings(msgspec.Struct, frozen=True):
    """How the adapter uses SQLite. Durability and speed were measured with the defaults."""

    vfs: str | None = None
    """The SQLite file system to open with; None is the operating system's."""
    synchronous: Literal["FULL", "NORMAL", "OFF"] = "FULL"
    """The others lose acknowledged commits on power loss; they are there to prove the tests."""
    cache_bytes: int = 16 * 1024 * 1024
    """Page cache of the writer; each reader has a quarter."""
    checkpoint_bytes: int = 4 * 1024 * 1024
    """A log of this size is copied into the database between two groups."""
    log_bytes_max: int = 32 * 1024 * 1024
    """From this size on the writer waits `reader_wait_milliseconds` for readers to let it go."""
    reader_wait_milliseconds: int = 100
    idle_seconds: float = 1.0
    """After this long without a write the log is copied, whatever its size."""
    readers_max: int = 3
    read_seconds_max: float = 10.0
    """A read that takes longer is cancelled, so that it cannot keep the log from being copied."""
    sorted_runs_max: int = 5_000
    """Up to so many runs are read and sorted for a page: each costs some microseconds."""
    sorted_entries_max: int = 30_000
    """The same where an index tells all that is needed, which costs a tenth."""


def open_writer(path: str, settings: SqliteSettings) -> apsw.Connection:
    """The connection that writes. The file is created when there is none."""
    with ExitStack() as undo:
        connection = apsw.Connection(path, vfs=settings.vfs, statementcachesize=64)
        undo.callback(connection.close, True)
        _refuse_foreign(connection, path)
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        mode = connection.pragma("journal_mode", "wal")
        if mode != "wal":
            raise StoreUnavailable(f"{path} cannot use a write-ahead log (journal mode {mode})")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
        connection.execute(f"PRAGMA cache_size = {-settings.cache_bytes // 1024}")
        connection.execute("PRAGMA cell_size_check = ON")
        undo.pop_all()
    return connection


def open_reader(path: str, settings: SqliteSettings) -> apsw.Connection:
    """A connection that only reads."""
    connection = apsw.Connection(
        path, flags=apsw.SQLITE_OPEN_READONLY, vfs=settings.vfs, statementcachesize=64
    )
    connection.execute(f"PRAGMA cache_size = {-settings.cache_bytes // 4096}")
    return connection


def migrate(
    connection: apsw.Connection, path: str, scripts: Sequence[tuple[int, str]] | None = None
) -> None:
    """Bring the schema to the newest version, in one transaction. Raises SchemaTooNew."""
    scripts = migrations() if scripts is None else scripts
    newest = scripts[-1][0]
    if _version(connection) == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS perdure_schema "
            "(version INTEGER NOT NULL, settlements INTEGER NOT NULL) STRICT"
        )
        version = _version(connection)
        if version > newest:
            raise SchemaTooNew(
                f"{path} has schema version {version}, written by a newer Perdure; "
                f"this one knows versions up to {newest}"
            )
        for number, script in scripts:
            if number > version:
                connection.execute(script)
        connection.execute("DELETE FROM perdure_schema")
        connection.execute("INSERT INTO perdure_schema VALUES (?, 0)", (newest,))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _refuse_foreign(connection: apsw.Connection, path: str) -> None:
    if connection.table_exists(None, "perdure_schema"):
        return
    if connection.execute("SELECT count(*) FROM sqlite_schema").get:
        raise StoreUnavailable(
            f"{path} is the database of another program; name another file, or one that is new"
        )


def _version(connection: apsw.Connection) -> int:
    """The schema's version; 0 when there is none yet."""
    if not connection.table_exists(None, "perdure_schema"):
        return 0
    version: int = connection.execute("SELECT coalesce(max(version), 0) FROM perdure_schema").get
    return version
