"""The one thread that writes.

Jobs are carried out in the order in which they were handed over. A commit that was handed over
before the failure of an earlier one had been reported rests on what was never written, so it fails
with it: whole when the earlier one failed whole, and for the poisoned workflows when it was
poisoned.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from perdure.server.store.ports import (
    Commit,
    CommitResult,
    StoreStatistics,
    StoreUnavailable,
)
from perdure.server.store.sqlite.connections import SqliteSettings
from perdure.server.store.sqlite.delivery import Delivery
from perdure.server.store.sqlite.groups import GroupWriter, WorkflowKey

T = TypeVar("T")

PAGES_FREED_MAX = 1024
"""Pages given back in one idle moment, so that a commit never waits long for it."""


class _Job:
    """Something for the thread to do; `failures_seen` tells which failures its maker knew of."""

    __slots__ = ("failures_seen", "future", "work")

    def __init__(
        self, work: Callable[[], Any] | Commit | None, future: asyncio.Future[Any], seen: int
    ) -> None:
        self.work = work
        self.future = future
        self.failures_seen = seen


class Writer:
    """The thread, its queue, and the counters that everybody may read."""

    def __init__(
        self, groups: GroupWriter, settings: SqliteSettings, before_closing: Callable[[], None]
    ) -> None:
        self._groups = groups
        self._settings = settings
        self._before_closing = before_closing
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._delivery: Delivery | None = None
        self._failures_seen = 0
        # Of the thread: failures that a waiting job may not know of. None: all workflows.
        self._failures: list[tuple[int, set[WorkflowKey] | None]] = []
        self._failures_made = 0
        self._checkpoint_pages = settings.checkpoint_bytes // groups.page_bytes
        self._log_pages_max = settings.log_bytes_max // groups.page_bytes
        self._checkpoint_at_pages = self._checkpoint_pages
        self._log_pages_seen = 0
        self._statistics = (0, 0, 0.0)

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have `work` called on the thread."""
        return self._put(work)

    def commit(self, commit: Commit) -> asyncio.Future[CommitResult]:
        """Have a commit carried out."""
        return self._put(commit)

    def close(self) -> asyncio.Future[None]:
        """Have the thread finish what was handed over, close the database, and end."""
        return self._put(None)

    def join(self) -> None:
        """Wait for the thread, which is about to end once `close` has been answered."""
        if self._thread is not None:
            self._thread.join()

    def statistics(self) -> StoreStatistics:
        """Counters since the store was opened."""
        return StoreStatistics(*self._statistics)

    def _put(self, work: Callable[[], Any] | Commit | None) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._delivery = Delivery(loop)
            self._thread = threading.Thread(
                target=self._main, args=(self._delivery,), name="perdure-store-writer", daemon=True
            )
            self._thread.start()
        future = loop.create_future()
        self._jobs.put(_Job(work, future, self._failures_seen))
        return future

    def _main(self, delivery: Delivery) -> None:
        logged = False
        while True:
            try:
                job = self._jobs.get(timeout=self._settings.idle_seconds if logged else None)
            except queue.Empty:
                self._groups.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._groups.free_pages(PAGES_FREED_MAX)
                logged = False
                continue
            if job.work is None:
                self._before_closing()
                self._groups.close()
                delivery.post((job.future, None, None))
                return
            self._carry_out(job, delivery)
            self._checkpoint_if_large()
            logged = True

    def _carry_out(self, job: _Job, delivery: Delivery) -> None:
        failures_before = self._failures_made
        result: Any = None
        failure: BaseException | None = None
        try:
            if isinstance(job.work, Commit):
                result = self._commit(job.work, job.failures_seen)
            elif job.work is not None:
                result = job.work()
        except BaseException as error:
            # Whatever it is, whoever asked is told, and the thread goes on for the others.
            failure = error
        made = self._failures_made
        delivery.post(
            (job.future, result, failure),
            None if made == failures_before else lambda: self._see(made),
        )

    def _see(self, failures_made: int) -> None:
        self._failures_seen = failures_made

    def _commit(self, commit: Commit, failures_seen: int) -> CommitResult:
        started = time.perf_counter()
        known_bad = self._unseen_failures(failures_seen)
        bad_workflows = set(known_bad)
        result: CommitResult | None = None
        try:
            result = self._groups.execute(commit, bad_workflows)
        finally:
            if result is None:
                self._note_failure(None)
        if len(bad_workflows) > len(known_bad):
            self._note_failure(bad_workflows - known_bad)
        groups, writes, busy = self._statistics
        busy += time.perf_counter() - started
        self._statistics = (groups + 1, writes + len(commit.writes), busy)
        return result

    def _unseen_failures(self, seen: int) -> set[WorkflowKey]:
        """Workflows that failed unknown to the maker of the job. Raises when everything did."""
        self._failures = [failure for failure in self._failures if failure[0] > seen]
        keys: set[WorkflowKey] = set()
        for _, failed in self._failures:
            if failed is None:
                raise StoreUnavailable("an earlier commit failed before this one was written")
            keys |= failed
        return keys

    def _note_failure(self, keys: set[WorkflowKey] | None) -> None:
        self._failures_made += 1
        self._failures.append((self._failures_made, keys))

    def _checkpoint_if_large(self) -> None:
        """Between two groups: copy the log when it has grown by enough since the last time."""
        pages = self._groups.log_pages
        if pages < self._log_pages_seen:
            self._checkpoint_at_pages = self._checkpoint_pages
        self._log_pages_seen = pages
        if pages < self._checkpoint_at_pages:
            return
        if pages < self._log_pages_max:
            self._groups.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        else:
            # Readers that overlap without a gap never let the log start anew: wait for them once.
            self._groups.checkpoint(
                apsw.SQLITE_CHECKPOINT_RESTART, self._settings.reader_wait_milliseconds
            )
        self._checkpoint_at_pages = pages + self._checkpoint_pages
