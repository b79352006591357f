"""What a worker counts and measures, under the names of the official SDK.

There is one where the runtime has a place for metrics; elsewhere nothing is counted, and nothing of
it costs anything. `docs/observability.md` says what each name is of.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import CommandType, WorkflowTaskFailedCause
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollNexusTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskFailedRequest,
)

from perdure.common.metrics import MetricAttributes, MetricCounter, MetricGauge, MetricMeter
from perdure.worker.polling import PollCount
from perdure.worker.port import Polls
from perdure.worker.slots import TaskSlots

_Task = TypeVar("_Task")

_ENDS: Final = {
    CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION: "workflow_completed",
    CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION: "workflow_failed",
    CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION: "workflow_canceled",
    CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION: "workflow_continue_as_new",
}
"""By the command that ends a run."""
_NON_DETERMINISTIC: Final = (
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
)
_COUNTERS: Final = (
    "worker_start",
    "workflow_task_queue_poll_succeed",
    "workflow_task_queue_poll_empty",
    "workflow_task_execution_failed",
    "activity_poll_no_task",
    "activity_task_received",
    "activity_execution_failed",
    "activity_execution_cancelled",
    "local_activity_total",
    "local_activity_execution_failed",
    "local_activity_execution_cancelled",
    "nexus_poll_no_task",
    "nexus_task_execution_failed",
    "sticky_cache_hit",
    "sticky_cache_miss",
    "sticky_cache_total_forced_eviction",
    *_ENDS.values(),
)
_LATENCIES: Final = (
    "workflow_endtoend_latency",
    "workflow_task_schedule_to_start_latency",
    "workflow_task_execution_latency",
    "workflow_task_replay_latency",
    "activity_schedule_to_start_latency",
    "activity_execution_latency",
    "activity_succeed_endtoend_latency",
    "local_activity_execution_latency",
    "local_activity_succeed_endtoend_latency",
    "nexus_task_schedule_to_start_latency",
    "nexus_task_execution_latency",
    "nexus_task_endtoend_latency",
)


class RunsKept(Protocol):
    """The runs that a worker keeps."""

    hits: int
    misses: int
    forced_evictions: int

    def __len__(self) -> int: ...


class WorkerMetrics:
    """Told by the parts of a worker what happens."""

    def __init__(self, meter: MetricMeter, prefix: str, *, namespace: str, task_queue: str) -> None:
        meter = meter.with_additional_attributes({"namespace": namespace, "task_queue": task_queue})
        self._counters = {name: meter.create_counter(f"{prefix}{name}") for name in _COUNTERS}
        self._latencies = {
            name: meter.create_histogram_timedelta(f"{prefix}{name}", unit="duration")
            for name in _LATENCIES
        }
        self._pollers = meter.create_gauge(f"{prefix}num_pollers")
        self._slots_used = meter.create_gauge(f"{prefix}worker_task_slots_used")
        self._slots_available = meter.create_gauge(f"{prefix}worker_task_slots_available")
        self._cache_size = meter.create_gauge(f"{prefix}sticky_cache_size")
        self._cache_before = (0, 0, 0)

    def started(self) -> None:
        """The worker has begun."""
        self._count("worker_start")

    # Polls and places

    def polls(self) -> Polls:
        """Counts of polls, which are told."""
        return Polls(
            *(
                _ToldPollCount(self._pollers.with_additional_attributes({"poller_type": kind}))
                for kind in ("workflow_task", "sticky_workflow_task", "activity_task", "nexus_task")
            )
        )

    def slots(self, worker_type: str, slots: TaskSlots) -> TaskSlots:
        """The same places, whose use is told."""
        attributes = {"worker_type": worker_type}
        return _ToldSlots(
            slots,
            self._slots_used.with_additional_attributes(attributes),
            self._slots_available.with_additional_attributes(attributes),
        )

    def polled_workflow_tasks(
        self, poll: Callable[[], Awaitable[PollWorkflowTaskQueueResponse | None]]
    ) -> Callable[[], Awaitable[PollWorkflowTaskQueueResponse | None]]:
        """The same poll, which is told."""

        def received(task: PollWorkflowTaskQueueResponse) -> None:
            self._count("workflow_task_queue_poll_succeed")
            if not task.HasField("query"):
                waited = _between(task.scheduled_time, task.started_time)
                name = "workflow_task_schedule_to_start_latency"
                self._time(name, waited, _of_workflow(task))

        return _told(poll, received, self._counters["workflow_task_queue_poll_empty"])

    def polled_activities(
        self, poll: Callable[[], Awaitable[PollActivityTaskQueueResponse | None]]
    ) -> Callable[[], Awaitable[PollActivityTaskQueueResponse | None]]:
        """The same poll, which is told."""
        return _told(poll, lambda _: None, self._counters["activity_poll_no_task"])

    def polled_nexus_tasks(
        self, poll: Callable[[], Awaitable[PollNexusTaskQueueResponse | None]]
    ) -> Callable[[], Awaitable[PollNexusTaskQueueResponse | None]]:
        """The same poll, which is told."""

        def received(task: PollNexusTaskQueueResponse) -> None:
            waited = _since(task.request.scheduled_time)
            self._time("nexus_task_schedule_to_start_latency", waited, _of_nexus(task))

        return _told(poll, received, self._counters["nexus_poll_no_task"])

    # Workflow tasks

    def workflow_task_answered(
        self, task: PollWorkflowTaskQueueResponse, seconds: float, runs: RunsKept
    ) -> None:
        """A task took so long, and the cache is as it is now."""
        took = timedelta(seconds=seconds)
        self._time("workflow_task_execution_latency", took, _of_workflow(task))
        hits, misses, evictions = self._cache_before
        self._count("sticky_cache_hit", runs.hits - hits)
        self._count("sticky_cache_miss", runs.misses - misses)
        self._count("sticky_cache_total_forced_eviction", runs.forced_evictions - evictions)
        self._cache_before = (runs.hits, runs.misses, runs.forced_evictions)
        self._cache_size.set(len(runs))

    def workflow_replayed(self, task: PollWorkflowTaskQueueResponse, seconds: float) -> None:
        """The history of a run that was not cached was replayed, which took so long."""
        took = timedelta(seconds=seconds)
        self._time("workflow_task_replay_latency", took, _of_workflow(task))

    def workflow_task_failed(
        self, task: PollWorkflowTaskQueueResponse, cause: WorkflowTaskFailedCause.ValueType
    ) -> None:
        """A task has failed."""
        reason = "NonDeterminismError" if cause == _NON_DETERMINISTIC else "WorkflowError"
        attributes = {**_of_workflow(task), "failure_reason": reason}
        self._count("workflow_task_execution_failed", attributes=attributes)

    def run_ended(
        self, task: PollWorkflowTaskQueueResponse, command: CommandType.ValueType, began: datetime
    ) -> None:
        """A run has ended by a command, and began at that time."""
        end = _ENDS.get(command)
        if end is not None:
            self._count(end, attributes=_of_workflow(task))
            took = datetime.now(UTC) - began
            self._time("workflow_endtoend_latency", took, _of_workflow(task))

    # Activities

    def activity_ended(
        self,
        task: PollActivityTaskQueueResponse,
        report: object,
        seconds: float,
        *,
        is_local: bool = False,
    ) -> None:
        """An attempt has taken so long, and this is what is reported of it."""
        prefix = "local_activity_" if is_local else "activity_"
        attributes = _of_activity(task)
        if is_local:
            self._count("local_activity_total", attributes=attributes)
        took = timedelta(seconds=seconds)
        self._time(f"{prefix}execution_latency", took, attributes)
        match report:
            case RespondActivityTaskFailedRequest():
                self._count(f"{prefix}execution_failed", attributes=attributes)
            case RespondActivityTaskCanceledRequest():
                self._count(f"{prefix}execution_cancelled", attributes=attributes)
            case RespondActivityTaskCompletedRequest():
                asked = _since(task.scheduled_time)
                self._time(f"{prefix}succeed_endtoend_latency", asked, attributes)

    def activity_received(self, task: PollActivityTaskQueueResponse) -> None:
        """An attempt begins, however it came."""
        attributes = _of_activity(task)
        self._count("activity_task_received", attributes=attributes)
        waited = _between(task.current_attempt_scheduled_time, task.started_time)
        self._time("activity_schedule_to_start_latency", waited, attributes)

    # Nexus

    def nexus_task_ended(
        self, task: PollNexusTaskQueueResponse, seconds: float, failure_reason: str | None
    ) -> None:
        """A handler took so long, and has failed if there is a reason."""
        attributes = _of_nexus(task)
        self._time("nexus_task_execution_latency", timedelta(seconds=seconds), attributes)
        asked = _since(task.request.scheduled_time)
        self._time("nexus_task_endtoend_latency", asked, attributes)
        if failure_reason is not None:
            attributes["failure_reason"] = failure_reason
            self._count("nexus_task_execution_failed", attributes=attributes)

    def _count(self, name: str, value: int = 1, attributes: MetricAttributes | None = None) -> None:
        if value:
            self._counters[name].add(value, attributes)

    def _time(self, name: str, took: timedelta, attributes: MetricAttributes) -> None:
        # Clocks of different machines may disagree.
        self._latencies[name].record(max(took, timedelta()), attributes)


class _ToldPollCount(PollCount):
    """Tells how many polls are open, whenever that changes."""

    def __init__(self, gauge: MetricGauge) -> None:
        self._gauge = gauge
        self._current = 0
        super().__init__()

    @property
    def current(self) -> int:
        """How many polls are open."""
        return self._current

    @current.setter
    def current(self, value: int) -> None:
        self._current = value
        self._gauge.set(value)


class _ToldSlots:
    """Tells how many places are used and free, whenever that changes."""

    def __init__(self, slots: TaskSlots, used: MetricGauge, available: MetricGauge) -> None:
        self._slots = slots
        self._used = used
        self._available = available
        self.kind = slots.kind
        self._tell()

    @property
    def used(self) -> int:
        return self._slots.used

    @property
    def processed(self) -> int:
        return self._slots.processed

    @property
    def failed(self) -> int:
        return self._slots.failed

    @failed.setter
    def failed(self, value: int) -> None:
        self._slots.failed = value

    @property
    def available(self) -> int:
        return self._slots.available

    def try_take(self) -> bool:
        return self._slots.try_take()

    async def take(self) -> None:
        await self._slots.take()

    def use(self, task: Any) -> None:
        self._slots.use(task)
        self._tell()

    def give_back(self, task: Any = None) -> None:
        self._slots.give_back(task)
        if task is not None:
            self._tell()

    def _tell(self) -> None:
        self._used.set(self._slots.used)
        self._available.set(max(0, self._slots.available))


def _told(
    poll: Callable[[], Awaitable[_Task | None]],
    received: Callable[[_Task], None],
    empty: MetricCounter,
) -> Callable[[], Awaitable[_Task | None]]:
    async def told() -> _Task | None:
        task = await poll()
        if task is None:
            empty.add(1)
        else:
            received(task)
        return task

    return told


def _of_workflow(task: PollWorkflowTaskQueueResponse) -> dict[str, str]:
    return {"workflow_type": task.workflow_type.name}


def _of_activity(task: PollActivityTaskQueueResponse) -> dict[str, str]:
    return {
        "activity_type": task.activity_type.name,
        "workflow_type": task.workflow_type.name,
    }


def _of_nexus(task: PollNexusTaskQueueResponse) -> dict[str, str]:
    asked = task.request
    which = asked.start_operation if asked.HasField("start_operation") else asked.cancel_operation
    return {"nexus_service": which.service, "nexus_operation": which.operation}


def failure_reason_of(
    answer: RespondNexusTaskCompletedRequest | RespondNexusTaskFailedRequest,
) -> str | None:
    """How a handler has failed, by its answer; None: it has not."""
    if isinstance(answer, RespondNexusTaskFailedRequest):
        kind = answer.error.error_type or answer.failure.nexus_handler_failure_info.type
        return f"handler_error_{kind}"
    started = answer.response.start_operation
    if started.HasField("failure") or started.HasField("operation_error"):
        return "operation_unsuccessful"
    return None


def _between(earlier: Timestamp, later: Timestamp) -> timedelta:
    return timedelta(microseconds=(later.ToNanoseconds() - earlier.ToNanoseconds()) // 1000)


def _since(earlier: Timestamp) -> timedelta:
    return timedelta(microseconds=(time.time_ns() - earlier.ToNanoseconds()) // 1000)
