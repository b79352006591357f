"""Runs activity functions in threads, and raises a cancellation there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from perdure.exceptions import CancelledError
from perdure.worker.deadlock import raise_in_thread


class ThreadCancellation:
    """Raises CancelledError in the thread of one activity, unless it is shielded just then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._shields = 0
        self._pending = False

    def cancel(self) -> None:
        """Raises, now or at the end of the shield; never once the function has ended."""
        with self._lock:
            self._pending = True
            self._raise_pending()

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Nothing is raised inside."""
        with self._lock:
            self._shields += 1
        try:
            yield
        finally:
            with self._lock:
                self._shields -= 1
                self._raise_pending()

    def run(self, call: Callable[[], Any]) -> Any:
        """Runs the function in this thread; a cancellation is raised inside, and not later."""
        try:
            self._begin()
            try:
                return call()
            finally:
                self._end()
        except CancelledError:
            # It may have come as late as in `_end`. It comes only once.
            self._end()
            raise

    def _begin(self) -> None:
        with self._lock:
            self._thread_id = threading.get_ident()
            self._raise_pending()

    def _end(self) -> None:
        with self._lock:
            thread_id, self._thread_id = self._thread_id, None
            if thread_id is not None:
                raise_in_thread(thread_id, None)

    def _raise_pending(self) -> None:
        if self._pending and self._shields == 0 and self._thread_id is not None:
            self._pending = False
            raise_in_thread(self._thread_id, CancelledError)


def in_thread(
    fn: Callable[..., Any], args: Sequence[Any], cancellation: ThreadCancellation | None
) -> Callable[[], Any]:
    """What to run in another thread: the function, in a copy of the present context."""
    context = copy_context()

    def call() -> Any:
        return context.run(fn, *args)

    return call if cancellation is None else lambda: cancellation.run(call)
