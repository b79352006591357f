"""The Nexus side of a worker, task by task: what it answers, in which form, when it gives up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import nexusrpc
import nexusrpc.handler
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import NexusHandlerErrorRetryBehavior as RetryBehavior
from temporalio.api.nexus.v1 import CancelOperationRequest, Request, StartOperationRequest
from temporalio.api.workflowservice.v1 import (
    PollNexusTaskQueueResponse,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskFailedRequest,
)

from perdure import nexus
from perdure.client import Client
from perdure.converter import PayloadConverter
from perdure.exceptions import ApplicationError, WorkflowAlreadyStartedError
from perdure.service import RPCError, RPCStatusCode
from perdure.testing import WorkflowEnvironment
from perdure.worker import (
    ExecuteNexusOperationCancelInput,
    ExecuteNexusOperationStartInput,
    Interceptor,
    NexusOperationInboundInterceptor,
    Worker,
)
from perdure.worker.nexus_failures import handler_error_of
from perdure.worker.nexus_task import time_limit
from perdure.worker.nexus_worker import NexusWorker, make_handler
from perdure.worker.slots import Slots

CONVERTER = PayloadConverter.default
Context = nexusrpc.handler.StartOperationContext


class Answers:
    """Keeps what the worker answers: all that its Nexus side needs of a source."""

    def __init__(self) -> None:
        self.kept: asyncio.Queue[Any] = asyncio.Queue()

    async def complete_nexus_task(self, request: RespondNexusTaskCompletedRequest) -> None:
        await self.kept.put(request)

    async def fail_nexus_task(self, request: RespondNexusTaskFailedRequest) -> None:
        await self.kept.put(request)


@nexusrpc.handler.service_handler
class Desk:
    """What a test asks for is a function of its own."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self._act = act

    @nexusrpc.handler.sync_operation
    async def ask(self, ctx: Context, value: str) -> str:
        return str(await self._act(ctx))

    @nexusrpc.handler.operation_handler
    def run(self) -> nexusrpc.handler.OperationHandler[str, str]:
        return Run(self._act)


