"""The worker: runs workflows and activities that a service hands out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from perdure._replay.api import PatchActivationInput
from perdure.client import Client
from perdure.worker.config import (
    STORAGE_CALLS,
    PollerBehavior,
    PollerBehaviorAutoscaling,
    WorkerConfig,
)
from perdure.worker.deployment import WorkerDeploymentConfig
from perdure.worker.interceptor import Interceptor
from perdure.worker.plugin import Plugin
from perdure.worker.preparing import config_of, prepare
from perdure.worker.runners import (
    SandboxedWorkflowRunner,
    UnsandboxedWorkflowRunner,
    WorkflowRunner,
)
from perdure.worker.running import RunningWorker
from perdure.worker.shared_state import SharedStateManager
from perdure.worker.tuning import WorkerTuner

_log = logging.getLogger("perdure.worker")


class Worker:
    """Runs the workflows and activities that it is given, as the service asks for them.

    Either `await worker.run()`, which ends by `worker.shutdown()`, or `async with worker:`. A
    worker runs once.

    - `activity_executor` runs the activities that are not async: threads, or processes, whose
      functions must be picklable. Without one, the worker makes as many threads as needed.
    - `workflow_task_executor` is accepted and not used: workflow code runs on the event loop.
    - `deployment_config` makes the worker one of a version of a worker deployment.
    - `use_worker_versioning` asks for the versioning by build ids, where the service still has
      it.
    - `plugin_shutdown_timeout` limits what plugins do after the worker has stopped, at the end
      of `async with`; None waits however long it takes.
    - `tuner` says how many tasks there may be at once, instead of the numbers.
    - `max_cached_workflows` runs are kept between two tasks, within a budget of memory.
    - `debug_mode` (or PERDURE_DEBUG in the environment) lets workflow code block, as a debugger
      does, and warns of what `perdure check` finds in the files of the workflows.
    - `disable_payload_error_limit` leaves it to the service to refuse too large values.
    - `max_workflow_task_external_storage_concurrency` limits the calls of storage drivers that
      one workflow task makes at once.
    - `nexus_service_handlers` are instances of classes that `nexusrpc` decorates;
      `nexus_task_executor` runs those of their methods that are not async.
    - `unsandboxed_workflow_runner` and `disable_safe_workflow_eviction` are accepted and not
      used.
    - `on_fatal_error` is awaited before a worker that cannot go on shuts down.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]] = (),
        nexus_service_handlers: Sequence[Any] = (),
        workflows: Sequence[type] = (),
        activity_executor: Executor | None = None,
        workflow_task_executor: ThreadPoolExecutor | None = None,
        nexus_task_executor: Executor | None = None,
        workflow_runner: WorkflowRunner = SandboxedWorkflowRunner(),  # noqa: B008 -- frozen
        unsandboxed_workflow_runner: WorkflowRunner = UnsandboxedWorkflowRunner(),  # noqa: B008
        plugins: Sequence[Plugin] = (),
        interceptors: Sequence[Interceptor] = (),
        build_id: str | None = None,
        identity: str | None = None,
        max_cached_workflows: int = 1000,
        max_concurrent_workflow_tasks: int | None = None,
        max_concurrent_activities: int | None = None,
        max_concurrent_local_activities: int | None = None,
        max_concurrent_nexus_tasks: int | None = None,
        tuner: WorkerTuner | None = None,
        max_concurrent_workflow_task_polls: int | None = None,
        nonsticky_to_sticky_poll_ratio: float = 0.2,
        max_concurrent_activity_task_polls: int | None = None,
        no_remote_activities: bool = False,
        sticky_queue_schedule_to_start_timeout: timedelta = timedelta(seconds=10),
        max_heartbeat_throttle_interval: timedelta = timedelta(seconds=60),
        default_heartbeat_throttle_interval: timedelta = timedelta(seconds=30),
        max_activities_per_second: float | None = None,
        max_task_queue_activities_per_second: float | None = None,
        max_eager_activity_reservations_per_workflow_task: int = 3,
        graceful_shutdown_timeout: timedelta = timedelta(),
        plugin_shutdown_timeout: timedelta | None = timedelta(seconds=60),
        workflow_failure_exception_types: Sequence[type[BaseException]] = (),
        shared_state_manager: SharedStateManager | None = None,
        debug_mode: bool = False,
        disable_eager_activity_execution: bool = False,
        on_fatal_error: Callable[[BaseException], Awaitable[None]] | None = None,
        use_worker_versioning: bool = False,
        disable_safe_workflow_eviction: bool = False,
        deployment_config: WorkerDeploymentConfig | None = None,
        patch_activation_callback: Callable[[PatchActivationInput], bool] | None = None,
        workflow_task_poller_behavior: PollerBehavior = PollerBehaviorAutoscaling(),  # noqa: B008
        activity_task_poller_behavior: PollerBehavior = PollerBehaviorAutoscaling(),  # noqa: B008
        nexus_task_poller_behavior: PollerBehavior = PollerBehaviorAutoscaling(),  # noqa: B008
        disable_payload_error_limit: bool = False,
        max_workflow_task_external_storage_concurrency: int = STORAGE_CALLS,
    ) -> None:
        """Raises ValueError or TypeError for what cannot be run."""
        given = dict(locals())  # the parameters, before there is anything else
        self._initial_config = config_of(given)
        self._prepared = prepare(self._initial_config)
        self._started = False
        self._opened = asyncio.Event()
        self._shutdown = asyncio.Event()
        self._stopped = asyncio.Event()
        self._ended = asyncio.Event()
        self._body: asyncio.Task[Any] | None = None
        self._body_was_cancelled = False
        self._run_task: asyncio.Task[None] | None = None
        self._running: RunningWorker | None = None

    def config(self, *, active_config: bool = False) -> WorkerConfig:
        """What makes another worker like this one: `Worker(**worker.config())`.

        With `active_config`, what the plugins have made of it.
        """
        return (self._prepared.config if active_config else self._initial_config).copy()

    @property
    def task_queue(self) -> str:
        """The queue from which the tasks come."""
        return self._prepared.config["task_queue"]

    @property
    def client(self) -> Client:
        """The client whose connection the worker uses; another may be set, of the same runtime.

        Calls that are under way end with the old one.
        """
        return self._prepared.config["client"]

    @client.setter
    def client(self, value: Client) -> None:
        if value.service_client.config.runtime is not self.client.service_client.config.runtime:
            raise ValueError("New client is not on the same runtime as the existing client")
        self._prepared.config["client"] = self._initial_config["client"] = value
        if self._running is not None:
            self._running.replace_client(value)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._started and not self._ended.is_set()

    @property
    def is_shutdown(self) -> bool:
        """Whether it has ended, for whatever reason."""
        return self._ended.is_set()

    async def run(self) -> None:
        """Runs until `shutdown` is called. Raises what makes the worker stop by itself.

        Being cancelled shuts the worker down too, with the same patience for its activities.
        """
        if self._started:
            raise RuntimeError("Already started")
        if not self._prepared.config["client"].service_client.is_of_this_process:
            raise AssertionError("Cannot use worker across forks")
        self._started = True
        run: Callable[[Worker], Awaitable[None]] = Worker._run_once
        for plugin in reversed(self._prepared.plugins):
            run = partial(plugin.run_worker, next=run)
        try:
            await run(self)
        finally:
            self._ended.set()

    async def shutdown(self) -> None:
        """Takes no more tasks, and returns when those that it has are done.

        Activities are told at once that the worker is about to go, and cancelled after
        `graceful_shutdown_timeout`; they are waited for however long they take.
        """
        if not self._started:
            raise RuntimeError("Never started")
        self._shutdown.set()
        await self._ended.wait()

    async def __aenter__(self) -> Self:
        """Begins to run. When the worker stops by itself, the body of the block is cancelled.

        Raises RPCError when the service will not have the worker.
        """
        if self._started or self._run_task is not None:
            raise RuntimeError("Already started")
        run = asyncio.create_task(self.run(), name=f"perdure worker {self.task_queue}")
        self._run_task = run
        opened = asyncio.create_task(self._opened.wait())
        try:
            await asyncio.wait([run, opened], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            run.cancel()
            await asyncio.wait([run])
            raise
        finally:
            opened.cancel()
        if run.done():
            run.result()
        self._body = asyncio.current_task()
        run.add_done_callback(self._cancel_body)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Shuts down. Raises what made the worker stop, if that is why the body ended."""
        body, self._body = self._body, None
        run = self._run_task
        assert run is not None
        self._shutdown.set()
        await self._wait_for(run)
        error = _error_of(run)
        if error is None:
            return
        if self._body_was_cancelled and body is not None:
            body.uncancel()
        if exc_type is None or exc_type is asyncio.CancelledError:
            raise error

    async def _wait_for(self, run: asyncio.Task[None]) -> None:
        """Until it has ended; what plugins do after the worker itself is cancelled in the end."""
        limit = self._prepared.config["plugin_shutdown_timeout"]
        if self._prepared.plugins and limit is not None:
            stopped = asyncio.create_task(self._stopped.wait())
            await asyncio.wait([run, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            _, late = await asyncio.wait([run], timeout=limit.total_seconds())
            for task in late:
                task.cancel()
        await asyncio.wait([run])

    def _cancel_body(self, run: asyncio.Task[None]) -> None:
        if self._body is not None and _error_of(run) is not None:
            self._body_was_cancelled = True
            self._body.cancel("the worker has stopped")

    async def _run_once(self) -> None:
        running = RunningWorker(self._prepared)
        self._running = running
        stop = asyncio.create_task(self._shutdown.wait())
        failure: asyncio.Task[None] | None = None
        try:
            await running.open()
            self._opened.set()
            failure = asyncio.create_task(running.failed())
            await asyncio.wait([stop, failure], return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                await self._announce(failure.exception())
        finally:
            ending = [task for task in (stop, failure) if task is not None]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            try:
                await running.close()
            finally:
                self._stopped.set()
        if failure.done() and not failure.cancelled():
            failure.result()

    async def _announce(self, error: BaseException | None) -> None:
        on_fatal_error = self._prepared.config["on_fatal_error"]
        _log.error("Worker failed, shutting down", exc_info=error)
        if on_fatal_error is None or error is None:
            return
        try:
            await on_fatal_error(error)
        except Exception:  # a named boundary: the user's callback cannot stop the shutdown
            _log.exception("on_fatal_error failed")


def _error_of(run: asyncio.Task[None]) -> BaseException | None:
    """Why a worker stopped by itself."""
    return run.exception() if run.done() and not run.cancelled() else None
