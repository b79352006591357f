"""Tasks and polls: who gets what, and that it arrives.

A task that becomes ready meets a waiting poll at once, in the same group commit; otherwise its row
is stored, and it is published to its queue when that is durable. A poll that finds a stored task
starts it and waits for the commit. In both cases the task is handed over only when its start is
durable; if the poll is gone by then, the task goes back on offer and its attempt does not count.

A worker in the engine's own process may be given a workflow task before that: activating it has no
effect outside, the answer to it waits for its commit, and if the start is lost, so is what the
worker knows of it, since its token fits no other start. So start and answer share a commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec import MsgspecError

from perdure.server.engine.api import EngineStopped, EngineUnavailable, NamespaceRef, Poll
from perdure.server.engine.clock import Clock
from perdure.server.engine.directory import RunDirectory
from perdure.server.engine.execution import Execution
from perdure.server.engine.pipeline import Pipeline
from perdure.server.engine.sealing import PendingRun, PendingWrite
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.errors import InvariantViolation, Rejected
from perdure.server.machines.ports import SECOND_NS, Ids, Kind
from perdure.server.machines.queue.queue import Task
from perdure.server.machines.queue.routing import NO_ROUTING
from perdure.server.machines.queue.statistics import Poller
from perdure.server.machines.workflow.effects import OfferTask, TaskKind
from perdure.server.machines.workflow.inputs import (
    ActivityTaskUndelivered,
    Input,
    Reply,
    StartActivityTask,
    StartedActivityTask,
    StartedWorkflowTask,
    StartWorkflowTask,
    StickyWorkerUnavailable,
    TransitionBegun,
    WorkflowTaskUndelivered,
)
from perdure.server.machines.workflow.state import NO_TARGET, Target
from perdure.server.machines.workflow.versioning import directive_of
from perdure.server.matching.departures import Departures
from perdure.server.matching.poll import WaitingPoll
from perdure.server.matching.query import QueryTask
from perdure.server.matching.queues import Queues
from perdure.server.store.ports import CorruptBlob, QueueKey, RunNumber, StoreUnavailable

logger = logging.getLogger(__name__)

STICKY_POLLER_WINDOW_NS = 10 * SECOND_NS
"""A sticky queue that nobody polled for so long has no worker (Temporal's
matching.stickyPollerUnavailableWindow)."""
LOST_START_PAUSE_SECONDS = 0.2
"""Before a task is looked for again whose start could not be written."""

Started = StartedWorkflowTask | StartedActivityTask
Found = tuple[str, Started] | QueryTask[NamespaceRef]
"""What a poll is given: a started task and its workflow id, or a query."""


class Dispatcher:
    """Matches tasks with polls for one shard."""

    def __init__(
        self,
        pipeline: Pipeline,
        queues: Queues,
        directory: RunDirectory,
        clock: Clock,
        ids: Ids,
        spawn: Callable[..., None],
        namespace_of: Callable[[int], NamespaceRef],
    ) -> None:
        self._pipeline = pipeline
        self._queues = queues
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._spawn = spawn
        self._namespace_of = namespace_of
        self._departures = Departures()
        queues.start_stored = self.start_stored
        queues.offer_again = self.offer_query
        queues.workflow_of = self._workflow_of

    # ---- from the pipeline

    def offered(
        self, execution: Execution, namespace: NamespaceRef, run: RunNumber, offer: OfferTask
    ) -> None:
        """A task is on offer in the open group: a waiting poll takes it there and then."""
        key = self._part_for(namespace.number, execution.key[1], offer)
        queue = self._queues.find(key)
        if queue is None or (offer.sticky_for and self._is_elsewhere(key, execution, offer)):
            return
        waiting = queue.take_poll(offer.priority, self._clock.now_ns())
        if waiting is None:
            return
        message = self._start_message(key, offer.run_id, execution, offer, waiting.poll)
        try:
            reply, write = self._pipeline.decide(execution, namespace, message)
        except (Rejected, InvariantViolation, EngineStopped):
            self._wait_on(key, waiting)
            raise
        self._handle(execution, namespace, reply, waiting, write, key)

    def _handle(
        self,
        execution: Execution,
        namespace: NamespaceRef,
        reply: Reply,
        waiting: WaitingPoll[Poll],
        write: PendingWrite | None,
        key: QueueKey,
    ) -> None:
        """What became of a task that met a poll."""
        if isinstance(reply, TransitionBegun):
            return self._wait_on(key, waiting)
        assert isinstance(reply, (StartedWorkflowTask, StartedActivityTask))
        self._deliver(execution, namespace, reply, waiting, write, key)
        return None

    def offered_in_memory(
        self, execution: Execution, namespace: NamespaceRef, run: RunNumber, offer: OfferTask
    ) -> None:
        """A task is on offer that is stored nowhere: a waiting poll takes it, or it waits."""
        key = self._part_for(namespace.number, execution.key[1], offer)
        queue = self._queues.find(key)
        if (
            queue is not None
            and queue.waiting_polls
            and not queue.has_backlog
            and not (offer.sticky_for and self._is_elsewhere(key, execution, offer))
        ):
            self.offered(execution, namespace, run, offer)
        else:
            self._publish(execution, run, offer)

    def durable(self, execution: Execution, pending: PendingRun) -> None:
        """The rows of a group are stored: their tasks are published to their queues."""
        for offer in pending.offers.values():
            self._publish(execution, pending.number, offer)

    # ---- from polls

    async def poll(self, poll: Poll, kind: TaskKind, timeout_seconds: float) -> Found | None:
        """The next task of a queue, started for this poll, or a query; None when none came in
        time, and for a worker that has stopped."""
        number = poll.namespace.number
        if self._departures.has(number, poll.worker_instance, self._clock.now_ns()):
            return None
        key = QueueKey(poll.namespace.number, poll.queue, kind)
        if poll.version is not None and not poll.sticky_for:
            await self._register(key, poll.version)
            key = key.part(poll.version.text)
        loop = asyncio.get_running_loop()
        waiting = WaitingPoll(poll, loop.create_future())
        now_ns = self._clock.now_ns()
        self._queues.note_poller(
            key,
            Poller(
                poll.identity, now_ns, poll.rate_per_second, poll.worker_version, poll.deployment
            ),
        )
        task = self._queues.add_poll(key, waiting, now_ns)
        if isinstance(task, QueryTask):
            task.is_taken = True
            return task
        if task is not None:
            self.start_stored(key, task, waiting)
        timer = loop.call_later(timeout_seconds, self._expire, key, waiting)
        try:
            found: Found | None = await waiting.result
            return found
        except asyncio.CancelledError:
            result = waiting.result
            if not result.cancelled() and result.exception() is None and result.result():
                # The caller went away just when it was given a task.
                found = result.result()
                if isinstance(found, QueryTask):
                    self.offer_query(found)
                else:
                    self.take_back(poll.namespace, *found)
            raise
        finally:
            timer.cancel()
            self._queues.remove_poll(key, waiting)

    def take_back(self, namespace: NamespaceRef, workflow_id: str, started: Started) -> None:
        """A task was given to a poll whose caller does not get it: it is on offer again."""
        self._spawn(self._put_back(namespace, workflow_id, started))

    def offer_query(self, query: QueryTask[NamespaceRef]) -> None:
        """A query for whoever polls its queue next, unless nobody waits for its answer."""
        if query.result.done():
            return
        query.is_taken = False
        query.key = self._queues.part_for(query.key.whole, query.directive, query.workflow_id)
        waiting = self._queues.add_query(query.key, query)
        while waiting is not None and waiting.result.done():
            waiting = self._queues.add_query(query.key, query)  # That poll went away just now.
        if waiting is not None:
            self._give(query, waiting)

    def _give(self, query: QueryTask[NamespaceRef], waiting: WaitingPoll[Poll]) -> None:
        query.is_taken = True
        self._queues.polled(query.key, self._clock.now_ns())
        waiting.result.set_result(query)

    def withdraw_query(self, query: QueryTask[NamespaceRef]) -> None:
        """Nobody waits for the answer of a query any more."""
        self._queues.remove_query(query.key, query)

    def _expire(self, key: QueueKey, waiting: WaitingPoll[Poll]) -> None:
        """The poll's time is over: it is answered, unless a task is on its way to it."""
        waiting.is_expired = True
        self._queues.polled(key, self._clock.now_ns())
        if self._queues.remove_poll(key, waiting) and not waiting.result.done():
            waiting.result.set_result(None)

    # ---- versions

    async def _workflow_of(self, number: RunNumber) -> str | None:
        names = await self._directory.find(number)
        return None if names is None else names[1]

    async def _register(self, key: QueueKey, version: VersionName) -> None:
        """A version and this queue of it are known when this returns. Raises
        DeploymentLimitReached, EngineUnavailable."""
        try:
            await self._queues.register(key, version)
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error

    def _part_for(self, namespace: int, workflow_id: str, offer: OfferTask) -> QueueKey:
        key = QueueKey(namespace, offer.queue, offer.kind)
        if offer.sticky_for:
            return key  # It belongs to one worker.
        return self._queues.part_for(key, offer.directive, workflow_id)

    def _is_elsewhere(self, key: QueueKey, execution: Execution, offer: OfferTask) -> bool:
        """Whether the worker of a sticky queue is of another version than the task is for. One that
        could go to workers of no version stays, as on the real server."""
        normal = QueueKey(key.namespace, offer.sticky_for, offer.kind)
        return self.is_elsewhere(normal, offer.directive, execution.key[1], offer.version)

    def is_elsewhere(
        self, normal: QueueKey, directive: bytes, workflow_id: str, version: str
    ) -> bool:
        """Whether what is for a worker of a version, in its sticky queue, is now for one of another
        version, on the normal queue."""
        if not directive and self._queues.deployments.routing(normal) is NO_ROUTING:
            return False
        part = self._queues.part_for(normal, directive, workflow_id)
        return part.version not in ("", version)

    def _has_moved(self, key: QueueKey, execution: Execution, poll: Poll) -> bool:
        """Whether a task that waits in a sticky queue is for another version by now than that of
        the queue's worker."""
        if not poll.sticky_for or execution.key[2] is not Kind.WORKFLOW:
            return False
        run = execution.workflow.run
        normal = QueueKey(key.namespace, poll.sticky_for, key.kind)
        directive = b"" if run is None else directive_of(run)
        version = "" if poll.version is None else poll.version.text
        return self.is_elsewhere(normal, directive, execution.key[1], version)

    # ---- starting

    def start_stored(self, key: QueueKey, task: Task, waiting: WaitingPoll[Poll]) -> None:
        """A stored task and a waiting poll have met."""
        self._spawn(self._start_stored(key, task, waiting))

    async def _start_stored(self, key: QueueKey, task: Task, waiting: WaitingPoll[Poll]) -> None:
        """Start a stored task for a poll; when it is not on offer any more, the poll waits on."""
        try:
            found = await self._directory.find(task.run)
            if found is None:
                return self._wait_on(key, waiting)
            workflow_id, run_id = found.id, found.run_id
            namespace = self._namespace_of(key.namespace)
            execution = await self._pipeline.execution(namespace, workflow_id, found.kind)
            if self._has_moved(key, execution, waiting.poll):
                unavailable = StickyWorkerUnavailable(run_id, task.stamp)
                self._spawn(self._fall_back(namespace, workflow_id, unavailable))
                return self._wait_on(key, waiting)
            message = self._start_message(key, run_id, execution, task, waiting.poll)
            reply, write = self._pipeline.decide(execution, namespace, message)
        except Rejected:
            return self._wait_on(key, waiting)
        except (EngineUnavailable, StoreUnavailable) as error:
            self._queues.read_again(key)
            if not waiting.result.done():
                waiting.result.set_exception(EngineUnavailable(str(error)))
            return None
        except (InvariantViolation, CorruptBlob, MsgspecError):
            # What is wrong with this workflow is no reason to keep the poll from others' tasks.
            self._wait_on(key, waiting)
            raise
        self._handle(execution, namespace, reply, waiting, write, key)
        return None

    def _wait_on(self, key: QueueKey, waiting: WaitingPoll[Poll]) -> None:
        if waiting.result.done():
            return
        if waiting.is_expired:
            waiting.result.set_result(None)
            return
        task = self._queues.add_poll(key, waiting, self._clock.now_ns())
        if isinstance(task, QueryTask):
            self._give(task, waiting)
        elif task is not None:
            self._spawn(self._start_stored(key, task, waiting))

    def _start_message(
        self,
        key: QueueKey,
        run_id: str,
        execution: Execution,
        offer: OfferTask | Task,
        poll: Poll,
    ) -> Input:
        target = self._target(execution)
        # Of a version no stamp is recorded: that was how builds were told apart before.
        worker_version = poll.worker_version if poll.version is None else b""
        if key.kind == TaskKind.WORKFLOW:
            return StartWorkflowTask(
                run_id=run_id,
                stamp=offer.stamp,
                request_id=self._ids.uuid(),
                identity=poll.identity,
                worker_version=worker_version,
                version=poll.version,
                target=target,
            )
        event_id = offer.event_id if isinstance(offer, Task) else offer.scheduled_event_id
        return StartActivityTask(
            run_id=run_id,
            scheduled_event_id=event_id,
            stamp=offer.stamp,
            request_id=self._ids.uuid(),
            identity=poll.identity,
            worker_version=worker_version,
            version=poll.version,
            target=target,
            sdk=poll.sdk,
        )

    def _target(self, execution: Execution) -> Target:
        """Where the queue of a workflow's tasks sends new work."""
        if execution.key[2] is not Kind.WORKFLOW or not self._queues.deployments.are_any:
            return NO_TARGET
        run = execution.workflow.run
        if run is None:
            return NO_TARGET
        key = QueueKey(execution.key[0], run.recorded.task_queue, TaskKind.WORKFLOW)
        routing = self._queues.deployments.routing(key)
        return NO_TARGET if routing is NO_ROUTING else Target(*routing.target(execution.key[1]))

    # ---- delivering

    def _deliver(
        self,
        execution: Execution,
        namespace: NamespaceRef,
        started: Started,
        waiting: WaitingPoll[Poll],
        write: PendingWrite | None,
        key: QueueKey,
    ) -> None:
        is_there = waiting.poll.takes_early and not waiting.result.done()
        if write is not None and is_there and _may_be_early(execution, started):
            waiting.result.set_result((execution.key[1], started))
            write.when_durable(lambda error: self._spawn(self._look_again(key)) if error else None)
            self._pipeline.expect_answer(execution)
        else:
            self._deliver_when_durable(namespace, execution, started, waiting, key)

    def _deliver_when_durable(
        self,
        namespace: NamespaceRef,
        execution: Execution,
        started: Started,
        waiting: WaitingPoll[Poll],
        key: QueueKey,
    ) -> None:
        waiting.is_matched = True
        workflow_id = execution.key[1]

        def deliver(error: Exception | None) -> None:
            waiting.is_matched = False
            if error is not None:
                self._wait_on(key, waiting)
                self._spawn(self._look_again(key))
            elif waiting.result.done():
                self.take_back(namespace, workflow_id, started)
            else:
                self._queues.polled(key, self._clock.now_ns())
                waiting.result.set_result((workflow_id, started))

        self._pipeline.when_settled(execution, deliver)

    async def _look_again(self, key: QueueKey) -> None:
        """A start was lost: if its task was stored, it is still there. Not at once, since what
        cannot be written now would be tried without end, and keep others from their turn."""
        await asyncio.sleep(LOST_START_PAUSE_SECONDS)
        self._queues.read_again(key)

    async def _put_back(self, namespace: NamespaceRef, workflow_id: str, started: Started) -> None:
        """The poll died before its task came: the task is on offer again, as soon as that can be
        written. Its timeout may be days away, and would count an attempt that nobody made."""
        token = started.token
        message: Input
        if isinstance(started, StartedWorkflowTask):
            message = WorkflowTaskUndelivered(token.run_id, token.stamp, token.start_id)
        else:
            message = ActivityTaskUndelivered(token.run_id, token.scheduled_event_id, token.stamp)
        while True:
            try:
                await self._pipeline.submit(namespace, workflow_id, message, Kind(token.kind))
            except (Rejected, EngineStopped):
                # It was completed, timed out or closed meanwhile: nothing is owed to anybody.
                return
            except EngineUnavailable as error:
                logger.warning("an undelivered task has to wait: %s", error)
                await asyncio.sleep(LOST_START_PAUSE_SECONDS)
            else:
                return

    # ---- publishing

    def _publish(self, execution: Execution, run: RunNumber, offer: OfferTask) -> None:
        namespace = self._namespace_of(execution.key[0])
        key = self._part_for(execution.key[0], execution.key[1], offer)
        if offer.sticky_for and (
            not self.has_live_poller(key) or self._is_elsewhere(key, execution, offer)
        ):
            message = StickyWorkerUnavailable(offer.run_id, offer.stamp)
            self._spawn(self._fall_back(namespace, execution.key[1], message))
            return
        task = Task(offer.priority, offer.ready_at_ns, run, offer.scheduled_event_id, offer.stamp)
        self._directory.remember(run, *execution.key, offer.run_id)
        waiting = self._queues.add_task(key, task, self._clock.now_ns())
        if waiting is not None:
            self._spawn(self._start_stored(key, task, waiting))

    async def _fall_back(
        self, namespace: NamespaceRef, workflow_id: str, message: StickyWorkerUnavailable
    ) -> None:
        try:
            await self._pipeline.submit(namespace, workflow_id, message)
        except Rejected:
            return  # The task is no longer the one that was offered.
        except EngineUnavailable as error:
            logger.warning("a sticky task waits for its timeout: %s", error)

    def advise(self, poll: Poll, kind: TaskKind, polled_ns: int) -> int:
        """By how many a worker should change its polls, now that this one has a task."""
        key = QueueKey(poll.namespace.number, poll.queue, kind)
        if poll.version is not None and not poll.sticky_for:
            key = key.part(poll.version.text)
        queue = self._queues.find(key)
        if queue is None:
            return 0
        return queue.advise(polled_ns, self._clock.now_ns(), is_sticky=bool(poll.sticky_for))

    def has_live_poller(self, key: QueueKey, window_ns: int = STICKY_POLLER_WINDOW_NS) -> bool:
        """Whether somebody polls a queue, or did so a short time ago."""
        queue = self._queues.find(key)
        if queue is None:
            return False
        return queue.waiting_polls > 0 or self._clock.now_ns() - queue.last_poll_ns < window_ns

    def cancel_polls(self, namespace: NamespaceRef, worker_instance: str, sticky_queue: str) -> int:
        """Answer the polls of a worker with nothing, those that wait and those that are on their
        way, and forget its sticky queue; how many waited."""
        if worker_instance:
            self._departures.note(namespace.number, worker_instance, self._clock.now_ns())
        cancelled = self._queues.withdraw_polls(
            lambda waiting: (
                waiting.poll.namespace.number == namespace.number
                and bool(worker_instance)
                and waiting.poll.worker_instance == worker_instance
            )
        )
        if sticky_queue:
            self._queues.forget_pollers(QueueKey(namespace.number, sticky_queue, TaskKind.WORKFLOW))
        return cancelled


def _may_be_early(execution: Execution, started: Started) -> bool:
    """Whether nothing outside can learn of the task but by an answer that waits for its commit."""
    return (
        isinstance(started, StartedWorkflowTask)
        and not started.queries
        and not started.messages
        and execution.tail.holds(started.history_from, started.history_to)
    )
