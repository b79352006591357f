"""The API over HTTP: paths, JSON, errors, who is trusted, the OpenAPI document and the metrics."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

import httpx
import pytest
import pytest_asyncio
from google.api import annotations_pb2  # type: ignore[import-untyped]
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryResponse,
    StartWorkflowExecutionRequest,
)

from perdure.server.engine.engine import Engine
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.services import Services
from perdure.server.http.api import SERVICES, STATUSES, Api
from perdure.server.http.listener import BODY_BYTES_MAX, HttpListener
from perdure.server.http.messages import Request, Response
from perdure.server.http.metrics import Metrics
from perdure.server.http.transcoding import BadJson, from_json, to_json
from perdure.transport import Code

WORKFLOWS = "/api/v1/namespaces/default/workflows"
START = {"workflowType": {"name": "Type"}, "taskQueue": {"name": "q"}}


class Home:
    """A port of a real engine, and a client of it."""

    def __init__(self, api: Api, client: httpx.AsyncClient, port: int) -> None:
        self.api = api
        self.client = client
        self.port = port

    async def get(self, path: str, status: int = HTTPStatus.OK, **options: Any) -> Any:
        """What is answered, as JSON."""
        return await self.call("GET", path, None, status, **options)

    async def post(
        self, path: str, body: object, status: int = HTTPStatus.OK, **options: Any
    ) -> Any:
        """What is answered, as JSON."""
        return await self.call("POST", path, body, status, **options)

    async def call(self, verb: str, path: str, body: object, status: int, **options: Any) -> Any:
        """What is answered, as JSON."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        response = await self.client.request(verb, path, content=content, **options)
        assert response.status_code == status, response.text
        return response.json()


@pytest_asyncio.fixture
async def home(services: Services) -> AsyncIterator[Home]:
    """The API on a port of this machine."""
    metrics = Metrics(lambda: {"total_namespaces": 2})
    api = Api(metrics.counted(handlers_of(services)), metrics, is_local=True)
    listener = HttpListener("127.0.0.1", 0, lambda: api.answer)
    await listener.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.port}") as client:
        yield Home(api, client, listener.port)
    await listener.stop()


