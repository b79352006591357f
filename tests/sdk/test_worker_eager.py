"""Activities that come along with answers to workflow tasks, while their worker stops."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    RespondWorkflowTaskCompletedResponse,
)

from perdure import activity, workflow
from perdure._embedded import opened_service
from perdure.client import Client
from perdure.converter import DataConverter
from perdure.server.config import Settings
from perdure.transport import Caller, Handler, InProcessTransport
from perdure.worker import Worker
from perdure.worker.eager import EagerActivities

COMPLETED = "/temporal.api.workflowservice.v1.WorkflowService/RespondWorkflowTaskCompleted"


class Places:
    """So many places, and the activities in some of them."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.began: list[str] = []

    def try_reserve(self) -> bool:
        self.free -= 1
        return True

    def release(self) -> None:
        self.free += 1

    def accept(self, task: PollActivityTaskQueueResponse) -> None:
        self.began.append(task.activity_id)


def commands(count: int) -> list[Command]:
    """That so many activities shall begin at once."""
    made = []
    for _ in range(count):
        command = Command(command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK)
        attributes = command.schedule_activity_task_command_attributes
        attributes.task_queue.name = "q"
        attributes.request_eager_execution = True
        made.append(command)
    return made


def asked(made: list[Command]) -> list[bool]:
    """Of which it is still asked."""
    return [one.schedule_activity_task_command_attributes.request_eager_execution for one in made]


async def test_what_was_asked_for_begins_before_the_worker_stops() -> None:
    places = Places(5)
    eager = EagerActivities(places, task_queue="q", count_max=3)
    answer: asyncio.Future[RespondWorkflowTaskCompletedResponse] = asyncio.Future()
    made = commands(4)
    answering = asyncio.create_task(eager.along_with(made, lambda: answer))
    stopping = asyncio.create_task(eager.stop(60.0))
    await asyncio.sleep(0)
    assert asked(made) == [True, True, True, False]
    assert not stopping.done()
    answer.set_result(
        RespondWorkflowTaskCompletedResponse(
            activity_tasks=[PollActivityTaskQueueResponse(activity_id="a")]
        )
    )
    await stopping
    await answering
    assert (places.began, places.free) == (["a"], 4)


async def test_what_comes_too_late_is_begun_by_nobody_and_its_place_is_free() -> None:
    places = Places(1)
    eager = EagerActivities(places, task_queue="q", count_max=3)
    answer: asyncio.Future[RespondWorkflowTaskCompletedResponse] = asyncio.Future()
    answering = asyncio.create_task(eager.along_with(commands(1), lambda: answer))
    await asyncio.sleep(0)
    await eager.stop(0.0)
    answer.set_result(
        RespondWorkflowTaskCompletedResponse(
            activity_tasks=[PollActivityTaskQueueResponse(activity_id="a")]
        )
    )
    await answering
    assert (places.began, places.free) == ([], 1)
    made = commands(1)
    await eager.along_with(made, lambda: answer)
    assert asked(made) == [False]


@activity.defn
async def note() -> str:
    """Goes on until its worker stops."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        assert activity.is_worker_shutdown()
    return "noted"


@workflow.defn
class Notes:
    """One activity."""

    @workflow.run
    async def run(self) -> str:
        """What it says."""
        limit = timedelta(seconds=60)
        return await workflow.execute_activity(note, start_to_close_timeout=limit)


async def test_a_worker_that_stops_carries_out_what_the_service_begins_meanwhile() -> None:
    answered, may_go = asyncio.Event(), asyncio.Event()
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))

    def held(handler: Handler) -> Handler:
        async def handle(request: bytes, caller: Caller) -> bytes:
            answer = await handler(request, caller)
            answered.set()
            await may_go.wait()
            return answer

        return handle

    async with opened_service(Settings(database=":memory:")) as service:
        handlers = {**service.handlers, COMPLETED: held(service.handlers[COMPLETED])}
        client = await Client._within(
            InProcessTransport(handlers),
            namespace="default",
            data_converter=DataConverter.default,
            interceptors=(),
            identity="",
            runtime=None,
            plugins=(),
        )
        async with Worker(client, task_queue="q", workflows=[Notes], activities=[note]) as worker:
            handle = await client.start_workflow(Notes.run, id="notes", task_queue="q")
            await answered.wait()
            stopping = asyncio.create_task(worker.shutdown())
            await asyncio.wait([one for one in asyncio.all_tasks() if "poller" in one.get_name()])
            for _ in range(100):
                await asyncio.sleep(0)  # It comes as far as it can without the answer.
            may_go.set()
            await stopping
        async with Worker(client, task_queue="q", workflows=[Notes]):
            assert await handle.result() == "noted"
    assert problems == []
