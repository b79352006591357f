"""The activity side of a worker: runs functions, reports what came of them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from temporalio.api.enums.v1 import ActivityTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
)

from perdure._definitions import ActivityDefinition, bound_hints
from perdure._replay.call_site import without_sdk_frames
from perdure.activity import (
    ActivityCancellationDetails,
    _CompleteAsyncError,
    _current_context,
    _Flag,
    logger,
)
from perdure.client import Client
from perdure.common import RawValue
from perdure.exceptions import (
    ApplicationError,
    ApplicationErrorCategory,
    CancelledError,
)
from perdure.service import RPCError, RPCStatusCode
from perdure.worker.activity_attempt import ActivityAttempt, AttemptOptions
from perdure.worker.activity_definitions import ActivityDefinitions, UnknownActivityError
from perdure.worker.codec import transform_all
from perdure.worker.intercepted_activity import run_intercepted
from perdure.worker.interceptor import ExecuteActivityInput, Interceptor
from perdure.worker.limits import PayloadsTooLargeError, check_payloads, is_too_large
from perdure.worker.loop_watch import LoopWatch
from perdure.worker.metrics import WorkerMetrics
from perdure.worker.polling import forget
from perdure.worker.port import PayloadLimits, TaskSource
from perdure.worker.process_activity import ProcessCall
from perdure.worker.shared_state import OwnStateManager, SharedStateManager
from perdure.worker.slots import TaskSlots
from perdure.worker.thread_activity import ThreadCancellation, in_thread

_log = logging.getLogger("perdure.worker")

LOCAL_TIMEOUT_BUFFER_SECONDS: Final = 5.0
"""The service times an attempt out first, so that both are of one mind; the worker only stops what
nobody waits for."""
LOCAL_TIMEOUT_GRACE_SECONDS: Final = 1.0
"""A loop that was blocked finds outcomes and timers due in one turn: outcomes go first."""


class ActivityWorker:
    """Runs activities."""

    def __init__(
        self,
        *,
        source: TaskSource,
        client: Client,
        slots: TaskSlots,
        definitions: ActivityDefinitions,
        executor: Executor | None,
        shared_state_manager: SharedStateManager | None,
        task_queue: str,
        threads_max: int,
        heartbeat_interval: timedelta,
        heartbeat_interval_max: timedelta,
        interceptors: Sequence[Interceptor] = (),
        decode_headers: bool = False,
    ) -> None:
        self._source = source
        self._client = client
        self._worker_shutdown = _Flag()
        self._worker_shutdown_event: threading.Event | None = None
        self._options = AttemptOptions(
            source=source,
            client=client,
            task_queue=task_queue,
            heartbeat_interval=heartbeat_interval,
            heartbeat_interval_max=heartbeat_interval_max,
            worker_shutdown=self._worker_shutdown,
        )
        self._interceptors = interceptors
        self._decode_headers = decode_headers
        self._slots = slots
        self._definitions = definitions
        self._executor = executor
        self._own_executor: ThreadPoolExecutor | None = None
        self._threads_max = threads_max
        self._shared_state_manager = shared_state_manager
        self._own_state_manager = OwnStateManager()
        self._attempts: dict[asyncio.Task[None], ActivityAttempt] = {}
        self._watch: LoopWatch | None = None
        self.limits = PayloadLimits()
        """What the service takes, once it has said so."""
        self.metrics: WorkerMetrics | None = None
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when no function can be run any more."""

    async def open(self) -> None:
        """Gets ready what takes long, so that no activity's time is spent on it."""
        service = self._client.service_client
        self._watch = LoopWatch(
            self._attempts,
            send=ActivityAttempt.send_late_heartbeat if service.serves_any_loop else None,
            close=service.close,
        )
        other_processes = self._executor is not None and not isinstance(
            self._executor, ThreadPoolExecutor
        )
        if other_processes and self._definitions.any_in_executor:
            manager = self._shared_state_manager or await self._own_state_manager.make()
            self._shared_state_manager = manager
            self._worker_shutdown_event = await asyncio.to_thread(manager.new_event)

    # Places

    def try_reserve(self) -> bool:
        """Takes a place, if one is free."""
        return not self._worker_shutdown.is_set() and self._slots.try_take()

    def release(self) -> None:
        """Gives a reserved place back."""
        self._slots.give_back()

    def accept(self, task: PollActivityTaskQueueResponse) -> None:
        """Begins an activity, in a place that was taken for it."""
        attempt = ActivityAttempt(task, self._options)
        if self.metrics is not None:
            self.metrics.activity_received(task)
        self._slots.use(attempt)
        name = f"perdure activity {task.activity_type.name} {task.activity_id}"
        running = asyncio.create_task(self._work(attempt), name=name)
        self._attempts[running] = attempt
        running.add_done_callback(self._attempts.pop)

    def replace_client(self, client: Client) -> None:
        """Attempts that begin from now on know this client."""
        self._client = client
        self._options = replace(self._options, client=client)

    # Local activities

    def local_attempt(self, task: PollActivityTaskQueueResponse) -> ActivityAttempt:
        """An attempt of a local activity."""
        return ActivityAttempt(task, self._options, is_local=True)

    async def run_local(self, attempt: ActivityAttempt) -> _Report | None:
        """What came of it, with payloads that no codec has seen."""
        begun = time.monotonic()
        running = asyncio.current_task()
        assert running is not None
        self._attempts[running] = attempt
        try:
            report = await self._outcome(attempt)
        finally:
            del self._attempts[running]
        self._tell(attempt, report, begun)
        return report

    # Shutdown

    def announce_shutdown(self) -> None:
        """Tells the running activities that the worker is about to go."""
        self._worker_shutdown.set()
        if self._worker_shutdown_event is not None:
            self._worker_shutdown_event.set()

    async def finish(self, graceful_timeout: timedelta) -> None:
        """Waits for the running activities, and cancels those that take longer."""
        if self._attempts and graceful_timeout:
            await asyncio.wait(self._attempts, timeout=graceful_timeout.total_seconds())
        for attempt in list(self._attempts.values()):
            attempt.cancel(ActivityCancellationDetails(worker_shutdown=True))
        while self._attempts:
            await asyncio.wait(self._attempts)
        forget(self.broken)
        if self._watch is not None:
            self._watch.stop()
        await self._own_state_manager.close()
        if self._own_executor is not None:
            self._own_executor.shutdown()

    # One attempt

    async def _work(self, attempt: ActivityAttempt) -> None:
        begun = time.monotonic()
        try:
            report = await self._outcome(attempt)
            self._tell(attempt, report, begun)
            if isinstance(report, RespondActivityTaskFailedRequest):
                self._slots.failed += 1
            try:
                await self._send(attempt, report)
            except RPCError as error:
                if not is_too_large(error):
                    raise
                await self._send(attempt, await self._failed(attempt, error))
        except RPCError as error:
            level = logging.DEBUG if error.status is RPCStatusCode.NOT_FOUND else logging.WARNING
            _log.log(
                level,
                "Outcome of activity %s not reported: %s: %s",
                attempt.task.activity_type.name,
                error.status.name,
                error.message,
            )
        finally:
            self._slots.give_back(attempt)

    def _tell(self, attempt: ActivityAttempt, report: _Report | None, begun: float) -> None:
        if self.metrics is not None:
            self.metrics.activity_ended(
                attempt.task, report, time.monotonic() - begun, is_local=attempt.is_local
            )

    async def _outcome(self, attempt: ActivityAttempt) -> _Report | None:
        """Runs the function; what to report, None for what is reported from elsewhere."""
        timer = self._start_local_timeout(attempt)
        try:
            try:
                result = await self._run(attempt)
            finally:
                attempt.finish()
                if timer is not None:
                    timer.cancel()
            request = RespondActivityTaskCompletedRequest(task_token=attempt.task.task_token)
            request.result.payloads.extend(await attempt.data_converter.encode([result]))
            check_payloads([request], self.limits)
            return request
        except _CompleteAsyncError:
            return None
        except (Exception, asyncio.CancelledError) as error:  # a named boundary: the user's code
            if isinstance(error, BrokenExecutor) and not self.broken.done():
                self.broken.set_exception(error)
            return await self._failed(attempt, error)

    async def _send(self, attempt: ActivityAttempt, report: _Report | None) -> None:
        unsent = None if attempt.heartbeats is None else await attempt.heartbeats.close()
        cancellation = attempt.cancellation
        if cancellation is not None and (cancellation.not_found or cancellation.timed_out):
            return
        match report:
            case RespondActivityTaskCompletedRequest():
                await self._source.complete_activity(report)
            case RespondActivityTaskFailedRequest():
                if unsent is not None:
                    report.last_heartbeat_details.CopyFrom(unsent)
                await self._source.fail_activity(report)
            case RespondActivityTaskCanceledRequest():
                await self._source.cancel_activity(report)
            case None:
                return

    def _start_local_timeout(self, attempt: ActivityAttempt) -> asyncio.TimerHandle | None:
        task = attempt.task
        if attempt.is_local:
            return None  # whoever runs it keeps its time exactly
        limits = [
            limit.seconds + limit.nanos / 1e9
            for limit in (task.start_to_close_timeout, task.schedule_to_close_timeout)
            if limit.seconds or limit.nanos
        ]
        if not limits:
            return None
        return asyncio.get_running_loop().call_later(
            min(limits) + LOCAL_TIMEOUT_BUFFER_SECONDS, _time_out, attempt
        )

    # Running

    async def _run(self, attempt: ActivityAttempt) -> Any:
        task = attempt.task
        definition = self._definitions.find(
            task.activity_type.name, task.workflow_execution.workflow_id
        )
        args = await self._arguments(attempt, definition)
        attempt.check_not_cancelled()
        executor = None if definition.is_async else self._executor or self._default_executor()
        raises = isinstance(executor, ThreadPoolExecutor) and (
            not definition.no_thread_cancel_exception
        )
        shield = ThreadCancellation() if raises else None
        _current_context.set(attempt.make_context(is_async=executor is None, shield=shield))
        if not self._interceptors:
            return await self._call(attempt, definition.fn, args, executor)
        codec = attempt.data_converter.payload_codec
        if self._decode_headers and codec is not None and not attempt.is_local:
            await transform_all([task.header], codec.decode, headers=True)
        headers = task.header.fields
        told = ExecuteActivityInput(fn=definition.fn, args=args, executor=executor, headers=headers)
        return await run_intercepted(
            attempt,
            self._interceptors,
            told,
            lambda told: self._call(attempt, told.fn, told.args, told.executor),
        )

    async def _call(
        self,
        attempt: ActivityAttempt,
        fn: Callable[..., Any],
        args: Sequence[Any],
        executor: Executor | None,
    ) -> Any:
        if executor is None:
            attempt.running = asyncio.current_task()
            return await fn(*args)
        if isinstance(executor, ThreadPoolExecutor):
            call = in_thread(fn, args, attempt.thread_cancellation)
            return await asyncio.get_running_loop().run_in_executor(executor, call)
        return await self._run_in_process(attempt, fn, args, executor)

    async def _arguments(
        self, attempt: ActivityAttempt, definition: ActivityDefinition
    ) -> Sequence[Any]:
        task = attempt.task
        converter = attempt.data_converter
        payloads = task.input.payloads
        hints = definition.arg_types
        if definition.name is None:
            hints = [RawValue] * len(payloads)
        else:
            hints = bound_hints(hints, len(payloads))
        try:
            args = await converter.decode(payloads, hints) if payloads else []
        except Exception as error:  # a named boundary: the user's converters
            raise ApplicationError("Failed decoding arguments") from error
        try:
            details = task.heartbeat_details.payloads
            attempt.heartbeat_details = await converter.decode(details) if details else []
        except Exception as error:  # a named boundary: the user's converters
            raise ApplicationError(
                "Failed decoding heartbeat details", non_retryable=True
            ) from error
        return [args] if definition.name is None else args

    async def _run_in_process(
        self,
        attempt: ActivityAttempt,
        fn: Callable[..., Any],
        args: Sequence[Any],
        executor: Executor,
    ) -> Any:
        manager, worker_shutdown = self._shared_state_manager, self._worker_shutdown_event
        assert manager is not None
        assert worker_shutdown is not None
        cancelled = await asyncio.to_thread(manager.new_event)
        context = attempt.context
        assert context is not None
        attempt.on_cancel(cancelled.set)
        token = attempt.task.task_token
        sender = await manager.register_heartbeater(
            token, lambda *details: context.heartbeat(details)
        )
        try:
            call = ProcessCall(
                info=context.info,
                heartbeats=sender,
                cancelled=cancelled,
                worker_shutdown=worker_shutdown,
                payload_converter_class=self._client.data_converter.payload_converter_class,
                fn=fn,
                args=args,
            )
            return await asyncio.get_running_loop().run_in_executor(executor, call)
        finally:
            await manager.unregister_heartbeater(token)

    def _default_executor(self) -> ThreadPoolExecutor:
        if self._own_executor is None:
            self._own_executor = ThreadPoolExecutor(self._threads_max, "perdure-activity")
        return self._own_executor

    # Failures

    async def _failed(self, attempt: ActivityAttempt, error: BaseException) -> _Report:
        """What to report of an exception."""
        cancellation = attempt.cancellation
        is_cancellation = isinstance(error, (asyncio.CancelledError, CancelledError))
        if is_cancellation and cancellation is not None:
            if cancellation.cancel_requested:
                return RespondActivityTaskCanceledRequest(task_token=attempt.task.task_token)
            error = attempt.heartbeat_error or _error_of(cancellation)
        _log_failure(error)
        request = RespondActivityTaskFailedRequest(task_token=attempt.task.task_token)
        if isinstance(error, PayloadsTooLargeError):
            error.__traceback__ = None  # no line of the user's has raised it
            request.cause = ActivityTaskFailedCause.ACTIVITY_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE
        try:
            await attempt.data_converter.encode_failure(without_sdk_frames(error), request.failure)
        except Exception as inner:  # a named boundary: the user's converters
            logger.exception("The failure could not be converted; it was: %s", error)
            request.failure.CopyFrom(
                Failure(
                    message=f"Failed building exception result: {inner}",
                    application_failure_info=ApplicationFailureInfo(),
                )
            )
        return request


