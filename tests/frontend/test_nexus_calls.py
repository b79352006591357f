"""Calls to Nexus handlers as workflows make them, and completions that come back: over the API of
workers, and over HTTP to a handler elsewhere. Outcomes and headers are those of the real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.api.common.v1 import Link as TemporalLink
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure, NexusHandlerFailureInfo
from temporalio.api.nexus.v1 import (
    CancelOperationResponse,
    Endpoint,
    HandlerError,
    Response,
    StartOperationResponse,
    UnsuccessfulOperationError,
)
from temporalio.api.nexus.v1 import Failure as NexusFailure
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import (
    ListWorkersRequest,
    ListWorkersResponse,
    PollNexusTaskQueueRequest,
    PollNexusTaskQueueResponse,
    RespondNexusTaskFailedRequest,
)

from perdure.server.engine.api import EngineUnavailable, NamespaceRef
from perdure.server.engine.completions import CompletionRequest
from perdure.server.engine.nexus.calls import CancelCall, Completion, OperationAddress, StartCall
from perdure.server.engine.nexus.nexus import SYSTEM_URL
from perdure.server.frontend.services import Services
from perdure.server.http.listener import HttpListener
from perdure.server.http.messages import Request
from perdure.server.http.messages import Response as HttpResponse
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    HandlerFailed,
    OperationFailed,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.ports import SECOND_NS, Kind
from tests.frontend.client import Client
from tests.frontend.nexus_worker import JSON, SYNC, answering, endpoint
from tests.frontend.test_nexus_http import ask, error_of

IN = Payload(metadata=JSON, data=b'"in"').SerializeToString(deterministic=True)
RESULT = Payload(metadata=JSON, data=b'"result"').SerializeToString(deterministic=True)
EVENT = TemporalLink(
    workflow_event=TemporalLink.WorkflowEvent(
        namespace="default",
        workflow_id="w/1",
        run_id="run",
        event_ref=TemporalLink.WorkflowEvent.EventReference(
            event_id=5, event_type=EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED
        ),
    )
).SerializeToString(deterministic=True)
EVENT_URL = (
    "temporal:///namespaces/default/workflows/w%2F1/run/history"
    "?eventID=5&eventType=NexusOperationScheduled&referenceType=EventReference"
)
EVENT_HEADER = f'<{EVENT_URL}>; type="temporal.api.common.v1.Link.WorkflowEvent"'


def caller_of(services: Services) -> NamespaceRef:
    return services.bind("default")


def address(services: Services) -> OperationAddress:
    return OperationAddress(caller_of(services).id, Kind.WORKFLOW, "w/1", "run", 5, "request")


def start_call(services: Services, made: Endpoint, **changes: Any) -> StartCall:
    fields: dict[str, Any] = {
        "namespace": caller_of(services),
        "endpoint_id": made.id,
        "endpoint": made.spec.name,
        "service": "svc",
        "operation": "op",
        "request_id": "request",
        "completion": address(services),
        "payload": IN,
        "header": {"My-Header": "v"},
        "links": (EVENT,),
        "timeout_ns": 10 * SECOND_NS,
        "operation_timeout_ns": 300 * SECOND_NS,
        **changes,
    }
    return StartCall(**fields)


def cancel_call(services: Services, made: Endpoint) -> CancelCall:
    return CancelCall(
        namespace=caller_of(services),
        endpoint_id=made.id,
        endpoint=made.spec.name,
        service="svc",
        operation="op",
        operation_token="token",
        header={"My-Header": "v"},
        timeout_ns=10 * SECOND_NS,
    )


class Waiting:
    """Whoever waits for completions."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[Completion] = []
        self._error = error

    async def complete(self, namespace: NamespaceRef, completion: Completion) -> None:
        if self._error is not None:
            raise self._error
        self.heard.append(completion)


class Elsewhere:
    """A handler elsewhere, which answers what its operations are called."""

    def __init__(self, answers: dict[str, HttpResponse]) -> None:
        self.asked: list[Request] = []
        self._answers = answers

    async def answer(self, request: Request) -> HttpResponse:
        self.asked.append(request)
        return self._answers[request.target.partition("?")[0].removeprefix("/base/svc/")]


