"""The users and what they have: a SQLite database, as any other program would use it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
    name TEXT PRIMARY KEY, joined TEXT NOT NULL, last_seen TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS bonus (
    user TEXT NOT NULL, reason TEXT NOT NULL, points INTEGER NOT NULL, PRIMARY KEY (user, reason)
);
"""


@dataclass
class User:
    """Somebody, since when, and when they were last here."""

    name: str
    joined: datetime
    last_seen: datetime


class Database:
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(SCHEMA)

    def add_users(self, users: Iterable[User]) -> None:
        """Insert them."""
        rows = [(user.name, user.joined.isoformat(), user.last_seen.isoformat()) for user in users]
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.executemany("INSERT INTO user VALUES (?, ?, ?)", rows)

    def users(self) -> list[User]:
        """All of them, by name."""
        with closing(sqlite3.connect(self._path)) as connection:
            rows = connection.execute("SELECT name, joined, last_seen FROM user ORDER BY name")
            return [
                User(name, datetime.fromisoformat(joined), datetime.fromisoformat(last_seen))
                for name, joined, last_seen in rows
            ]

    def add_bonus(self, user: str, reason: str, points: int) -> None:
        """Give a user points, once for each reason: a second call changes nothing."""
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(
                "INSERT OR IGNORE INTO bonus VALUES (?, ?, ?)", (user, reason, points)
            )

    def points(self) -> dict[str, int]:
        """What each user has got."""
        with closing(sqlite3.connect(self._path)) as connection:
            rows = connection.execute(
                "SELECT name, coalesce(sum(points), 0) FROM user"
                " LEFT JOIN bonus ON bonus.user = user.name GROUP BY name ORDER BY name"
            )
            return dict(rows)
