"""What activity code uses: the decorator of activities, and what may be called in them.

Which activity is running is kept in a context variable. It is set before the activity begins and
follows it into the thread or process that runs it, and wherever else the context is passed on to.
"""

from __future__ import annotations

import inspect
import logging
import threading
from asyncio import Future, get_running_loop
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from perdure._definitions import ACTIVITY_ATTRIBUTE, ActivityDefinition, is_dynamic, types_of
from perdure.common import MetricMeter, Priority, RetryPolicy
from perdure.common.activity_cancellation import ActivityCancellationDetails
from perdure.converter import PayloadConverter
from perdure.converter.transfer_types import with_transfer_types

if TYPE_CHECKING:
    from perdure.client import Client

__all__ = [
    "ActivityCancellationDetails",
    "Info",
    "LoggerAdapter",
    "cancellation_details",
    "client",
    "defn",
    "heartbeat",
    "in_activity",
    "info",
    "is_cancelled",
    "is_worker_shutdown",
    "logger",
    "metric_meter",
    "payload_converter",
    "raise_complete_async",
    "shield_thread_cancel_exception",
    "wait_for_cancelled",
    "wait_for_cancelled_sync",
    "wait_for_worker_shutdown",
    "wait_for_worker_shutdown_sync",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


@overload
def defn(fn: _Function) -> _Function: ...


@overload
def defn(
    *, name: str | None = ..., no_thread_cancel_exception: bool = ..., dynamic: bool = ...
) -> Callable[[_Function], _Function]: ...


def defn(
    fn: Any = None,
    *,
    name: str | None = None,
    no_thread_cancel_exception: bool = False,
    dynamic: bool = False,
) -> Any:
    """Makes a function, or an object that can be called, an activity; async or not.

    It is named as the function unless a name is given. A dynamic activity serves every type that
    no other serves. With `no_thread_cancel_exception` a cancellation raises nothing in the thread.
    """

    def decorate(decorated: Any) -> Any:
        definition = _define(
            decorated,
            name=None if dynamic else name or decorated.__name__,
            no_thread_cancel_exception=no_thread_cancel_exception,
        )
        setattr(decorated, ACTIVITY_ATTRIBUTE, definition)
        return decorated

    if name is not None and dynamic:
        raise RuntimeError("Cannot provide name and dynamic boolean")
    return decorate if fn is None else decorate(fn)


def _define(fn: Any, *, name: str | None, no_thread_cancel_exception: bool) -> ActivityDefinition:
    if hasattr(fn, ACTIVITY_ATTRIBUTE):
        raise ValueError("Function already contains activity definition")
    if not callable(fn):
        raise TypeError("Activity is not callable")
    # Of a class, the objects are activities.
    call = fn.__call__ if inspect.isclass(fn) else type(fn).__call__
    for parameter in inspect.signature(call if inspect.isclass(fn) else fn).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            raise TypeError("Activity cannot have keyword-only arguments")
    arg_types, ret_type = types_of(call if inspect.isclass(fn) else fn)
    if name is None and not is_dynamic(arg_types):
        raise TypeError("Dynamic activity must accept a single Sequence[RawValue]")
    return ActivityDefinition(
        name=name,
        fn=fn,
        is_async=inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(call),
        arg_types=arg_types,
        ret_type=ret_type,
        no_thread_cancel_exception=no_thread_cancel_exception,
    )


@dataclass(frozen=True)
class Info:
    """What is known of the running attempt of an activity. It does not change."""

    activity_id: str
    activity_type: str
    attempt: int
    current_attempt_scheduled_time: datetime
    heartbeat_details: Sequence[Any]
    """What an earlier attempt last reported."""
    heartbeat_timeout: timedelta | None
    is_local: bool
    namespace: str
    schedule_to_close_timeout: timedelta | None
    scheduled_time: datetime
    start_to_close_timeout: timedelta | None
    started_time: datetime
    task_queue: str
    task_token: bytes
    workflow_id: str | None
    """None, as what else is of a workflow, when no workflow started the activity."""
    workflow_namespace: str | None
    workflow_run_id: str | None
    workflow_type: str | None
    priority: Priority
    retry_policy: RetryPolicy | None
    """None when the service did not tell."""
    activity_run_id: str | None = None
    """None when a workflow started the activity."""

    @property
    def in_workflow(self) -> bool:
        """Whether a workflow started the activity."""
        return self.workflow_id is not None

    def _logger_details(self) -> Mapping[str, Any]:
        return {
            "activity_id": self.activity_id,
            "activity_type": self.activity_type,
            "attempt": self.attempt,
            "namespace": self.namespace,
            "task_queue": self.task_queue,
            "workflow_id": self.workflow_id,
            "workflow_run_id": self.workflow_run_id,
            "workflow_type": self.workflow_type,
        }


class _Flag:
    """Set once, on the event loop; awaited there, or waited for in a thread or another process.

    Most are never waited for, so what waiting needs is made when somebody waits. What has to cross
    a process boundary is given an event that can.
    """

    __slots__ = ("_awaitable", "_event", "_is_set", "_lock", "_waiters")

    def __init__(self, event: threading.Event | None = None, *, awaitable: bool = True) -> None:
        self._event = event
        self._is_set = False
        self._awaitable = awaitable
        self._waiters: list[Future[None]] = []
        self._lock = threading.Lock()

    def set(self) -> None:
        """Sets the flag; call it on the event loop of those who await it."""
        with self._lock:
            self._is_set = True
            event = self._event
        if event is not None:
            event.set()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set or (self._event is not None and self._event.is_set())

    async def wait(self) -> None:
        """Waits on the event loop."""
        if not self._awaitable:
            raise RuntimeError("cannot use async form of event from non-async activity")
        if self._is_set:
            return
        waiter: Future[None] = get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def wait_sync(self, timeout: timedelta | float | None) -> None:
        """Blocks the thread."""
        with self._lock:
            if self._is_set:
                return
            if self._event is None:
                self._event = threading.Event()
            event = self._event
        event.wait(timeout.total_seconds() if isinstance(timeout, timedelta) else timeout)


class _Context:
    """What the functions of this module reach for one running activity."""

    def __init__(
        self,
        *,
        info: Callable[[], Info],
        heartbeat: Callable[[Sequence[Any]], None],
        cancelled: _Flag,
        worker_shutdown: _Flag,
        payload_converter: Callable[[], PayloadConverter],
        shield: Callable[[], AbstractContextManager[None]] | None = None,
        client: Client | None = None,
        metric_meter: Callable[[], MetricMeter] | None = None,
    ) -> None:
        self.heartbeat = heartbeat
        self.cancelled = cancelled
        self.worker_shutdown = worker_shutdown
        self.shield = shield
        self.client = client
        self.cancellation_details: ActivityCancellationDetails | None = None
        self._make_info = info
        self._make_metric_meter = metric_meter
        self._metric_meter: MetricMeter | None = None
        self._make_payload_converter = payload_converter
        self._info: Info | None = None
        self._payload_converter: PayloadConverter | None = None

    @property
    def info(self) -> Info:
        """Made when somebody first asks."""
        if self._info is None:
            self._info = self._make_info()
        return self._info

    @property
    def payload_converter(self) -> PayloadConverter:
        """Made when somebody first asks."""
        if self._payload_converter is None:
            self._payload_converter = with_transfer_types(self._make_payload_converter())
        return self._payload_converter

    @property
    def metric_meter(self) -> MetricMeter:
        """Made when somebody first asks."""
        if self._metric_meter is None:
            if self._make_metric_meter is None:
                raise RuntimeError(
                    "Metrics meter not available in non-async or non-threaded activities"
                )
            self._metric_meter = self._make_metric_meter()
        return self._metric_meter


_current_context: ContextVar[_Context] = ContextVar("perdure_activity")


def _current() -> _Context:
    context = _current_context.get(None)
    if context is None:
        raise RuntimeError("Not in activity context")
    return context


class _CompleteAsyncError(BaseException):
    """The activity goes on elsewhere; its function has nothing more to say."""


def client() -> Client:
    """The client of the worker. Raises RuntimeError in an activity that is not async."""
    found = _current().client
    if found is None:
        raise RuntimeError(
            "No client available. The client is only available in `async def` activities; not in "
            "`def` activities. In tests you can pass a client when creating ActivityEnvironment."
        )
    return found


def in_activity() -> bool:
    """Whether an activity is running here."""
    return _current_context.get(None) is not None


def info() -> Info:
    """What is known of the running activity. Raises RuntimeError outside of one."""
    return _current().info


def cancellation_details() -> ActivityCancellationDetails | None:
    """Why the activity should stop; None as long as it should not. It does not change once set."""
    return _current().cancellation_details


def heartbeat(*details: Any) -> None:
    """Say that the activity is alive, and how far it is: another attempt is told the details.

    It does not wait: the newest details are sent now and then, as the heartbeat timeout demands.
    The answer may ask the activity to stop.
    """
    _current().heartbeat(details)


def is_cancelled() -> bool:
    """Whether the activity has been asked to stop."""
    return _current().cancelled.is_set()


@contextmanager
def shield_thread_cancel_exception() -> Iterator[None]:
    """Holds a cancellation back that would raise in this thread, until the block has ended.

    It is raised then, whatever the block did. Blocks may be nested. In activities that are async or
    run in another process it changes nothing.
    """
    shield = _current().shield
    if shield is None:
        yield
    else:
        with shield():
            yield


async def wait_for_cancelled() -> None:
    """Waits until the activity is asked to stop. Raises RuntimeError unless it is async."""
    await _current().cancelled.wait()


def wait_for_cancelled_sync(timeout: timedelta | float | None = None) -> None:
    """Blocks until the activity is asked to stop, or the timeout has passed."""
    _current().cancelled.wait_sync(timeout)


def is_worker_shutdown() -> bool:
    """Whether the worker is shutting down."""
    return _current().worker_shutdown.is_set()


async def wait_for_worker_shutdown() -> None:
    """Waits until the worker shuts down. Raises RuntimeError unless the activity is async."""
    await _current().worker_shutdown.wait()


def wait_for_worker_shutdown_sync(timeout: timedelta | float | None = None) -> None:
    """Blocks until the worker shuts down, or the timeout has passed."""
    _current().worker_shutdown.wait_sync(timeout)


def raise_complete_async() -> NoReturn:
    """Ends the function but not the activity, which somebody completes through its handle."""
    raise _CompleteAsyncError


def payload_converter() -> PayloadConverter:
    """The payload converter of the running activity, for the raw values of a dynamic one."""
    return _current().payload_converter


def metric_meter() -> MetricMeter:
    """The meter of the running activity. Raises RuntimeError in one that has its own process."""
    return _current().metric_meter


class LoggerAdapter(logging.LoggerAdapter[logging.Logger]):
    """Adds the details of the running activity to each record.

    - `activity_info_on_message`: the details are appended to the message (default: yes)
    - `activity_info_on_extra`: they are in the record's `temporal_activity` (default: yes)
    - `full_activity_info_on_extra`: the `Info` is in the record's `activity_info` (default: no)
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.activity_info_on_message = True
        self.activity_info_on_extra = True
        self.full_activity_info_on_extra = False

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Adds the details."""
        context = _current_context.get(None)
        extra = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        if context is not None:
            details = context.info._logger_details()
            if self.activity_info_on_message:
                msg = f"{msg} ({details})"
            if self.activity_info_on_extra:
                extra["temporal_activity"] = details
            if self.full_activity_info_on_extra:
                extra["activity_info"] = context.info
        if extra:
            kwargs["extra"] = extra
        return msg, kwargs

    @property
    def base_logger(self) -> logging.Logger:
        """The logger underneath, to configure."""
        return self.logger


logger = LoggerAdapter(logging.getLogger(__name__), None)
"""For activity code."""
