"""Sessions: calls over one stream, and what happens to a worker's tasks when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import msgspec
import pytest
import pytest_asyncio
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, TaskQueueKind
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    QueryWorkflowRequest,
    QueryWorkflowResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
    RespondQueryTaskCompletedRequest,
    RespondQueryTaskCompletedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
)

from perdure.server.frontend import sessions
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.services import Services
from perdure.server.frontend.sessions import HeldTasks
from perdure.transport import CallFailed, Code
from perdure.transport.grpc_client import GrpcTransport
from perdure.transport.grpc_server import GrpcServer
from perdure.transport.grpc_session import GrpcSessionTransport
from perdure.transport.session import METHOD
from tests.frontend.client import NAMESPACE, SERVICE, WORKFLOW_ID, Client
from tests.frontend.test_tasks import schedule_activity

SOON_SECONDS = 1.0
"""A lost worker's workflow task must be on offer again within this time."""


async def complete(client: Client, token: bytes, sticky: TaskQueue | None = None) -> None:
    """Complete a workflow task without a command."""
    request = RespondWorkflowTaskCompletedRequest(task_token=token)
    if sticky is not None:
        request.sticky_attributes.worker_task_queue.CopyFrom(sticky)
        request.sticky_attributes.schedule_to_start_timeout.seconds = 60
    await client.call(request, RespondWorkflowTaskCompletedResponse)


@pytest_asyncio.fixture
async def address(services: Services) -> AsyncIterator[str]:
    """A server with sessions."""
    server = GrpcServer(
        handlers_of(services),
        host="127.0.0.1",
        port=0,
        open_state=lambda: HeldTasks(services),
    )
    yield f"127.0.0.1:{await server.start()}"
    await server.stop(0)


@pytest_asyncio.fixture
async def worker(address: str) -> AsyncIterator[GrpcSessionTransport]:
    """A worker's way to it."""
    transport = GrpcSessionTransport(GrpcTransport(address))
    yield transport
    await transport.close()


async def test_calls_travel_over_a_session_where_there_are_some(
    worker: GrpcSessionTransport,
) -> None:
    await worker.call(SERVICE + "GetSystemInfo", b"")
    assert worker.has_session


async def test_calls_travel_the_ordinary_way_where_there_are_none(services: Services) -> None:
    server = GrpcServer(handlers_of(services), host="127.0.0.1", port=0)
    transport = GrpcSessionTransport(GrpcTransport(f"127.0.0.1:{await server.start()}"))
    try:
        assert await transport.call(SERVICE + "GetSystemInfo", b"")
        assert not transport.has_session
    finally:
        await transport.close()
        await server.stop(0)


async def test_a_refusal_arrives_with_its_code_and_details(worker: GrpcSessionTransport) -> None:
    with pytest.raises(CallFailed) as refused:
        await worker.call(SERVICE + "DescribeNamespace", b"\x0a\x04nope")
    assert refused.value.code is Code.NOT_FOUND
    assert refused.value.details
    with pytest.raises(CallFailed) as unknown:
        await worker.call(SERVICE + "Nothing", b"")
    assert unknown.value.code is Code.UNIMPLEMENTED


async def test_a_call_ends_when_its_time_is_over(worker: GrpcSessionTransport) -> None:
    poll = PollWorkflowTaskQueueRequest(namespace=NAMESPACE, task_queue=TaskQueue(name="nobody"))
    with pytest.raises(CallFailed) as late:
        await worker.call(
            SERVICE + "PollWorkflowTaskQueue", poll.SerializeToString(), None, timeout_seconds=0.05
        )
    assert late.value.code in (Code.DEADLINE_EXCEEDED, Code.FAILED_PRECONDITION)


async def test_calls_under_way_fail_when_the_stream_ends(
    worker: GrpcSessionTransport, address: str
) -> None:
    poll = PollWorkflowTaskQueueRequest(namespace=NAMESPACE, task_queue=TaskQueue(name="nobody"))
    parked = asyncio.ensure_future(
        worker.call(SERVICE + "PollWorkflowTaskQueue", poll.SerializeToString(), None, 70.0)
    )
    await worker.call(SERVICE + "GetSystemInfo", b"")
    await worker.close()
    with pytest.raises(CallFailed) as lost:
        await parked
    assert lost.value.code is Code.UNAVAILABLE


