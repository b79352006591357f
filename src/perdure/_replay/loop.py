"""The event loop that workflow code runs on: deterministic, and without a clock of its own.

Ready handles run in the order in which they became ready. A timer is a command, so `asyncio.sleep`
and everything built on `call_later` are durable. `time()` is the time of the run: that of the task
being worked on. Nothing here waits: when no handle is ready, the code has done what it can.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, TypeVarTuple, Unpack, cast

from temporalio.api.sdk.v1 import UserMetadata

from perdure._replay.commands.timer import TimerMachine, start_timer_command
from perdure._replay.errors import InterruptedCodeError, NondeterministicCallError
from perdure._replay.event_groups import EventGroup

if TYPE_CHECKING:
    from perdure._replay.context import WorkflowContext

_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")
_log = logging.getLogger("perdure.workflow")


class TimerLabels(NamedTuple):
    """What tells people what a timer is for."""

    metadata: UserMetadata | None = None
    groups: Sequence[EventGroup] | None = None


_NO_LABELS = TimerLabels()
TIMER_LABELS: ContextVar[TimerLabels] = ContextVar("perdure_timer_labels", default=_NO_LABELS)
"""The labels of timers that asyncio starts for `wait_condition`."""

_SECOND_NS = 1_000_000_000
_TASK_COUNT_BITS = 12


class TimerHandle(asyncio.TimerHandle):
    """A pending timer; cancelling it cancels the timer of the run."""

    def __init__(
        self,
        loop: WorkflowLoop,
        delay: float,
        labels: TimerLabels,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> None:
        super().__init__(loop.time() + delay, callback, args, loop, context)
        owner = loop.context
        command = start_timer_command(str(owner.next_sequence("timer")), int(delay * _SECOND_NS))
        if labels.metadata is not None:
            command.user_metadata.CopyFrom(labels.metadata)
        owner.mark(command, labels.groups)
        self._ready = loop.ready
        self.machine = TimerMachine(owner.machine, command, self._fired)

    def _fired(self, _: None) -> None:
        if not self._cancelled:
            self._ready.append(self)


class WorkflowTask(asyncio.Task[_Result]):
    """A task whose hash follows from the run and from how many tasks there were before it.

    Sets of tasks, which `asyncio.wait` returns and in which a `TaskGroup` keeps what it cancels,
    then have the same order on replay. The hashes of most objects differ from process to process.
    """

    def __init__(
        self,
        coro: Generator[Any, None, _Result] | Coroutine[Any, Any, _Result],
        *,
        loop: WorkflowLoop,
        name: str | None = None,
        context: Context | None = None,
    ) -> None:
        loop.last_task_hash += 1
        self._hash = loop.last_task_hash
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._hash


class WorkflowFuture(asyncio.Future[_Result]):
    """A future whose hash is that of how many futures were hashed before it, for the same reason.

    Nearly none ever is, and what is only asked of a run must not change the numbers of others: so
    it is counted when it is first asked.
    """

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            loop = cast(WorkflowLoop, self.get_loop())
            loop.last_future_hash += 1
            self._hash = loop.last_future_hash
        return self._hash


class WorkflowLoop(asyncio.AbstractEventLoop):
    """The loop of one run. What it does not define, workflow code has no use for."""

    def __init__(self, context: WorkflowContext) -> None:
        self.context = context
        self.ready: deque[asyncio.Handle] = deque()
        self.guarded = False
        self.is_entered = False
        """Whether the guard stands while its code runs."""
        self.debugging = False
        """Whether a debugger may do what the guard refuses."""
        self.last_task_hash = 0
        self.last_future_hash = 0
        self._exception_handler: Callable[..., Any] | None = None

    def begin(self, first_run_id: str) -> None:
        """The run that this one is, or was before it was reset, is known."""
        # The low bits count, so that sets of few tasks are in the order in which they were made;
        # the others keep tasks of different runs apart in the sets of all tasks.
        self.last_task_hash = zlib.crc32(first_run_id.encode()) << _TASK_COUNT_BITS

    def call_soon(
        self,
        callback: Callable[[Unpack[_Arguments]], object],
        *args: *_Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Runs the callback after everything that is ready now."""
        if self.context.read_only is not None:
            self.context.check_not_read_only("schedule task")
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Arguments]], object],
        *args: *_Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Starts a timer of the run."""
        return self.start_timer(delay, TIMER_LABELS.get(), callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Arguments]], object],
        *args: *_Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Starts a timer of the run for a time computed from `time()`.

        Rounded to milliseconds, as the official SDK does, for floats do not hold nanoseconds.
        """
        return self.call_later(round(when - self.time(), 3), callback, *args, context=context)

    def start_timer(
        self,
        delay: float,
        labels: TimerLabels,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Starts a timer of the run, with its labels. Raises RuntimeError for a negative delay."""
        if self.context.evicting:
            # `asyncio.sleep` then waits for ever, and so lets go of the thread: code that goes on
            # whatever is raised would not.
            return asyncio.TimerHandle(0.0, callback, args, self, context)
        self.context.check_not_read_only("schedule timer")
        if delay < 0:
            raise RuntimeError(f"a timer cannot fire in the past: {delay} s")
        return TimerHandle(self, delay, labels, callback, args, context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, TimerHandle):
            self.context.check_not_read_only("cancel timer")
            handle.machine.cancel()

    def time(self) -> float:
        """The time of the run, in seconds."""
        return self.context.machine.time_ns / 1e9

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return WorkflowFuture(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, _Result] | Coroutine[Any, Any, _Result],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[_Result]:
        """A task of this loop, which lives as long as the run."""
        if self.context.evicting:
            coro.close()
        self.context.check_not_read_only("create task")
        task = WorkflowTask(coro, loop=self, name=name, context=context)
        self.context.keep_task(task)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Refused: a thread's result would come at another time on replay."""
        del executor, func, args
        raise NondeterministicCallError(
            "workflow code cannot run something in a thread or process: use an activity instead"
        )

    def get_debug(self) -> bool:
        """Never: debugging looks at the clock."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Does nothing."""

    def is_running(self) -> bool:
        """Whenever anybody can ask, it is."""
        return True

    def is_closed(self) -> bool:
        """Never: an evicted run's loop just has nothing to run."""
        return False

    def get_task_factory(self) -> None:
        """None: tasks are made by `create_task`."""

    def get_exception_handler(self) -> Callable[..., Any] | None:
        """What handles exceptions that nobody awaited."""
        return self._exception_handler

    def set_exception_handler(self, handler: Callable[..., Any] | None) -> None:
        """Handles exceptions that nobody awaited."""
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Logs the exception."""
        message = context.get("message") or "Unhandled exception in workflow code"
        details = [f"{key}: {context[key]!r}" for key in sorted(context) if key != "message"]
        exception = context.get("exception")
        _log.error("%s\n%s", message, "\n".join(details), exc_info=exception)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Hands an exception that nobody awaited to the handler, but not while evicting.

        Nor when code was interrupted: the workflow task fails, and that tells more.
        """
        if self.context.evicting or isinstance(context.get("exception"), InterruptedCodeError):
            return
        if self._exception_handler is None:
            self.default_exception_handler(context)
            return
        try:
            self._exception_handler(self, context)
        except Exception:  # a named boundary: the user's handler must not stop the loop
            _log.exception("the workflow's exception handler failed")


def running_loop() -> WorkflowLoop | None:
    """The loop of the workflow code that is running in this thread, if any is."""
    loop = events._get_running_loop()
    return loop if isinstance(loop, WorkflowLoop) else None