class Run(nexusrpc.handler.OperationHandler[str, str]):
    """One that is not over at once."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        self._act = act

    async def start(
        self,
        ctx: Context,
        input: str,  # noqa: A002 -- the mirrored name
    ) -> nexusrpc.handler.StartOperationResultAsync:
        ctx.outbound_links.append(nexusrpc.Link(url="u", type="t"))
        return nexusrpc.handler.StartOperationResultAsync("token")

    async def cancel(self, ctx: nexusrpc.handler.CancelOperationContext, token: str) -> None:
        await self._act((ctx, token))


class Bench:
    """A worker, its answers, and its places."""

    def __init__(self, client: Client, act: Callable[[Any], Any], interceptors: Any = ()) -> None:
        self.answers = Answers()
        self.slots = Slots(1)
        self.worker = NexusWorker(
            source=self.answers,  # type: ignore[arg-type]
            client=client,
            slots=self.slots,
            handler=make_handler([Desk(act)], None, interceptors),
            task_queue="queue",
        )

    async def give(self, request: Request) -> None:
        await self.slots.take()
        self.worker.accept(PollNexusTaskQueueResponse(task_token=b"task", request=request))

    async def answer(self, request: Request) -> Any:
        await self.give(request)
        answer = await self.answers.kept.get()
        assert answer.task_token == b"task"
        return answer


@pytest.fixture
async def local() -> AsyncIterator[Client]:
    """A client of an engine in this process."""
    async with await WorkflowEnvironment.start_local() as environment:
        yield environment.client


def _ask(
    operation: str = "ask", *, as_temporal: bool = True, timeout: str | None = None, **more: Any
) -> Request:
    request = Request(
        endpoint="endpoint",
        start_operation=StartOperationRequest(
            service="Desk",
            operation=operation,
            request_id="request",
            payload=CONVERTER.to_payload("value"),
            **more,
        ),
        header={} if timeout is None else {"request-timeout": timeout},
    )
    request.capabilities.temporal_failure_responses = as_temporal
    return request


def _raising(error: BaseException) -> Callable[[Any], Any]:
    async def act(_: Any) -> None:
        raise error

    return act


async def test_a_result_is_answered_at_once(local: Client) -> None:
    async def act(ctx: Context) -> str:
        assert (nexus.info().endpoint, nexus.info().task_queue) == ("endpoint", "queue")
        assert nexus.client() is local
        return ctx.request_id

    answer = await Bench(local, act).answer(_ask())
    success = answer.response.start_operation.sync_success
    assert CONVERTER.from_payload(success.payload) == "request"


async def test_a_token_is_answered_with_links(local: Client) -> None:
    answer = await Bench(local, _raising(KeyError())).answer(_ask("run"))
    success = answer.response.start_operation.async_success
    assert success.operation_token == "token"
    assert [(link.url, link.type) for link in success.links] == [("u", "t")]


async def test_a_cancellation_reaches_the_handler(local: Client) -> None:
    seen = []

    async def act(told: Any) -> None:
        seen.append((told[0].operation, told[1], nexus.in_operation()))

    request = Request(
        cancel_operation=CancelOperationRequest(
            service="Desk", operation="run", operation_token="t"
        )
    )
    answer = await Bench(local, act).answer(request)
    assert answer.response.HasField("cancel_operation")
    assert seen == [("run", "t", True)]


@pytest.mark.parametrize("state", nexusrpc.OperationErrorState)
async def test_an_operation_that_failed_is_told_in_the_form_that_the_service_reads(
    local: Client, state: nexusrpc.OperationErrorState
) -> None:
    bench = Bench(local, _raising(nexusrpc.OperationError("no", state=state)))
    new = (await bench.answer(_ask())).response.start_operation.failure
    kind = "canceled" if state is nexusrpc.OperationErrorState.CANCELED else "application"
    assert new.WhichOneof("failure_info") == f"{kind}_failure_info"
    assert new.message == "no"
    old = (await bench.answer(_ask(as_temporal=False))).response.start_operation.operation_error
    assert (old.operation_state, old.failure.message) == (state.value, "no")
    assert old.failure.metadata == {"type": "temporal.api.failure.v1.Failure"}
    info = "canceledFailureInfo" if kind == "canceled" else "applicationFailureInfo"
    assert info in json.loads(old.failure.details)


async def test_a_task_that_failed_is_told_in_the_form_that_the_service_reads(
    local: Client,
) -> None:
    error = nexusrpc.HandlerError(
        "bad", type=nexusrpc.HandlerErrorType.BAD_REQUEST, retryable_override=True
    )
    bench = Bench(local, _raising(error))
    new = (await bench.answer(_ask())).failure
    assert new.message == "bad"
    assert new.nexus_handler_failure_info.type == "BAD_REQUEST"
    assert new.stack_trace
    old = (await bench.answer(_ask(as_temporal=False))).error
    assert (old.error_type, old.failure.message) == ("BAD_REQUEST", "bad")
    retryable = RetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE
    assert old.retry_behavior == retryable
    details = json.loads(old.failure.details)
    assert details["nexusHandlerFailureInfo"]["type"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (_ask(operation="nothing"), "NOT_FOUND"),
        (Request(start_operation=StartOperationRequest(service="Nobody")), "NOT_FOUND"),
    ],
)
async def test_what_is_not_there_is_not_found(local: Client, request_: Request, kind: str) -> None:
    request_.capabilities.temporal_failure_responses = True
    answer = await Bench(local, _raising(KeyError())).answer(request_)
    assert answer.failure.nexus_handler_failure_info.type == kind


async def test_an_input_of_another_type_is_the_callers_mistake(local: Client) -> None:
    request = _ask()
    request.start_operation.payload.CopyFrom(
        Payload(metadata={"encoding": b"json/plain"}, data=b"{broken")
    )
    info = (await Bench(local, _raising(KeyError())).answer(request)).failure
    assert info.nexus_handler_failure_info.type == "BAD_REQUEST"
    non_retryable = RetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE
    assert info.nexus_handler_failure_info.retry_behavior == non_retryable


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (ApplicationError("a", non_retryable=True), "INTERNAL", False),
        (ApplicationError("a"), "INTERNAL", True),
        (WorkflowAlreadyStartedError("w", "t"), "INTERNAL", False),
        (KeyError("k"), "INTERNAL", None),
        *(
            (RPCError("m", status, b""), kind, retryable)
            for status, kind, retryable in (
                (RPCStatusCode.INVALID_ARGUMENT, "BAD_REQUEST", None),
                (RPCStatusCode.ALREADY_EXISTS, "INTERNAL", False),
                (RPCStatusCode.NOT_FOUND, "NOT_FOUND", None),
                (RPCStatusCode.UNAVAILABLE, "UNAVAILABLE", None),
                (RPCStatusCode.PERMISSION_DENIED, "INTERNAL", None),
                (RPCStatusCode.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", None),
                (RPCStatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED", None),
                (RPCStatusCode.DEADLINE_EXCEEDED, "UPSTREAM_TIMEOUT", None),
            )
        ),
    ],
    ids=repr,
)
def test_what_an_exception_means_to_the_caller(
    error: BaseException, kind: str, retryable: bool | None
) -> None:
    found = handler_error_of(error)
    assert (found.type.name, found.retryable_override) == (kind, retryable)
    assert found.__cause__ is error


def test_a_handlers_own_error_is_told_as_it_is() -> None:
    error = nexusrpc.HandlerError("x", type=nexusrpc.HandlerErrorType.CONFLICT)
    assert handler_error_of(error) is error


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1.5s", 1.5), ("250ms", 0.25), ("2m", 120), ("1h", 3600), ("soon", None)],
)
def test_how_long_the_caller_waits(text: str, seconds: float | None) -> None:
    task = PollNexusTaskQueueResponse(request=Request(header={"Request-Timeout": text}))
    limit = time_limit(task)
    assert limit == (None if seconds is None else timedelta(seconds=seconds))


async def test_a_handler_that_nobody_waits_for_is_stopped(local: Client) -> None:
    seen: list[Any] = []
    stopped = asyncio.Event()

    async def act(ctx: Context) -> None:
        assert ctx.request_deadline is not None
        assert ctx.request_deadline > datetime.now(UTC) - timedelta(minutes=1)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(ctx.task_cancellation.cancellation_reason())
            stopped.set()

    bench = Bench(local, act)
    await bench.give(_ask(timeout="1ms"))
    await stopped.wait()
    await bench.slots.take()  # its place is free again
    assert seen == ["TIMED_OUT"]
    assert bench.answers.kept.empty()


async def test_a_handler_may_answer_when_it_is_stopped(local: Client) -> None:
    started = asyncio.Event()

    async def act(ctx: Context) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return f"stopped by {ctx.task_cancellation.cancellation_reason()}"
        return "never"

    bench = Bench(local, act)
    await bench.give(_ask())
    await started.wait()
    await bench.worker.finish(timedelta())
    answer = bench.answers.kept.get_nowait()
    payload = answer.response.start_operation.sync_success.payload
    assert CONVERTER.from_payload(payload) == "stopped by WORKER_SHUTDOWN"


async def test_a_shutdown_waits_until_the_last_answer_is_sent(local: Client) -> None:
    async def act(_: Context) -> str:
        return "answer"

    bench = Bench(local, act)
    sending, may_send = asyncio.Event(), asyncio.Event()
    complete = bench.answers.complete_nexus_task

    async def slowly(request: RespondNexusTaskCompletedRequest) -> None:
        sending.set()
        await may_send.wait()
        await complete(request)

    bench.answers.complete_nexus_task = slowly  # type: ignore[method-assign]
    await bench.give(_ask())
    await sending.wait()
    finish = asyncio.create_task(bench.worker.finish(timedelta()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not finish.done()
    may_send.set()
    await finish
    assert not bench.answers.kept.empty()


async def test_a_shutdown_waits_for_handlers_that_hear_of_it(local: Client) -> None:
    started = asyncio.Event()

    async def act(_: Context) -> str:
        before = nexus.is_worker_shutdown()
        started.set()
        await nexus.wait_for_worker_shutdown()
        return f"{before} {nexus.is_worker_shutdown()}"

    bench = Bench(local, act)
    await bench.give(_ask())
    await started.wait()
    bench.worker.announce_shutdown()
    await bench.worker.finish(timedelta(seconds=30))
    payload = bench.answers.kept.get_nowait().response.start_operation.sync_success.payload
    assert CONVERTER.from_payload(payload) == "False True"


class Notes(Interceptor):
    """Notes what comes by, and changes it."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    def intercept_nexus_operation(
        self,
        next: NexusOperationInboundInterceptor,  # noqa: A002 -- the mirrored name
    ) -> NexusOperationInboundInterceptor:
        return NotesOperation(next, self)