async def test_the_workflow_task_of_a_lost_worker_goes_to_another_at_once(
    worker: GrpcSessionTransport, client: Client
) -> None:
    await client.start()
    lost = await Client(worker).poll_workflow_task()
    await worker.close()
    async with asyncio.timeout(SOON_SECONDS):
        again = await client.poll_workflow_task()
    assert again.attempt == lost.attempt == 1
    assert again.started_event_id == lost.started_event_id
    assert again.task_token != lost.task_token
    await complete(client, again.task_token)


async def test_the_query_of_a_lost_worker_is_asked_of_another_at_once(
    worker: GrpcSessionTransport, client: Client
) -> None:
    await client.start()
    await complete(client, (await client.poll_workflow_task()).task_token)
    question = QueryWorkflowRequest(
        namespace=NAMESPACE,
        execution=WorkflowExecution(workflow_id=WORKFLOW_ID),
        query=WorkflowQuery(query_type="q"),
    )
    asked = asyncio.ensure_future(client.call(question, QueryWorkflowResponse))
    lost = await Client(worker).poll_workflow_task()
    await worker.close()
    async with asyncio.timeout(SOON_SECONDS):
        again = await client.poll_workflow_task()
    assert again == lost
    answer = RespondQueryTaskCompletedRequest(task_token=again.task_token, completed_type=1)  # type: ignore[arg-type]
    await client.call(answer, RespondQueryTaskCompletedResponse)
    assert await asked == QueryWorkflowResponse()


async def test_the_activity_of_a_lost_worker_has_its_next_attempt_without_a_timeout(
    worker: GrpcSessionTransport, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ACTIVITY_GRACE_SECONDS", 0.01)
    await schedule_activity(client)
    lost = await Client(worker).poll_activity_task()
    assert lost.attempt == 1
    await worker.close()
    async with asyncio.timeout(SOON_SECONDS):
        again: PollActivityTaskQueueResponse = await client.poll_activity_task()
    assert again.attempt == 2


async def test_an_answered_activity_is_not_lost_with_its_session(
    worker: GrpcSessionTransport, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "ACTIVITY_GRACE_SECONDS", 0.0)
    await schedule_activity(client)
    task = await Client(worker).poll_activity_task()
    answer = RespondActivityTaskCompletedRequest(task_token=task.task_token)
    await Client(worker).call(answer, RespondActivityTaskCompletedResponse)
    await worker.close()
    types = [event.event_type for event in (await client.history()).history.events]
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED in types


async def test_the_sticky_queue_of_a_lost_worker_gets_no_more_tasks(
    worker: GrpcSessionTransport, client: Client
) -> None:
    sticky = TaskQueue(
        name="of-the-worker", kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY, normal_name="a-queue"
    )
    await client.start()
    task = await Client(worker).poll_workflow_task()
    await complete(Client(worker), task.task_token, sticky)
    poll = PollWorkflowTaskQueueRequest(namespace=NAMESPACE, task_queue=sticky, identity="w")
    parked = asyncio.ensure_future(
        worker.call(SERVICE + "PollWorkflowTaskQueue", poll.SerializeToString(), None, 70.0)
    )
    await worker.call(SERVICE + "GetSystemInfo", b"")
    await worker.close()
    with pytest.raises(CallFailed):
        await parked
    await client.signal("go")
    async with asyncio.timeout(SOON_SECONDS):
        again: PollWorkflowTaskQueueResponse = await client.poll_workflow_task()
    assert again.started_event_id


async def test_a_peer_that_speaks_nonsense_is_told_so(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        for nonsense in (b"\xff", msgspec.msgpack.encode([[0]]), msgspec.msgpack.encode([[1]])):
            opened: Any = channel.stream_stream(METHOD, None, None)
            stream = opened(timeout=10)
            await stream.write(nonsense)
            with pytest.raises(grpc.aio.AioRpcError, match="not a session: ") as refused:
                async for _ in stream:
                    pass
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not caplog.records
