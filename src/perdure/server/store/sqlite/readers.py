"""A few threads that read, so that a cold load neither blocks the loop nor waits for a commit.

Threads start when they are needed: opening the store costs none.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from perdure.server.store.ports import StoreUnavailable
from perdure.server.store.sqlite.connections import (
    ENVIRONMENT_ERRORS,
    SqliteSettings,
    open_reader,
)
from perdure.server.store.sqlite.delivery import Delivery

T = TypeVar("T")
Query = Callable[[apsw.Connection], T]

STEPS_BETWEEN_CHECKS = 20_000
"""Virtual machine steps after which a read looks at the time: about a millisecond."""


class ReaderPool:
    """Threads with a read-only connection each."""

    def __init__(self, path: str, settings: SqliteSettings) -> None:
        self._path = path
        self._settings = settings
        self._jobs: queue.SimpleQueue[tuple[Query[Any], asyncio.Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._threads: list[threading.Thread] = []
        self._waiting = 0
        self._delivery: Delivery | None = None

    def read(self, query: Query[T]) -> asyncio.Future[T]:
        """Have `query` called in a thread, on a snapshot of its own if it begins a transaction."""
        loop = asyncio.get_running_loop()
        if self._delivery is None:
            self._delivery = Delivery(loop)
        future: asyncio.Future[T] = loop.create_future()
        self._waiting += 1
        if self._waiting > len(self._threads) and len(self._threads) < self._settings.readers_max:
            thread = threading.Thread(
                target=self._main, args=(self._delivery,), name="perdure-store-reader", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        self._jobs.put((query, future))
        return future

    def close(self) -> None:
        """Finish the reads that were handed over and end the threads. Blocks: not for the loop."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _finished(self) -> None:
        self._waiting -= 1

    def _main(self, delivery: Delivery) -> None:
        reader = _Reader(self._path, self._settings)
        while (job := self._jobs.get()) is not None:
            query, future = job
            try:
                result = reader.read(query)
            except BaseException as error:
                # Whatever it is, whoever asked is told, and the thread goes on for the others.
                delivery.post((future, None, error), self._finished)
            else:
                delivery.post((future, result, None), self._finished)
        reader.drop()


class Glance:
    """Point lookups of some microseconds on the loop's own thread, which save a hand-off."""

    def __init__(self, path: str, settings: SqliteSettings) -> None:
        self._path = path
        self._settings = settings
        self._connection: apsw.Connection | None = None

    def finds_nothing(self, sql: str, parameters: tuple[int | str, ...]) -> bool:
        """Whether a query has no row among what is committed now; False also when it fails.

        Outside of a transaction each statement sees the newest commit.
        """
        try:
            if self._connection is None:
                self._connection = open_reader(self._path, self._settings)
            return self._connection.execute(sql, parameters).get is None
        except ENVIRONMENT_ERRORS:
            self.close()
            return False

    def close(self) -> None:
        """Close the connection; the next lookup opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)


class _Reader:
    """One connection and the limit on each use of it."""

    def __init__(self, path: str, settings: SqliteSettings) -> None:
        self._path = path
        self._settings = settings
        self._connection: apsw.Connection | None = None
        self._deadline = 0.0

    def read(self, query: Query[T]) -> T:
        """The answer of `query`, or StoreUnavailable."""
        self._deadline = time.monotonic() + self._settings.read_seconds_max
        try:
            if self._connection is None:
                self._connection = open_reader(self._path, self._settings)
                self._connection.set_progress_handler(self._is_late, STEPS_BETWEEN_CHECKS)
            self._connection.execute("BEGIN")
            try:
                return query(self._connection)
            finally:
                self._connection.execute("COMMIT")
        except apsw.InterruptError as error:
            seconds = self._settings.read_seconds_max
            raise StoreUnavailable(f"a read took longer than {seconds} s") from error
        except ENVIRONMENT_ERRORS as error:
            self.drop()
            raise StoreUnavailable(f"the database cannot be read: {error}") from error

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def drop(self) -> None:
        """Close the connection; the next read opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)
