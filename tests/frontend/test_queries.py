"""QueryWorkflow and RespondQueryTaskCompleted: what travels, and what is refused."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import query_pb2
from temporalio.api.errordetails.v1 import (
    NotFoundFailure,
    QueryFailedFailure,
    ResourceExhaustedFailure,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueResponse,
    QueryWorkflowRequest,
    QueryWorkflowResponse,
    RegisterNamespaceRequest,
    RegisterNamespaceResponse,
    RespondQueryTaskCompletedRequest,
    RespondQueryTaskCompletedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
)

from perdure.transport import CallFailed, Code
from tests.frontend.client import NAMESPACE, WORKFLOW_ID, Client, detail_of

ANSWERED = query_pb2.QUERY_RESULT_TYPE_ANSWERED
FAILED = query_pb2.QUERY_RESULT_TYPE_FAILED
ANSWER = Payloads(payloads=[Payload(data=b"five")])
QUERY = WorkflowQuery(query_type="q")
QUERY.header.fields["key"].data = b"value"
NUMBERS = msgspec.msgpack.encode([1, 2, 3])
LARGE = Payloads(payloads=[Payload(data=b"x" * (2 * 1024 * 1024 + 1))])


def request(**fields: object) -> QueryWorkflowRequest:
    return QueryWorkflowRequest(
        **{  # type: ignore[arg-type]
            "namespace": NAMESPACE,
            "execution": WorkflowExecution(workflow_id=WORKFLOW_ID),
            "query": QUERY,
            **fields,
        }
    )


async def idle(client: Client) -> None:
    """A workflow that has seen everything."""
    await client.start()
    task = await client.poll_workflow_task()
    await client.call(
        RespondWorkflowTaskCompletedRequest(task_token=task.task_token),
        RespondWorkflowTaskCompletedResponse,
    )


async def asked(
    client: Client,
) -> tuple[asyncio.Task[QueryWorkflowResponse], PollWorkflowTaskQueueResponse]:
    """A query under way, and the worker's task."""
    call = asyncio.ensure_future(client.call(request(), QueryWorkflowResponse))
    return call, await client.poll_workflow_task()


async def respond(client: Client, token: bytes, **fields: object) -> None:
    await client.call(
        RespondQueryTaskCompletedRequest(task_token=token, **fields),  # type: ignore[arg-type]
        RespondQueryTaskCompletedResponse,
    )


async def failure_of(call: asyncio.Task[QueryWorkflowResponse]) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        await call
    return caught.value


async def test_a_query_and_its_answer_arrive_whole(client: Client) -> None:
    await idle(client)
    call, task = await asked(client)
    assert task.query == QUERY
    assert not task.queries
    assert (task.attempt, task.started_event_id, task.previous_started_event_id) == (1, 0, 3)
    assert not task.HasField("scheduled_time")
    assert not task.HasField("started_time")
    await respond(client, task.task_token, completed_type=ANSWERED, query_result=ANSWER)
    assert await call == QueryWorkflowResponse(query_result=ANSWER)


async def test_a_query_that_waits_travels_with_the_workflow_task(client: Client) -> None:
    await client.start()
    call = asyncio.ensure_future(client.call(request(), QueryWorkflowResponse))
    await asyncio.sleep(0)
    busy = await client.refusal(request())
    assert busy.code is Code.RESOURCE_EXHAUSTED
    assert detail_of(busy) == ResourceExhaustedFailure(cause=5, scope=1)  # type: ignore[arg-type]
    task = await client.poll_workflow_task()
    [(query_id, query)] = task.queries.items()
    assert query == QUERY
    failure = Failure(message="why")
    result = WorkflowQueryResult(result_type=FAILED, error_message="no", failure=failure)
    await client.call(
        RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token, query_results={query_id: result, "another": result}
        ),
        RespondWorkflowTaskCompletedResponse,
    )
    refused = await failure_of(call)
    assert (refused.code, refused.message) == (Code.INVALID_ARGUMENT, "no")
    assert detail_of(refused) == QueryFailedFailure(failure=failure)


