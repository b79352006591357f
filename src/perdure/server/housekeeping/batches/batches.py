"""All batch operations of a server: those under way, each in a task of its own, and those that are
over, until their namespace's retention has passed.

A job is a client of the service that it lives in: it lists the workflows that its query finds, page
by page, and makes a call for each, so many at a time and so many per second. Its progress is stored
after each page. Why it is neither a workflow nor a machine: it decides nothing that would have to
be replayed, and its calls may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec
from google.protobuf.message import Message
from temporalio.api.common.v1 import Execution
from temporalio.api.workflowservice.v1 import (
    CountActivityExecutionsRequest,
    CountActivityExecutionsResponse,
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    ListActivityExecutionsRequest,
    ListActivityExecutionsResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    StartBatchOperationRequest,
)

from perdure.server.engine.clock import Clock
from perdure.server.housekeeping.batches.job import (
    COMPLETED,
    FAILED,
    Job,
    executions_of,
    job_of,
)
from perdure.server.housekeeping.batches.operations import OPERATIONS, Operation, Response, Target
from perdure.server.housekeeping.batches.resetting import reset
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import SECOND_NS
from perdure.server.store.ports import CorruptBlob, Store, StoreError
from perdure.transport import CallFailed, Code, Transport

logger = logging.getLogger(__name__)

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
PAGE = 100
"""Workflows between two writes of a job's progress."""
CALLS_AT_ONCE = 5
ATTEMPTS_MAX = 5
RETRY_SECONDS = 1.0
CALL_SECONDS = 10.0
AGAIN = frozenset(
    {
        Code.UNAVAILABLE,
        Code.RESOURCE_EXHAUSTED,
        Code.DEADLINE_EXCEEDED,
        Code.ABORTED,
        Code.CANCELLED,
    }
)
"""How calls fail that may be made again."""