@contextlib.asynccontextmanager
async def elsewhere(**answers: HttpResponse) -> AsyncIterator[tuple[Elsewhere, str]]:
    other = Elsewhere(answers)
    listener = HttpListener("127.0.0.1", 0, lambda: other.answer)
    await listener.start()
    try:
        yield other, f"http://127.0.0.1:{listener.port}/base/"
    finally:
        await listener.stop()


async def test_a_worker_is_asked_as_by_http(client: Client, services: Services) -> None:
    made = await endpoint(client)
    async with answering(client, SYNC) as asked:
        outcome = await services.engine.nexus.start(start_call(services, made))
    assert outcome == SyncSuccess(RESULT)
    request = asked[0].request
    assert request.capabilities.temporal_failure_responses
    assert request.endpoint == "endpoint"
    header = dict(request.header)
    assert header.pop("request-timeout") == header.pop("Request-Timeout")
    assert header == {
        "my-header": "v",
        "nexus-link": EVENT_HEADER,
        "nexus-request-id": "request",
        "operation-timeout": "300000ms",
        "user-agent": "temporalio/server",
    }
    started = request.start_operation
    assert started.payload.SerializeToString(deterministic=True) == IN
    assert (started.callback, list(started.callback_header)) == (
        "temporal://system",
        ["temporal-callback-token"],
    )
    assert [link.url for link in started.links] == [EVENT_URL]


async def test_what_a_worker_starts_is_told_with_its_links(
    client: Client, services: Services
) -> None:
    made = await endpoint(client)
    started = StartOperationResponse(
        async_success=StartOperationResponse.Async(operation_token="token")
    )
    started.async_success.links.add(url=EVENT_URL, type="temporal.api.common.v1.Link.WorkflowEvent")
    started.async_success.links.add(url="http://elsewhere", type="t")
    async with answering(client, started):
        outcome = await services.engine.nexus.start(start_call(services, made))
    assert outcome == AsyncStarted("token", (EVENT,))


async def test_failures_of_operations_and_handlers_are_told_apart(
    client: Client, services: Services
) -> None:
    made = await endpoint(client)
    foreign = NexusFailure(message="boo", metadata={"k": "v"}, details=b'{"a":1}')
    error = UnsuccessfulOperationError(operation_state="failed", failure=foreign)
    info = NexusHandlerFailureInfo(type="BAD_REQUEST")
    new = Failure(message="m", nexus_handler_failure_info=info)
    answers = (
        StartOperationResponse(operation_error=error),
        RespondNexusTaskFailedRequest(error=HandlerError(error_type="INTERNAL", failure=foreign)),
        RespondNexusTaskFailedRequest(failure=new),
        StartOperationResponse(),
    )
    async with answering(client, *answers):
        told = [await services.engine.nexus.start(start_call(services, made)) for _ in answers]
    kept = ApplicationFailureInfo(type="NexusFailure")
    kept.details.payloads.add(metadata=JSON, data=b'{"metadata":{"k":"v"},"details":{"a":1}}')
    as_temporal = Failure(message="boo", application_failure_info=kept)
    failed, old, refused, empty = told
    assert isinstance(failed, OperationFailed)
    assert Failure.FromString(failed.failure) == as_temporal
    assert not failed.is_canceled
    assert isinstance(old, HandlerFailed)
    assert Failure.FromString(old.failure).cause == as_temporal
    assert (old.error_type, old.is_retryable) == ("INTERNAL", True)
    assert isinstance(refused, HandlerFailed)
    assert Failure.FromString(refused.failure) == new
    assert (refused.error_type, refused.is_retryable) == ("BAD_REQUEST", False)
    assert isinstance(empty, HandlerFailed)
    assert empty.is_retryable


async def test_operations_of_workers_are_canceled(client: Client, services: Services) -> None:
    made = await endpoint(client)
    done = Response(cancel_operation=CancelOperationResponse())
    error = HandlerError(error_type="NOT_FOUND")
    async with answering(client, done, RespondNexusTaskFailedRequest(error=error)) as asked:
        accepted = await services.engine.nexus.cancel(cancel_call(services, made))
        refused = await services.engine.nexus.cancel(cancel_call(services, made))
    assert accepted == CancelAccepted()
    assert isinstance(refused, HandlerFailed)
    assert (refused.error_type, refused.is_retryable) == ("NOT_FOUND", False)
    canceled = asked[0].request.cancel_operation
    assert (canceled.operation_token, canceled.operation_id) == ("token", "token")