class NotesOperation(NexusOperationInboundInterceptor):
    """What it puts in between."""

    def __init__(self, next: NexusOperationInboundInterceptor, notes: Notes) -> None:  # noqa: A002
        super().__init__(next)
        self.notes = notes

    async def execute_nexus_operation_start(self, input: ExecuteNexusOperationStartInput) -> Any:  # noqa: A002
        self.notes.seen.append(f"{self.notes.name} start {input.ctx.operation} {input.input}")
        input.input += "!"
        return await super().execute_nexus_operation_start(input)

    async def execute_nexus_operation_cancel(self, input: ExecuteNexusOperationCancelInput) -> None:  # noqa: A002
        self.notes.seen.append(f"{self.notes.name} cancel {input.token}")
        await super().execute_nexus_operation_cancel(input)


async def test_the_first_interceptor_is_the_outermost(local: Client) -> None:
    seen: list[str] = []

    async def act(_: Any) -> str:
        return "done"

    bench = Bench(local, act, [Notes("outer", seen), Notes("inner", seen)])
    await bench.answer(_ask())
    cancel = CancelOperationRequest(service="Desk", operation="run", operation_token="t")
    await bench.answer(Request(cancel_operation=cancel))
    assert seen == [
        "outer start ask value",
        "inner start ask value!",
        "outer cancel t",
        "inner cancel t",
    ]


