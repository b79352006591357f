"""All task queues that somebody polls or that have tasks, each made when it is first needed.

A queue that has rows in the store when the engine starts is known to have a backlog; it is read, a
page at a time, when somebody polls.

Where workers of deployments poll, a queue has parts: one for each version, and the one for workers
of none. They share the rows, and each keeps those in memory that are for it as the routing stands;
when that changes, all of them are read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Protocol

from temporalio.api.taskqueue.v1 import TaskQueueConfig

from perdure.server.machines.deployment.inputs import DeploymentLimits
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.deployment.state import Deployment, TaskQueue
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.queue import config
from perdure.server.machines.queue.queue import Queue, Task
from perdure.server.machines.queue.routing import NO_ROUTING, version_of
from perdure.server.machines.queue.statistics import Poller
from perdure.server.matching.configs import Change, QueueConfigs
from perdure.server.matching.deployments import Deployments
from perdure.server.matching.poll import WaitingPoll
from perdure.server.matching.query import QueryTask
from perdure.server.store.ports import (
    BacklogCursor,
    BacklogPart,
    DispatchRow,
    QueueKey,
    RunNumber,
    Store,
    StoreUnavailable,
)

BACKLOG_PAGE = 500
"""Rows read at a time."""
QUEUES_MAX = 50_000
"""Queues in memory before idle ones are forgotten."""
READ_RETRY_SECONDS = 0.2

HostedQueue = Queue[WaitingPoll[Any], QueryTask[Any]]
StartStored = Callable[[QueueKey, Task, WaitingPoll[Any]], None]


class WallClock(Protocol):
    """What time it is."""

    def now_ns(self) -> int:
        """Now."""
        ...


class Queues:
    """The task queues of a shard."""

    def __init__(
        self,
        store: Store,
        spawn: Callable[..., None],
        clock: WallClock,
        limits: DeploymentLimits | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self.configs = QueueConfigs(store)
        self.deployments = Deployments(store, limits or DeploymentLimits())
        self.deployments.rerouted = self._rerouted
        self._limited: set[QueueKey] = set()
        """Whose limit has been reached while tasks and polls wait."""
        self._spawn = spawn
        self._queues: dict[QueueKey, HostedQueue] = {}
        self._parts: dict[QueueKey, set[QueueKey]] = {}
        """The parts of queues that are for versions, which are in memory."""
        self._reading: set[QueueKey] = set()
        self.start_stored: StartStored
        """Starts a stored task for a poll; set by whoever wires us, as the next two."""
        self.offer_again: Callable[[QueryTask[Any]], None]
        """Offers a query anew."""
        self.workflow_of: Callable[[RunNumber], Awaitable[str | None]]
        """The workflow id of a run."""

    async def recover(self) -> None:
        """Know again which queues have a backlog, what was set of them, and where their work
        goes."""
        await self.configs.recover()
        await self.deployments.recover()
        for key in await self._store.queues_with_backlog():
            self._queues[key] = self._new(key, is_backlog_partial=True)

    def find(self, key: QueueKey) -> HostedQueue | None:
        """The queue, if it is in memory: one that is not has neither polls nor tasks."""
        return self._queues.get(key)

    def part_for(self, key: QueueKey, directive: bytes, workflow_id: str) -> QueueKey:
        """The part of a queue that a task of a workflow is for, as the routing stands."""
        routing = self.deployments.routing(key)
        if routing is NO_ROUTING and not directive:
            return key
        version = version_of(directive, routing, kind=key.kind, workflow_id=workflow_id)
        return key.part("" if version is None else version.text)

    async def register(self, key: QueueKey, version: VersionName) -> None:
        """A worker of a version is about to poll: both are known when this returns. Raises
        DeploymentLimitReached, StoreUnavailable."""
        await self.deployments.register(
            key, version, self._clock.now_ns(), deletable=partial(self.unpolled, key.namespace)
        )

    def unpolled(self, namespace: int, deployment: Deployment) -> frozenset[str]:
        """The builds of a deployment whose queues nobody has polled lately."""
        now_ns = self._clock.now_ns()

        def is_polled(build_id: str, queue: TaskQueue) -> bool:
            key = QueueKey(namespace, queue.name, queue.kind)
            part = self._queues.get(key.part(VersionName(deployment.name, build_id).text))
            return part is not None and bool(part.statistics.pollers(now_ns))

        return frozenset(
            build_id
            for build_id, version in deployment.versions.items()
            if not any(is_polled(build_id, queue) for queue in version.queues)
        )

    def parts(self, key: QueueKey) -> list[QueueKey]:
        """All parts of a queue that are in memory, first the one for workers of no version."""
        return [key, *sorted(self._parts.get(key, ()), key=lambda part: part.version)]

    def add_poll(
        self, key: QueueKey, waiting: WaitingPoll[Any], now_ns: int
    ) -> Task | QueryTask[Any] | None:
        """A poll arrives: the task or the query that it gets, or None when it waits."""
        queue = self._get(key)
        task = queue.add_poll(waiting, now_ns)
        self._read_if_needed(key, queue)
        self._wait_for_limit(key, queue, now_ns)
        return task

    def note_poller(self, key: QueueKey, poller: Poller) -> None:
        """Somebody is about to poll, and may want the queue to be limited."""
        queue = self._get(key)
        queue.statistics.polled(poller)
        rate = poller.rate_per_second
        if rate is not None and rate != queue.worker_rate:
            queue.set_rates(configured=queue.configured_rate, worker=rate)
            self._limit_is_over(key)

    async def configure(self, key: QueueKey, change: Change) -> TaskQueueConfig:
        """Set something of a queue; it is durable when this returns. Raises Rejected,
        StoreUnavailable."""
        changed = await self.configs.change(key, change)
        for part in self.parts(key):
            queue = self._queues.get(part)
            if queue is not None:
                queue.set_rates(configured=config.rate_of(changed), worker=queue.worker_rate)
                self._limit_is_over(part)
        return changed

    def polled(self, key: QueueKey, now_ns: int) -> None:
        """A poll of a queue is answered: its worker was there until now."""
        queue = self._queues.get(key)
        if queue is not None:
            queue.last_poll_ns = now_ns

    def remove_poll(self, key: QueueKey, waiting: WaitingPoll[Any]) -> bool:
        """A poll went away: whether it had been waiting for a task."""
        queue = self._queues.get(key)
        return queue is not None and queue.remove_poll(waiting)

    def add_query(self, key: QueueKey, query: QueryTask[Any]) -> WaitingPoll[Any] | None:
        """A query arrives: the poll that gets it, or None when it waits."""
        return self._get(key).add_query(query, query.priority)

    def remove_query(self, key: QueueKey, query: QueryTask[Any]) -> None:
        """Nobody waits for the answer of a query."""
        queue = self._queues.get(key)
        if queue is not None:
            queue.remove_query(query, query.priority)

    def add_task(self, key: QueueKey, task: Task, now_ns: int) -> WaitingPoll[Any] | None:
        """A stored task: the poll that gets it, if one waits."""
        queue = self._get(key)
        waiting = queue.add_task(task, now_ns)
        self._read_if_needed(key, queue)
        self._wait_for_limit(key, queue, now_ns)
        return waiting

    def read_again(self, key: QueueKey) -> None:
        """A task was taken and could not be started: its row is still there to be found."""
        queue = self._get(key)
        queue.read_again()
        self._read_if_needed(key, queue)

    def withdraw_polls(self, is_meant: Callable[[WaitingPoll[Any]], bool]) -> int:
        """Answer the waiting polls that are meant with nothing; how many there were."""
        count = 0
        for queue in self._queues.values():
            for waiting in queue.polls():
                if is_meant(waiting) and queue.remove_poll(waiting):
                    count += 1
                    if not waiting.result.done():
                        waiting.result.set_result(None)
        return count

    def forget_pollers(self, key: QueueKey) -> None:
        """The worker of a sticky queue is gone: nothing must be offered there any more."""
        queue = self._queues.get(key)
        if queue is not None:
            queue.last_poll_ns = 0

    def _get(self, key: QueueKey) -> HostedQueue:
        queue = self._queues.get(key)
        if queue is None:
            if len(self._queues) >= QUEUES_MAX:
                self._forget_idle()
            # The rows of a queue are those of all its parts: a part that is new may have some.
            queue = self._queues[key] = self._new(key, is_backlog_partial=bool(key.version))
            if key.version:
                self._parts.setdefault(key.whole, set()).add(key)
        return queue

    def _forget_idle(self) -> None:
        self._queues = {key: queue for key, queue in self._queues.items() if not queue.is_idle}
        self._parts = {}
        for key in self._queues:
            if key.version:
                self._parts.setdefault(key.whole, set()).add(key)

    def _new(self, key: QueueKey, *, is_backlog_partial: bool) -> HostedQueue:
        queue: HostedQueue = Queue(is_backlog_partial=is_backlog_partial)
        configured = config.rate_of(self.configs.find(key.whole))
        if configured is not None:
            queue.set_rates(configured=configured, worker=None)
        return queue

    def _match(self, key: QueueKey, queue: HostedQueue) -> None:
        now_ns = self._clock.now_ns()
        while (match := queue.next_match(now_ns)) is not None:
            waiting, task = match
            self.start_stored(key, task, waiting)
        self._wait_for_limit(key, queue, now_ns)

    def _wait_for_limit(self, key: QueueKey, queue: HostedQueue, now_ns: int) -> None:
        """Where a limit keeps tasks from polls, look again when it does no longer."""
        if queue.limit.per_second is None or key in self._limited:
            return
        free_ns = queue.free_at(now_ns)
        if free_ns is not None:
            self._limited.add(key)
            delay = (free_ns - now_ns) / SECOND_NS
            asyncio.get_running_loop().call_later(delay, self._limit_is_over, key)

    def _limit_is_over(self, key: QueueKey) -> None:
        self._limited.discard(key)
        queue = self._queues.get(key)
        if queue is not None:
            self._match(key, queue)
            self._read_if_needed(key, queue)

    def _read_if_needed(self, key: QueueKey, queue: HostedQueue) -> None:
        if queue.needs_reading and key not in self._reading:
            self._reading.add(key)
            self._spawn(self._read(key, queue))

    async def backlog_of_part(self, key: QueueKey) -> list[BacklogPart]:
        """How much of a backlog a part of a queue has, by priority: of each page of rows, those
        that are for it. Raises StoreUnavailable."""
        found: dict[int, BacklogPart] = {}
        after: BacklogCursor | None = None
        while page := await self._store.backlog(key.whole, after, BACKLOG_PAGE):
            last = page[-1]
            after = BacklogCursor(last.priority, last.ready_at_ns, last.run, last.event_id)
            for row in await self._of_part(key, page):
                old = found.get(row.priority)
                count, ready_at_ns = (old.count, old.ready_at_ns) if old else (0, row.ready_at_ns)
                found[row.priority] = BacklogPart(row.priority, count + 1, ready_at_ns)
            if len(page) < BACKLOG_PAGE:
                break
        return [found[priority] for priority in sorted(found)]

    def _rerouted(self, keys: Iterable[QueueKey]) -> None:
        """The work of some queues goes elsewhere: each part looks for what is its own now."""
        for part in [part for key in keys for part in self.parts(key)]:
            queue = self._queues.get(part)
            if queue is None:
                # Nobody has asked for it yet, and what is stored may be for it from now on.
                self._queues[part] = self._new(part, is_backlog_partial=True)
                continue
            queries = queue.take_queries()
            queue.read_again()
            self._read_if_needed(part, queue)
            for query in queries:
                self.offer_again(query)

    async def _of_part(self, key: QueueKey, rows: list[DispatchRow]) -> list[DispatchRow]:
        """The rows of a queue that are for one part of it."""
        routing = self.deployments.routing(key.whole)
        if routing is NO_ROUTING and not key.version and not any(row.directive for row in rows):
            return rows
        found = []
        for row in rows:
            workflow_id = ""
            if routing.needs_workflow_id:
                workflow_id = await self.workflow_of(row.run) or ""
            if self.part_for(key.whole, row.directive, workflow_id) == key:
                found.append(row)
        return found

    async def _read(self, key: QueueKey, queue: HostedQueue) -> None:
        """Read pages until every waiting poll has a task, or there are no more."""
        try:
            while queue.needs_reading:
                after = queue.begin_page()
                try:
                    rows = await self._store.backlog(
                        key.whole,
                        None
                        if after is None
                        else BacklogCursor(
                            after.priority, after.ready_at_ns, after.run, after.event_id
                        ),
                        BACKLOG_PAGE,
                    )
                    mine = await self._of_part(key, rows)
                except StoreUnavailable:
                    await asyncio.sleep(READ_RETRY_SECONDS)
                    continue
                tasks = [_task(row) for row in mine]
                read_to = _task(rows[-1]) if rows else None
                queue.add_page(tasks, is_last=len(rows) < BACKLOG_PAGE, read_to=read_to)
                self._match(key, queue)
        finally:
            self._reading.discard(key)


def _task(row: DispatchRow) -> Task:
    return Task(row.priority, row.ready_at_ns, row.run, row.event_id, row.stamp)
