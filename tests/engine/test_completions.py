"""What is posted of a run that is over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Callback, Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.engine.completions import CompletionRequest, completion_request
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.state import Callback as RegisteredCallback
from perdure.server.machines.workflow.state import Status
from tests.machines import requests
from tests.machines.world import World

CALLBACK = Callback(nexus=Callback.Nexus(url="http://there"))
SECOND_NS = 1_000_000_000


def posted(
    status: Status, callback: Callback = CALLBACK, workflow_id: str = "w", **attributes: Any
) -> CompletionRequest:
    """What is posted of a run with this status, closed by an event with these attributes."""
    world = World()
    world.decide(inputs.StartWorkflow(requests.start({})))
    run = world.run
    run.recorded.status = status
    run.recorded.start_time_ns = 1_700_000_000 * SECOND_NS
    closing = HistoryEvent(event_id=9, **attributes)
    closing.event_time.FromNanoseconds(1_700_000_001 * SECOND_NS + 500_000_000)
    registered = RegisteredCallback("00000001-00000", callback.SerializeToString(), 0)
    return completion_request(registered, "default", workflow_id, run, closing)


def completed(payload: Payload | None) -> CompletionRequest:
    """What is posted of a result."""
    payloads = None if payload is None else Payloads(payloads=[payload, Payload(data=b"second")])
    return posted(
        Status.COMPLETED, workflow_execution_completed_event_attributes={"result": payloads}
    )


def payload(data: bytes, **metadata: bytes) -> Payload:
    return Payload(data=data, metadata=metadata)


@pytest.mark.parametrize(
    ("result", "content_type"),
    [
        (payload(b"{}", encoding=b"json/plain"), "application/json"),
        (payload(b"x", encoding=b"binary/plain"), "application/octet-stream"),
        (
            payload(b"{}", encoding=b"json/protobuf", messageType=b"a.B"),
            'application/json; format=protobuf; message-type="a.B"',
        ),
        (
            payload(b"x", encoding=b"binary/protobuf", messageType=b"a.B"),
            'application/x-protobuf; message-type="a.B"',
        ),
    ],
)
def test_a_result_that_http_has_a_type_for_travels_by_itself(
    result: Payload, content_type: str
) -> None:
    request = completed(result)
    assert dict(request.headers)["Content-Type"] == content_type
    assert request.body == result.data
    assert not request.is_chunked


@pytest.mark.parametrize(
    "result",
    [
        payload(b"x"),
        payload(b"x", encoding=b"json/plain", more=b"y"),
        payload(b"x", encoding=b"binary/protobuf"),
        payload(b"x", encoding=b"own"),
    ],
)
def test_any_other_result_travels_whole(result: Payload) -> None:
    request = completed(result)
    assert dict(request.headers)["Content-Type"] == "application/x-temporal-payload"
    assert Payload.FromString(request.body) == result


@pytest.mark.parametrize("result", [None, payload(b"", encoding=b"binary/null")])
def test_no_result_is_an_empty_body_without_a_type(result: Payload | None) -> None:
    request = completed(result)
    assert "Content-Type" not in dict(request.headers)
    assert (request.body, request.is_chunked) == (b"", True)


def test_a_failure_is_told_with_its_causes() -> None:
    failure = Failure(
        message="a<b>&",
        stack_trace="trace",
        application_failure_info=ApplicationFailureInfo(type="T"),
        cause=Failure(message="inner"),
    )
    request = posted(Status.FAILED, workflow_execution_failed_event_attributes={"failure": failure})
    assert b"a\\u003cb\\u003e\\u0026" in request.body
    kind = {"type": "temporal.api.failure.v1.Failure"}
    assert json.loads(request.body) == {
        "message": "a<b>&",
        "stackTrace": "trace",
        "metadata": kind,
        "details": {"cause": {"message": "inner"}, "applicationFailureInfo": {"type": "T"}},
        "cause": {"message": "inner", "metadata": kind, "details": {}},
    }


@pytest.mark.parametrize(
    ("status", "state", "message", "details"),
    [
        (Status.CANCELED, "canceled", "operation canceled", {"canceledFailureInfo": {}}),
        (Status.TERMINATED, "failed", "operation terminated", {"terminatedFailureInfo": {}}),
        (
            Status.TIMED_OUT,
            "failed",
            "operation exceeded internal timeout",
            {"timeoutFailureInfo": {}},
        ),
    ],
)
def test_other_ends_are_told_in_the_words_of_nexus(
    status: Status, state: str, message: str, details: dict[str, Any]
) -> None:
    request = posted(status)
    told = json.loads(request.body)
    assert (told["message"], told["details"]) == (message, details)
    assert dict(request.headers)["Nexus-Operation-State"] == state


def test_headers_are_those_of_the_callback_but_for_what_the_request_needs() -> None:
    header = {"custom-one": "1", "host": "evil", "content-length": "7", "nexus-link": "mine"}
    callback = Callback(nexus=Callback.Nexus(url="http://there", header=header))
    request = posted(Status.TERMINATED, callback, workflow_id="a/b c")
    headers = dict(request.headers)
    assert headers["Custom-One"] == "1"
    assert "Host" not in headers
    assert "Content-Length" not in headers
    assert headers["Nexus-Link"].startswith("<temporal:///namespaces/default/workflows/a%2Fb%20c/")
    assert headers["Nexus-Operation-Start-Time"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert headers["Nexus-Operation-Close-Time"] == "2023-11-14T22:13:21.5Z"
    assert [name for name, _ in request.headers] == sorted(headers)


def test_a_failure_with_a_delay_that_json_has_not_is_told_without_it() -> None:
    inner = Failure(message="inner")
    inner.application_failure_info.next_retry_delay.seconds = -(2**62)
    failure = Failure(message="outer", cause=inner)
    failure.application_failure_info.next_retry_delay.FromSeconds(2)
    request = posted(Status.FAILED, workflow_execution_failed_event_attributes={"failure": failure})
    told = json.loads(request.body)
    assert told["details"]["applicationFailureInfo"] == {"nextRetryDelay": "2s"}
    assert told["cause"]["details"]["applicationFailureInfo"] == {}
