"""The Nexus side of a worker: starts and cancels operations, and answers what came of that.

Imported only by workers that handle operations, since it needs the `nexusrpc` package.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from datetime import timedelta
from typing import Any, TypeVar, cast

from nexusrpc import LazyValue, Link, OperationError
from nexusrpc.handler import (
    CancelOperationContext,
    Handler,
    MiddlewareSafeOperationHandler,
    OperationContext,
    OperationHandlerMiddleware,
    StartOperationContext,
    StartOperationResultAsync,
    StartOperationResultSync,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.nexus.v1 import (
    CancelOperationResponse,
    Response,
    StartOperationResponse,
)
from temporalio.api.nexus.v1 import Link as LinkMessage
from temporalio.api.workflowservice.v1 import (
    PollNexusTaskQueueResponse,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskFailedRequest,
)

from perdure._replay.call_site import without_sdk_frames
from perdure.activity import _Flag
from perdure.client import Client
from perdure.client.operation_scope import STARTING
from perdure.converter import DataConverter, NexusSerializationContext
from perdure.nexus import Info, logger
from perdure.nexus._running import RUNNING, RunningOperation
from perdure.nexus._scope import StartScope
from perdure.service import RPCError, RPCStatusCode
from perdure.worker.interceptor import (
    ExecuteNexusOperationCancelInput,
    ExecuteNexusOperationStartInput,
    Interceptor,
    NexusOperationInboundInterceptor,
)
from perdure.worker.metrics import WorkerMetrics, failure_reason_of
from perdure.worker.nexus_failures import (
    failed_operation,
    failed_task,
    failure_error_of,
    handler_error_of,
    unbuildable,
)
from perdure.worker.nexus_task import (
    TIMED_OUT,
    WORKER_SHUTDOWN,
    InputSerializer,
    RunningTask,
    TaskCancellation,
    deadline_after,
    time_limit,
)
from perdure.worker.polling import forget
from perdure.worker.port import TaskSource
from perdure.worker.slots import TaskSlots

_Result = TypeVar("_Result")
_log = logging.getLogger("perdure.worker")


def make_handler(
    services: Sequence[Any], executor: Executor | None, interceptors: Sequence[Interceptor]
) -> Handler:
    """What finds the handler of an operation. Raises TypeError or RuntimeError for services that
    cannot be handled: classes, two of one name, methods that are not async without an executor."""
    in_context = None if executor is None else _InContext(executor)
    return Handler(services, in_context, middleware=[_Interceptors(interceptors)])


class NexusWorker:
    """Handles Nexus tasks."""

    def __init__(
        self,
        *,
        source: TaskSource,
        client: Client,
        slots: TaskSlots,
        handler: Handler,
        task_queue: str,
    ) -> None:
        self._source = source
        self._client = client
        self._slots = slots
        self._handler = handler
        self._task_queue = task_queue
        self._worker_shutdown = _Flag()
        self._tasks: dict[asyncio.Task[None], RunningTask] = {}
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when no handler can be run any more."""
        self.metrics: WorkerMetrics | None = None

    def accept(self, task: PollNexusTaskQueueResponse) -> None:
        """Begins a task, in a place that was taken for it."""
        self._slots.use(task)
        kept = RunningTask(TaskCancellation())
        running = asyncio.create_task(self._work(task, kept), name="perdure nexus task")
        kept.running = running
        self._tasks[running] = kept
        running.add_done_callback(self._tasks.pop)

    def replace_client(self, client: Client) -> None:
        """Tasks that begin from now on know this client."""
        self._client = client

    def announce_shutdown(self) -> None:
        """Tells the running handlers that the worker is about to go."""
        self._worker_shutdown.set()

    async def finish(self, graceful_timeout: timedelta) -> None:
        """Waits for the running handlers, and cancels those that take longer."""
        if self._tasks and graceful_timeout:
            await asyncio.wait(self._tasks, timeout=graceful_timeout.total_seconds())
        for kept in list(self._tasks.values()):
            kept.cancel(WORKER_SHUTDOWN)
        while self._tasks:
            await asyncio.wait(self._tasks)
        forget(self.broken)

    # One task

    async def _work(self, task: PollNexusTaskQueueResponse, kept: RunningTask) -> None:
        begun = time.monotonic()
        limit = time_limit(task)
        timer = None
        if limit is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(limit.total_seconds(), kept.cancel, TIMED_OUT)
        try:
            answer = await self._answer(task, kept.cancellation, limit)
            kept.running = None  # the answer itself is not to be interrupted
            if self.metrics is not None:
                self.metrics.nexus_task_ended(
                    task, time.monotonic() - begun, failure_reason_of(answer)
                )
            await self._send(answer)
        except asyncio.CancelledError:
            if self.metrics is not None:
                self.metrics.nexus_task_ended(task, time.monotonic() - begun, "timeout")
            logger.debug("A Nexus task is given up: %s", kept.cancellation.cancellation_reason())
        except RPCError as error:
            level = logging.DEBUG if error.status is RPCStatusCode.NOT_FOUND else logging.WARNING
            _log.log(level, "Nexus task not answered: %s: %s", error.status.name, error.message)
        finally:
            if timer is not None:
                timer.cancel()
            self._slots.give_back(task)

    async def _send(
        self, answer: RespondNexusTaskCompletedRequest | RespondNexusTaskFailedRequest
    ) -> None:
        match answer:
            case RespondNexusTaskCompletedRequest():
                await self._source.complete_nexus_task(answer)
            case RespondNexusTaskFailedRequest():
                await self._source.fail_nexus_task(answer)

    async def _answer(
        self,
        task: PollNexusTaskQueueResponse,
        cancellation: TaskCancellation,
        limit: timedelta | None,
    ) -> RespondNexusTaskCompletedRequest | RespondNexusTaskFailedRequest:
        converter = self._converter_for(task)
        as_temporal = task.request.capabilities.temporal_failure_responses
        try:
            if task.request.HasField("cancel_operation"):
                response = await self._cancel(task, cancellation, limit)
            else:
                response = await self._start(task, cancellation, limit, converter)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a named boundary: the user's handler
            logger.warning("Failed to execute a Nexus operation method", exc_info=error)
            if isinstance(error, BrokenExecutor) and not self.broken.done():
                self.broken.set_exception(error)
            failure = await _failure_of(handler_error_of(without_sdk_frames(error)), converter)
            return failed_task(task.task_token, failure, as_temporal=as_temporal)
        return RespondNexusTaskCompletedRequest(task_token=task.task_token, response=response)

    def _converter_for(self, task: PollNexusTaskQueueResponse) -> DataConverter:
        converter = self._client.data_converter
        if converter.is_context_free:
            return converter
        request = task.request
        asked: Any = (
            request.cancel_operation
            if request.HasField("cancel_operation")
            else request.start_operation
        )
        return converter.with_context(
            NexusSerializationContext(
                endpoint=request.endpoint, service=asked.service, operation=asked.operation
            )
        )

    async def _cancel(
        self,
        task: PollNexusTaskQueueResponse,
        cancellation: TaskCancellation,
        limit: timedelta | None,
    ) -> Response:
        asked = task.request.cancel_operation
        context = CancelOperationContext(
            service=asked.service,
            operation=asked.operation,
            headers=dict(task.request.header),
            task_cancellation=cancellation,
            request_deadline=deadline_after(limit),
        )
        self._begin(task, context)
        await self._handler.cancel_operation(context, asked.operation_token)
        return Response(cancel_operation=CancelOperationResponse())

    async def _start(
        self,
        task: PollNexusTaskQueueResponse,
        cancellation: TaskCancellation,
        limit: timedelta | None,
        converter: DataConverter,
    ) -> Response:
        asked = task.request.start_operation
        context = StartOperationContext(
            service=asked.service,
            operation=asked.operation,
            headers=dict(task.request.header),
            task_cancellation=cancellation,
            request_deadline=deadline_after(limit),
            request_id=asked.request_id,
            callback_url=asked.callback,
            callback_headers=dict(asked.callback_header),
            inbound_links=[Link(url=link.url, type=link.type) for link in asked.links],
        )
        self._begin(task, context)
        STARTING.set(StartScope(context, self._client.namespace))
        serializer = InputSerializer(asked.payload, converter)
        try:
            result = await self._handler.start_operation(
                context, LazyValue(serializer=serializer, headers={}, stream=None)
            )
        except OperationError as error:
            failure = Failure()
            await converter.encode_failure(failure_error_of(error), failure)
            as_temporal = task.request.capabilities.temporal_failure_responses
            return failed_operation(failure, as_temporal=as_temporal)
        links = [LinkMessage(url=link.url, type=link.type) for link in context.outbound_links]
        return Response(start_operation=await _started(result, links, converter))

    def _begin(self, task: PollNexusTaskQueueResponse, context: OperationContext) -> None:
        """What the functions of `perdure.nexus` reach from here on, in this asyncio task."""
        RUNNING.set(
            RunningOperation(
                info=Info(
                    endpoint=task.request.endpoint,
                    namespace=self._client.namespace,
                    task_queue=self._task_queue,
                ),
                context=context,
                client=self._client,
                worker_shutdown=self._worker_shutdown,
            )
        )