async def test_a_workflow_is_started_and_read_by_either_path(home: Home) -> None:
    started = await home.post(f"{WORKFLOWS}/w", {**START, "input": [1, "a", {"b": [True, None]}]})
    assert started["started"]
    for prefix in ("/api/v1", ""):
        page = await home.get(f"{prefix}/namespaces/default/workflows/w/history")
        attributes = page["history"]["events"][0]["workflowExecutionStartedEventAttributes"]
        assert attributes["input"] == [1, "a", {"b": [True, None]}]
        assert attributes["originalExecutionRunId"] == started["runId"]
    counted = await home.get(
        "/namespaces/default/workflow-count", params={"query": "WorkflowId='w'"}
    )
    assert counted == {"count": "1"}
    await home.post(f"{WORKFLOWS}/w/signal/go", {"input": ["x"]})
    await home.post(f"{WORKFLOWS}/w/terminate", {"reason": "enough"})
    described = await home.get(f"{WORKFLOWS}/w", params={"execution.runId": started["runId"]})
    assert described["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_TERMINATED"


async def test_ids_may_hold_what_paths_are_made_of(home: Home) -> None:
    started = await home.post(f"{WORKFLOWS}/%2Fa%20b%2Fc%3F", START)
    described = await home.get(f"{WORKFLOWS}/%2Fa%20b%2Fc%3F")
    execution = described["workflowExecutionInfo"]["execution"]
    assert execution == {"workflowId": "/a b/c?", "runId": started["runId"]}


async def test_refusals_are_those_of_grpc(home: Home) -> None:
    await home.post(f"{WORKFLOWS}/w", {**START, "requestId": "one"})
    twice = await home.post(f"{WORKFLOWS}/w", START, HTTPStatus.CONFLICT)
    assert twice["code"] == Code.ALREADY_EXISTS
    [detail] = twice["details"]
    assert detail["@type"].endswith(".WorkflowExecutionAlreadyStartedFailure")
    assert detail["startRequestId"] == "one"
    unknown = await home.get("/api/v1/namespaces/nope", HTTPStatus.NOT_FOUND)
    assert unknown["message"] == "Namespace nope is not found."
    path = f"{WORKFLOWS}/w/query/state"
    late = await home.post(path, {}, HTTPStatus.GATEWAY_TIMEOUT, headers={"Grpc-Timeout": "50m"})
    assert late["code"] == Code.DEADLINE_EXCEEDED


PARSING = "parsing field "
REQUESTS: list[tuple[str, str, object, int, str]] = [
    ("GET", "/api/v1/nope", None, 404, "Not Found"),
    ("GET", "/", None, 404, "Not Found"),
    ("GET", f"{WORKFLOWS}/a/b", None, 404, "Not Found"),
    ("DELETE", "/api/v1/namespaces/default", None, 501, "Method Not Allowed"),
    ("OPTIONS", "/api/v1/namespaces", None, 501, "Method Not Allowed"),
    ("GET", "/api/v1/namespaces/", None, 400, "Namespace not set on request."),
    ("POST", f"{WORKFLOWS}/w", b"{bad", 400, "invalid JSON"),
    ("POST", f"{WORKFLOWS}/w", b"[]", 400, "a request is a JSON object"),
    ("POST", f"{WORKFLOWS}/w", b"[" * 100_000, 400, "invalid JSON"),
    ("POST", f"{WORKFLOWS}/w", b'{"input": [NaN]}', 400, "invalid JSON"),
    ("POST", f"{WORKFLOWS}/w", b'{"nope": 1}', 400, "Message type"),
    ("POST", f"{WORKFLOWS}/w", b'{"workflowType": 5}', 400, "Failed to parse workflowType"),
    ("POST", f"{WORKFLOWS}/w", b'{"workflowType": {"name": 5}}', 400, "Failed to parse"),
    ("POST", f"{WORKFLOWS}/w", b"", 400, "WorkflowType is not set on request."),
    ("POST", f"{WORKFLOWS}/w", b'{"input": [1e400]}', 400, "invalid JSON"),
    ("POST", f"{WORKFLOWS}/w", b'{"identity": "a", "identity": "b"}', 400, "duplicate field"),
    ("POST", f"{WORKFLOWS}/w", b'{"memo": {"fields": {}, "fields": {}}}', 400, "duplicate field"),
    (
        "POST",
        f"{WORKFLOWS}/w",
        b'{"input": [{"_protoMessageType": 1}]}',
        400,
        '"_protoMessageType"',
    ),
    *(
        (
            "POST",
            f"{WORKFLOWS}/w",
            b'{"workflowIdReusePolicy": %s}' % value,
            400,
            f"invalid value for enum type: {value.decode()}",
        )
        for value in (b'"1"', b'"Nope"', b"true", b"1.5", b"[]")
    ),
    *(
        ("GET", f"{WORKFLOWS}?{query}", None, 400, text)
        for query, text in (
            ("pageSize=x", PARSING + '"page_size": strconv.ParseInt: parsing "x": invalid syntax'),
            ("pageSize=", PARSING + '"page_size": strconv.ParseInt: parsing "": invalid syntax'),
            ("page_size=1_0", PARSING + '"page_size": strconv.ParseInt: parsing "1_0"'),
            (
                "pageSize=2147483648",
                PARSING + '"page_size": strconv.ParseInt: parsing "2147483648": value out of range',
            ),
            ("pageSize=1&pageSize=2", 'too many values for field "page_size": 1, 2'),
            ("query.x=1", 'invalid path: "query" is not a message'),
            (
                "nextPageToken=abc$",
                PARSING + '"next_page_token": illegal base64 data at input byte 3',
            ),
            ("query=%zz", 'invalid URL escape "%zz"'),
            ("query=%", 'invalid URL escape "%"'),
            ("query=%ff", "the address is not UTF-8"),
            ("query=a;b", "invalid semicolon separator in query"),
        )
    ),
    *(
        ("GET", f"{WORKFLOWS}/w/history?{query}", None, 400, text)
        for query, text in (
            (
                "waitNewEvent=maybe",
                PARSING + '"wait_new_event": strconv.ParseBool: parsing "maybe": invalid syntax',
            ),
            (
                "historyEventFilterType=CloseEvent",
                PARSING + '"history_event_filter_type": "CloseEvent" is not a valid value',
            ),
            (
                "historyEventFilterType=99",
                PARSING + '"history_event_filter_type": "99" is not a valid value',
            ),
        )
    ),
    ("GET", f"{WORKFLOWS}/%zz", None, 400, 'invalid URL escape "%zz"'),
    ("GET", f"{WORKFLOWS}/%ff", None, 400, "the address is not UTF-8"),
    ("GET", f"{WORKFLOWS}?query=Foo=1", None, 400, "invalid query: invalid search attribute"),
    (
        "GET",
        f"{WORKFLOWS}/w?execution=1",
        None,
        400,
        PARSING
        + '"execution": unsupported message type: "temporal.api.common.v1.WorkflowExecution"',
    ),
]


@pytest.mark.parametrize(("verb", "path", "body", "status", "text"), REQUESTS)
async def test_what_is_wrong_is_told_as_json(
    home: Home, verb: str, path: str, body: object, status: int, text: str
) -> None:
    answered = await home.call(verb, path, body, status)
    assert answered["message"].startswith(text)


async def test_json_is_written_as_it_is_asked_for(home: Home) -> None:
    await home.post(f"{WORKFLOWS}/w", {**START, "input": ["x"]})
    path = f"{WORKFLOWS}/w/history"
    kinds = {
        "": ("application/json", ["x"]),
        "?pretty": ("application/json+pretty", ["x"]),
        "?noPayloadShorthand": ("application/json+no-payload-shorthand", None),
    }
    for query, (kind, value) in kinds.items():
        response = await home.client.get(path + query)
        assert response.headers["content-type"] == kind
        assert ("\n" in response.text) == ("pretty" in query)
        events = response.json()["history"]["events"]
        found = events[0]["workflowExecutionStartedEventAttributes"]["input"]
        whole = {"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "IngiIg=="}
        assert found == (value or {"payloads": [{**whole, "data": "Ingi"}]})
    response = await home.client.get(path, headers={"Accept": "application/json+pretty"})
    assert response.headers["content-type"] == "application/json+pretty"


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "//[", {"host": "localhost"}, b""),
        Request("GET", "/metrics", {"host": "["}, b""),
        Request("GET", "/metrics", {"host": "localhost", "origin": "http://["}, b""),
    ],
    ids=str,
)
async def test_an_address_that_is_none_is_refused(home: Home, request_: Request) -> None:
    assert (await home.api.answer(request_)).status == HTTPStatus.BAD_REQUEST