@nexusrpc.handler.service_handler
class Threaded:
    """Its method is not async."""

    @nexusrpc.handler.sync_operation
    def ask(self, ctx: Context, value: str) -> str:
        return f"{nexus.info().task_queue} {threading.current_thread() is threading.main_thread()}"


async def test_methods_that_are_not_async_need_threads(local: Client) -> None:
    with pytest.raises(RuntimeError, match="not an `async def` method"):
        Worker(local, task_queue="queue", nexus_service_handlers=[Threaded()])
    with pytest.raises(TypeError, match="got a class"):
        Worker(local, task_queue="queue", nexus_service_handlers=[Threaded])
    with ThreadPoolExecutor(1) as threads:
        answers = Answers()
        slots = Slots(1)
        worker = NexusWorker(
            source=answers,  # type: ignore[arg-type]
            client=local,
            slots=slots,
            handler=make_handler([Threaded()], threads, ()),
            task_queue="queue",
        )
        await slots.take()
        request = _ask()
        request.start_operation.service = "Threaded"
        worker.accept(PollNexusTaskQueueResponse(request=request))
        answer = await answers.kept.get()
    payload = answer.response.start_operation.sync_success.payload
    assert CONVERTER.from_payload(payload) == "queue False"


def test_outside_of_a_handler_there_is_no_operation() -> None:
    assert not nexus.in_operation()
    for ask in (nexus.info, nexus.client, nexus.metric_meter, nexus.is_worker_shutdown):
        with pytest.raises(RuntimeError, match="Not in Nexus operation context"):
            ask()
