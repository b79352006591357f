"""The SQLite adapter of the store."""

from __future__ import annotations

from perdure.server.store.sqlite.connections import SqliteSettings
from perdure.server.store.sqlite.store import SqliteStore, open_sqlite

__all__ = ["SqliteSettings", "SqliteStore", "open_sqlite"]
