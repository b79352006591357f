"""Notices workflow code that does not let go of the thread.

Workflow code runs on the worker's event loop, where code that blocks holds up everything. A thread
looks at what is running now and then. Code that has run for too long is interrupted by an
exception, which takes effect as soon as it executes Python again; its task is failed with the line
at which it was seen.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final, TypeVar

_Result = TypeVar("_Result")

LOOKS_PER_LIMIT: Final = 8
_OWN: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NOT_THE_USERS: Final = (_OWN, os.path.dirname(asyncio.__file__) + os.sep)
_BEGIN: Final = os.path.join(_OWN, "_replay", "runner.py")


class DeadlockError(Exception):
    """Workflow code did not let go of the thread in time."""


class _InterruptedByWatch(BaseException):
    """Raised into the thread that blocks."""


class _Running:
    __slots__ = ("since", "stack", "thread_id")

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.thread_id = threading.get_ident()
        self.stack: str | None = None


class DeadlockWatch:
    """A thread that looks; one for each worker."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to look."""
        self._thread = threading.Thread(
            target=self._look, name="perdure deadlock watch", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Looks no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def run(self, code: Callable[[], _Result]) -> _Result:
        """Runs workflow code. Raises DeadlockError when that took too long, even if it ended."""
        self._running = running = _Running()
        result: _Result | None = None
        try:
            try:
                result = code()
            finally:
                self._end(running)
        except _InterruptedByWatch:
            # It may have come as late as in `_end`. It comes only once.
            self._end(running)
        if running.stack is not None:
            raise DeadlockError(
                "[TMPRL1101] Potential deadlock detected: workflow didn't yield within "
                f"{self._limit_seconds:g} second(s). It was here:\n{running.stack}"
            )
        return result  # type: ignore[return-value]

    def _end(self, running: _Running) -> None:
        with self._lock:
            self._running = None
        if running.stack is not None:
            # When the code ended by itself just now, the exception has not been raised yet.
            raise_in_thread(running.thread_id, None)

    def _look(self) -> None:
        while not self._stop.wait(self._limit_seconds / LOOKS_PER_LIMIT):
            with self._lock:
                running = self._running
                if running is None or running.stack is not None:
                    continue
                if time.monotonic() - running.since <= self._limit_seconds:
                    continue
                # The exception comes where the thread is just now, since it needs the interpreter
                # to get any further. Between the lines of the user's it would do damage.
                stack = _stack_of(running.thread_id)
                if stack:
                    running.stack = stack
                    raise_in_thread(running.thread_id, _InterruptedByWatch)


def raise_in_thread(thread_id: int, exception: type[BaseException] | None) -> None:
    """Has a thread raise an exception when it next executes Python; None takes it back."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), None if exception is None else ctypes.py_object(exception)
    )


def _stack_of(thread_id: int) -> str:
    """Where in the workflow's code a thread is, without what is the SDK's; empty when it is not in
    the user's code at all."""
    frames = traceback.extract_stack(sys._current_frames().get(thread_id))
    begin = next((index for index, frame in enumerate(frames) if frame.filename == _BEGIN), 0)
    users = [frame for frame in frames[begin:] if not frame.filename.startswith(_NOT_THE_USERS)]
    return "".join(traceback.format_list(users)).rstrip()
