"""Task queues as operators see and set them."""

from __future__ import annotations

from temporalio.api.taskqueue.v1 import TaskQueueConfig
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest

from perdure.server.engine.api import EngineUnavailable, NamespaceRef, QueueStatistics, QueueView
from perdure.server.engine.clock import Clock
from perdure.server.machines.queue import config
from perdure.server.machines.queue.statistics import Meter, Poller, Statistics
from perdure.server.matching.queues import Queues
from perdure.server.store.ports import BacklogPart, QueueKey, Store, StoreUnavailable


class QueueViews:
    """Descriptions of the queues of a shard, and changes of what is set of them."""

    def __init__(self, store: Store, queues: Queues, clock: Clock) -> None:
        self._store = store
        self._queues = queues
        self._clock = clock

    async def describe(self, key: QueueKey, *, is_whole: bool = True) -> QueueView:
        """A queue, known or not, or a part of it. Its backlog is what is stored of it."""
        try:
            backlog = {part.priority: part for part in await self._backlog(key, is_whole)}
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error
        now_ns = self._clock.now_ns()
        keys = self._queues.parts(key) if is_whole else [key]
        queues = [queue for part in keys if (queue := self._queues.find(part)) is not None]
        all_statistics = [queue.statistics for queue in queues]
        found = self._queues.configs.find(key.whole)
        priorities = {*backlog}.union(*(s.added for s in all_statistics)).union(
            *(s.dispatched for s in all_statistics)
        )
        rates = [queue.worker_rate for queue in queues if queue.worker_rate is not None]
        return QueueView(
            pollers=_pollers(all_statistics, now_ns),
            statistics={
                priority: _statistics(priority, backlog.get(priority), all_statistics, now_ns)
                for priority in sorted(priorities)
            },
            config=found,
            configured_rate=config.rate_of(found),
            worker_rate=rates[0] if rates else None,
            routing=self._queues.deployments.routing(key.whole),
        )

    async def _backlog(self, key: QueueKey, is_whole: bool) -> list[BacklogPart]:
        if is_whole or not (key.version or self._queues.deployments.are_any):
            return await self._store.backlog_parts(key)
        return await self._queues.backlog_of_part(key)

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


def _pollers(all_statistics: list[Statistics], now_ns: int) -> list[Poller]:
    """Who polled lately, the last one first; each once, as it was last seen."""
    found = [poller for statistics in all_statistics for poller in statistics.pollers(now_ns)]
    if len(all_statistics) > 1:
        found.sort(key=lambda poller: poller.last_access_ns)
        found = list({poller.identity: poller for poller in found}.values())
        found.sort(key=lambda poller: -poller.last_access_ns)
    return found


def _statistics(
    priority: int, part: BacklogPart | None, all_statistics: list[Statistics], now_ns: int
) -> QueueStatistics:
    return QueueStatistics(
        backlog=part.count if part is not None else 0,
        backlog_age_ns=max(0, now_ns - part.ready_at_ns) if part is not None else 0,
        add_rate=sum(_rate(one.added.get(priority), now_ns) for one in all_statistics),
        dispatch_rate=sum(_rate(one.dispatched.get(priority), now_ns) for one in all_statistics),
    )


def _rate(meter: Meter | None, now_ns: int) -> float:
    return meter.per_second(now_ns) if meter is not None else 0.0