async def test_pages_of_other_sites_are_not_listened_to(home: Home) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        failure = await home.post(f"{WORKFLOWS}/w", START, HTTPStatus.FORBIDDEN, headers=headers)
        assert failure["code"] == Code.PERMISSION_DENIED
    own = {"Origin": f"http://127.0.0.1:{home.port}"}
    await home.post(f"{WORKFLOWS}/w", START, headers=own)
    await home.get(f"{WORKFLOWS}/w", headers={"Host": "localhost"})


async def test_every_annotated_method_has_its_paths(home: Home) -> None:
    document = await home.get("/openapi.json")
    expected = set()
    for service in SERVICES:
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            for one in (rule, *rule.additional_bindings):
                verb = one.WhichOneof("pattern")
                if verb:
                    expected.add((verb, getattr(one, verb)))
    found = {(verb, path) for path, verbs in document["paths"].items() for verb in verbs}
    assert found == expected
    assert len(found) > 200
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= schemas.keys()
    names = [one["operationId"] for verbs in document["paths"].values() for one in verbs.values()]
    assert len(set(names)) == len(names)


async def test_the_paths_are_described_as_swagger_too(home: Home) -> None:
    document, old = await home.get("/openapi.json"), await home.get("/swagger.json")
    assert old["swagger"] == "2.0"
    assert old["definitions"].keys() == document["components"]["schemas"].keys()
    assert "#/components" not in json.dumps(old)
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            found = old["paths"][path][verb]
            names = [one["name"] for one in operation["parameters"]]
            assert [one["name"] for one in found["parameters"]] == [
                *names,
                *(["body"] if "requestBody" in operation else []),
            ]
            for one in found["parameters"]:
                in_address = one["in"] in ("path", "query")
                assert ("type" in one, "schema" in one) == (in_address, not in_address)
                assert one.get("type") != "object"
            assert found["responses"].keys() == operation["responses"].keys()


