"""The least that can run our replay core on a server: it polls, replays from the start, answers.

Activities are run by the official SDK, so that a difference in a history is one of the core.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from perdure._replay.api import RunnerOptions, WorkflowActivation, WorkflowCompletion
from perdure._replay.runner import WorkflowRunner
from tests.sdk.replay_check import options
from tests.sdk.replay_loader import PROGRAMS
from tests.sdk.replay_record import official_worker

POLLERS = 3


@contextlib.asynccontextmanager
async def raw_worker(client: Client, queue: str) -> AsyncIterator[None]:
    """Runs the programs on our core."""
    # Nobody here would run the activities that the server hands out with its answer.
    worker = options(PROGRAMS, task_queue=queue, disable_eager_activity_execution=True)
    async with official_worker(client, queue, workflows=()), asyncio.TaskGroup() as pollers:
        polls = [pollers.create_task(_poll(client, worker)) for _ in range(POLLERS)]
        try:
            yield
        finally:
            for poll in polls:
                poll.cancel()


async def _poll(client: Client, worker: RunnerOptions) -> None:
    request = PollWorkflowTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=worker.task_queue),
        identity="raw worker",
    )
    while True:
        task = await client.workflow_service.poll_workflow_task_queue(request)
        if task.task_token:
            await _answer(client, worker, task)


async def _answer(
    client: Client, worker: RunnerOptions, polled: PollWorkflowTaskQueueResponse
) -> None:
    assert not polled.next_page_token
    task = WorkflowActivation(
        run_id=polled.workflow_execution.run_id,
        workflow_id=polled.workflow_execution.workflow_id,
        workflow_type=polled.workflow_type.name,
        events=list(polled.history.events),
        previous_started_event_id=polled.previous_started_event_id,
        started_event_id=polled.started_event_id,
        attempt=polled.attempt,
        messages=polled.messages,
    )
    runner = WorkflowRunner(worker, task)
    completion = runner.activate(task)
    runner.evict()
    assert isinstance(completion, WorkflowCompletion), completion
    answer = RespondWorkflowTaskCompletedRequest(
        namespace=client.namespace,
        task_token=polled.task_token,
        commands=completion.commands,
        sdk_metadata=completion.sdk_metadata,
        messages=completion.messages,
        identity="raw worker",
    )
    try:
        await client.workflow_service.respond_workflow_task_completed(answer)
    except RPCError as refused:
        # The run may not end before its code has seen what came in meanwhile; the task comes again.
        if "UnhandledCommand" not in str(refused):
            raise