async def test_an_answer_that_is_too_large_fails_its_query(client: Client) -> None:
    await idle(client)
    call, task = await asked(client)
    await respond(client, task.task_token, completed_type=ANSWERED, query_result=LARGE)
    refused = await failure_of(call)
    assert (refused.code, refused.message) == (
        Code.INVALID_ARGUMENT,
        "Blob data size exceeds limit.",
    )
    assert detail_of(refused) == QueryFailedFailure()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"execution": None}, "Execution is not set on request."),
        ({"execution": WorkflowExecution()}, "WorkflowId is not set on request."),
        ({"execution": WorkflowExecution(workflow_id="w", run_id="x")}, "Invalid RunId."),
        ({"query": None}, "WorkflowQuery is not set on request."),
        ({"query": WorkflowQuery()}, "QueryType is not set on request."),
        (
            {"query": WorkflowQuery(query_type="q", query_args=LARGE)},
            "Blob data size exceeds limit.",
        ),
        ({"namespace": ""}, "Namespace is empty."),
    ],
)
async def test_a_query_that_says_too_little_or_too_much_is_refused(
    client: Client, fields: dict[str, object], words: str
) -> None:
    refusal = await client.refusal(request(**fields))
    assert (refusal.code, refusal.message) == (Code.INVALID_ARGUMENT, words)


async def test_a_workflow_that_is_not_there_is_not_found(client: Client) -> None:
    for workflow_id in ("nobody", "x" * 100_000):
        execution = WorkflowExecution(workflow_id=workflow_id)
        refusal = await client.refusal(request(execution=execution))
        assert refusal.code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        (b"", Code.INVALID_ARGUMENT, "Task token not set on request."),
        (b"garbage", Code.INVALID_ARGUMENT, "Error deserializing task token."),
        (
            NUMBERS,
            Code.INVALID_ARGUMENT,
            "Error deserializing task token.",
        ),
    ],
)
async def test_a_token_that_is_none_is_refused(
    client: Client, token: bytes, code: Code, words: str
) -> None:
    answer = RespondQueryTaskCompletedRequest(task_token=token)
    refusal = await client.refusal(answer)
    assert (refusal.code, refusal.message) == (code, words)


async def test_a_stale_token_answers_nothing(client: Client) -> None:
    await idle(client)
    call, task = await asked(client)
    await respond(client, task.task_token, completed_type=ANSWERED, query_result=ANSWER)
    await call
    stale = RespondQueryTaskCompletedRequest(
        task_token=task.task_token, completed_type=ANSWERED, query_result=LARGE
    )
    refusal = await client.refusal(stale)
    assert refusal.message == "query task not found, or already expired"
    assert detail_of(refusal) == NotFoundFailure()


async def test_the_tokens_of_tasks_and_queries_are_no_substitutes(client: Client) -> None:
    await client.start()
    task = await client.poll_workflow_task()
    refusal = await client.refusal(RespondQueryTaskCompletedRequest(task_token=task.task_token))
    assert refusal.message == "query task not found, or already expired"
    await client.call(
        RespondWorkflowTaskCompletedRequest(task_token=task.task_token),
        RespondWorkflowTaskCompletedResponse,
    )
    call, query = await asked(client)
    refusal = await client.refusal(RespondWorkflowTaskCompletedRequest(task_token=query.task_token))
    assert refusal.code is Code.INVALID_ARGUMENT
    await respond(client, query.task_token, completed_type=ANSWERED)
    assert await call == QueryWorkflowResponse()


async def test_a_token_is_of_its_namespace(client: Client) -> None:
    other = RegisterNamespaceRequest(namespace="other")
    other.workflow_execution_retention_period.seconds = 86400
    await client.call(other, RegisterNamespaceResponse)
    await idle(client)
    call, task = await asked(client)
    foreign = RespondQueryTaskCompletedRequest(
        namespace="other", task_token=task.task_token, completed_type=ANSWERED
    )
    refusal = await client.refusal(foreign)
    assert refusal.message == "Operation requested with a token from a different namespace."
    await respond(client, task.task_token, completed_type=ANSWERED, query_result=ANSWER)
    assert await call == QueryWorkflowResponse(query_result=ANSWER)
