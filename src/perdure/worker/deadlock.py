"""Notices workflow code that does not let go of the thread.

Workflow code runs on the worker's event loop, where code that blocks holds up everything. A thread
looks at what is running now and then. Code that has run for too long is interrupted by an
exception, which takes effect as soon as it executes Python again; its task is failed with the line
at which it was seen. Code that waits (for a lock, a queue, a future) executes nothing: where it
runs in the program's main thread, a signal has it look up. What goes on all the same, in a call
that heeds neither, is logged while it lasts, since nothing else would tell why the worker stands
still.

What counts is the processor time that the code has used, or the time for which it has waited at one
place without using any: on a machine that is busy with others, or was asleep, code that makes
little headway is not to blame.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final, TypeVar

from perdure._replay.errors import InterruptedCodeError

_Result = TypeVar("_Result")
_log = logging.getLogger("perdure.worker")

LOOKS_PER_LIMIT: Final = 8
LIMITS_ON_THE_WALL: Final = 5
"""So many limits may pass on the clock on the wall, for code that works and waits by turns."""
IDLE_SHARE: Final = 0.01
"""Code that waits uses a smaller share of the processor."""
_OWN: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NOT_THE_USERS: Final = (_OWN, os.path.dirname(asyncio.__file__) + os.sep)
_BEGIN: Final = os.path.join(_OWN, "_replay", "runner.py")


class DeadlockError(Exception):
    """Workflow code did not let go of the thread in time."""


_Place = tuple[int, int]
"""Which frame is the innermost, and at which instruction it is."""


class BlockedTime:
    """For how long code has kept its thread, as far as it is to blame for it."""

    __slots__ = ("_cpu_seconds", "_place", "seconds", "wall_seconds")

    def __init__(self, cpu_seconds: float | None, place: _Place | None) -> None:
        self._cpu_seconds = cpu_seconds
        self._place = place
        self.seconds = 0.0
        self.wall_seconds = 0.0
        """Time between two looks counts as it was meant to be, in case nobody could look."""

    def look(self, cpu_seconds: float | None, place: _Place | None, interval: float) -> None:
        """After so long, it has used so much of the processor and has come to this place. None:
        nobody can tell."""
        self.wall_seconds += interval
        if cpu_seconds is None or self._cpu_seconds is None:
            self.seconds += interval
            return
        used = cpu_seconds - self._cpu_seconds
        waits = used < interval * IDLE_SHARE and place == self._place
        self.seconds += interval if waits else used
        self._cpu_seconds, self._place = cpu_seconds, place


class _Running:
    __slots__ = ("blocked", "looks_since", "stack", "thread_id")

    def __init__(self) -> None:
        self.thread_id = threading.get_ident()
        self.stack: str | None = None
        self.looks_since = 0
        """How often the watch has looked since it interrupted."""
        self.blocked: BlockedTime | None = None
        """Begins with the first look: most code has ended by then."""


class DeadlockWatch:
    """A thread that looks; one for each worker."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to look. Only from the main thread can code in it be reached that waits."""
        _heed_signal()
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
        except InterruptedCodeError:
            # It may have come as late as in `_end`. The next would come a whole limit later.
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
                report = None if running is None else self._look_at(running)
            # Not under the lock: a handler may block, and the code must be able to end.
            if report is not None:
                _log.error("%s", report)

    def _look_at(self, running: _Running) -> str | None:
        """Interrupts code that has had its time; what to say when that is in vain."""
        if running.stack is not None:
            running.looks_since += 1
            if running.looks_since % LOOKS_PER_LIMIT:
                return None
        elif not self._is_over(running):
            return None
        # The exception comes where the thread is just now, since it needs the interpreter to get
        # any further. Between the lines of the user's it would do damage.
        stack = _stack_of(running.thread_id)
        if not stack:
            return None
        running.stack = running.stack or stack
        _interrupt(running.thread_id)
        if running.looks_since != LOOKS_PER_LIMIT:
            return None
        return (
            "Workflow code holds up all of its worker, and cannot be interrupted: it swallows "
            "exceptions, or is in a call that does not come back to Python. Nothing of the worker "
            f"goes on until it ends. It is here:\n{stack}"
        )

    def _is_over(self, running: _Running) -> bool:
        """Whether the code has had its time. It runs as long as the lock is held."""
        cpu_seconds, place = _cpu_seconds(running.thread_id), _place_of(running.thread_id)
        blocked = running.blocked
        if blocked is None:
            running.blocked = BlockedTime(cpu_seconds, place)
            return False
        blocked.look(cpu_seconds, place, self._limit_seconds / LOOKS_PER_LIMIT)
        return (
            blocked.seconds >= self._limit_seconds
            or blocked.wall_seconds >= self._limit_seconds * LIMITS_ON_THE_WALL
        )


def _cpu_seconds(thread_id: int) -> float | None:
    """What a running thread has used of the processor; None where that cannot be asked."""
    if sys.platform in ("win32", "darwin"):
        return None
    return time.clock_gettime(time.pthread_getcpuclockid(thread_id))


def _place_of(thread_id: int) -> _Place | None:
    frame = sys._current_frames().get(thread_id)
    return None if frame is None else (id(frame), frame.f_lasti)


def _heed_signal() -> None:
    """Has the main thread run Python when SIGURG comes, which the system ignores by itself.

    The handler stays: it does nothing, and other workers may rely on it.
    """
    if (
        hasattr(signal, "SIGURG")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGURG) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGURG, _run_python)


def _run_python(_signal_number: int, _frame: FrameType | None) -> None:
    """Waiting ends by what is raised here, and that is what the watch has put down to be raised."""


def _interrupt(thread_id: int) -> None:
    raise_in_thread(thread_id, InterruptedCodeError)
    if thread_id != threading.main_thread().ident or not hasattr(signal, "SIGURG"):
        return
    # Another handler is somebody else's, who would take the signal for what it means to him.
    if signal.getsignal(signal.SIGURG) is _run_python:
        signal.pthread_kill(thread_id, signal.SIGURG)


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
    return "".join(traceback.format_list(without_own_frames(frames[begin:]))).rstrip()


def without_own_frames(frames: list[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """The frames that are neither the SDK's nor asyncio's."""
    return [frame for frame in frames if not frame.filename.startswith(_NOT_THE_USERS)]
