"""One attempt of an activity: its function, its heartbeats, its cancellation, its outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
)

from perdure.activity import ActivityCancellationDetails, Info, _Context, _Flag
from perdure.client import Client
from perdure.common import MetricMeter, Priority, RetryPolicy
from perdure.converter import (
    ActivitySerializationContext,
    DataConverter,
    StorageDriverActivityInfo,
    StorageDriverWorkflowInfo,
)
from perdure.converter.external_storage import StorageTarget
from perdure.exceptions import CancelledError
from perdure.worker.heartbeats import Heartbeats, interval_of
from perdure.worker.port import TaskSource
from perdure.worker.thread_activity import ThreadCancellation


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOptions:
    """What all attempts of one worker have in common."""

    source: TaskSource
    client: Client
    task_queue: str
    heartbeat_interval: timedelta
    heartbeat_interval_max: timedelta
    worker_shutdown: _Flag


class ActivityAttempt:
    """What is kept of an attempt while it runs."""

    def __init__(
        self,
        task: PollActivityTaskQueueResponse,
        options: AttemptOptions,
        *,
        is_local: bool = False,
    ) -> None:
        self.task = task
        self.is_local = is_local
        self.data_converter = _converter(task, options, is_local)
        self.cancellation: ActivityCancellationDetails | None = None
        self.thread_cancellation: ThreadCancellation | None = None
        self.heartbeat_details: Sequence[Any] = ()
        self.heartbeats: Heartbeats | None = None
        """Made with the first one: most activities have none."""
        self.heartbeat_error: Exception | None = None
        """What is wrong with the details that the function reported."""
        self.context: _Context | None = None
        self.running: asyncio.Task[None] | None = None
        """The task to cancel when the function is async."""
        self.done = False
        """The function has ended: nothing may interrupt the report of its outcome."""
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._on_cancel: Sequence[Callable[[], None]] = ()
        self._unrecorded: Sequence[Payload] | None = None
        """Reported from another thread, and not seen on the loop yet."""
        self._sent_late: Sequence[Payload] | None = None
        self._next_late_seconds = 0.0

    def make_context(self, *, is_async: bool, shield: ThreadCancellation | None) -> _Context:
        """What the functions of `perdure.activity` reach."""
        self.context = _Context(
            info=self.info,
            heartbeat=self.heartbeat,
            cancelled=_Flag(awaitable=is_async),
            worker_shutdown=self._options.worker_shutdown,
            payload_converter=lambda: self.data_converter.payload_converter,
            shield=None if shield is None else shield.shielded,
            client=self._options.client if is_async else None,
            metric_meter=self._metric_meter,
        )
        self.thread_cancellation = shield
        return self.context

    def check_not_cancelled(self) -> None:
        """Raises CancelledError when the function need not even begin."""
        if self.cancellation is not None:
            raise CancelledError("Cancelled before it began")

    def on_cancel(self, act: Callable[[], None]) -> None:
        """Has something done besides when the attempt is asked to stop."""
        self._on_cancel = (*self._on_cancel, act)
        if self.cancellation is not None:
            act()

    def heartbeat(self, details: Sequence[Any]) -> None:
        """Reports details, from whichever thread. Raises what their conversion raises."""
        payloads: Sequence[Payload] = self.data_converter.payload_converter.to_payloads(details)
        if threading.get_ident() == self._thread_id:
            self._record(payloads)
        else:
            self._unrecorded = payloads
            self._loop.call_soon_threadsafe(self._record, payloads)

    def take_late_heartbeat(self, now_seconds: float) -> bool:
        """Whether there is a heartbeat to send for a loop that is blocked; from another thread."""
        details = self._unrecorded
        if details is None or details is self._sent_late or self.done or self.is_local:
            return False
        if now_seconds < self._next_late_seconds:
            return False
        self._sent_late = details
        self._next_late_seconds = now_seconds + self._heartbeat_interval()
        return True

    async def send_late_heartbeat(self) -> None:
        """Sends what `take_late_heartbeat` has found, on whichever loop."""
        details = self._sent_late or ()
        codec = self.data_converter.path
        if codec is not None and details:
            details = await codec.encode(details)
        request = RecordActivityTaskHeartbeatRequest(task_token=self.task.task_token)
        request.details.payloads.extend(details)
        await self._options.source.heartbeat(request)

    def _heartbeat_interval(self) -> float:
        options = self._options
        return interval_of(
            self.task.heartbeat_timeout.ToTimedelta(),
            options.heartbeat_interval,
            options.heartbeat_interval_max,
        )

    def _record(self, details: Sequence[Payload]) -> None:
        if details is self._unrecorded:
            self._unrecorded = None
        if self.done or self.is_local:
            return
        if self.heartbeats is None:
            options = self._options
            self.heartbeats = Heartbeats(
                source=options.source,
                task_token=self.task.task_token,
                interval_seconds=self._heartbeat_interval(),
                codec=self.data_converter.path,
                asked_to_stop=self.cancel,
                failed=self._heartbeat_failed,
            )
        self.heartbeats.record(details)

    def finish(self) -> None:
        """The function has ended. What it was run by, and what it could reach, refer to the
        attempt, which lets go of them lest they keep each other."""
        if self._unrecorded is not None:
            # Another thread has reported them while the function kept the loop to itself.
            self._record(self._unrecorded)
        self.done = True
        self.running = self.context = None

    def cancel(self, details: ActivityCancellationDetails) -> None:
        """Asks the function to stop; only the first time counts."""
        if self.done or self.cancellation is not None:
            return
        self.cancellation = details
        if self.context is not None:
            self.context.cancellation_details = details
            self.context.cancelled.set()
        for act in self._on_cancel:
            act()
        if self.thread_cancellation is not None:
            self.thread_cancellation.cancel()
        if self.running is not None:
            self.running.cancel("Activity cancelled")

    def _metric_meter(self) -> MetricMeter:
        options = self._options
        runtime = options.client.service_client.config.runtime
        assert runtime is not None
        return runtime.metric_meter.with_additional_attributes(
            {
                "namespace": options.client.namespace,
                "task_queue": options.task_queue,
                "activity_type": self.task.activity_type.name,
            }
        )

    def _heartbeat_failed(self, error: Exception) -> None:
        self.heartbeat_error = error
        self.cancel(ActivityCancellationDetails())

    def info(self) -> Info:
        """What the activity can know of itself."""
        task = self.task
        execution = task.workflow_execution
        has_policy = task.HasField("retry_policy")
        return Info(
            activity_id=task.activity_id,
            activity_type=task.activity_type.name,
            attempt=task.attempt,
            current_attempt_scheduled_time=_time(task.current_attempt_scheduled_time),
            heartbeat_details=self.heartbeat_details,
            heartbeat_timeout=_limit(task.heartbeat_timeout),
            is_local=self.is_local,
            namespace=task.workflow_namespace or self._options.client.namespace,
            schedule_to_close_timeout=_limit(task.schedule_to_close_timeout),
            scheduled_time=_time(task.scheduled_time),
            start_to_close_timeout=_limit(task.start_to_close_timeout),
            started_time=_time(task.started_time),
            task_queue=self._options.task_queue,
            task_token=task.task_token,
            workflow_id=execution.workflow_id or None,
            workflow_namespace=task.workflow_namespace or None,
            workflow_run_id=execution.run_id or None,
            workflow_type=task.workflow_type.name or None,
            priority=Priority.from_proto(task.priority),
            retry_policy=RetryPolicy.from_proto(task.retry_policy) if has_policy else None,
            activity_run_id=None if execution.workflow_id else task.activity_run_id,
        )


def _converter(
    task: PollActivityTaskQueueResponse, options: AttemptOptions, is_local: bool
) -> DataConverter:
    converter = options.client.data_converter
    if is_local and converter.path is not None:
        # Its values do not leave the worker but by the answer to the workflow task.
        converter = replace(converter, payload_codec=None, external_storage=None)
    if converter.external_storage is not None:
        converter = converter.storing_for(_target(task, options))
    if converter.is_context_free:
        return converter
    return converter.with_context(
        ActivitySerializationContext(
            namespace=task.workflow_namespace or options.client.namespace,
            activity_id=task.activity_id,
            activity_type=task.activity_type.name,
            activity_task_queue=options.task_queue,
            workflow_id=task.workflow_execution.workflow_id or None,
            workflow_type=task.workflow_type.name or None,
            is_local=is_local,
        )
    )


def _target(task: PollActivityTaskQueueResponse, options: AttemptOptions) -> StorageTarget:
    """What it stores is its workflow's, if it has one."""
    namespace = task.workflow_namespace or options.client.namespace
    execution = task.workflow_execution
    if execution.workflow_id:
        return StorageDriverWorkflowInfo(
            namespace=namespace,
            id=execution.workflow_id,
            run_id=execution.run_id or None,
            type=task.workflow_type.name or None,
        )
    return StorageDriverActivityInfo(
        namespace=namespace,
        id=task.activity_id or None,
        run_id=task.activity_run_id or None,
        type=task.activity_type.name or None,
    )


def _time(timestamp: Any) -> datetime:
    time: datetime = timestamp.ToDatetime(UTC)
    return time


def _limit(duration: Duration) -> timedelta | None:
    return duration.ToTimedelta() or None
