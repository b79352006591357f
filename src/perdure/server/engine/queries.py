"""Queries: asked by a client, answered by a worker, remembered by nobody.

The machine says whether a query may be asked of a worker at once, or waits for the workflow task
that shows the worker all events before it. One that may be asked is put on the workflow's task
queue (first on the sticky one, where its worker has the run in memory), beside the tasks but
without a row: when the process dies, its caller tries again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, TypeVar

from temporalio.api.enums.v1 import query_pb2
from temporalio.api.query.v1 import WorkflowQueryResult

from perdure.server.engine.api import (
    EngineStopped,
    EngineUnavailable,
    NamespaceRef,
    QueryAnswer,
    QueryTaskWithHistory,
)
from perdure.server.engine.clock import Clock
from perdure.server.engine.committer import Committer
from perdure.server.engine.dispatcher import Dispatcher
from perdure.server.engine.execution import Execution
from perdure.server.engine.history import HistoryTail
from perdure.server.engine.pipeline import Pipeline
from perdure.server.engine.reader import HistoryReader
from perdure.server.machines.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    InvariantViolation,
    NotFound,
    QueryFailed,
    Rejected,
)
from perdure.server.machines.ports import SECOND_NS, Ids
from perdure.server.machines.queue.routing import decode
from perdure.server.machines.workflow.decide import not_found_text
from perdure.server.machines.workflow.effects import SettleQuery, TaskKind
from perdure.server.machines.workflow.inputs import (
    AskDirectly,
    ForgetQuery,
    QueryRejected,
    QueryWaits,
    QueryWorkflow,
    Reply,
    ResetSticky,
)
from perdure.server.machines.workflow.state import Run
from perdure.server.matching.query import QueryTask
from perdure.server.store.ports import QueueKey, RunNumber

HISTORY_EVENTS_MAX = 256
"""Events that travel with a query; a worker asks for the rest."""
POLLER_WINDOW_NS = 20 * SECOND_NS
"""A queue that nobody polled for so long has no worker (Temporal's
matching.queryPollerUnavailableWindow)."""
NO_POLLER_SECONDS = 1.0
"""So long before the caller gives up, it is told that there is no worker."""
NO_POLLER = "no poller seen for task queue recently, worker may be down"
TIMED_OUT = "query timed out before a worker could process it"
TASK_GONE = "query task not found, or already expired"

ResultT = TypeVar("ResultT")

_ANSWERED = query_pb2.QUERY_RESULT_TYPE_ANSWERED
_FAILED = query_pb2.QUERY_RESULT_TYPE_FAILED


class Queries:
    """The queries of a shard that wait for their answers."""

    def __init__(
        self,
        pipeline: Pipeline,
        committer: Committer,
        dispatcher: Dispatcher,
        reader: HistoryReader,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._pipeline = pipeline
        self._committer = committer
        self._dispatcher = dispatcher
        self._reader = reader
        self._clock = clock
        self._ids = ids
        self._tasks: dict[str, QueryTask[NamespaceRef]] = {}
        self._awaited: set[asyncio.Future[Any]] = set()
        self._is_stopped = False

    @property
    def is_busy(self) -> bool:
        """Whether anybody waits for an answer."""
        return bool(self._tasks or self._awaited)

    def stop(self) -> None:
        """The engine stops: nobody will be answered."""
        self._is_stopped = True
        for future in self._awaited:
            if not future.done():
                future.set_exception(EngineStopped("the engine has stopped"))

    # ---- clients

    async def ask(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: QueryWorkflow,
        timeout_seconds: float,
    ) -> QueryAnswer:
        """The answer of a workflow. Raises Rejected (QueryFailed when its worker refused it,
        DeadlineExceeded when none answered in time), EngineUnavailable when what waited was
        lost."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        message.deadline_ns = self._clock.now_ns() + round(timeout_seconds * SECOND_NS)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._ask(namespace, workflow_id, message, deadline)
        except TimeoutError:
            raise DeadlineExceeded(TIMED_OUT) from None

    async def _ask(
        self, namespace: NamespaceRef, workflow_id: str, message: QueryWorkflow, deadline: float
    ) -> QueryAnswer:
        reply = await self._decide(namespace, workflow_id, message)
        if isinstance(reply, SettleQuery):
            if reply.refusal:
                raise InvalidArgument(reply.refusal)
            result = WorkflowQueryResult.FromString(reply.result or b"")
            if result.result_type in (_ANSWERED, _FAILED):
                return _answer_of(result)
            # The workflow has seen all that came before the query.
            asked = QueryWorkflow(reply.run_id, message.query, is_unblocked=True)
            reply = await self._decide(namespace, workflow_id, asked)
        if isinstance(reply, QueryRejected):
            return QueryAnswer(None, rejected_status=reply.status)
        if not isinstance(reply, AskDirectly):
            raise InvariantViolation(f"a query was answered by {type(reply).__name__}")
        return await self._ask_directly(namespace, workflow_id, message.query, reply, deadline)

    async def _decide(
        self, namespace: NamespaceRef, workflow_id: str, message: QueryWorkflow
    ) -> Reply | SettleQuery:
        """What is decided on a query; when it waits, what becomes of it."""
        waiting: list[_Waiting] = []

        def decided(execution: Execution, reply: Reply) -> None:
            if isinstance(reply, QueryWaits):
                waiting.append(_Waiting(execution, reply))

        try:
            reply: Reply = await self._pipeline.submit(
                namespace, workflow_id, message, decided=decided
            )
            if not isinstance(reply, QueryWaits):
                return reply
            return await self._await(waiting[-1].settled)
        finally:
            for one in waiting:
                self._forget(namespace, one)

    async def _await(self, future: asyncio.Future[ResultT]) -> ResultT:
        if self._is_stopped:
            raise EngineStopped("the engine has stopped")
        self._awaited.add(future)
        try:
            return await future
        finally:
            self._awaited.discard(future)

    def _forget(self, namespace: NamespaceRef, waiting: _Waiting) -> None:
        """Nobody waits for a query any more, whether it was settled or not."""
        waiting.settled.cancel()
        execution, query_id = waiting.execution, waiting.query_id
        if execution.waiting.pop(query_id, None) is None or execution.is_dropped:
            return
        with suppress(Rejected):  # Its run is over.
            self._pipeline.decide(execution, namespace, ForgetQuery(waiting.run_id, query_id))

    # ---- through the task queues

    async def _ask_directly(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        query: bytes,
        ask: AskDirectly,
        deadline: float,
    ) -> QueryAnswer:
        loop = asyncio.get_running_loop()

        def task_on(queue: str) -> QueryTask[NamespaceRef]:
            return QueryTask(
                namespace,
                workflow_id,
                ask.run_id,
                task_id=self._ids.uuid(),
                query=query,
                priority=ask.priority,
                key=QueueKey(namespace.number, queue, TaskKind.WORKFLOW),
                result=loop.create_future(),
                directive=b"" if queue == ask.sticky_queue else ask.directive,
            )

        if ask.sticky_queue:
            task = task_on(ask.sticky_queue)
            if self._dispatcher.has_live_poller(task.key) and not self._is_elsewhere(task, ask):
                with suppress(TimeoutError):
                    async with asyncio.timeout(ask.sticky_timeout_ns / SECOND_NS):
                        return await self._answer(task)
            if ask.is_open:
                with suppress(Rejected):  # The run is over, or another.
                    await self._pipeline.submit(namespace, workflow_id, ResetSticky(ask.run_id))
        task = task_on(ask.task_queue)
        check = loop.call_at(deadline - NO_POLLER_SECONDS, self._give_up_without_poller, task)
        try:
            return await self._answer(task)
        finally:
            check.cancel()

    def _is_elsewhere(self, task: QueryTask[NamespaceRef], ask: AskDirectly) -> bool:
        """Whether the worker that has the run in memory is of another version than it is for."""
        normal = QueueKey(task.key.namespace, ask.task_queue, task.key.kind)
        asked = decode(ask.directive)
        version = "" if asked is None or asked.version is None else asked.version.text
        return self._dispatcher.is_elsewhere(normal, ask.directive, task.workflow_id, version)

    async def _answer(self, task: QueryTask[NamespaceRef]) -> QueryAnswer:
        """Offer a query to the polls of a queue, and wait for its answer."""
        self._tasks[task.task_id] = task
        self._dispatcher.offer_query(task)
        try:
            return await self._await(task.result)
        finally:
            del self._tasks[task.task_id]
            self._dispatcher.withdraw_query(task)

    def _give_up_without_poller(self, task: QueryTask[NamespaceRef]) -> None:
        if task.is_taken or task.result.done():
            return
        if not self._dispatcher.has_live_poller(task.key, POLLER_WINDOW_NS):
            task.result.set_exception(FailedPrecondition(NO_POLLER))

    # ---- workers

    async def with_history(
        self, task: QueryTask[NamespaceRef], *, is_sticky: bool
    ) -> QueryTaskWithHistory | None:
        """A query for the poll that has it; None when there is nothing to be asked any more.
        Whatever goes wrong, the query is on offer again, or its caller hears of it."""
        try:
            return await self._read_for(task, is_sticky=is_sticky)
        except (asyncio.CancelledError, EngineUnavailable):
            self._dispatcher.offer_query(task)
            raise
        except NotFound as refusal:
            if not task.result.done():
                task.result.set_exception(refusal)
            return None

    async def _read_for(
        self, task: QueryTask[NamespaceRef], *, is_sticky: bool
    ) -> QueryTaskWithHistory:
        number, tail, run = await self._run(task)
        last = run.recorded.next_event_id - 1
        # A worker that has the run in its memory has seen it all; if it lost it, it asks for it.
        shown = 0 if is_sticky else min(last, HISTORY_EVENTS_MAX)
        recorded = run.recorded
        ready = QueryTaskWithHistory(
            task_id=task.task_id,
            namespace_id=task.namespace.id,
            queue=task.key.queue,
            workflow_id=task.workflow_id,
            run_id=task.run_id,
            workflow_type=recorded.workflow_type,
            task_queue=recorded.task_queue,
            previous_started_event_id=recorded.completed_task_started_event_id,
            query=task.query,
            history=b"",
            last_event_id=last,
            next_event_id=0 if is_sticky or shown == last else shown + 1,
        )
        ready.history = await self._reader.read(number, tail, 1, shown)
        return ready

    async def _run(
        self, task: QueryTask[NamespaceRef]
    ) -> tuple[RunNumber, HistoryTail | None, Run]:
        """The run of a query, as far as it is durable."""
        while True:
            execution = await self._pipeline.execution(task.namespace, task.workflow_id)
            await self._committer.settle(execution)
            run = execution.workflow.run
            if execution.is_dropped or (run is not None and execution.group is not None):
                continue
            if run is not None and run.recorded.run_id == task.run_id:
                return execution.current_run, execution.tail, run
            found = await self._pipeline.load_other_run(
                task.namespace, task.workflow_id, task.run_id
            )
            if found is None:
                raise NotFound(not_found_text(task.workflow_id, task.run_id))
            return found[0], None, found[1]

    def settle(self, task_id: str, result: WorkflowQueryResult) -> None:
        """A worker's answer. Raises NotFound when nobody waits for it any more."""
        task = self._tasks.get(task_id)
        if task is None or task.result.done():
            raise NotFound(TASK_GONE)
        if result.result_type not in (_ANSWERED, _FAILED):
            self._dispatcher.offer_query(task)  # That was no answer.
            return
        try:
            task.result.set_result(_answer_of(result))
        except QueryFailed as failed:
            task.result.set_exception(failed)

    def lose(self, task_id: str) -> None:
        """The worker that has a query is gone: it is on offer again."""
        task = self._tasks.get(task_id)
        if task is not None and not task.result.done():
            self._dispatcher.offer_query(task)


class _Waiting:
    """A query that waits for a workflow task, and who hears what becomes of it."""

    def __init__(self, execution: Execution, reply: QueryWaits) -> None:
        self.execution = execution
        self.run_id = reply.run_id
        self.query_id = reply.query_id
        self.settled: asyncio.Future[SettleQuery] = asyncio.get_running_loop().create_future()
        execution.waiting[reply.query_id] = self.settled


def _answer_of(result: WorkflowQueryResult) -> QueryAnswer:
    """What a worker answered. Raises QueryFailed."""
    if result.result_type == _FAILED:
        failure = result.failure.SerializeToString() if result.HasField("failure") else b""
        raise QueryFailed(result.error_message, failure)
    return QueryAnswer(result.answer.SerializeToString() if result.HasField("answer") else None)
