"""Rules of a worker's life: how it begins and ends, and what it leaves behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from typing import Any

import pytest

from perdure import activity
from perdure.client import Client
from perdure.service import RPCError, RPCStatusCode
from perdure.transport import CallFailed, Code
from perdure.worker import Worker
from perdure.worker.polling import BACKOFF_COEFFICIENT, BACKOFF_SECONDS, JITTER
from tests.sdk import worker_programs as programs
from tests.sdk.homes import SERVERS, Homes
from tests.sdk.looking import until
from tests.sdk.recording_service import RecordingService

DENIED = CallFailed(Code.PERMISSION_DENIED, "not for you")


def greeter(client: Client, queue: str, **options: Any) -> Worker:
    """A worker of the greeting."""
    return Worker(
        client,
        task_queue=queue,
        workflows=[programs.Greeting],
        activities=[programs.compose],
        **options,
    )


async def greeting(client: Client, queue: str, number: int = 0) -> str:
    """What it says."""
    result: str = await client.execute_workflow(
        programs.Greeting.run, "you", id=f"{queue} {number}", task_queue=queue
    )
    return result


def client_of(service: RecordingService) -> Client:
    """A client of a service that says what it is told to."""
    return Client._over(service.in_process())


async def test_it_runs_until_it_is_shut_down(client: Client, queue: str) -> None:
    worker = greeter(client, queue)
    assert (worker.is_running, worker.is_shutdown) == (False, False)
    running = asyncio.create_task(worker.run())
    assert await greeting(client, queue) == "Hello, you!"
    assert (worker.is_running, worker.is_shutdown) == (True, False)
    await worker.shutdown()
    await running
    assert (worker.is_running, worker.is_shutdown) == (False, True)


async def test_cancelling_run_shuts_it_down(client: Client, queue: str) -> None:
    worker = greeter(client, queue)
    running = asyncio.create_task(worker.run())
    assert await greeting(client, queue) == "Hello, you!"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert worker.is_shutdown


async def test_it_leaves_no_task_and_no_thread_behind(homes: Homes, home: str, queue: str) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with (
        homes.open(home) as client,
        Worker(
            client,
            task_queue=queue,
            workflows=[programs.Calls],
            activities=[programs.echo_in_thread],
        ),
    ):
        await client.execute_workflow(
            programs.Calls.run, args=["echo in a thread", ["a"]], id=queue, task_queue=queue
        )

    async def gone() -> bool:
        left = {thread.name for thread in set(threading.enumerate()) - threads}
        return asyncio.all_tasks() == tasks and not any(name.startswith("perdure") for name in left)

    await until(gone)


async def test_two_run_in_one_process_one_after_another_and_side_by_side(
    client: Client, queue: str
) -> None:
    for number in range(2):
        async with greeter(client, queue), greeter(client, f"{queue} other"):
            assert await greeting(client, queue, number) == "Hello, you!"
            assert await greeting(client, f"{queue} other", number) == "Hello, you!"


async def test_it_runs_in_a_thread_with_a_loop_of_its_own(
    homes: Homes, client: Client, home: str, queue: str
) -> None:
    if home not in SERVERS:
        pytest.skip("an embedded engine is its program's alone")
    ready, done = threading.Event(), threading.Event()

    async def work() -> None:
        async with homes.open(home) as own, greeter(own, queue):
            ready.set()
            await asyncio.to_thread(done.wait)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        working = pool.submit(asyncio.run, work())
        await asyncio.to_thread(ready.wait)
        async with greeter(client, f"{queue} here"):
            results = {await greeting(client, queue), await greeting(client, f"{queue} here")}
        done.set()
        await asyncio.to_thread(working.result)
    assert results == {"Hello, you!"}


async def test_it_does_not_begin_in_a_namespace_that_does_not_exist(
    client: Client, queue: str
) -> None:
    config = client.config()
    config["namespace"] = "nowhere"
    with pytest.raises(RuntimeError, match="Worker validation failed") as refused:
        async with greeter(Client(**config), queue):
            pytest.fail("it began")
    cause = refused.value.__cause__
    assert isinstance(cause, RPCError)
    assert cause.status is RPCStatusCode.NOT_FOUND


@pytest.mark.parametrize("uses", [False, True])
async def test_build_ids_decide_on_tasks_where_that_is_asked_for(uses: bool) -> None:
    service = RecordingService({"PollWorkflowTaskQueue": DENIED, "PollActivityTaskQueue": DENIED})
    worker = greeter(client_of(service), "queue", build_id="1", use_worker_versioning=uses)
    with pytest.raises(RuntimeError, match="worker failed"):
        await worker.run()
    polls = service.named("PollActivityTaskQueue") + service.named("PollWorkflowTaskQueue")
    assert {poll.worker_version_capabilities.use_versioning for poll in polls} == {uses}
    assert {poll.worker_version_capabilities.build_id for poll in polls} == {"1"}


async def test_a_worker_that_cannot_go_on_ends_the_block_with_its_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "perdure.worker")
    heard: list[BaseException] = []

    async def hear(error: BaseException) -> None:
        heard.append(error)

    service = RecordingService({"PollWorkflowTaskQueue": DENIED, "PollActivityTaskQueue": DENIED})
    worker = greeter(client_of(service), "queue", on_fatal_error=hear)
    with pytest.raises(RuntimeError, match="worker failed") as refused:
        async with worker:
            await asyncio.get_running_loop().create_future()
    assert heard == [refused.value]
    assert "not for you" in str(refused.value.__cause__)
    assert worker.is_shutdown
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


class ParkingService(RecordingService):
    """Lets polls wait until the worker says that it goes, after the refusals that it was told to
    give first."""

    def __init__(self, **refusals: list[CallFailed]) -> None:
        super().__init__()
        self._refusals = refusals
        self._parked = 0
        self._changed = asyncio.Event()
        self._going = asyncio.Event()

    async def parked(self, count: int) -> None:
        """So many polls wait."""
        while self._parked < count:
            self._changed.clear()
            await self._changed.wait()

    def _handler(self, method: Any) -> Any:
        handle = super()._handler(method)

        async def park(request: bytes, caller: Any) -> bytes:
            answer: bytes = await handle(request, caller)
            refusals = self._refusals.get(method.name)
            if refusals:
                raise refusals.pop()
            if method.name.startswith("Poll"):
                self._parked += 1
                self._changed.set()
                await self._going.wait()
            if method.name == "ShutdownWorker":
                self._going.set()
            return answer

        return park


async def test_a_service_that_is_away_is_polled_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "perdure.worker")
    away = CallFailed(Code.UNAVAILABLE, "away")
    service = ParkingService(PollActivityTaskQueue=[away, away])
    began = asyncio.get_running_loop().time()
    async with Worker(
        client_of(service),
        task_queue="queue",
        activities=[programs.compose],
        max_concurrent_activity_task_polls=1,
    ):
        await service.parked(1)
    assert len(service.named("PollActivityTaskQueue")) == 3
    waits = BACKOFF_SECONDS * (1 + BACKOFF_COEFFICIENT) * (1 - JITTER)
    assert asyncio.get_running_loop().time() - began > waits


async def test_it_tells_the_service_that_it_goes() -> None:
    service = ParkingService()
    async with greeter(client_of(service), "queue", identity="me"):
        await service.parked(10)
    [request] = service.named("ShutdownWorker")
    polls = service.named("PollWorkflowTaskQueue")
    sticky = {poll.task_queue.name for poll in polls if poll.task_queue.normal_name}
    assert sticky == {request.sticky_task_queue}
    assert (request.identity, request.task_queue) == ("me", "queue")
    assert {poll.worker_instance_key for poll in polls} == {request.worker_instance_key}
    assert service.requests[-1][0] == "ShutdownWorker"


async def test_it_polls_as_often_as_it_is_told_to() -> None:
    service = ParkingService()
    async with greeter(
        client_of(service),
        "queue",
        max_concurrent_workflow_task_polls=10,
        nonsticky_to_sticky_poll_ratio=0.3,
        max_concurrent_activity_task_polls=3,
    ):
        await service.parked(13)
    polls = service.named("PollWorkflowTaskQueue")
    assert len([poll for poll in polls if poll.task_queue.normal_name]) == 7
    assert len([poll for poll in polls if not poll.task_queue.normal_name]) == 3
    assert len(service.named("PollActivityTaskQueue")) == 3


async def test_it_polls_only_for_what_it_has_places_for() -> None:
    service = ParkingService()
    async with greeter(
        client_of(service),
        "queue",
        max_concurrent_workflow_tasks=2,
        max_concurrent_activities=1,
    ):
        await service.parked(3)
    assert len(service.named("PollWorkflowTaskQueue")) == 2
    assert len(service.named("PollActivityTaskQueue")) == 1


async def test_a_worker_runs_once(client: Client, queue: str) -> None:
    worker = greeter(client, queue)
    with pytest.raises(RuntimeError, match="Never started"):
        await worker.shutdown()
    async with worker:
        with pytest.raises(RuntimeError, match="Already started"):
            await worker.run()
    with pytest.raises(RuntimeError, match="Already started"):
        async with worker:
            pytest.fail("it began again")


@activity.defn(name="compose")
async def other_compose() -> None:
    """Has the name of another."""


@activity.defn
def sync_method(self: Any) -> None:
    """A method that is not bound."""


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({}, ValueError, "At least one activity, Nexus service, or workflow"),
        (
            {"workflows": [programs.Greeting, programs.Greeting]},
            ValueError,
            "More than one workflow named Greeting",
        ),
        (
            {"activities": [programs.compose, other_compose]},
            ValueError,
            "More than one activity named compose",
        ),
        ({"activities": [len]}, TypeError, "Activity len missing attributes"),
        ({"workflows": [RecordingService]}, ValueError, "Workflow RecordingService missing"),
        ({"activities": [sync_method]}, UserWarning, "not bound to an instance"),
        (
            {"workflows": [programs.Greeting], "max_concurrent_workflow_tasks": 1},
            ValueError,
            "at least 2",
        ),
    ],
)
def test_what_cannot_run_is_refused_at_once(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        Worker(client_of(RecordingService()), task_queue="queue", **options)


def test_the_same_code_has_the_same_build_id() -> None:
    one, other = (greeter(client_of(RecordingService()), "queue") for _ in range(2))
    assert one._prepared.build_id == other._prepared.build_id
    assert len(one._prepared.build_id) == 32
