"""An asyncio event loop whose time is virtual and whose order is a seed's.

What is allowed to vary, varies: which process runs next (callbacks of one process keep their order,
as asyncio promises), in which order timers of the same time fire, and how much time passes while
something is computed. When nothing is ready, time jumps to the next timer; when there is no timer
either, the loop reports a deadlock.

Everything that runs belongs to a `Process`, by way of its context: an engine, a worker, a client.
A process can be killed between any two of its steps: nothing of it runs afterwards, not even its
`finally` blocks, as after a power loss.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

PAUSE_ODDS = 0.01
"""How often a step takes time."""
PAUSE_SECONDS_MAX = 0.02
"""How much it takes at most."""


class Deadlock(Exception):
    """Nothing is ready and nothing ever will be."""


STEPS_MAX = 200_000
"""A world that takes more steps than this spins."""


class Process:
    """What lives and dies together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self.steps_left = -1
        """Steps until `at_last_step` is called; -1: it is not."""
        self.at_last_step: Callable[[], None] | None = None


_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class SimulatedLoop(asyncio.BaseEventLoop):
    """See the module. It does no I/O, and takes no calls from other threads."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self._now = 0.0
        self._timers: list[tuple[float, float, int, Process, asyncio.TimerHandle]] = []
        self._timer_count = 0
        self._runnable: list[Process] = []
        """Processes with something ready."""
        self.outside = Process("outside")
        self._dead: list[Process] = []
        self.steps = 0
        self.problems: list[str] = []
        """What went wrong in callbacks and tasks that nobody awaits."""
        self.set_exception_handler(self._note_problem)

    # ---- processes

    def spawn(self, process: Process, work: Coroutine[Any, Any, None], *, name: str = "") -> None:
        """Run a coroutine as part of a process; nobody waits for it."""
        _ = self.task_of(process, work, name=name)

    def task_of(
        self, process: Process, work: Coroutine[Any, Any, _T], *, name: str = ""
    ) -> asyncio.Task[_T]:
        """Run a coroutine as part of a process."""
        return self.create_task(work, name=name or process.name, context=self.context_of(process))

    def context_of(self, process: Process) -> contextvars.Context:
        """A context in which callbacks belong to a process."""
        context = contextvars.copy_context()
        context.run(_PROCESS.set, process)
        return context

    def current_process(self) -> Process:
        """Who is running."""
        return _PROCESS.get() or self.outside

    def kill(self, process: Process) -> None:
        """Stop a process for good, as it stands."""
        if not process.is_alive:
            return
        process.is_alive = False
        process.ready.clear()
        if process in self._runnable:
            self._runnable.remove(process)
        self._dead.append(process)

    def kill_after(self, process: Process, steps: int, kill: Callable[[], None]) -> None:
        """Call `kill` when the process has made so many more steps."""
        process.steps_left, process.at_last_step = steps, kill

    # ---- what asyncio asks of a loop

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def create_task(
        self,
        coro: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[_T]:
        """A task of the process that makes it."""
        label = None if name is None else str(name)
        task: asyncio.Task[_T] = asyncio.Task(coro, loop=self, name=label, context=context)
        process = _PROCESS.get() if context is None else context.get(_PROCESS)
        (process or self.outside).tasks.append(task)
        return task

    def call_soon(
        self,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Run a callback after those of its process that are ready already."""
        handle = asyncio.Handle(callback, args, self, context)
        process = _PROCESS.get() if context is None else context.get(_PROCESS)
        self._make_ready(process or self.outside, handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback when so many seconds have passed."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback at a time; those of the same time run in any order."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        process = _PROCESS.get() if context is None else context.get(_PROCESS)
        self._timer_count += 1
        entry = (when, self._dice.random(), self._timer_count, process or self.outside, handle)
        heapq.heappush(self._timers, entry)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when their time comes."""

    def _run_once(self) -> None:
        """One step: one callback of one process."""
        if not self._runnable:
            self._advance()
            if not self._runnable:
                return
        elif self._dice.random() < PAUSE_ODDS:
            self._now += self._dice.random() * PAUSE_SECONDS_MAX
            self._collect_due()
        process = self._choose()
        if process.steps_left >= 0:
            process.steps_left -= 1
            if process.steps_left < 0 and process.at_last_step is not None:
                process.at_last_step()
                return
        handle = process.ready.popleft()
        if not process.ready:
            self._runnable.remove(process)
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Deadlock(f"something spins at {self._now:.6f} s")
        if not handle.cancelled():
            handle._run()

    def _choose(self) -> Process:
        runnable = self._runnable
        if len(runnable) == 1:
            return runnable[0]
        return runnable[int(self._dice.random() * len(runnable))]

    def _make_ready(self, process: Process, handle: asyncio.Handle) -> None:
        if not process.is_alive:
            return
        if not process.ready:
            self._runnable.append(process)
        process.ready.append(handle)

    def _advance(self) -> None:
        timers = self._timers
        while timers and (timers[0][4].cancelled() or not timers[0][3].is_alive):
            heapq.heappop(timers)
        if not timers:
            raise Deadlock(f"nothing is ready at {self._now:.6f} s, and no timer is set")
        self._now = max(self._now, timers[0][0])
        self._collect_due()

    def _collect_due(self) -> None:
        timers = self._timers
        while timers and timers[0][0] <= self._now:
            _, _, _, process, handle = heapq.heappop(timers)
            if not handle.cancelled():
                self._make_ready(process, handle)

    def _note_problem(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self._dead and isinstance(context.get("future"), asyncio.tasks._GatheringFuture):  # type: ignore[attr-defined]
            return  # Whoever waited for it is dead: nobody is left to hear of its error.
        error = context.get("exception")
        self.problems.append(f"{context.get('message')}: {error!r}")

    def _asyncgen_finalizer_hook(self, agen: AsyncGenerator[Any, Any]) -> None:
        """A generator that is left is not gone on with: whoever had it may be dead."""
        self._asyncgens.discard(agen)  # type: ignore[attr-defined]

    # ---- the end

    def bury(self) -> None:
        """Kill whatever is left, release what the dead hold, and close the loop."""
        for process in (self.outside, *{entry[3] for entry in self._timers}, *self._runnable):
            self.kill(process)
        asyncio._set_running_loop(self)  # What the dead tidy up may want to begin something.
        try:
            while left := [process for process in self._dead if process.tasks]:
                for process in left:
                    _release(process.tasks.pop())
        finally:
            asyncio._set_running_loop(None)
        self._timers.clear()
        self.close()


def _release(task: asyncio.Task[Any]) -> None:
    """Let go of a task that will never be run again, without a complaint about it."""
    if task.done():
        if not task.cancelled():
            task.exception()
        return
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    if isinstance(coroutine, Coroutine):
        try:
            coroutine.close()
        except RuntimeError:
            return  # A `finally` block that wants to wait: it is over all the same.