class Batches:
    """The batch operations of one server."""

    def __init__(self, store: Store, clock: Clock, *, rate_per_second: int) -> None:
        self._store = store
        self._clock = clock
        self._rate = rate_per_second
        self._jobs: dict[tuple[int, str], Job] = {}
        self._tasks: dict[tuple[int, str], asyncio.Task[None]] = {}
        self._transport: Transport | None = None
        self.page_executions = PAGE
        self.starting = asyncio.Lock()
        """Held by whoever looks at what there is and then starts a job."""

    def connect(self, transport: Transport) -> None:
        """The way to the service that jobs are clients of."""
        self._transport = transport

    async def load(self, namespaces: Collection[int]) -> None:
        """Read the jobs of some namespaces, and go on with those that are not over."""
        for row in await self._store.batches():
            if row.namespace not in namespaces:
                continue  # It is being deleted.
            try:
                job = job_of(row)
            except (CorruptBlob, msgspec.MsgspecError):
                logger.exception("batch operation %r cannot be read", row.job_id)
                continue
            self._jobs[row.namespace, row.job_id] = job
            if job.is_running:
                self._begin(job)

    async def close(self) -> None:
        """Stop working; jobs go on when the server is opened again."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self) -> None:
        """Return when no job that is under way now is any more."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def find(self, namespace: int, job_id: str) -> Job | None:
        """A job by its id."""
        return self._jobs.get((namespace, job_id))

    def of(self, namespace: int) -> list[Job]:
        """The jobs of a namespace, the newest first."""
        found = [job for job in self._jobs.values() if job.namespace == namespace]
        return sorted(found, key=lambda job: (-job.start_ns, job.job_id))

    async def start(self, job: Job) -> None:
        """Begin a job, durably. Raises CallFailed when its query makes no sense, StoreError."""
        request = StartBatchOperationRequest.FromString(job.request)
        job.total = len(executions_of(request)) or await self._count(job, request)
        await self._store.put_batch(job.row())
        self._jobs[job.namespace, job.job_id] = job
        self._begin(job)

    async def stop(self, job: Job) -> None:
        """End a job, durably; what is done stays done. Raises StoreError."""
        task = self._tasks.pop((job.namespace, job.job_id), None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not job.is_running:
            return
        closed = job.closed(FAILED, self._clock.now_ns())
        try:
            await self._store.put_batch(closed.row())
        except StoreError:
            self._begin(job)
            raise
        job.take_over(closed)

    async def forget_older(self, namespace: int, retention_ns: int) -> None:
        """Forget jobs that were over so long ago. Raises StoreError."""
        until_ns = self._clock.now_ns() - retention_ns
        for job in self.of(namespace):
            if not job.is_running and job.close_ns <= until_ns:
                await self._store.delete_batch(namespace, job.job_id)
                self._jobs.pop((namespace, job.job_id), None)

    def forget_all(self, namespace: int) -> None:
        """End and forget the jobs of a namespace that is deleted; the store forgets them with
        it."""
        for job in self.of(namespace):
            task = self._tasks.pop((namespace, job.job_id), None)
            if task is not None:
                task.cancel()
            del self._jobs[namespace, job.job_id]

    # ---- carrying out

    def _begin(self, job: Job) -> None:
        key = (job.namespace, job.job_id)
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: tuple[int, str], task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("batch operation %r failed by a bug", key[1], exc_info=error)

    async def _run(self, job: Job) -> None:
        request = StartBatchOperationRequest.FromString(job.request)
        listed = executions_of(request)
        pace = _Pace(request.max_operations_per_second or self._rate)
        state = COMPLETED
        try:
            has_more = True
            while has_more:
                has_more = await self._carry_out_page(job, request, listed, pace)
                await self._save(job)
        except CallFailed as failure:
            logger.warning("batch operation %r: %s", job.job_id, failure)
            state = FAILED
        closed = job.closed(state, self._clock.now_ns())
        await self._save(closed)
        job.take_over(closed)  # Nobody is told before it is stored.

    async def _carry_out_page(
        self,
        job: Job,
        request: StartBatchOperationRequest,
        listed: list[Execution],
        pace: _Pace,
    ) -> bool:
        """Carry out the next page; whether there are more."""
        if listed:
            done = job.done_executions
            page, token = listed[done : done + self.page_executions], b""
        else:
            page, token = await self._list(job, request)
        gate = asyncio.Semaphore(CALLS_AT_ONCE)

        async def carry_out(execution: Execution) -> None:
            async with gate:
                await pace.wait()
                is_done = await self._carry_out(request, execution)
            job.complete += is_done
            job.failed += not is_done

        await asyncio.gather(*map(carry_out, page))
        job.done_executions += len(page) if listed else 0
        job.page_token = token
        return bool(token) or job.done_executions < len(listed)

    async def _carry_out(self, request: StartBatchOperationRequest, execution: Execution) -> bool:
        """Do it to one of them; whether that went well. It did if there is nothing left to do it
        to."""
        name = request.WhichOneof("operation") or ""
        message = getattr(request, name)
        target = Target(
            request.namespace,
            request.job_id,
            request.reason,
            execution.business_id,
            execution.run_id,
        )
        make = OPERATIONS[name].make
        try:
            if make is None:
                await reset(self._call, message, target)
            else:
                await self._send(make(message, target))
        except CallFailed as failure:
            return failure.code == Code.NOT_FOUND
        except InvalidArgument:
            return False
        return True

    # ---- calls

    async def _call(
        self, request: Message, response: type[Response], attempts_max: int = ATTEMPTS_MAX
    ) -> Response:
        """One RPC. Raises CallFailed."""
        return response.FromString(await self._send(request, attempts_max))

    async def _send(self, request: Message, attempts_max: int = ATTEMPTS_MAX) -> bytes:
        """One RPC, made again for a while when that may help: its serialised response. Raises
        CallFailed."""
        assert self._transport is not None, "it is connected when the handlers are made"
        method = SERVICE + type(request).__name__.removesuffix("Request")
        content = request.SerializeToString()
        for attempt in range(1, attempts_max):
            try:
                return await self._transport.call(method, content, None, CALL_SECONDS)
            except CallFailed as failure:
                if failure.code not in AGAIN:
                    raise
            await asyncio.sleep(RETRY_SECONDS * attempt)
        return await self._transport.call(method, content, None, CALL_SECONDS)

    async def _count(self, job: Job, request: StartBatchOperationRequest) -> int:
        """How many its query finds. Somebody waits for it, and may ask again."""
        query = _query(job, request, is_count=True)
        if _operation(request).is_on_activities:
            activities = CountActivityExecutionsRequest(namespace=request.namespace, query=query)
            return (await self._call(activities, CountActivityExecutionsResponse, 1)).count
        workflows = CountWorkflowExecutionsRequest(namespace=request.namespace, query=query)
        return (await self._call(workflows, CountWorkflowExecutionsResponse, 1)).count

    async def _list(
        self, job: Job, request: StartBatchOperationRequest
    ) -> tuple[list[Execution], bytes]:
        """The next page of what the query finds, and where it goes on."""
        place: dict[str, Any] = {
            "namespace": request.namespace,
            "page_size": self.page_executions,
            "next_page_token": job.page_token,
            "query": _query(job, request, is_count=False),
        }
        if _operation(request).is_on_activities:
            activities = await self._call(
                ListActivityExecutionsRequest(**place), ListActivityExecutionsResponse
            )
            found = [
                Execution(business_id=info.activity_id, run_id=info.run_id)
                for info in activities.executions
            ]
            return found, activities.next_page_token
        workflows = await self._call(
            ListWorkflowExecutionsRequest(**place), ListWorkflowExecutionsResponse
        )
        found = [
            Execution(business_id=info.execution.workflow_id, run_id=info.execution.run_id)
            for info in workflows.executions
        ]
        return found, workflows.next_page_token

    async def _save(self, job: Job) -> None:
        while True:
            try:
                await self._store.put_batch(job.row())
                return
            except StoreError as error:
                logger.warning("batch operation %r has to wait: %s", job.job_id, error)
                await asyncio.sleep(RETRY_SECONDS)


class _Pace:
    """So many turns per second, evenly."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        """Return when it is one's turn."""
        now = asyncio.get_running_loop().time()
        at = max(now, self._next)
        self._next = at + self._interval
        if at > now:
            await asyncio.sleep(at - now)


def _operation(request: StartBatchOperationRequest) -> Operation:
    return OPERATIONS[request.WhichOneof("operation") or ""]


def _query(job: Job, request: StartBatchOperationRequest, *, is_count: bool) -> str:
    """What finds the workflows of a job: those that it does not make by itself (a reset begins runs
    and ends others), in an order that it does not change."""
    query = f"({request.visibility_query})"
    operation = _operation(request)
    if operation.is_for_running:
        return f"{query} AND ExecutionStatus = 'Running'"
    if operation.is_on_activities:
        return query
    started = datetime.fromtimestamp(job.start_ns / SECOND_NS, UTC).isoformat()
    query = f"{query} AND StartTime <= '{started}'"
    return query if is_count else f"{query} ORDER BY StartTime DESC"
