"""The engine of one shard: composes its parts and offers them to the frontend.

Opening it takes the shard over and recovers: what should be on offer is in the dispatch rows, what
should happen later in the wake-ups, what other workflows are owed in the outbox. Nothing else is
remembered, so nothing else can be forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

from msgspec import MsgspecError
from temporalio.api.query.v1 import WorkflowQueryResult
from temporalio.api.taskqueue.v1 import TaskQueueConfig
from temporalio.api.workflowservice.v1 import (
    ResetWorkflowExecutionRequest,
    UpdateTaskQueueConfigRequest,
)

from perdure.server.engine.api import (
    ActivityTaskWithInput,
    EngineStopped,
    EngineUnavailable,
    HistoryPage,
    NamespaceRef,
    Poll,
    QueryAnswer,
    QueryTaskWithHistory,
    QueueView,
    RunClose,
    RunView,
    UpdateAnswer,
    WorkflowTaskWithHistory,
)
from perdure.server.engine.cache import ExecutionCache
from perdure.server.engine.callbacks import Callbacks, Post, no_post
from perdure.server.engine.clock import Clock
from perdure.server.engine.committer import Committer
from perdure.server.engine.counters import Counters
from perdure.server.engine.deployments import DeploymentOffice
from perdure.server.engine.directory import RunDirectory
from perdure.server.engine.dispatcher import Dispatcher
from perdure.server.engine.ends import count_end
from perdure.server.engine.execution import Execution, ExecutionKey
from perdure.server.engine.flight_recorder import FlightRecorder
from perdure.server.engine.nexus.calls import NexusCaller
from perdure.server.engine.nexus.nexus import NO_NAMESPACES, FindNamespace, Nexus
from perdure.server.engine.nexus.operations import NexusOperations
from perdure.server.engine.outbox import Outbox
from perdure.server.engine.pipeline import Pipeline
from perdure.server.engine.queries import Queries
from perdure.server.engine.queue_views import QueueViews
from perdure.server.engine.reader import HistoryReader
from perdure.server.engine.resets import Resets
from perdure.server.engine.sealing import Outgoing, PendingRun, Projection
from perdure.server.engine.time_skipping import TimeSkipper
from perdure.server.engine.updates import Updates
from perdure.server.engine.waiters import Waiters
from perdure.server.engine.wakeups import Wakeups
from perdure.server.machines.deployment.inputs import deployment_limits
from perdure.server.machines.errors import InvariantViolation, NotFound, Rejected
from perdure.server.machines.ports import Address, Held, Ids, InHand, Kind, Limits
from perdure.server.machines.workflow.codec import copy_run
from perdure.server.machines.workflow.decide import not_found_text
from perdure.server.machines.workflow.effects import (
    CallNexus,
    InvokeCallback,
    LookAgain,
    OfferTask,
    TaskKind,
)
from perdure.server.machines.workflow.inputs import (
    Input,
    NotCurrent,
    PollUpdate,
    QueryWorkflow,
    Reply,
    StartedActivityTask,
    StartedWorkflowTask,
    UpdateWithStart,
    UpdateWorkflow,
    WorkflowStarted,
    WorkflowTaskCompleted,
)
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.workflow_task import unrecorded_events
from perdure.server.matching.query import QueryTask
from perdure.server.matching.queues import Queues
from perdure.server.store.ports import (
    CorruptBlob,
    Fence,
    QueueKey,
    RunNumber,
    Store,
    StoreUnavailable,
)

logger = logging.getLogger(__name__)

PAGE_RUNS = 500
"""Runs looked at together."""
WAKE_RETRY_SECONDS = 0.2
ASKED_ID_LENGTH_MAX = 4_000
"""Longer workflow ids than this (or than ids may be, if that is more) are not looked up: what does
not exist is remembered too, and must not fill the memory."""
HISTORY_TASK_EVENTS_MAX = 256
"""Events that travel with a workflow task; a worker asks for the rest."""


UNDELIVERED = (
    asyncio.CancelledError,
    EngineUnavailable,
    InvariantViolation,
    NotFound,
    CorruptBlob,
)
"""Why a started task does not reach its poll, after all."""


class Engine:
    """See `EngineApi`, which this implements."""

    def __init__(
        self,
        store: Store,
        fence: Fence,
        numbers: tuple[int, int, int],
        *,
        clock: Clock,
        ids: Ids,
        limits: Limits,
        project: Projection,
        namespace_of: Callable[[int], NamespaceRef],
        on_lease_lost: Callable[[], None],
        executions_max: int,
        post: Post,
        find_namespace: FindNamespace,
        caller: NexusCaller | None,
    ) -> None:
        self._store = store
        self._shard = fence.shard
        self._clock = clock
        self._namespace_of = namespace_of
        self._id_length_max = max(limits.id_length_max, ASKED_ID_LENGTH_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self.recorder = FlightRecorder()
        self.cache = ExecutionCache(executions_max)
        last_run, last_turn, last_message = numbers
        self.committer = Committer(
            store, fence, self.cache, project, last_turn=last_turn, on_lease_lost=on_lease_lost
        )
        self.pipeline = Pipeline(
            store,
            self.cache,
            self.committer,
            clock,
            ids,
            limits,
            self.recorder,
            last_run=last_run,
            last_message=last_message,
        )
        self.pipeline.publisher = self
        self.queues = Queues(store, self._spawn, clock, deployment_limits(limits))
        self.queue_views = QueueViews(store, self.queues, clock)
        self.deployments: DeploymentOffice = DeploymentOffice(store, self.queues, clock)
        self.directory = RunDirectory(store)
        self.dispatcher = Dispatcher(
            self.pipeline, self.queues, self.directory, clock, ids, self._spawn, namespace_of
        )
        self.reader = HistoryReader(store)
        self.queries = Queries(
            self.pipeline, self.committer, self.dispatcher, self.reader, clock, ids
        )
        self.waiters = Waiters()
        self.ends = Counters()
        self.updates = Updates(self.pipeline, self._event)
        self.outbox = Outbox(
            store, self.pipeline, self.committer, self.waiters, limits, self._spawn, namespace_of
        )
        self.outbox.prepare = self.deployments.for_its_queue
        self.resets = Resets(store, fence.shard, self.pipeline, self.reader, ids, self._spawn)
        self.nexus: Nexus = Nexus(store, self.dispatcher, ids, clock, limits, post, find_namespace)
        self.callbacks = Callbacks(self.pipeline, self.nexus.post, self._event, limits, self._spawn)
        self.operations: NexusOperations = NexusOperations(
            self.pipeline, caller or self.nexus, self._event, self._spawn
        )
        self.nexus.completions = self.operations
        self.wakeups = Wakeups(store, fence.shard, clock, self._wake)
        self.time_skipper: TimeSkipper | None = None
        """Set where time can be skipped."""

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        shard: int,
        clock: Clock,
        ids: Ids,
        limits: Limits,
        project: Projection,
        namespace_of: Callable[[int], NamespaceRef],
        on_lease_lost: Callable[[], None],
        executions_max: int = 20_000,
        workers_are_dead: bool = False,
        post: Post = no_post,
        find_namespace: FindNamespace = NO_NAMESPACES,
        caller: NexusCaller | None = None,
    ) -> Engine:
        """Take the shard over and go on where it stopped.

        `workers_are_dead`: the workers lived and died with the last engine of the shard, so the
        tasks that they held go on at once. `find_namespace` finds it by its name or its id.
        `caller` carries Nexus operations to their handlers: the server's own, unless there is
        another.
        """
        fence = await store.acquire(shard)
        engine = cls(
            store,
            fence,
            await store.last_numbers(),
            clock=clock,
            ids=ids,
            limits=limits,
            project=project,
            namespace_of=namespace_of,
            on_lease_lost=on_lease_lost,
            executions_max=executions_max,
            post=post,
            find_namespace=find_namespace,
            caller=caller,
        )
        async with AsyncExitStack() as when_it_fails:
            # Whoever tries again must be the only one.
            when_it_fails.push_async_callback(engine.close)
            await engine._recover(workers_are_dead=workers_are_dead)
            when_it_fails.pop_all()
        return engine

    async def _recover(self, *, workers_are_dead: bool) -> None:
        await self.nexus.recover()
        await self.queues.recover()
        self.outbox.recover()
        await self.resets.recover()
        if workers_are_dead:
            # First of all: what was held when its time ran out was lost, and has not timed out.
            await self._lose_held_tasks()
        self.wakeups.start()
        self._spawn(self._lose_calls())

    async def _lose_calls(self) -> None:
        """Have all calls made again that died with earlier engines, without waiting until they must
        have ended. One that is made by now goes on, and is not made twice."""
        after: RunNumber = 0
        while True:
            try:
                page = await self._store.runs_held(self._shard, Held.CALLS, after, PAGE_RUNS)
            except StoreUnavailable as error:
                logger.warning("lost calls cannot be looked for now: %s", error)
                await asyncio.sleep(WAKE_RETRY_SECONDS)
                continue
            if not page:
                return
            after = page[-1]
            await asyncio.gather(*(self._wake(number, calls_are_lost=True) for number in page))

    async def _lose_held_tasks(self) -> None:
        after: RunNumber = 0
        while page := await self._store.runs_held(self._shard, Held.TASKS, after, PAGE_RUNS):
            after = page[-1]
            await asyncio.gather(*map(self._lose_tasks_of, page))

    async def _lose_tasks_of(self, number: RunNumber) -> None:
        names = await self.directory.find(number)
        if names is None:
            return
        namespace = self._namespace_of(names.namespace)
        execution = await self.pipeline.execution(namespace, names.id, names.kind)
        if execution.run is None or execution.current_run != number:
            return
        for message in execution.machine.lost_tasks(execution.run):
            with suppress(Rejected):  # It was completed a moment ago, by its id.
                await self.pipeline.submit(namespace, names.id, message, names.kind)

    async def close(self) -> None:
        """Stop deciding, write what was decided, and wake whoever waits."""
        if self.time_skipper is not None:
            await self.time_skipper.stop()
        await self.wakeups.stop()
        self.queues.withdraw_polls(lambda waiting: True)
        self.waiters.stop()
        self.queries.stop()
        self.updates.stop()
        await self.committer.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- EngineApi

    async def submit(self, namespace: NamespaceRef, workflow_id: str, message: Input) -> Reply:
        """Decide on an input and answer when the decision is durable."""
        self._check_id(workflow_id)
        reply: Reply = await self.pipeline.submit(namespace, workflow_id, message)
        return reply

    async def ask(self, namespace: NamespaceRef, whom: Address, message: Any) -> Any:
        """The same for a subject of any kind."""
        return await self.pipeline.submit(namespace, whom.id, message, whom.kind)

    async def ask_until(
        self,
        namespace: NamespaceRef,
        whom: Address,
        message: Any,
        is_settled: Callable[[Any], bool],
        timeout_seconds: float,
    ) -> Any:
        """The same, asking again at news of the subject until the reply is a settled one, or the
        time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            left = max(0.0, deadline - loop.time())
            execution = await self.pipeline.execution(namespace, whom.id, whom.kind)
            news = loop.create_task(self.waiters.wait(execution, left))
            await asyncio.sleep(0)  # It listens before the question, so that it misses nothing.
            try:
                reply = await self.ask(namespace, whom, message)
                if is_settled(reply) or not left:
                    return reply
                await news
            finally:
                news.cancel()

    async def reset(
        self, namespace: NamespaceRef, workflow_id: str, request: ResetWorkflowExecutionRequest
    ) -> str:
        """Begin a run with the history of another, up to a workflow task; its id."""
        self._check_id(workflow_id)
        return await self.resets.reset(namespace, workflow_id, request)

    async def delete(self, namespace: NamespaceRef, whom: Address, run_id: str) -> None:
        """Forget a run, which ends first if it is open."""
        self._check_id(whom.id)
        await self.resets.delete(namespace, whom, run_id)

    async def poll_workflow_task(
        self, poll: Poll, timeout_seconds: float
    ) -> WorkflowTaskWithHistory | QueryTaskWithHistory | None:
        """The next workflow task of a queue, or a query; None when none came in time."""
        polled_ns = self._clock.now_ns()
        found = await self.dispatcher.poll(poll, TaskKind.WORKFLOW, timeout_seconds)
        if found is None:
            return None
        advice = self.dispatcher.advise(poll, TaskKind.WORKFLOW, polled_ns)
        if isinstance(found, QueryTask):
            asked = await self.queries.with_history(found, is_sticky=bool(poll.sticky_for))
            if asked is not None:
                asked.poller_advice = advice
            return asked
        workflow_id, task = found
        assert isinstance(task, StartedWorkflowTask)
        try:
            ready = await self.with_history(poll.namespace, workflow_id, task)
        except NotFound:
            return None  # Its run has been deleted, and the task with it.
        except UNDELIVERED:
            self.dispatcher.take_back(poll.namespace, workflow_id, task)
            raise
        ready.poller_advice = advice
        return ready

    async def poll_activity_task(
        self, poll: Poll, timeout_seconds: float
    ) -> ActivityTaskWithInput | None:
        """The next activity attempt of a queue; None when none came in time."""
        polled_ns = self._clock.now_ns()
        found = await self.dispatcher.poll(poll, TaskKind.ACTIVITY, timeout_seconds)
        if found is None:
            return None
        advice = self.dispatcher.advise(poll, TaskKind.ACTIVITY, polled_ns)
        assert not isinstance(found, QueryTask)
        workflow_id, task = found
        assert isinstance(task, StartedActivityTask)
        try:
            ready = await self.with_input(poll.namespace, workflow_id, task)
        except NotFound:
            return None  # Its run has been deleted, and the task with it.
        except UNDELIVERED:
            self.dispatcher.take_back(poll.namespace, workflow_id, task)
            raise
        ready.poller_advice = advice
        return ready

    async def with_history(
        self, namespace: NamespaceRef, workflow_id: str, task: StartedWorkflowTask
    ) -> WorkflowTaskWithHistory:
        """The history that goes with a started task."""
        number, tail = await self._place(namespace, workflow_id, task.token.run_id)
        last = min(task.history_to, task.history_from + HISTORY_TASK_EVENTS_MAX - 1)
        if tail is not None and not tail.holds(task.history_from, last):
            # It has to be read from the store, where a task that was given early is not yet.
            execution = await self._settled(namespace, workflow_id)
            if execution.tail is not tail:
                raise EngineUnavailable("what the task rests on was lost")
        history, next_event_id = await self.reader.read_page(number, tail, task.history_from, last)
        if next_event_id <= task.history_to:
            return WorkflowTaskWithHistory(task, history, next_event_id)
        return WorkflowTaskWithHistory(task, history + task.unrecorded, 0)

    async def with_input(
        self, namespace: NamespaceRef, workflow_id: str, task: StartedActivityTask
    ) -> ActivityTaskWithInput:
        """The input that goes with a started activity attempt."""
        if task.start:
            return ActivityTaskWithInput(task, b"")
        number, tail = await self._place(namespace, workflow_id, task.token.run_id)
        event_id = task.token.scheduled_event_id
        return ActivityTaskWithInput(task, await self.reader.read_event(number, tail, event_id))

    async def with_tasks(
        self, namespace: NamespaceRef, workflow_id: str, completed: WorkflowTaskCompleted
    ) -> tuple[WorkflowTaskWithHistory | None, list[ActivityTaskWithInput]]:
        """What goes with the tasks that came with the answer to a completion. When its worker does
        not get them after all, they are on offer again."""
        next_task, activity_tasks = completed.workflow_task, completed.activity_tasks
        try:
            return (
                None
                if next_task is None
                else await self.with_history(namespace, workflow_id, next_task),
                [await self.with_input(namespace, workflow_id, task) for task in activity_tasks],
            )
        except UNDELIVERED:
            self.unheard(namespace, workflow_id, completed)
            raise

    async def read_history(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        run_id: str,
        *,
        first_event_id: int,
        events_max: int,
        last_event_id: int | None = None,
    ) -> HistoryPage:
        """Committed events of a run, from `first_event_id` on."""
        execution = await self._settled(namespace, workflow_id)
        while execution.group is not None and not execution.committed_event_id:
            execution = await self._settled(namespace, workflow_id)
        run = execution.workflow.run
        if run is not None and run_id in ("", run.recorded.run_id):
            number, tail, committed = (
                execution.current_run,
                execution.tail,
                execution.committed_event_id,
            )
        else:
            number, run = await self._other_run(namespace, workflow_id, run_id)
            tail, committed = None, run.recorded.next_event_id - 1
        is_settled = execution.group is None or tail is None
        unrecorded = unrecorded_events(run, is_for_worker=False) if is_settled else b""
        is_open = run.is_open or not is_settled
        successor = "" if is_open else run.recorded.successor_run_id
        found_run_id = run.recorded.run_id
        last = committed if last_event_id is None else min(committed, last_event_id)
        page_last = min(last, first_event_id + events_max - 1)
        history, next_event_id = await self.reader.read_page(
            number, tail, first_event_id, page_last
        )
        return HistoryPage(
            run_id=found_run_id,
            history=history,
            first_event_id=first_event_id,
            next_event_id=next_event_id,
            last_event_id=committed,
            is_open=is_open,
            unrecorded=unrecorded,
            successor_run_id=successor,
        )

    async def wait_for_events(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        run_id: str,
        after_event_id: int,
        timeout_seconds: float,
    ) -> None:
        """Return when there is a committed event after `after_event_id`, the run is over, or the
        time is."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while (left := deadline - loop.time()) > 0:
            execution = await self._settled(namespace, workflow_id)
            run = execution.workflow.run
            if run is None:
                raise NotFound(not_found_text(workflow_id, run_id))
            if run_id not in ("", run.recorded.run_id) or not run.is_open:
                return
            if execution.committed_event_id > after_event_id:
                return
            await self.waiters.wait(execution, left)

    async def wait_for_close(
        self, namespace: NamespaceRef, workflow_id: str, run_id: str, timeout_seconds: float
    ) -> RunClose:
        """How a run ended, waiting for it if there is time; still open when that is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        while True:
            execution = await self._settled(namespace, workflow_id)
            run = execution.workflow.run
            if run is None or run_id not in ("", run.recorded.run_id):
                _, run = await self._other_run(namespace, workflow_id, run_id)
            elif execution.group is not None and not run.is_open:
                continue  # Its close is not durable yet.
            recorded = run.recorded
            left = deadline - loop.time()
            if not run.is_open or left <= 0:
                return RunClose(recorded.run_id, recorded.close_event_id, recorded.successor_run_id)
            run_id = recorded.run_id
            await self.waiters.wait(execution, left, for_close=True)

    async def query(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: QueryWorkflow,
        timeout_seconds: float,
    ) -> QueryAnswer:
        """What the workflow's worker answers."""
        self._check_id(workflow_id)
        return await self.queries.ask(namespace, workflow_id, message, timeout_seconds)

    def answer_query(self, task_id: str, result: WorkflowQueryResult) -> None:
        """A worker's answer to a query."""
        self.queries.settle(task_id, result)

    def lose_query(self, task_id: str) -> None:
        """The worker that was given a query is gone."""
        self.queries.lose(task_id)

    async def update(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: UpdateWorkflow | PollUpdate,
        *,
        stage: int,
        timeout_seconds: float,
    ) -> UpdateAnswer:
        """How far an update has come, waiting so long for a stage."""
        self._check_id(workflow_id)
        return await self.updates.wait(namespace, workflow_id, message, stage, timeout_seconds)

    async def update_with_start(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: UpdateWithStart,
        *,
        stage: int,
        timeout_seconds: float,
    ) -> tuple[WorkflowStarted, UpdateAnswer]:
        """The run that is updated, and how far the update has come, waiting so long for a stage."""
        return await self.updates.wait_with_start(
            namespace, workflow_id, message, stage, timeout_seconds
        )

    async def _event(
        self, namespace: NamespaceRef, workflow_id: str, run_id: str, event_id: int
    ) -> bytes:
        """A serialised event of a run."""
        number, tail = await self._place(namespace, workflow_id, run_id)
        return await self.reader.read_event(number, tail, event_id)

    async def describe(self, namespace: NamespaceRef, workflow_id: str, run_id: str) -> RunView:
        """A copy of a run's state, once all of it is durable."""
        while True:
            execution = await self._settled(namespace, workflow_id)
            run = execution.workflow.run
            if run is None or run_id not in ("", run.recorded.run_id):
                _, other = await self._other_run(namespace, workflow_id, run_id)
                return RunView(namespace, workflow_id, other)
            view = RunView(namespace, workflow_id, copy_run(run))
            await self.committer.settle(execution)
            if not execution.is_dropped:
                return view

    async def describe_queue(
        self, namespace: NamespaceRef, name: str, kind: int, part: str | None = None
    ) -> QueueView:
        """A task queue, known or not, or the part of it for a version."""
        key = QueueKey(namespace.number, name, kind, part or "")
        return await self.queue_views.describe(key, is_whole=part is None)

    async def configure_queue(
        self, namespace: NamespaceRef, request: UpdateTaskQueueConfigRequest
    ) -> TaskQueueConfig:
        """Set something of a task queue."""
        return await self.queue_views.configure(namespace, request)

    def cancel_polls(self, namespace: NamespaceRef, worker_instance: str, sticky_queue: str) -> int:
        """Answer the polls of a worker that shuts down with nothing."""
        return self.dispatcher.cancel_polls(namespace, worker_instance, sticky_queue)

    # ---- Skippable

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is being decided, written, delivered or asked."""
        return not (
            self._tasks or self.committer.is_busy or self.queries.is_busy or self.wakeups.is_firing
        )

    def in_hand(self, key: ExecutionKey) -> InHand | None:
        """What a subject waits for; None when it is not in memory."""
        execution = self.cache.get(key)
        return None if execution is None else execution.machine.in_hand(execution.subject)

    async def reload(self, key: ExecutionKey) -> None:
        """Bring a subject back into memory. Raises EngineUnavailable."""
        number, subject_id, kind = key
        await self.pipeline.execution(self._namespace_of(number), subject_id, kind)

    def skipped(self, skipped_ns: int) -> None:
        """The clock has just jumped by so much."""
        self.wakeups.skipped(skipped_ns)

    def tell_changes(self, changed: Callable[[ExecutionKey], None]) -> None:
        """Call when something is decided on a subject, and when what was decided is lost."""
        self.pipeline.on_decided = self.cache.on_discard = changed

    # ---- Publisher

    def offered(
        self, execution: Execution, namespace: NamespaceRef, run: RunNumber, offer: OfferTask
    ) -> None:
        """A task is on offer in the open group."""
        self.dispatcher.offered(execution, namespace, run, offer)

    def offered_in_memory(
        self, execution: Execution, namespace: NamespaceRef, offer: OfferTask
    ) -> None:
        """A task is on offer that is stored nowhere."""
        self.dispatcher.offered_in_memory(execution, namespace, execution.current_run, offer)

    def look_again(self, execution: Execution, effect: LookAgain) -> None:
        """The current run is woken up for what is volatile."""
        number = execution.current_run
        self.directory.remember(number, *execution.key, effect.run_id)
        self.wakeups.look_again(number, effect.at_ns)

    def invoke(self, namespace: NamespaceRef, workflow_id: str, effect: InvokeCallback) -> None:
        """Somebody is told how a run has ended."""
        self.callbacks.invoke(namespace, workflow_id, effect)

    def call_nexus(self, namespace: NamespaceRef, whom: Address, effect: CallNexus) -> None:
        """The handler of a Nexus operation is called."""
        self.operations.call(namespace, whom, effect)

    def durable(self, execution: Execution, namespace: NamespaceRef, pending: PendingRun) -> None:
        """What a group did to a run is durable: arm its wake-up, publish its tasks, wake its
        readers, count its end, and clear what is left of one that is gone."""
        run = pending.run
        count_end(self.ends, namespace, pending)
        if self.wakeups.arm(pending.number, run.wake_at_ns):
            self.directory.remember(pending.number, *execution.key, run.run_id)
        if pending.offers:
            self.dispatcher.durable(execution, pending)
        if pending.is_deleted:
            self._spawn(self.resets.clear(pending.number))
        if self.time_skipper is not None:
            has_told = not run.is_open and self.waiters.has(execution.key)
            self.time_skipper.saw(execution, has_told=has_told)
        self.waiters.notify(execution.key, is_closed=not run.is_open)

    def sent(self, messages: list[Outgoing]) -> None:
        """Outbox rows are durable: their messages are delivered."""
        self.outbox.publish(messages)

    def unheard(
        self, namespace: NamespaceRef, workflow_id: str, completed: WorkflowTaskCompleted
    ) -> None:
        """The tasks that came with an answer which its worker did not get are on offer again."""
        if completed.workflow_task is not None:
            self.dispatcher.take_back(namespace, workflow_id, completed.workflow_task)
        for task in completed.activity_tasks:
            self.dispatcher.take_back(namespace, workflow_id, task)

    # ---- inside

    async def _settled(
        self, namespace: NamespaceRef, workflow_id: str, kind: Kind = Kind.WORKFLOW
    ) -> Execution:
        """The workflow in memory, with nothing newly lost: everything decided when this was called
        is durable."""
        self._check_id(workflow_id)
        while True:
            execution = await self.pipeline.execution(namespace, workflow_id, kind)
            await self.committer.settle(execution)
            if not execution.is_dropped:
                return execution

    def _check_id(self, workflow_id: str) -> None:
        """Nothing has an id that is too long. Raises NotFound."""
        if len(workflow_id) > self._id_length_max:
            raise NotFound(not_found_text(f"{workflow_id[:100]}...", ""))

    async def _other_run(
        self, namespace: NamespaceRef, workflow_id: str, run_id: str
    ) -> tuple[RunNumber, Run]:
        found = None
        if run_id:
            found = await self.pipeline.load_other_run(namespace, workflow_id, run_id)
        if found is None:
            raise NotFound(not_found_text(workflow_id, run_id))
        return found

    async def _place(
        self, namespace: NamespaceRef, workflow_id: str, run_id: str
    ) -> tuple[RunNumber, Any]:
        """Where the history of a run is: its number, and its tail in memory if it is the current
        one."""
        execution = await self.pipeline.execution(namespace, workflow_id)
        run = execution.workflow.run
        if run is not None and run.recorded.run_id == run_id:
            return execution.current_run, execution.tail
        number, _ = await self._other_run(namespace, workflow_id, run_id)
        return number, None

    async def _wake(self, number: RunNumber, *, calls_are_lost: bool = False) -> None:
        """Decide on what is due of a run. What cannot be written now is tried again: a wake-up is
        never lost."""
        while True:
            try:
                found = await self.directory.find(number)
                if found is not None:
                    machine = self.pipeline.machines[found.kind]
                    namespace = self._namespace_of(found.namespace)
                    wake = machine.lost_calls if calls_are_lost else machine.wake_up
                    wake_up = wake(found.run_id)
                    reply = await self.pipeline.submit(namespace, found.id, wake_up, found.kind)
                    if isinstance(reply, NotCurrent):
                        await self.callbacks.wake_other(namespace, found.id, wake_up)
                return
            except (Rejected, EngineStopped):
                return
            except (EngineUnavailable, StoreUnavailable) as error:
                logger.warning("a wake-up has to wait: %s", error)
                await asyncio.sleep(WAKE_RETRY_SECONDS)
            except (InvariantViolation, CorruptBlob, MsgspecError):
                # Something is wrong with this run: the wake-ups of all others must go on.
                logger.exception("run %d cannot be woken up", number)
                return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # What the engine's end has interrupted, the next one goes on with.
        if error is not None and not isinstance(error, EngineStopped):
            logger.error("background work of the engine failed", exc_info=error)
