"""A Nexus worker for tests: it answers what it is told to, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio.api.common.v1 import Payload
from temporalio.api.nexus.v1 import (
    Endpoint,
    EndpointSpec,
    EndpointTarget,
    Response,
    StartOperationResponse,
)
from temporalio.api.operatorservice.v1 import (
    CreateNexusEndpointRequest,
    CreateNexusEndpointResponse,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollNexusTaskQueueRequest,
    PollNexusTaskQueueResponse,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskCompletedResponse,
    RespondNexusTaskFailedRequest,
    RespondNexusTaskFailedResponse,
)

from tests.frontend.client import Client

QUEUE = "nexus-queue"
JSON = {"encoding": b"json/plain"}
Answer = StartOperationResponse | Response | RespondNexusTaskFailedRequest

SYNC = StartOperationResponse(
    sync_success=StartOperationResponse.Sync(payload=Payload(metadata=JSON, data=b'"result"'))
)


async def endpoint(client: Client, name: str = "endpoint", url: str = "") -> Endpoint:
    """A new endpoint, for workers or elsewhere."""
    target = (
        EndpointTarget(external=EndpointTarget.External(url=url))
        if url
        else EndpointTarget(worker=EndpointTarget.Worker(namespace="default", task_queue=QUEUE))
    )
    request = CreateNexusEndpointRequest(spec=EndpointSpec(name=name, target=target))
    return (await client.call(request, CreateNexusEndpointResponse)).endpoint


async def poll(client: Client, queue: str = QUEUE) -> PollNexusTaskQueueResponse:
    """A poll for a task."""
    request = PollNexusTaskQueueRequest(
        namespace="default", task_queue=TaskQueue(name=queue), identity="worker"
    )
    return await client.call(request, PollNexusTaskQueueResponse)


async def respond(client: Client, token: bytes, answer: Answer) -> None:
    """Answer a task."""
    if isinstance(answer, RespondNexusTaskFailedRequest):
        failed = RespondNexusTaskFailedRequest()
        failed.CopyFrom(answer)
        failed.namespace, failed.task_token = "default", token
        await client.call(failed, RespondNexusTaskFailedResponse)
        return
    response = answer if isinstance(answer, Response) else Response(start_operation=answer)
    completed = RespondNexusTaskCompletedRequest(
        namespace="default", task_token=token, response=response
    )
    await client.call(completed, RespondNexusTaskCompletedResponse)


@contextlib.asynccontextmanager
async def answering(
    client: Client, *answers: Answer
) -> AsyncIterator[list[PollNexusTaskQueueResponse]]:
    """A worker that gives these answers, one after the other; what it was asked."""
    asked: list[PollNexusTaskQueueResponse] = []

    async def work() -> None:
        for answer in answers:
            task = await poll(client)
            asked.append(task)
            await respond(client, task.task_token, answer)

    worker = asyncio.get_running_loop().create_task(work())
    try:
        yield asked
        await worker
    finally:
        worker.cancel()