async def test_calls_are_counted(home: Home) -> None:
    await home.post(f"{WORKFLOWS}/w", START)
    await home.post(f"{WORKFLOWS}/w", START, HTTPStatus.CONFLICT)
    response = await home.client.get("/metrics")
    lines = response.text.splitlines()
    labels = 'operation="StartWorkflowExecution",service_name="frontend"'
    assert f"service_requests{{{labels}}} 2" in lines
    assert f"service_errors{{{labels}}} 1" in lines
    error = f'error_type="serviceerror_AlreadyExists",{labels}'
    assert f"service_error_with_type{{{error}}} 1" in lines
    assert f'service_latency_bucket{{{labels},le="+Inf"}} 2' in lines
    assert f"service_latency_count{{{labels}}} 2" in lines
    assert f"service_pending_requests{{{labels}}} 0" in lines
    assert "total_namespaces 2" in lines


async def test_ends_of_workflows_are_counted_once_each(home: Home, services: Services) -> None:
    start = {"workflowType": {"name": 'a "type"'}, "taskQueue": {"name": "q"}}
    for workflow_id in ("one", "two", "goes-on"):
        await home.post(f"{WORKFLOWS}/{workflow_id}", start)
    for workflow_id in ("one", "two"):
        await home.post(f"{WORKFLOWS}/{workflow_id}/terminate", {"reason": "enough"})
    labels = (
        'namespace="default",namespace_state="active",operation="CompletionStats",'
        'service_name="history",taskqueue="q",workflowType="a \\"type\\""'
    )
    assert isinstance(services.engine, Engine)
    assert services.engine.ends.rows() == {f"workflow_terminate{{{labels}}}": 2}


def test_every_code_has_a_status() -> None:
    assert STATUSES.keys() == set(Code)


# ---- payloads


def payload(encoding: str, data: bytes, **metadata: bytes) -> Payload:
    """A payload."""
    return Payload(metadata={"encoding": encoding.encode(), **metadata}, data=data)


def text(value: bytes) -> str:
    """Bytes as JSON has them."""
    return base64.b64encode(value).decode()


WHOLE = {"metadata": {"encoding": text(b"binary/plain")}, "data": text(b"x")}
PAYLOADS: list[tuple[list[Payload], object]] = [
    ([], []),
    ([payload("json/plain", b'{"a":1.5}')], [{"a": 1.5}]),
    (
        [payload("json/protobuf", b'{"x":1}', messageType=b"foo.Bar")],
        [{"_protoMessageType": "foo.Bar", "x": 1}],
    ),
    ([payload("json/plain", b"1"), payload("binary/plain", b"x")], {"payloads": [1, WHOLE]}),
    (
        [payload("binary/null", b""), payload("json/plain", b"1")],
        [{"metadata": {"encoding": text(b"binary/null")}}, 1],
    ),
]


@pytest.mark.parametrize(("payloads", "expected"), PAYLOADS)
def test_payloads_are_what_they_hold_and_back(payloads: list[Payload], expected: object) -> None:
    request = StartWorkflowExecutionRequest(input=Payloads(payloads=payloads))
    request.memo.fields["m"].CopyFrom(payload("json/plain", b'"x"'))
    value = json.loads(to_json(request, shorthand=True, pretty=False))
    assert value == {"input": expected, "memo": {"fields": {"m": "x"}}}
    again = StartWorkflowExecutionRequest()
    from_json(json.dumps(value).encode(), again, shorthand=True)
    assert again == request


@pytest.mark.parametrize(
    "data", [b"", b"{", b"NaN", b"1e999", b"[" * 1000 + b"]" * 1000, b"\xff", b'"\\ud800"']
)
def test_a_payload_that_is_not_what_it_says_is_shown_whole(data: bytes) -> None:
    request = StartWorkflowExecutionRequest(input=Payloads(payloads=[payload("json/plain", data)]))
    value = json.loads(to_json(request, shorthand=True, pretty=False))
    assert base64.b64decode(value["input"]["payloads"][0].get("data", "")) == data


def test_a_payload_with_more_to_say_is_shown_whole() -> None:
    request = StartWorkflowExecutionRequest()
    request.search_attributes.indexed_fields["A"].CopyFrom(
        payload("json/plain", b'"x"', type=b"Keyword")
    )
    value = json.loads(to_json(request, shorthand=True, pretty=False))
    [field] = value["searchAttributes"]["indexedFields"].values()
    assert field["metadata"]["type"] == text(b"Keyword")