async def _started(
    result: Any, links: Sequence[LinkMessage], converter: DataConverter
) -> StartOperationResponse:
    if isinstance(result, StartOperationResultAsync):
        going_on = StartOperationResponse.Async(operation_token=result.token, links=links)
        return StartOperationResponse(async_success=going_on)
    if isinstance(result, StartOperationResultSync):
        [payload] = await converter.encode([result.value])
        over = StartOperationResponse.Sync(payload=payload, links=links)
        return StartOperationResponse(sync_success=over)
    raise TypeError(
        "Operation start method must return either nexusrpc.handler.StartOperationResultSync or "
        "nexusrpc.handler.StartOperationResultAsync."
    )


async def _failure_of(error: Exception, converter: DataConverter) -> Failure:
    failure = Failure()
    try:
        await converter.encode_failure(error, failure)
    except Exception as inner:  # a named boundary: the user's converters
        logger.exception("The failure could not be converted; it was: %s", error)
        return unbuildable(inner)
    return failure


# Interceptors


class _Interceptors(OperationHandlerMiddleware):
    """Has an operation go through the worker's interceptors, the first of which is outermost."""

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = interceptors

    def intercept(
        self,
        ctx: OperationContext,
        next: MiddlewareSafeOperationHandler,  # noqa: A002 -- the mirrored name
    ) -> MiddlewareSafeOperationHandler:
        """The handler behind the interceptors."""
        del ctx
        if not self._interceptors:
            return next
        inbound = cast(NexusOperationInboundInterceptor, _ToHandler(next))
        for interceptor in reversed(self._interceptors):
            inbound = interceptor.intercept_nexus_operation(inbound)
        return _Intercepted(inbound)


