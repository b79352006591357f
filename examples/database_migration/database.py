"""The database: a SQLite file, its schema's version, and copies of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from examples.database_migration.releases import Step

VERSIONS = "CREATE TABLE IF NOT EXISTS applied (version INTEGER PRIMARY KEY, name TEXT NOT NULL)"
SHOP = """
CREATE TABLE purchase (id INTEGER PRIMARY KEY, email TEXT, price REAL, day TEXT);
INSERT INTO purchase (email, price, day) VALUES
    ('ada@example.com', 12.5, 'monday'), ('ada@example.com', 3.2, 'tuesday'),
    ('bob@example.com', 7.0, 'monday');
CREATE TABLE opening_day (day TEXT PRIMARY KEY);
INSERT INTO opening_day VALUES ('monday'), ('tuesday');
"""


def open_shop(path: Path) -> None:
    """Make the database that the examples migrate."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SHOP)


def buy(path: Path, email: str, day: str) -> None:
    """What happens to the database all the time."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO purchase (email, price, day) VALUES (?, 1, ?)", (email, day)
        )


def copy(source: Path, target: Path) -> None:
    """Copy a database that may be in use. The target has all of it, or is not there."""
    unfinished = target.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as there, closing(sqlite3.connect(unfinished)) as here:
        there.backup(here)
    unfinished.replace(target)


def apply(path: Path, step: Step) -> bool:
    """Apply a step that is not applied yet, all of it or nothing; whether there was one."""
    with _transaction(path) as connection:
        if _is_applied(connection, step):
            return False
        _execute(connection, step.up)
        connection.execute("INSERT INTO applied VALUES (?, ?)", (step.version, step.name))
    return True


def revert(path: Path, step: Step) -> bool:
    """Take back a step that is applied, all of it or nothing; whether there was one."""
    with _transaction(path) as connection:
        if not _is_applied(connection, step):
            return False
        _execute(connection, step.down)
        connection.execute("DELETE FROM applied WHERE version = ?", (step.version,))
    return True


def count(path: Path, query: str) -> int:
    """How many rows a query finds."""
    with closing(sqlite3.connect(path)) as connection:
        return len(connection.execute(query).fetchall())


def damages(path: Path) -> list[str]:
    """What SQLite itself finds wrong with the file."""
    with closing(sqlite3.connect(path)) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found


def schema(path: Path) -> set[str]:
    """The tables, with their columns, and the indexes."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c"
            " WHERE m.type = 'table' AND m.name != 'applied'"
        ).fetchall()
        indexes = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")
        return {f"{table}.{column}" for table, column in tables} | {name for (name,) in indexes}


def _is_applied(connection: sqlite3.Connection, step: Step) -> bool:
    found = connection.execute("SELECT 1 FROM applied WHERE version = ?", (step.version,))
    return found.fetchone() is not None


def _execute(connection: sqlite3.Connection, script: str) -> None:
    # Not executescript, which would commit what is before it.
    for statement in script.split(";"):
        connection.execute(statement)


@contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(VERSIONS)
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
