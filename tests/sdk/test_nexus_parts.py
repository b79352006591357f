"""Tokens, links and decorators of Nexus, which all SDKs write and read alike."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import nexusrpc
import nexusrpc.handler
import pytest
import temporalio.nexus
from temporalio.api.common.v1 import Execution, Link
from temporalio.api.enums.v1 import EventType, ExecutionType
from temporalio.api.workflowservice.v1 import (
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    StartActivityExecutionRequest,
    StartActivityExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    UpdateWorkflowExecutionRequest,
)

from perdure import client, nexus, workflow
from perdure.nexus._links import to_nexus, to_temporal
from perdure.nexus._scope import StartScope, delivering
from perdure.nexus._token import OperationToken, OperationTokenType
from perdure.worker.nexus_task import TaskCancellation

# Tokens


@pytest.mark.parametrize("workflow_id", ["w", "with space/and/é", "x" * 300])
def test_both_sdks_write_and_read_the_same_token(workflow_id: str) -> None:
    theirs: Any = temporalio.nexus.WorkflowHandle("namespace", workflow_id)
    ours: Any = nexus.WorkflowHandle("namespace", workflow_id)
    assert ours.to_token() == theirs.to_token()
    read = nexus.WorkflowHandle.from_token(theirs.to_token())
    assert (read.namespace, read.workflow_id) == ("namespace", workflow_id)


@pytest.mark.parametrize(
    "token",
    [
        OperationToken(type=OperationTokenType.WORKFLOW, namespace="", workflow_id="w"),
        OperationToken(
            type=OperationTokenType.ACTIVITY, namespace="n", activity_id="a", run_id="r"
        ),
        OperationToken(
            type=OperationTokenType.UPDATE_WORKFLOW,
            namespace="n",
            workflow_id="w",
            update_id="u",
            run_id="r",
        ),
    ],
    ids=lambda token: token.type.name,
)
def test_a_token_is_read_as_it_was_written(token: OperationToken) -> None:
    assert OperationToken.decode(token.encode()) == token


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "token is empty"),
        ("a+b", "base64url"),
        ("a", "base64url"),
        ("bm90IGpzb24", "unmarshal"),
        ("W10", "expected dict"),
        ("e30", "token type to be an int"),
        ("eyJ0Ijo5LCJucyI6Im4ifQ", "unknown token type"),  # {"t":9,"ns":"n"}
        ("eyJ0IjoxLCJ3aWQiOiJ3In0", "namespace to be a string"),  # {"t":1,"wid":"w"}
        ("eyJ0IjoxLCJucyI6Im4ifQ", "non-empty workflow id"),  # {"t":1,"ns":"n"}
        ("eyJ0IjoxLCJucyI6Im4iLCJ3aWQiOjV9", "workflow_id to be of type str"),  # {...,"wid":5}
        ("eyJ0IjoyLCJucyI6Im4ifQ", "non-empty activity id"),
        ("eyJ0IjozLCJucyI6Im4iLCJ3aWQiOiJ3In0", "non-empty update id"),
    ],
)
def test_what_is_no_token_is_refused(token: str, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        OperationToken.decode(token)


def test_a_workflows_handle_is_made_of_a_workflows_token_of_this_version() -> None:
    activity = OperationToken(type=OperationTokenType.ACTIVITY, namespace="n", activity_id="a")
    with pytest.raises(TypeError, match="invalid workflow token type"):
        nexus.WorkflowHandle.from_token(activity.encode())
    newer = OperationToken(
        type=OperationTokenType.WORKFLOW, namespace="n", workflow_id="w", version=1
    )
    with pytest.raises(TypeError, match="'v' field"):
        nexus.WorkflowHandle.from_token(newer.encode())


# Links

STARTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
EVENT = Link.WorkflowEvent
LINKS = [
    (
        Link(
            workflow_event=EVENT(
                namespace="n s",
                workflow_id="w/1",
                run_id="r",
                event_ref=EVENT.EventReference(event_id=5, event_type=STARTED),
            )
        ),
        (
            "temporal:///namespaces/n%20s/workflows/w%2F1/r/history"
            "?eventID=5&eventType=WorkflowExecutionStarted&referenceType=EventReference"
        ),
    ),
    (
        Link(
            workflow_event=EVENT(
                namespace="n",
                workflow_id="w",
                run_id="r",
                request_id_ref=EVENT.RequestIdReference(request_id="q", event_type=STARTED),
            )
        ),
        (
            "temporal:///namespaces/n/workflows/w/r/history"
            "?referenceType=RequestIdReference&requestID=q&eventType=WorkflowExecutionStarted"
        ),
    ),
    (
        Link(workflow=Link.Workflow(namespace="n", workflow_id="w", run_id="r", reason="a b")),
        "temporal:///namespaces/n/workflows/w/r?reason=a+b",
    ),
    (
        Link(activity=Link.Activity(namespace="n", activity_id="a", run_id="r")),
        "temporal:///namespaces/n/activities/a/r/details",
    ),
    (
        Link(nexus_operation=Link.NexusOperation(namespace="n", operation_id="o")),
        "temporal:///namespaces/n/nexus-operations/o//details",
    ),
    (
        Link(
            callback=Link.Callback(
                namespace="n",
                execution=Execution(
                    type=ExecutionType.EXECUTION_TYPE_WORKFLOW, business_id="w", run_id="r"
                ),
                component_path=["a", "", "b"],
                request_id="q",
            )
        ),
        (
            "temporal:///namespaces/n/workflows/w/r/callbacks/q"
            "?componentPath=a&componentPath=&componentPath=b"
        ),
    ),
]


@pytest.mark.parametrize(("message", "url"), LINKS, ids=[url for _, url in LINKS])
def test_a_link_is_read_as_it_was_written(message: Link, url: str) -> None:
    written = to_nexus(message)
    assert written is not None
    assert written.url == url
    assert to_temporal(written) == message


WORKFLOW_EVENT = EVENT.DESCRIPTOR.full_name


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("temporal:///namespaces/n/workflows/w/r/history", "unknown"),
        ("https:///namespaces/n/workflows/w/r/history", WORKFLOW_EVENT),
        ("temporal:///namespaces/n/workflows/w/r", WORKFLOW_EVENT),
        ("temporal:///namespaces/n/workflows/w/r/history", WORKFLOW_EVENT),
        ("temporal:///namespaces/n/workflows/w/r/history?referenceType=Other", WORKFLOW_EVENT),
        (LINKS[0][1].replace("eventID=5", "eventID=five"), WORKFLOW_EVENT),
        (LINKS[0][1].replace("WorkflowExecutionStarted", "Invented"), WORKFLOW_EVENT),
        (LINKS[0][1].replace("WorkflowExecutionStarted", "lower"), WORKFLOW_EVENT),
        (LINKS[5][1].replace("workflows", "batches"), Link.Callback.DESCRIPTOR.full_name),
        ("temporal:///namespaces/n/callbacks", Link.Callback.DESCRIPTOR.full_name),
        (LINKS[2][1] + "&reason=c", Link.Workflow.DESCRIPTOR.full_name),
    ],
)
def test_a_link_that_is_not_understood_is_passed_over(
    url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert to_temporal(nexusrpc.Link(url=url, type=kind)) is None
    assert "Invalid Nexus link" in caplog.text


def test_both_names_of_an_events_type_are_read() -> None:
    url = LINKS[0][1].replace("WorkflowExecutionStarted", "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED")
    assert to_temporal(nexusrpc.Link(url=url, type=WORKFLOW_EVENT)) == LINKS[0][0]


def test_a_link_without_a_url_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    for link in (Link(), Link(batch_job=Link.BatchJob(job_id="j"))):
        assert to_nexus(link) is None
    assert "Invalid Temporal link" in caplog.text


# What a handler starts


def _scope(callback: str = "http://callback") -> tuple[StartScope, Any]:
    context = nexusrpc.handler.StartOperationContext(
        service="s",
        operation="o",
        headers={},
        task_cancellation=TaskCancellation(),
        request_id="request",
        callback_url=callback,
        callback_headers={"a": "b"},
        inbound_links=[nexusrpc.Link(url=LINKS[0][1], type=WORKFLOW_EVENT)],
    )
    return StartScope(context, "n"), context


def test_what_delivers_the_result_carries_callback_request_id_and_links() -> None:
    scope, _ = _scope()
    start = StartWorkflowExecutionRequest(workflow_id="w", request_id="other")
    activity = StartActivityExecutionRequest(activity_id="a")
    update = UpdateWorkflowExecutionRequest()
    update.workflow_execution.workflow_id = "w"
    update.request.meta.update_id = "u"
    with delivering():
        for request in (start, activity, update, update):
            scope.prepare(request)
    for ids, callbacks in (
        ({"workflow_id": "w"}, start.completion_callbacks),
        ({"activity_id": "a"}, activity.completion_callbacks),
        ({"workflow_id": "w", "update_id": "u"}, update.request.completion_callbacks),
    ):
        [callback] = callbacks
        assert callback.nexus.url == "http://callback"
        assert callback.nexus.header["a"] == "b"
        token = OperationToken.decode(callback.nexus.header["nexus-operation-token"])
        assert {name: getattr(token, name) for name in ids} == ids
        assert list(callback.links) == [LINKS[0][0]]
    assert start.request_id == activity.request_id == update.request.request_id == "request"
    assert list(start.links) == list(update.request.links) == [LINKS[0][0]]
    assert not activity.links
    for started in (start, activity):
        options: Any = started.on_conflict_options
        assert options.attach_request_id
        assert options.attach_completion_callbacks
        assert options.attach_links


def test_what_else_a_handler_starts_is_linked_only() -> None:
    scope, _ = _scope()
    start = StartWorkflowExecutionRequest(workflow_id="w", request_id="own")
    signal = SignalWorkflowExecutionRequest()
    update = UpdateWorkflowExecutionRequest()
    for request in (start, signal, update):
        scope.prepare(request)
    assert start.request_id == "own"
    assert not start.completion_callbacks
    assert list(start.links) == list(signal.links) == [LINKS[0][0]]
    assert start.on_conflict_options.attach_links
    assert update == UpdateWorkflowExecutionRequest()


def test_without_a_callback_there_is_nobody_to_deliver_to() -> None:
    scope, _ = _scope(callback="")
    start = StartWorkflowExecutionRequest(workflow_id="w")
    with delivering():
        scope.prepare(start)
    assert not start.completion_callbacks
    assert start.request_id == "request"


def test_the_callers_history_links_to_what_was_started() -> None:
    scope, context = _scope()
    start = StartWorkflowExecutionRequest(workflow_id="w")
    scope.note(start, StartWorkflowExecutionResponse(run_id="r", link=LINKS[0][0]))
    scope.note(start, StartWorkflowExecutionResponse(run_id="r"))
    activity = StartActivityExecutionRequest(activity_id="a")
    scope.note(activity, StartActivityExecutionResponse(run_id="r"))
    scope.note(SignalWorkflowExecutionRequest(), SignalWorkflowExecutionResponse())
    urls = [link.url for link in context.outbound_links]
    assert urls[0] == LINKS[0][1]
    assert urls[1].startswith("temporal:///namespaces/n/workflows/w/r/history?")
    assert "requestID=request" in urls[1]
    assert urls[2] == "temporal:///namespaces/n/activities/a/r/details"
    assert len(urls) == 3


# Decorators


def test_an_operation_has_the_types_of_its_method() -> None:
    class Service:
        @nexus.workflow_run_operation(name="named")
        async def start(
            self, ctx: nexus.WorkflowRunOperationContext, value: int
        ) -> nexus.WorkflowHandle[str]:
            raise KeyError

        @nexus.temporal_operation
        async def other(
            self,
            ctx: nexus.TemporalStartOperationContext,
            client: nexus.TemporalNexusClient,
            value: bytes,
        ) -> nexus.TemporalOperationResult[float]:
            raise KeyError

    methods: list[Any] = [Service.start, Service.other]
    found = [nexusrpc.get_operation(method.__nexus_operation_factory__) for method in methods]
    assert [
        (one.name, one.method_name, one.input_type, one.output_type) for one in found if one
    ] == [("named", "start", int, str), ("other", "other", bytes, float)]


def test_a_method_that_is_not_async_cannot_start_anything() -> None:
    def start(self: Any, ctx: nexus.WorkflowRunOperationContext, value: int) -> Any:
        raise KeyError

    with pytest.raises(RuntimeError, match="async def"):
        nexus.workflow_run_operation(start)


def test_a_method_without_types_is_worth_a_warning() -> None:
    async def start(self: Any, ctx: Any, value: Any) -> None:
        raise KeyError

    start.__annotations__.clear()
    with pytest.warns(UserWarning, match="type-annotated parameters"):
        nexus.workflow_run_operation(start)  # type: ignore[arg-type]


def test_a_result_is_a_value_or_a_token() -> None:
    assert nexus.TemporalOperationResult.sync(None).value is None
    assert nexus.TemporalOperationResult.async_token("t").token == "t"
    with pytest.raises(ValueError, match="exactly one"):
        nexus.TemporalOperationResult()
    with pytest.raises(ValueError, match="exactly one"):
        nexus.TemporalOperationResult(value=1, token="t")
    with pytest.raises(ValueError, match="non-empty"):
        nexus.TemporalOperationResult(token="")


def test_a_service_is_a_name_or_a_class_that_is_one() -> None:
    with pytest.raises(ValueError, match="Invalid service type"):
        workflow.create_nexus_client(service=object, endpoint="e")


def test_who_does_without_nexus_does_not_pay_for_it() -> None:
    text = (
        "import sys, perdure, perdure.workflow, perdure.worker, perdure.client, perdure.testing;"
        "sys.exit('nexusrpc' in sys.modules or 'perdure.nexus' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == 0


def test_a_callback_goes_by_the_names_of_the_client_and_of_nexus() -> None:
    assert client.Callback is nexus.NexusCallback
    callback = client.Callback("http://localhost", {"token": "t"})
    assert callback == nexus.NexusCallback(url="http://localhost", headers={"token": "t"})