class _ToHandler:
    """The innermost: calls the handler."""

    def __init__(self, handler: MiddlewareSafeOperationHandler) -> None:
        self._handler = handler

    async def execute_nexus_operation_start(self, told: ExecuteNexusOperationStartInput) -> Any:
        """Starts the operation."""
        return await self._handler.start(told.ctx, told.input)

    async def execute_nexus_operation_cancel(self, told: ExecuteNexusOperationCancelInput) -> None:
        """Cancels the operation."""
        await self._handler.cancel(told.ctx, told.token)


class _Intercepted(MiddlewareSafeOperationHandler):
    """The handler that nexusrpc calls."""

    def __init__(self, inbound: NexusOperationInboundInterceptor) -> None:
        self._inbound = inbound

    async def start(self, ctx: StartOperationContext, input: Any) -> Any:  # noqa: A002
        """Starts the operation."""
        return await self._inbound.execute_nexus_operation_start(
            ExecuteNexusOperationStartInput(ctx, input)
        )

    async def cancel(self, ctx: CancelOperationContext, token: str) -> None:
        """Cancels the operation."""
        await self._inbound.execute_nexus_operation_cancel(
            ExecuteNexusOperationCancelInput(ctx, token)
        )


class _InContext(Executor):
    """Runs in another executor's threads what may ask, as on the loop, which operation it is."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Future[_Result]:
        """Runs the function in a copy of the present context."""
        context = contextvars.copy_context()
        return self._executor.submit(context.run, fn, *args, **kwargs)
