"""Signals, cancellation, termination and stickiness: checks, defaults and refusals."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure, NotFoundFailure
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    RequestCancelWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionResponse,
    ResetStickyTaskQueueRequest,
    ResetStickyTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
)

from perdure.transport import Code
from tests.frontend.client import QUEUE, WORKFLOW_ID, Client, detail_of

UNKNOWN_RUN = "01a20bca-5c1b-7ab5-b66f-f70bafda835f"


def naming(kind: type[Message], workflow_id: str = WORKFLOW_ID, run_id: str = "") -> Message:
    """A request of some kind that names a workflow."""
    execution = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
    fields: dict[str, object] = {"namespace": "default"}
    is_new_style = "execution" in kind.DESCRIPTOR.fields_by_name
    fields["execution" if is_new_style else "workflow_execution"] = execution
    if kind is SignalWorkflowExecutionRequest:
        fields["signal_name"] = "s"
    return kind(**fields)


KINDS = [
    SignalWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    ResetStickyTaskQueueRequest,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_workflow_must_be_named_and_exist(client: Client, kind: type[Message]) -> None:
    cases = [
        (kind(namespace="default"), Code.INVALID_ARGUMENT, "Execution is not set on request."),
        (naming(kind, ""), Code.INVALID_ARGUMENT, "WorkflowId is not set on request."),
        (naming(kind, run_id="zz"), Code.INVALID_ARGUMENT, "Invalid RunId."),
        (naming(kind, "nobody"), Code.NOT_FOUND, "workflow not found for ID: nobody"),
    ]
    for request, code, text in cases:
        failure = await client.refusal(request)
        assert (failure.code, failure.message) == (code, text)
        if code is Code.NOT_FOUND:
            assert detail_of(failure) == NotFoundFailure()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_run_of_a_known_workflow_is_named(
    client: Client, kind: type[Message]
) -> None:
    await client.start()
    failure = await client.refusal(naming(kind, run_id=UNKNOWN_RUN))
    assert failure.code is Code.NOT_FOUND
    assert failure.message == (
        f'workflow execution not found for workflow ID "{WORKFLOW_ID}" and run ID "{UNKNOWN_RUN}"'
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_namespace_is_named_in_the_refusal(
    client: Client, kind: type[Message]
) -> None:
    failure = await client.refusal(kind(namespace="nope"))
    assert (failure.code, failure.message) == (Code.NOT_FOUND, "Namespace nope is not found.")
    assert detail_of(failure) == NamespaceNotFoundFailure(namespace="nope")


SIGNAL_REFUSALS: list[tuple[dict[str, object], str]] = [
    ({"signal_name": ""}, "SignalName is not set on request."),
    ({"signal_name": "x" * 1001}, "SignalName length exceeds limit."),
    ({"request_id": "x" * 1001}, "RequestId length exceeds limit."),
    (
        {"input": Payloads(payloads=[Payload(data=b"x" * (2 * 1024 * 1024 + 1))])},
        "Blob data size exceeds limit.",
    ),
]


@pytest.mark.parametrize(
    ("fields", "text"), SIGNAL_REFUSALS, ids=[text for _, text in SIGNAL_REFUSALS]
)
async def test_a_wrong_signal_is_refused(
    client: Client, fields: dict[str, object], text: str
) -> None:
    await client.start()
    usual: dict[str, object] = {
        "namespace": "default",
        "workflow_execution": WorkflowExecution(workflow_id=WORKFLOW_ID),
        "signal_name": "s",
    }
    failure = await client.refusal(
        SignalWorkflowExecutionRequest(**{**usual, **fields})  # type: ignore[arg-type]
    )
    assert (failure.code, failure.message) == (Code.INVALID_ARGUMENT, text)


async def test_a_signal_is_answered_with_a_link_to_it(client: Client) -> None:
    run_id = await client.start()
    request = SignalWorkflowExecutionRequest(
        namespace="default",
        workflow_execution=WorkflowExecution(workflow_id=WORKFLOW_ID),
        signal_name="s",
        request_id="r",
    )
    response = await client.call(request, SignalWorkflowExecutionResponse)
    link = response.link.workflow_event
    assert (link.namespace, link.workflow_id, link.run_id) == ("default", WORKFLOW_ID, run_id)
    assert link.request_id_ref.request_id == "r"
    assert link.request_id_ref.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED


async def test_a_closed_workflow_takes_no_signal_but_counts_as_cancelled(client: Client) -> None:
    await client.start()
    await client.terminate()
    signal = await client.refusal(naming(SignalWorkflowExecutionRequest))
    again = await client.refusal(naming(TerminateWorkflowExecutionRequest))
    assert (signal.code, signal.message) == (
        Code.NOT_FOUND,
        "workflow execution already completed",
    )
    assert (again.code, again.message) == (signal.code, signal.message)
    cancel = naming(RequestCancelWorkflowExecutionRequest)
    await client.call(cancel, RequestCancelWorkflowExecutionResponse)


async def test_termination_says_who_and_why_when_the_caller_does_not(client: Client) -> None:
    await client.start()
    await client.terminate()
    event = (await client.history()).history.events[-1]
    attributes = event.workflow_execution_terminated_event_attributes
    assert attributes.reason == "terminated by user via frontend"
    assert attributes.identity == "frontend-service"


async def test_the_chain_that_a_request_means_must_be_the_one(client: Client) -> None:
    await client.start()
    for kind in (RequestCancelWorkflowExecutionRequest, TerminateWorkflowExecutionRequest):
        failure = await client.refusal(
            kind(
                namespace="default",
                workflow_execution=WorkflowExecution(workflow_id=WORKFLOW_ID),
                first_execution_run_id=UNKNOWN_RUN,
            )
        )
        assert (failure.code, failure.message) == (
            Code.NOT_FOUND,
            "workflow execution not found",
        )


async def test_stickiness_of_an_open_run_can_be_reset(client: Client) -> None:
    await client.start()
    for is_reset in (False, True):
        task = await client.poll_workflow_task()
        sticky = StickyExecutionAttributes(
            worker_task_queue=TaskQueue(name="mine", normal_name=QUEUE),
            schedule_to_start_timeout=Duration(seconds=10),
        )
        completed = RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token, sticky_attributes=sticky
        )
        await client.call(completed, RespondWorkflowTaskCompletedResponse)
        if is_reset:
            reset = naming(ResetStickyTaskQueueRequest)
            await client.call(reset, ResetStickyTaskQueueResponse)
        await client.signal("wake up")
        scheduled = (await client.history()).history.events[-1]
        queue = scheduled.workflow_task_scheduled_event_attributes.task_queue.name
        assert queue == (QUEUE if is_reset else "mine")