_Report = (
    RespondActivityTaskCompletedRequest
    | RespondActivityTaskFailedRequest
    | RespondActivityTaskCanceledRequest
)


def _time_out(attempt: ActivityAttempt) -> None:
    asyncio.get_running_loop().call_later(
        LOCAL_TIMEOUT_GRACE_SECONDS, attempt.cancel, ActivityCancellationDetails(timed_out=True)
    )


def _error_of(cancellation: ActivityCancellationDetails) -> BaseException:
    """What it means that a function ended when it was asked to, though nobody cancelled it."""
    if cancellation.paused:
        return ApplicationError(
            "Unhandled activity cancel error produced by activity pause", type="ActivityPause"
        )
    if cancellation.reset:
        return ApplicationError(
            "Unhandled activity cancel error produced by activity reset", type="ActivityReset"
        )
    if cancellation.worker_shutdown:
        return ApplicationError(
            "Worker is shutting down and this activity did not complete in time",
            type="WorkerShutdown",
        )
    return CancelledError("Cancelled")


def _log_failure(error: BaseException) -> None:
    benign = (
        isinstance(error, ApplicationError) and error.category is ApplicationErrorCategory.BENIGN
    )
    if isinstance(error, UnknownActivityError):
        logger.warning("Activity failed: %s", error.message)
        return
    logger.log(
        logging.DEBUG if benign else logging.WARNING,
        "Completing activity as failed",
        exc_info=error,
        extra={"__temporal_error_identifier": "ActivityFailure"},
    )
