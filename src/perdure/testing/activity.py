"""Runs an activity's function without a worker, with everything that it may ask of one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from perdure._definitions import ACTIVITY_ATTRIBUTE, ActivityDefinition
from perdure.activity import (
    ActivityCancellationDetails,
    Info,
    _Context,
    _current_context,
    _Flag,
)
from perdure.client import Client
from perdure.common import MetricMeter, Priority
from perdure.converter import DataConverter, PayloadConverter
from perdure.worker.thread_activity import ThreadCancellation

_Params = ParamSpec("_Params")
_Return = TypeVar("_Return")

_CANCEL_REQUESTED = ActivityCancellationDetails(cancel_requested=True)


class ActivityEnvironment:
    """What an activity finds around it: change the attributes before `run`.

    - `info`: what `activity.info()` returns
    - `on_heartbeat`: called with the details of each heartbeat
    - `payload_converter`: what `activity.payload_converter()` returns
    - `metric_meter`: what `activity.metric_meter()` returns
    """

    def __init__(self, client: Client | None = None) -> None:
        """The client is what `activity.client()` returns in async activities."""
        self.info = self.default_info()
        self.on_heartbeat: Callable[..., None] = lambda *details: None
        self.payload_converter: PayloadConverter = DataConverter.default.payload_converter
        self.metric_meter: MetricMeter = MetricMeter.noop
        self._client = client
        self._cancellation: ActivityCancellationDetails | None = None
        self._worker_is_shut_down = False
        self._runs: list[_Run] = []

    @staticmethod
    def default_info() -> Info:
        """What `info` is at first; `dataclasses.replace` changes some of it."""
        epoch = datetime.fromtimestamp(0, UTC)
        return Info(
            activity_id="test",
            activity_type="unknown",
            attempt=1,
            current_attempt_scheduled_time=epoch,
            heartbeat_details=[],
            heartbeat_timeout=None,
            is_local=False,
            namespace="default",
            schedule_to_close_timeout=timedelta(seconds=1),
            scheduled_time=epoch,
            start_to_close_timeout=timedelta(seconds=1),
            started_time=epoch,
            task_queue="test",
            task_token=b"test",
            workflow_id="test",
            workflow_namespace="default",
            workflow_run_id="test-run",
            workflow_type="test",
            priority=Priority.default,
            retry_policy=None,
        )

    def cancel(self, cancellation_details: ActivityCancellationDetails = _CANCEL_REQUESTED) -> None:
        """Asks the activity to stop; only the first time counts.

        Call it on the event loop of an async activity, from any thread for others.
        """
        if self._cancellation is not None:
            return
        self._cancellation = cancellation_details
        for run in list(self._runs):
            run.cancel(cancellation_details)

    def worker_shutdown(self) -> None:
        """Tells the activity that the worker is shutting down."""
        self._worker_is_shut_down = True
        for run in list(self._runs):
            run.worker_shutdown.set()

    def run(
        self, fn: Callable[_Params, _Return], *args: _Params.args, **kwargs: _Params.kwargs
    ) -> _Return:
        """Runs the function, decorated or not; that of an async activity is to be awaited."""
        is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)
        run = _Run(self, fn, is_async=is_async, client=self._client if is_async else None)
        if self._worker_is_shut_down:
            run.worker_shutdown.set()
        if is_async:
            return run.run_async(fn, args, kwargs)  # type: ignore[return-value]
        return run.run_here(fn, args, kwargs)  # type: ignore[no-any-return]


class _Run:
    """One call of a function."""

    def __init__(
        self, environment: ActivityEnvironment, fn: Any, *, is_async: bool, client: Client | None
    ) -> None:
        self._environment = environment
        self._cancellation = None if is_async or not _raises_in_thread(fn) else ThreadCancellation()
        self.worker_shutdown = _Flag(awaitable=is_async)
        self._task: asyncio.Task[Any] | None = None
        self._context = _Context(
            info=lambda: environment.info,
            heartbeat=lambda details: environment.on_heartbeat(*details),
            cancelled=_Flag(awaitable=is_async),
            worker_shutdown=self.worker_shutdown,
            payload_converter=lambda: environment.payload_converter,
            shield=None if self._cancellation is None else self._cancellation.shielded,
            client=client,
            metric_meter=lambda: environment.metric_meter,
        )

    def cancel(self, details: ActivityCancellationDetails) -> None:
        """Asks the function to stop."""
        self._context.cancellation_details = details
        self._context.cancelled.set()
        if self._cancellation is not None:
            self._cancellation.cancel()
        if self._task is not None:
            self._task.cancel()

    def run_async(self, fn: Any, args: Any, kwargs: Any) -> Awaitable[Any]:
        """Runs an async function in a task of its own, which a cancellation cancels."""

        async def call() -> Any:
            _current_context.set(self._context)
            return await fn(*args, **kwargs)

        async def wait() -> Any:
            task = self._task = asyncio.create_task(call())
            self._begin()
            try:
                return await task
            finally:
                task.cancel()
                self._end()

        return wait()

    def run_here(self, fn: Any, args: Any, kwargs: Any) -> Any:
        """Runs a function in this thread."""
        self._begin()
        try:
            context = copy_context()
            context.run(_current_context.set, self._context)
            if self._cancellation is None:
                return context.run(fn, *args, **kwargs)
            return self._cancellation.run(lambda: context.run(fn, *args, **kwargs))
        finally:
            self._end()

    def _begin(self) -> None:
        environment = self._environment
        environment._runs.append(self)
        if environment._cancellation is not None:
            self.cancel(environment._cancellation)

    def _end(self) -> None:
        self._environment._runs.remove(self)


def _raises_in_thread(fn: Any) -> bool:
    definition = getattr(fn, ACTIVITY_ATTRIBUTE, None)
    return not (
        isinstance(definition, ActivityDefinition) and definition.no_thread_cancel_exception
    )