def test_null_and_few_words_are_understood() -> None:
    request = StartWorkflowExecutionRequest()
    from_json(
        b'{"input": [null, {"metadata": 5}], "workflow_id_reuse_policy": "AllowDuplicate"}',
        request,
        shorthand=True,
    )
    null, plain = request.input.payloads
    assert null.metadata["encoding"] == b"binary/null"
    assert plain == payload("json/plain", b'{"metadata":5}')
    assert request.workflow_id_reuse_policy == 1


def test_messages_that_hold_each_other_end_somewhere() -> None:
    value: dict[str, Any] = {}
    for _ in range(200):
        value = {"cause": value}
    with pytest.raises(BadJson):
        from_json(json.dumps({"continuedFailure": value}).encode(), StartWorkflowExecutionRequest(),
                  shorthand=True)  # fmt: skip


def test_times_are_those_of_protobuf() -> None:
    message = GetWorkflowExecutionHistoryResponse()
    event = message.history.events.add(event_id=7)
    event.event_time.FromNanoseconds(1_700_000_000_123_456_789)
    value = json.loads(to_json(message, shorthand=True, pretty=False))
    assert value["history"]["events"] == [
        {"eventId": "7", "eventTime": "2023-11-14T22:13:20.123456789Z"}
    ]
    assert WorkflowExecution.DESCRIPTOR is not None


# ---- the listener


async def exchange(port: int, *pieces: bytes) -> bytes:
    """What comes back for some bytes, until the other end closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def listening(answer: Callable[[Request], Any]) -> HttpListener:
    """A listener with an answer of the test's."""
    listener = HttpListener("127.0.0.1", 0, lambda: answer)
    await listener.start()
    return listener


async def echo(request: Request) -> Response:
    """The request, told."""
    return Response(200, f"{request.method} {request.target} {len(request.body)};".encode())


async def test_requests_on_a_connection_are_answered_in_turn() -> None:
    listener = await listening(echo)
    answer = await exchange(
        listener.port,
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Le",
        b"ngth: 3\r\n\r\nabcGET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    await listener.stop()
    for told in (b"GET /a 0;", b"POST /b 3;", b"GET /c 0;"):
        assert told in answer


async def test_what_is_no_request_is_refused_and_the_connection_closed() -> None:
    listener = await listening(echo)
    assert (await exchange(listener.port, b"\x00\x01\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    long = b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n"
    assert (await exchange(listener.port, long)).split(b" ")[1] in (b"400", b"431")
    smuggled = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    assert (await exchange(listener.port, smuggled)).startswith(b"HTTP/1.1 400 ")
    await listener.stop()


async def test_who_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.server.http.listener.IDLE_SECONDS", 0.1)
    size = 64 * 1024 * 1024

    async def much(request: Request) -> Response:
        return Response(200, bytes(size))

    listener = await listening(much)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        while listener.connections or not reader._buffer:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    writer.close()
    await listener.stop()


async def test_a_request_that_trickles_in_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.server.http.listener.REQUEST_SECONDS", 0.2)

    async def never(_request: Request) -> Response:
        raise AssertionError

    listener = await listening(never)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    async with asyncio.timeout(10):
        while listener.connections:
            writer.write(b"x")
            await asyncio.sleep(0.01)
    with contextlib.suppress(ConnectionError):
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()
    await listener.stop()


async def test_a_body_that_is_too_large_is_refused() -> None:
    listener = await listening(echo)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    size = 1024 * 1024
    chunk = f"{size:x}\r\n".encode() + bytes(size) + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(head + chunk * (BODY_BYTES_MAX // size + 1))
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await listener.stop()


async def test_a_call_ends_with_the_connection_of_its_caller() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        return Response(200, b"")

    listener = await listening(wait)
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        await begun.wait()
        writer.transport.abort()
        await ended.wait()
    await listener.stop()


async def test_a_bug_is_answered_without_a_word_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Response:
        raise RuntimeError("secret")

    listener = await listening(fail)
    answer = await exchange(
        listener.port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    await listener.stop()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
    assert "secret" in caplog.text
