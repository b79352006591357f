"""Task queues as operators see and set them."""

from __future__ import annotations

from temporalio.api.taskqueue.v1 import TaskQueueConfig
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest

from perdure.server.engine.api import EngineUnavailable, NamespaceRef, QueueStatistics, QueueView
from perdure.server.engine.clock import Clock
from perdure.server.machines.queue import config
from perdure.server.machines.queue.statistics import Meter, Statistics
from perdure.server.matching.queues import Queues
from perdure.server.store.ports import BacklogPart, QueueKey, Store, StoreUnavailable


class QueueViews:
    """Descriptions of the queues of a shard, and changes of what is set of them."""

    def __init__(self, store: Store, queues: Queues, clock: Clock) -> None:
        self._store = store
        self._queues = queues
        self._clock = clock

    async def describe(self, key: QueueKey) -> QueueView:
        """A queue, known or not. Its backlog is what is stored of it."""
        try:
            parts = {part.priority: part for part in await self._store.backlog_parts(key)}
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error
        now_ns = self._clock.now_ns()
        queue = self._queues.find(key)
        statistics = queue.statistics if queue is not None else Statistics()
        found = self._queues.configs.find(key)
        return QueueView(
            pollers=statistics.pollers(now_ns),
            statistics={
                priority: _statistics(priority, parts.get(priority), statistics, now_ns)
                for priority in sorted({*parts, *statistics.added, *statistics.dispatched})
            },
            config=found,
            configured_rate=config.rate_of(found),
            worker_rate=queue.worker_rate if queue is not None else None,
        )

    async def configure(
        self, namespace: NamespaceRef, request: UpdateTaskQueueConfigRequest
    ) -> TaskQueueConfig:
        """Set something of a queue: all that is set then, durably. Raises InvalidArgument."""
        config.check_update(request)
        key = QueueKey(namespace.number, request.task_queue, request.task_queue_type)
        now_ns = self._clock.now_ns()
        try:
            return await self._queues.configure(
                key, lambda before: config.updated(before, request, now_ns)
            )
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error


def _statistics(
    priority: int, part: BacklogPart | None, statistics: Statistics, now_ns: int
) -> QueueStatistics:
    return QueueStatistics(
        backlog=part.count if part is not None else 0,
        backlog_age_ns=max(0, now_ns - part.ready_at_ns) if part is not None else 0,
        add_rate=_rate(statistics.added.get(priority), now_ns),
        dispatch_rate=_rate(statistics.dispatched.get(priority), now_ns),
    )


def _rate(meter: Meter | None, now_ns: int) -> float:
    return meter.per_second(now_ns) if meter is not None else 0.0
