"""The Nexus protocol over HTTP: what workers are asked, and what callers are told. The bodies and
codes are those of the real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import NexusHandlerErrorRetryBehavior, TaskQueueType
from temporalio.api.failure.v1 import (
    ApplicationFailureInfo,
    CanceledFailureInfo,
    Failure,
    NexusHandlerFailureInfo,
)
from temporalio.api.nexus.v1 import (
    CancelOperationResponse,
    HandlerError,
    Link,
    Response,
    StartOperationResponse,
    UnsuccessfulOperationError,
)
from temporalio.api.nexus.v1 import Failure as NexusFailure
from temporalio.api.nexus.v1 import Request as NexusRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    PollNexusTaskQueueRequest,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskFailedRequest,
)

from perdure.server.engine.nexus.counting import NexusCounts
from perdure.server.frontend.nexus_http import NexusHttp
from perdure.server.frontend.services import Services
from perdure.server.http.messages import Request
from perdure.server.http.messages import Response as HttpResponse
from perdure.server.http.metrics import Metrics
from perdure.transport import Code
from tests.frontend.client import Client
from tests.frontend.nexus_worker import (
    JSON,
    QUEUE,
    SYNC,
    Answer,
    answering,
    endpoint,
    poll,
    respond,
)

NOBODY = "7a5f1ed2-3b9f-4a4c-9e17-1d3d1d6a3e11"
BY_QUEUE = f"/namespaces/default/task-queues/{QUEUE}/nexus-services/svc"
WORKER = ("Temporal-Nexus-Failure-Source", "worker")
LINK = Link(url="http://a/b?c=d", type="t")
FAILURE = NexusFailure(message="boo", metadata={"k": "v"}, details=b'{"a": 1}', stack_trace="st")
TOLD_FOREIGN = b'{"message":"boo","stackTrace":"st","metadata":{"k":"v"},"details":{"a":1}}'
TOLD = b'{"message":"boo","metadata":{"type":"temporal.api.failure.v1.Failure"},"details":'
INNER = Failure(message="c", application_failure_info=ApplicationFailureInfo(type="I"))
RETRYABLE = NexusHandlerErrorRetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_RETRYABLE
FINAL = NexusHandlerErrorRetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE


def error_of(error_type: str, message: str, **more: Any) -> dict[str, Any]:
    return {
        "message": message,
        "metadata": {"type": "nexus.HandlerError"},
        "details": {"type": error_type, **more},
    }


async def ask(
    services: Services, target: str, body: bytes = b"", method: str = "POST", **headers: str
) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await NexusHttp(services).answer(Request(method, target, named, body))
    assert answer is not None
    return answer


async def start(client: Client, services: Services, answer: Answer) -> HttpResponse:
    async with answering(client, answer):
        return await ask(services, f"{BY_QUEUE}/op", b'"in"', content_type="application/json")


async def test_a_worker_is_asked_what_came_by_http(client: Client, services: Services) -> None:
    made = await endpoint(client)
    async with answering(client, SYNC) as asked:
        answer = await ask(
            services,
            f"{made.url_prefix}/svc/op?callback=http%3A%2F%2Fx%2Fcb",
            b'"in"',
            content_type="application/json",
            nexus_request_id="request",
            nexus_callback_foo="bar",
            nexus_link='<http://a/b?c=d>; type="t"',
            x_mine="mine",
            operation_timeout="1m",
            request_timeout="20s",
        )
    assert (answer.status, answer.content_type, answer.body) == (
        200,
        "application/json",
        b'"result"',
    )
    request = asked[0].request
    assert request.endpoint == "endpoint"
    assert not request.capabilities.temporal_failure_responses
    started = request.start_operation
    assert (started.service, started.operation, started.request_id) == ("svc", "op", "request")
    assert (started.callback, dict(started.callback_header)) == ("http://x/cb", {"foo": "bar"})
    assert started.payload == Payload(metadata=JSON, data=b'"in"')
    assert list(started.links) == [LINK]
    header = dict(request.header)
    assert header.pop("request-timeout") == header.pop("Request-Timeout")
    assert header == {
        "nexus-request-id": "request",
        "nexus-link": '<http://a/b?c=d>; type="t"',
        "x-mine": "mine",
        "operation-timeout": "60000ms",
    }


async def test_a_worker_has_less_time_than_its_caller_waits(
    client: Client, services: Services
) -> None:
    async with answering(client, SYNC) as asked:
        await ask(services, f"{BY_QUEUE}/op", request_timeout="20s")
    told = asked[0].request.header["request-timeout"]
    assert 18 < float(told.removesuffix("s")) <= 19


STARTED: dict[str, tuple[Answer, int, str, bytes, tuple[tuple[str, str], ...]]] = {
    "nothing": (
        StartOperationResponse(sync_success=StartOperationResponse.Sync()),
        *(200, "", b"", ()),
    ),
    "links": (
        StartOperationResponse(sync_success=StartOperationResponse.Sync(links=[LINK, LINK])),
        *(200, "", b""),
        (("Nexus-Link", '<http://a/b?c=d>; type="t", <http://a/b?c=d>; type="t"'),),
    ),
    "a payload of its own": (
        StartOperationResponse(
            sync_success=StartOperationResponse.Sync(
                payload=Payload(metadata={**JSON, "x": b"y"}, data=b"1")
            )
        ),
        *(200, "application/x-temporal-payload"),
        Payload(metadata={**JSON, "x": b"y"}, data=b"1").SerializeToString(deterministic=True),
        (),
    ),
    "asynchronously": (
        StartOperationResponse(
            async_success=StartOperationResponse.Async(operation_token="token", links=[LINK])
        ),
        *(201, "application/json", b'{"token":"token","state":"running"}'),
        (("Nexus-Link", '<http://a/b?c=d>; type="t"'),),
    ),
    "an old operation id": (
        StartOperationResponse(async_success=StartOperationResponse.Async(operation_id="old")),
        *(201, "application/json", b'{"token":"old","state":"running"}', ()),
    ),
    "failed in the old form": (
        StartOperationResponse(
            operation_error=UnsuccessfulOperationError(operation_state="failed", failure=FAILURE)
        ),
        *(424, "application/json"),
        TOLD_FOREIGN,
        (("Nexus-Operation-State", "failed"), WORKER),
    ),
    "canceled in the old form": (
        StartOperationResponse(
            operation_error=UnsuccessfulOperationError(
                operation_state="canceled", failure=NexusFailure(message="boo")
            )
        ),
        *(424, "application/json", b'{"message":"boo"}'),
        (("Nexus-Operation-State", "canceled"), WORKER),
    ),
    "in a state that is none": (
        StartOperationResponse(operation_error=UnsuccessfulOperationError(operation_state="weird")),
        *(500, "", b"", (WORKER,)),
    ),
    "failed": (
        StartOperationResponse(
            failure=Failure(
                message="boo",
                application_failure_info=ApplicationFailureInfo(
                    type="T", details=Payloads(payloads=[Payload(data=b"1")])
                ),
            )
        ),
        *(424, "application/json"),
        TOLD + b'{"applicationFailureInfo":{"type":"T","details":{"payloads":[{"data":"MQ=="}]}}}}',
        (("Nexus-Operation-State", "failed"), WORKER),
    ),
    "canceled": (
        StartOperationResponse(
            failure=Failure(message="boo", canceled_failure_info=CanceledFailureInfo())
        ),
        *(424, "application/json"),
        TOLD + b'{"canceledFailureInfo":{}}}',
        (("Nexus-Operation-State", "canceled"), WORKER),
    ),
}


@pytest.mark.parametrize("name", STARTED)
async def test_an_answer_to_a_start_is_told_as_the_protocol_has_it(
    client: Client, services: Services, name: str
) -> None:
    answer, status, content_type, body, headers = STARTED[name]
    told = await start(client, services, answer)
    assert told == HttpResponse(status, body, content_type, headers)


@pytest.mark.parametrize(
    "answer",
    [
        StartOperationResponse(),
        Response(),
        Response(cancel_operation=CancelOperationResponse()),
    ],
)
async def test_an_answer_that_is_none_is_an_error_of_the_handler(
    client: Client, services: Services, answer: Answer
) -> None:
    told = await start(client, services, answer)
    assert (told.status, told.headers) == (500, (WORKER,))
    assert json.loads(told.body) == error_of("INTERNAL", "empty outcome")


STATUSES = {
    "BAD_REQUEST": 400,
    "UNAUTHENTICATED": 401,
    "UNAUTHORIZED": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "REQUEST_TIMEOUT": 408,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "NOT_IMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UPSTREAM_TIMEOUT": 520,
    "WEIRD": 500,
    "": 500,
}


@pytest.mark.parametrize(("error_type", "status"), STATUSES.items())
async def test_an_error_of_a_handler_has_the_status_of_its_type(
    client: Client, services: Services, error_type: str, status: int
) -> None:
    old = RespondNexusTaskFailedRequest(error=HandlerError(error_type=error_type, failure=FAILURE))
    told = await start(client, services, old)
    assert (told.status, told.headers) == (status, (WORKER,))
    assert (
        told.body == b'{"message":"boo","stackTrace":"st","metadata":{"k":"v"},"details":{"a":1}}'
    )
    info = NexusHandlerFailureInfo(type=error_type)
    new = RespondNexusTaskFailedRequest(
        failure=Failure(message="m", nexus_handler_failure_info=info, cause=INNER)
    )
    told = await start(client, services, new)
    assert (told.status, told.headers) == (status, (WORKER,))
    assert json.loads(told.body)["details"] == {"applicationFailureInfo": {"type": "I"}}


async def test_a_handler_can_say_whether_to_try_again(client: Client, services: Services) -> None:
    error = HandlerError(
        error_type="BAD_REQUEST", retry_behavior=RETRYABLE, failure=NexusFailure(message="m")
    )
    told = await start(client, services, RespondNexusTaskFailedRequest(error=error))
    assert (told.status, told.body) == (400, b'{"message":"m"}')
    assert ("Nexus-Request-Retryable", "true") in told.headers
    info = NexusHandlerFailureInfo(type="INTERNAL", retry_behavior=FINAL)
    failed = RespondNexusTaskFailedRequest(
        failure=Failure(message="m", nexus_handler_failure_info=info)
    )
    told = await start(client, services, failed)
    assert json.loads(told.body) == error_of("INTERNAL", "m", retryableOverride=False)
    assert ("Nexus-Request-Retryable", "false") in told.headers


async def test_operations_are_canceled_by_their_token(client: Client, services: Services) -> None:
    done = Response(cancel_operation=CancelOperationResponse())
    async with answering(client, done, done, done) as asked:
        by_header = await ask(services, f"{BY_QUEUE}/op/cancel", nexus_operation_token="t/1")
        by_query = await ask(services, f"{BY_QUEUE}/op/cancel?token=t/1")
        by_path = await ask(services, f"{BY_QUEUE}/op/t%2F1/cancel")
    assert by_header == by_query == by_path == HttpResponse(202, b"", "")
    for task in asked:
        canceled = task.request.cancel_operation
        assert (canceled.service, canceled.operation) == ("svc", "op")
        assert canceled.operation_id == canceled.operation_token == "t/1"


REFUSED: dict[str, tuple[str, int, dict[str, Any]]] = {
    f"{BY_QUEUE}/op/cancel": (
        "POST",
        400,
        error_of("BAD_REQUEST", "missing operation token"),
    ),
    f"{BY_QUEUE}/op": (
        "GET",
        400,
        error_of("BAD_REQUEST", 'invalid request method: expected POST, got "GET"'),
    ),
    BY_QUEUE: ("POST", 404, error_of("NOT_FOUND", "not found")),
    f"{BY_QUEUE}/op/b/c": ("POST", 404, error_of("NOT_FOUND", "not found")),
    f"/nexus/endpoints/{NOBODY}/services/svc/op": (
        "POST",
        404,
        error_of("NOT_FOUND", "nexus endpoint not found", retryableOverride=False),
    ),
    "/nexus/endpoints/nope/services/svc/op": (
        "POST",
        500,
        error_of("INTERNAL", "internal error"),
    ),
    "/namespaces/nope/task-queues/q/nexus-services/svc/op": (
        "POST",
        404,
        error_of("NOT_FOUND", 'namespace not found: "nope"'),
    ),
}


@pytest.mark.parametrize("target", REFUSED)
async def test_what_leads_nowhere_is_refused(services: Services, target: str) -> None:
    method, status, error = REFUSED[target]
    told = await ask(services, target, method=method)
    assert (told.status, json.loads(told.body)) == (status, error)


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({"request_timeout": "bogus"}, b"", "invalid request timeout header"),
        ({"request_timeout": "-1s"}, b"", "invalid request timeout header"),
        ({"nexus_link": "garbage"}, b"", 'invalid "nexus-link" header'),
        ({"content_type": "application/x-temporal-payload"}, b"\xff", "invalid input"),
        ({}, b"x" * (2 * 1024 * 1024 + 1), "invalid input"),
    ],
)
async def test_what_cannot_be_read_is_refused(
    services: Services, headers: dict[str, str], body: bytes, message: str
) -> None:
    told = await ask(services, f"{BY_QUEUE}/op", body, **headers)
    assert (told.status, json.loads(told.body)) == (400, error_of("BAD_REQUEST", message))


async def test_other_paths_are_not_of_this_protocol(services: Services) -> None:
    for target in ("/", "/namespaces/default/workflows", "/nexus/endpoints", "/nexus"):
        assert await NexusHttp(services).answer(Request("POST", target, {}, b"")) is None


async def test_nobody_answers_in_time(client: Client, services: Services) -> None:
    """And what is answered too late is refused; the queue is empty then."""
    for timeout in ("20ms", "0s"):
        told = await ask(services, f"{BY_QUEUE}/op", request_timeout=timeout)
        assert (told.status, told.headers) == (520, (WORKER,))
        assert json.loads(told.body) == error_of("UPSTREAM_TIMEOUT", "upstream timeout")
    late = asyncio.create_task(ask(services, f"{BY_QUEUE}/op", request_timeout="500ms"))
    task = await poll(client)
    await late
    for answer in (SYNC, RespondNexusTaskFailedRequest(error=HandlerError(error_type="INTERNAL"))):
        request: RespondNexusTaskCompletedRequest | RespondNexusTaskFailedRequest
        if isinstance(answer, RespondNexusTaskFailedRequest):
            request = answer
        else:
            request = RespondNexusTaskCompletedRequest(response=Response(start_operation=answer))
        request.task_token = task.task_token
        refusal = await client.refusal(request)
        assert (refusal.code, refusal.message) == (
            Code.NOT_FOUND,
            "Nexus task not found or already expired",
        )


async def test_an_answer_that_is_refused_can_be_given_again(
    client: Client, services: Services
) -> None:
    waiting = asyncio.create_task(ask(services, f"{BY_QUEUE}/op"))
    token = (await poll(client)).task_token
    bad: dict[str, RespondNexusTaskCompletedRequest | RespondNexusTaskFailedRequest] = {
        "missing opration token in response": RespondNexusTaskCompletedRequest(
            response=Response(
                start_operation=StartOperationResponse(async_success=StartOperationResponse.Async())
            )
        ),
        "failure details must be JSON serializable": RespondNexusTaskFailedRequest(
            error=HandlerError(failure=NexusFailure(cause=NexusFailure(details=b"not json")))
        ),
        "request must contain error or failure": RespondNexusTaskFailedRequest(),
        "request Failure must contain error or failure with NexusHandlerFailureInfo": (
            RespondNexusTaskFailedRequest(failure=INNER)
        ),
    }
    for message, request in bad.items():
        request.task_token = token
        refusal = await client.refusal(request)
        assert (refusal.code, refusal.message) == (Code.INVALID_ARGUMENT, message)
    await respond(client, token, SYNC)
    assert (await waiting).status == 200


async def test_the_poller_of_a_nexus_queue_is_shown(client: Client, services: Services) -> None:
    await start(client, services, SYNC)
    request = DescribeTaskQueueRequest(
        namespace="default",
        task_queue=TaskQueue(name=QUEUE),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_NEXUS,
    )
    described = await client.call(request, DescribeTaskQueueResponse)
    assert [poller.identity for poller in described.pollers] == ["worker"]


async def test_a_poll_must_name_a_queue_and_a_token_must_be_one(client: Client) -> None:
    no_queue = PollNexusTaskQueueRequest(namespace="default")
    assert (await client.refusal(no_queue)).message == "taskQueue is not set"
    no_token = RespondNexusTaskCompletedRequest()
    assert (await client.refusal(no_token)).message == "Task token not set on request."
    garbage = RespondNexusTaskFailedRequest(task_token=b"garbage")
    assert (await client.refusal(garbage)).message == "Error deserializing task token."


async def test_a_worker_that_goes_away_leaves_its_task_to_the_next(
    client: Client, services: Services
) -> None:
    gone = asyncio.create_task(poll(client))
    await asyncio.sleep(0)
    gone.cancel()
    async with answering(client, SYNC):
        assert (await ask(services, f"{BY_QUEUE}/op")).status == 200


def test_names_of_namespaces_stay_within_their_quotes() -> None:
    counts = NexusCounts()
    counts.request('a"b\\c\nd', NexusRequest(endpoint="endpoint"), "sync_success", 1)
    counts.completion('a"b\\c\nd', "success")
    assert len(counts.rows()) == 4
    assert all(r'namespace="a\"b\\c\nd",' in row for row in counts.rows())


async def test_requests_are_counted_by_what_became_of_them(
    client: Client, services: Services
) -> None:
    made = await endpoint(client)
    error = RespondNexusTaskFailedRequest(error=HandlerError(error_type='x"y'))
    async with answering(client, SYNC, SYNC, error):
        for _ in range(3):
            await ask(services, f"{made.url_prefix}/svc/op")
    await ask(services, f"{made.url_prefix}/svc/op/cancel?token=t", request_timeout="1ms")
    rows = services.engine.nexus.counts.rows()
    requests = {key: value for key, value in rows.items() if key.startswith("nexus_requests{")}
    start = 'nexus_requests{method="StartNexusOperation",namespace="default"'
    cancel = 'nexus_requests{method="CancelNexusOperation",namespace="default"'
    rest = ',nexus_endpoint="endpoint",outcome="%s",service_name="frontend"}'
    assert requests == {
        start + rest % "sync_success": 2,
        start + rest % "handler_error_UNKNOWN": 1,
        cancel + rest % "handler_timeout": 1,
    }
    errors = [key for key in rows if key.startswith("nexus_request_errors{")]
    assert len(errors) == 2
    page = Metrics(services.engine.nexus.counts.rows).render().decode()
    assert page.count("# TYPE nexus_requests counter") == 1