async def test_a_call_that_leads_nowhere_fails(client: Client, services: Services) -> None:
    made = await endpoint(client)
    late = await services.engine.nexus.start(
        start_call(services, made, timeout_ns=SECOND_NS // 100)
    )
    assert isinstance(late, HandlerFailed)
    assert (late.error_type, late.is_retryable) == ("UPSTREAM_TIMEOUT", True)
    await services.engine.nexus.endpoints.delete(made.id)
    for outcome in (
        await services.engine.nexus.start(start_call(services, made)),
        await services.engine.nexus.cancel(cancel_call(services, made)),
    ):
        assert isinstance(outcome, HandlerFailed)
        assert (outcome.error_type, outcome.is_retryable) == ("NOT_FOUND", False)


async def test_a_handler_elsewhere_is_asked_over_http(client: Client, services: Services) -> None:
    answer = HttpResponse(200, b'"result"', headers=(("Nexus-Link", EVENT_HEADER),))
    services.engine.nexus.completions_come_to("127.0.0.1", 7)
    async with elsewhere(op=answer) as (other, url):
        made = await endpoint(client, url=url)
        outcome = await services.engine.nexus.start(start_call(services, made))
    assert outcome == SyncSuccess(RESULT, (EVENT,))
    [request] = other.asked
    assert request.target == (
        "/base/svc/op?callback=http%3A%2F%2F127.0.0.1%3A7%2Fnamespaces%2Fdefault%2Fnexus%2Fcallback"
    )
    assert request.body == b'"in"'
    token = request.headers.pop("nexus-callback-temporal-callback-token")
    assert json.loads(token)["v"] == 1
    request.headers.pop("host")
    assert request.headers == {
        "accept-encoding": "gzip",
        "content-length": "4",
        "content-type": "application/json",
        "my-header": "v",
        "nexus-link": EVENT_HEADER,
        "nexus-request-id": "request",
        "operation-timeout": "300000ms",
        "request-timeout": "10000ms",
        "temporal-nexus-failure-support": "true",
        "user-agent": "temporalio/server",
    }


async def test_an_address_for_completions_that_was_set_counts_more(
    client: Client, services: Services
) -> None:
    nexus = services.engine.nexus
    nexus.callback_url = "https://front/{{.NamespaceName}}/cb"
    nexus.completions_come_to("127.0.0.1", 7)
    async with elsewhere(op=HttpResponse(200, b"", "")) as (other, url):
        made = await endpoint(client, url=url)
        await nexus.start(start_call(services, made))
    assert other.asked[0].target.endswith("?callback=https%3A%2F%2Ffront%2Fdefault%2Fcb")


def _json(status: int, value: Any, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(status, json.dumps(value).encode(), headers=headers)


ANSWERS: dict[str, tuple[HttpResponse, type, dict[str, Any]]] = {
    "started": (
        _json(201, {"token": "token", "state": "running"}),
        AsyncStarted,
        {"operation_token": "token"},
    ),
    "started in no state": (
        _json(201, {"token": "token", "state": "succeeded"}),
        Unreachable,
        {"message": 'invalid operation state in response info: "succeeded"', "is_retryable": True},
    ),
    "no json": (
        HttpResponse(201, b"{"),
        Unreachable,
        {"message": "unexpected end of JSON input", "is_retryable": True},
    ),
    "a long token": (
        _json(201, {"token": "t" * 4097, "state": "running"}),
        Unreachable,
        {"message": "invalid operation token", "is_retryable": False},
    ),
    "too much": (
        HttpResponse(200, b"x" * (2 * 1024 * 1024 + 1)),
        Unreachable,
        {"is_retryable": False},
    ),
    "failed": (
        _json(424, {"message": "boo"}, ("Nexus-Operation-State", "failed")),
        OperationFailed,
        {"is_canceled": False},
    ),
    "canceled": (
        _json(424, {"message": "boo"}, ("Nexus-Operation-State", "canceled")),
        OperationFailed,
        {"is_canceled": True},
    ),
    "failed in no state": (
        _json(424, {"message": "boo"}, ("Nexus-Operation-State", "weird")),
        Unreachable,
        {"is_retryable": True},
    ),
    "a bad request": (
        _json(400, {"message": "bad"}),
        HandlerFailed,
        {"error_type": "BAD_REQUEST", "is_retryable": False},
    ),
    "a bad request that may be tried again": (
        _json(400, {"message": "bad"}, ("Nexus-Request-Retryable", "true")),
        HandlerFailed,
        {"error_type": "BAD_REQUEST", "is_retryable": True},
    ),
    "an error that names itself": (
        _json(400, error_of("NOT_FOUND", "bad", retryableOverride=True)),
        HandlerFailed,
        {"error_type": "NOT_FOUND", "is_retryable": True},
    ),
    "an error in plain text": (
        HttpResponse(503, b"busy", "text/plain"),
        HandlerFailed,
        {"error_type": "UNAVAILABLE", "is_retryable": True},
    ),
    "brackets alone": (
        HttpResponse(500, b"[" * 100_000),
        HandlerFailed,
        {"error_type": "INTERNAL", "is_retryable": True},
    ),
    "a status of its own": (
        HttpResponse(418, b"teapot", "text/plain"),
        Unreachable,
        {"is_retryable": True},
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_is_answered_over_http_is_understood(
    client: Client, services: Services, name: str
) -> None:
    answer, kind, fields = ANSWERS[name]
    async with elsewhere(op=answer) as (_, url):
        made = await endpoint(client, url=url)
        outcome = await services.engine.nexus.start(start_call(services, made))
    assert type(outcome) is kind
    assert {field: getattr(outcome, field) for field in fields} == fields


async def test_operations_elsewhere_are_canceled(client: Client, services: Services) -> None:
    async with elsewhere(**{"op/cancel": HttpResponse(202, b"", "")}) as (other, url):
        made = await endpoint(client, url=url)
        assert await services.engine.nexus.cancel(cancel_call(services, made)) == CancelAccepted()
    assert other.asked[0].headers["nexus-operation-token"] == "token"
    refused = await services.engine.nexus.cancel(cancel_call(services, made))
    assert isinstance(refused, Unreachable)
    assert "connection refused" in refused.message


async def token_of(client: Client, services: Services) -> dict[str, str]:
    """The callback header that a handler is given."""
    made = await endpoint(client)
    async with answering(client, SYNC) as asked:
        await services.engine.nexus.start(start_call(services, made))
    return dict(asked[0].request.start_operation.callback_header)


async def complete(services: Services, body: bytes = b"", **headers: str) -> HttpResponse:
    return await ask(services, "/namespaces/default/nexus/callback", body, **headers)


async def test_completions_reach_whoever_waits(client: Client, services: Services) -> None:
    waiting = services.engine.nexus.completions = Waiting()
    token = (await token_of(client, services))["temporal-callback-token"]
    done = await complete(
        services,
        b'"result"',
        temporal_callback_token=token,
        content_type="application/json",
        nexus_operation_state="succeeded",
        nexus_operation_token="token",
        nexus_operation_start_time="Thu, 01 Jan 1970 00:00:07 GMT",
        nexus_operation_close_time="1970-01-01T00:00:08.5Z",
        nexus_link=EVENT_HEADER,
    )
    assert done == HttpResponse(200, b"", "")
    assert waiting.heard == [
        Completion(
            address=address(services),
            outcome=SyncSuccess(RESULT),
            operation_token="token",
            start_time_ns=7 * SECOND_NS,
            close_time_ns=8 * SECOND_NS + SECOND_NS // 2,
            links=(EVENT,),
        )
    ]
    failure = {
        "message": "boo",
        "metadata": {"type": "temporal.api.failure.v1.Failure"},
        "details": {"applicationFailureInfo": {"type": "T"}},
    }
    for state in ("failed", "canceled"):
        await complete(
            services,
            json.dumps(failure).encode(),
            temporal_callback_token=token,
            content_type="application/json",
            nexus_operation_state=state,
        )
        outcome = waiting.heard[-1].outcome
        assert isinstance(outcome, OperationFailed)
        told = Failure.FromString(outcome.failure)
        assert (told.message, told.application_failure_info.type) == ("boo", "T")
        assert outcome.is_canceled == (state == "canceled")


async def test_a_callback_to_the_system_takes_no_detour(client: Client, services: Services) -> None:
    waiting = services.engine.nexus.completions = Waiting()
    header = await token_of(client, services)
    headers = [*header.items(), ("Nexus-Operation-State", "succeeded")]
    request = CompletionRequest(SYSTEM_URL, headers, b"", is_chunked=True)
    answer = await services.engine.nexus.post(request, 1)
    assert (answer.status, [one.address for one in waiting.heard]) == (200, [address(services)])
    services.engine.nexus.completions = Waiting(NotFound("gone"))
    assert (await services.engine.nexus.post(request, 1)).status == 404


STATE = {"nexus_operation_state": "succeeded"}
FAILED = {"nexus_operation_state": "failed"}
BAD_COMPLETIONS: dict[str, tuple[dict[str, str], bytes]] = {
    'invalid request operation state: ""': ({}, b""),
    'invalid request operation state: "running"': ({"nexus_operation_state": "running"}, b""),
    'invalid request content type: ""': (FAILED, b""),
    'invalid request content type: "text/plain"': ({**FAILED, "content_type": "text/plain"}, b"{}"),
    "failed to decode Failure from request body": (
        {**FAILED, "content_type": "application/json"},
        b"[" * 100_000,
    ),
    "failed to parse operation close time header": (
        {**STATE, "nexus_operation_close_time": "x"},
        b"",
    ),
    "failed to parse operation start time header": (
        {**STATE, "nexus_operation_start_time": "x"},
        b"",
    ),
    "failed to decode links from request headers": ({**STATE, "nexus_link": "x"}, b""),
    "invalid result content": (STATE, b"x" * (2 * 1024 * 1024 + 1)),
}


@pytest.mark.parametrize("message", BAD_COMPLETIONS)
async def test_completions_that_are_none_are_refused(
    client: Client, services: Services, message: str
) -> None:
    services.engine.nexus.completions = Waiting(AssertionError("nothing is completed"))
    headers, body = BAD_COMPLETIONS[message]
    header = await token_of(client, services)
    told = await complete(services, body, **header, **headers)
    assert (told.status, json.loads(told.body)) == (400, error_of("BAD_REQUEST", message))


@pytest.mark.parametrize(
    "token",
    ["", "x", "[" * 10_000, "{}", '{"v":1,"d":"eA=="}', '{"v":1,"d":""}', '{"v":2,"d":""}', "1"],
)
async def test_tokens_that_are_none_are_refused(services: Services, token: str) -> None:
    for target in ("/namespaces/default/nexus/callback", "/nexus/callback"):
        told = await ask(services, target, b"", "POST", temporal_callback_token=token, **STATE)
        assert (told.status, json.loads(told.body)) == (
            400,
            error_of("BAD_REQUEST", "invalid callback token"),
        )


async def test_a_token_is_of_its_namespace_alone(client: Client, services: Services) -> None:
    services.engine.nexus.completions = Waiting(AssertionError("nothing is completed"))
    header = await token_of(client, services)
    told = await ask(services, "/namespaces/other/nexus/callback", b"", "POST", **header, **STATE)
    assert (told.status, json.loads(told.body)["message"]) == (400, "invalid callback token")


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (NotFound("gone"), 404, "NOT_FOUND"),
        (InvalidArgument("bad"), 400, "BAD_REQUEST"),
        (EngineUnavailable("later"), 503, "UNAVAILABLE"),
    ],
)
async def test_who_does_not_take_a_completion_says_why(
    client: Client, services: Services, error: Exception, status: int, error_type: str
) -> None:
    header = await token_of(client, services)
    services.engine.nexus.completions = Waiting(error)
    told = await complete(services, b"", **header, **STATE)
    assert (told.status, json.loads(told.body)) == (status, error_of(error_type, str(error)))


async def test_heartbeats_come_with_polls(client: Client) -> None:
    request = PollNexusTaskQueueRequest(
        namespace="default", worker_heartbeat=[WorkerHeartbeat(worker_instance_key="key")]
    )
    request.task_queue.name = "q"
    waiting = asyncio.create_task(client.call(request, PollNexusTaskQueueResponse))
    await asyncio.sleep(0)
    listed = await client.call(ListWorkersRequest(namespace="default"), ListWorkersResponse)
    waiting.cancel()
    assert [one.worker_heartbeat.worker_instance_key for one in listed.workers_info] == ["key"]
