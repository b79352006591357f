"""Nexus tasks: requests on their way to workers.

They are in memory only, since whoever sent one waits for the answer, and sends it again when none
comes. To the queues they are what queries are: something that is offered to polls, and gone when
nobody waits for it any more.
"""

from __future__ import annotations

import asyncio

import msgspec
from temporalio.api.failure.v1 import Failure
from temporalio.api.nexus.v1 import HandlerError, Request, Response

from perdure.server.engine.api import NamespaceRef, NexusTask, Poll
from perdure.server.engine.clock import Clock
from perdure.server.engine.dispatcher import Dispatcher
from perdure.server.engine.nexus.counting import EMPTY, ERRORS, STARTED, TIMED_OUT, NexusCounts
from perdure.server.machines.errors import NotFound, ResourceExhausted
from perdure.server.machines.nexus.durations import go_duration
from perdure.server.machines.nexus.failures import ERROR_STATUSES
from perdure.server.machines.ports import SECOND_NS, Ids
from perdure.server.machines.wire import timestamp
from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.matching.query import QueryTask
from perdure.server.store.ports import QueueKey

TASKS_MAX = 10_000
"""Requests of a server that wait for workers, or for their answers."""
ANSWER_TAIL_NS = SECOND_NS
"""A worker is told of so much less time than there is, so that its answer still arrives; of a short
time half."""
PRIORITY = 3
TIMEOUT_HEADERS = ("request-timeout", "Request-Timeout")
"""SDKs look for either."""


class WorkerAnswer(msgspec.Struct, frozen=True):
    """What a worker answers: a response, or how its handler failed, in the old form or the new
    one."""

    response: Response | None = None
    error: HandlerError | None = None
    failure: Failure | None = None


class _Asked(msgspec.Struct):
    task: QueryTask[NamespaceRef]
    deadline_ns: int


class NexusTasks:
    """The Nexus tasks of a server."""

    def __init__(self, dispatcher: Dispatcher, clock: Clock, ids: Ids, counts: NexusCounts) -> None:
        self._counts = counts
        self._dispatcher = dispatcher
        self._clock = clock
        self._ids = ids
        self._asked: dict[str, _Asked] = {}

    async def ask(
        self, namespace: NamespaceRef, queue: str, request: Request, timeout_ns: int
    ) -> WorkerAnswer | None:
        """What a worker that polls the queue answers; None when none does in time. Raises
        ResourceExhausted."""
        if len(self._asked) >= TASKS_MAX:
            raise ResourceExhausted("too many Nexus requests wait for workers")
        now_ns = self._clock.now_ns()
        request.scheduled_time.CopyFrom(timestamp(now_ns))
        result: asyncio.Future[WorkerAnswer] = asyncio.get_running_loop().create_future()
        task = QueryTask(
            namespace,
            "",
            "",
            task_id=self._ids.uuid(),
            query=request.SerializeToString(),
            priority=PRIORITY,
            key=QueueKey(namespace.number, queue, TaskKind.NEXUS),
            result=result,
        )
        self._asked[task.task_id] = _Asked(task, now_ns + timeout_ns)
        self._dispatcher.offer_query(task)
        answer: WorkerAnswer | None = None
        try:
            async with asyncio.timeout(timeout_ns / SECOND_NS):
                answer = await result
        except TimeoutError:
            pass  # Which is an answer, too: nobody was there.
        finally:
            result.cancel()
            del self._asked[task.task_id]
            if not task.is_taken:
                self._dispatcher.withdraw_query(task)
        length_ns = self._clock.now_ns() - now_ns
        self._counts.request(namespace.name, request, _words_of(request, answer), length_ns)
        return answer

    async def poll(self, poll: Poll, timeout_seconds: float) -> NexusTask | None:
        """The next request on a queue; None when none came in time."""
        polled_ns = self._clock.now_ns()
        found = await self._dispatcher.poll(poll, TaskKind.NEXUS, timeout_seconds)
        if found is None:
            return None
        assert isinstance(found, QueryTask)
        asked = self._asked.get(found.task_id)
        if asked is None:
            return None  # Nobody waits for the answer any more.
        request = Request.FromString(found.query)
        left_ns = asked.deadline_ns - self._clock.now_ns()
        left_ns -= min(ANSWER_TAIL_NS, left_ns // 2)
        for name in TIMEOUT_HEADERS:
            request.header[name] = go_duration(max(0, left_ns))
        return NexusTask(
            task_id=found.task_id,
            namespace_id=found.namespace.id,
            queue=poll.queue,
            request=request,
            poller_advice=self._dispatcher.advise(poll, TaskKind.NEXUS, polled_ns),
        )

    def answer(self, task_id: str, answer: WorkerAnswer) -> None:
        """A worker has answered. Raises NotFound when nobody waits for it (any more)."""
        asked = self._asked.get(task_id)
        if asked is None or asked.task.result.done():
            raise NotFound("Nexus task not found or already expired")
        asked.task.result.set_result(answer)


def _words_of(request: Request, answer: WorkerAnswer | None) -> str:
    """What became of a request, as metrics have it."""
    if answer is None:
        return TIMED_OUT
    if answer.failure is not None:
        return f"handler_error_{_known(answer.failure.nexus_handler_failure_info.type)}"
    if answer.error is not None:
        return f"handler_error_{_known(answer.error.error_type)}"
    if request.HasField("cancel_operation") or answer.response is None:
        return "success"
    variant = answer.response.start_operation.WhichOneof("variant")
    return variant if variant in STARTED or variant in ERRORS else EMPTY


def _known(error_type: str) -> str:
    """A worker may say anything, but not name counters."""
    return error_type if error_type in ERROR_STATUSES else "UNKNOWN"
