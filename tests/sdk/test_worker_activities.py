"""Rules of the activity side of the worker."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from perdure.client import Client, WorkflowFailureError
from perdure.exceptions import ActivityError, ApplicationError
from perdure.worker import Worker
from tests.sdk import worker_programs as programs
from tests.sdk.homes import Homes
from tests.sdk.looking import until_activity_runs, until_event

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
CANCEL_REQUESTED = EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED


@pytest.fixture
def processes() -> Iterator[ProcessPoolExecutor]:
    """One other process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        executor.submit(programs.warm_up).result()
        yield executor


def worker(client: Client, queue: str, activities: Sequence[Any], **options: Any) -> Worker:
    """A worker of all workflows and some activities."""
    workflows = [
        programs.Calls,
        programs.CallsWithNumber,
        programs.Cancels,
        programs.TimesOut,
        programs.Greeting,
    ]
    workers = getattr(options.get("activity_executor"), "_max_workers", None)
    options.setdefault("max_concurrent_activities", workers)
    return Worker(client, task_queue=queue, workflows=workflows, activities=activities, **options)


async def call(client: Client, queue: str, name: str, *args: str) -> Any:
    """The result of one activity."""
    return await client.execute_workflow(
        programs.Calls.run, args=[name, list(args)], id=queue, task_queue=queue
    )


async def test_an_activity_is_tried_again_until_it_succeeds(client: Client, queue: str) -> None:
    async with worker(client, queue, [programs.succeed_at_attempt]):
        attempt = await client.execute_workflow(
            programs.CallsWithNumber.run,
            args=["succeed_at_attempt", 3],
            id=queue,
            task_queue=queue,
        )
    assert attempt == 3


async def test_the_last_failure_arrives_when_there_are_no_more_attempts(
    client: Client, queue: str
) -> None:
    async with worker(client, queue, [programs.succeed_at_attempt]):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(
                programs.CallsWithNumber.run,
                args=["succeed_at_attempt", 9],
                id=queue,
                task_queue=queue,
            )
    cause = failed.value.cause
    assert isinstance(cause, ActivityError)
    assert isinstance(cause.cause, ApplicationError)
    assert (cause.cause.type, list(cause.cause.details)) == ("NotYet", [3])


async def test_an_activity_that_takes_too_long_times_out(client: Client, queue: str) -> None:
    async with worker(client, queue, [programs.wait_for_ever]):
        outcome = await client.execute_workflow(programs.TimesOut.run, id=queue, task_queue=queue)
    assert outcome == "TimeoutError: activity StartToClose timeout"


async def test_heartbeat_details_reach_the_next_attempt(client: Client, queue: str) -> None:
    async with worker(client, queue, [programs.go_on_from_heartbeat]):
        assert await call(client, queue, "go_on_from_heartbeat") == ["step 0", "step 1"]


async def test_what_a_thread_reports_is_kept_though_the_function_fails_at_once(
    client: Client, queue: str
) -> None:
    async with worker(client, queue, [programs.go_on_from_heartbeat_of_a_thread]):
        done = await call(client, queue, "go_on_from_heartbeat_of_a_thread")
    assert done == ["step 0", "step 1"]


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("return", "returned cleaned up"),
        ("raise", "CancelledError: Cancelled"),
        ("fail", "ApplicationError: RuntimeError: in the middle"),
    ],
)
async def test_an_async_activity_is_cancelled(
    client: Client, queue: str, how: str, outcome: str
) -> None:
    async with worker(client, queue, [programs.wait_for_cancellation]):
        assert await cancel(client, queue, "wait_for_cancellation", how) == outcome


@pytest.mark.parametrize(
    ("how", "outcome"),
    [("return", "returned shielded"), ("raise", "CancelledError: Cancelled")],
)
async def test_an_activity_in_a_thread_is_cancelled_when_it_is_not_shielded(
    client: Client, queue: str, how: str, outcome: str
) -> None:
    async with worker(client, queue, [programs.wait_in_thread]):
        assert await cancel(client, queue, "wait_in_thread", how) == outcome


async def test_an_activity_in_a_process_sees_its_cancellation(
    client: Client, queue: str, processes: ProcessPoolExecutor
) -> None:
    async with worker(client, queue, [programs.wait_in_process], activity_executor=processes):
        assert await cancel(client, queue, "wait_in_process") == "returned seen"


async def cancel(client: Client, queue: str, name: str, *args: str) -> str:
    """How an activity ends that is cancelled while it runs."""
    handle = await client.start_workflow(
        programs.Cancels.run, args=[name, list(args)], id=queue, task_queue=queue
    )
    await until_activity_runs(handle)
    await handle.signal(programs.Cancels.proceed)
    result: str = await handle.result()
    return result


async def test_a_sync_activity_runs_in_a_thread_of_the_worker(client: Client, queue: str) -> None:
    async with worker(client, queue, [programs.echo_in_thread]):
        assert await call(client, queue, "echo in a thread", "a") == "a echo in a thread"


async def test_a_sync_activity_runs_in_the_given_executor(
    client: Client, queue: str, processes: ProcessPoolExecutor
) -> None:
    with ThreadPoolExecutor(2) as threads:
        async with worker(client, queue, [programs.process_id], activity_executor=threads):
            assert await call(client, queue, "process_id", "a") == os.getpid()
    async with worker(client, queue, [programs.process_id], activity_executor=processes):
        there = await call(client, f"{queue}", "process_id", "a")
    assert there == processes.submit(os.getpid).result()


async def test_an_activity_is_completed_from_elsewhere(client: Client, queue: str) -> None:
    async with worker(client, queue, [programs.complete_elsewhere]):
        handle = await client.start_workflow(
            programs.Calls.run, args=["complete_elsewhere", []], id=queue, task_queue=queue
        )
        await until_activity_runs(handle)
        activity = client.get_async_activity_handle(workflow_id=queue, activity_id="1")
        await activity.complete("from elsewhere")
        assert await handle.result() == "from elsewhere"


async def test_activities_hear_that_their_worker_goes(client: Client, queue: str) -> None:
    async with worker(
        client,
        queue,
        [programs.wait_for_shutdown],
        graceful_shutdown_timeout=timedelta(seconds=10),
    ):
        handle = await client.start_workflow(
            programs.Calls.run, args=["wait_for_shutdown", []], id=queue, task_queue=queue
        )
        await until_activity_runs(handle)
    async with worker(client, queue, []):
        assert await handle.result() == "shut down"


async def test_an_activity_that_does_not_end_with_its_worker_is_tried_elsewhere(
    client: Client, queue: str
) -> None:
    async with worker(client, queue, [programs.wait_for_ever]):
        handle = await client.start_workflow(
            programs.Calls.run, args=["wait_for_ever", []], id=queue, task_queue=queue
        )
        await until_activity_runs(handle)
    description = (await handle.describe()).raw_description
    [pending] = description.pending_activities
    assert pending.attempt == 2
    assert pending.last_failure.application_failure_info.type == "WorkerShutdown"
    await handle.terminate()


async def test_an_unknown_activity_waits_for_a_worker_that_has_it(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with worker(client, queue, [programs.compose, programs.price]):
        handle = await client.start_workflow(
            programs.Calls.run, args=["echo in a thread", ["a"]], id=queue, task_queue=queue
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    error = failed.value.cause
    assert isinstance(error, ActivityError)
    assert isinstance(error.cause, ApplicationError)
    assert (error.cause.type, error.cause.non_retryable) == ("NotFoundError", False)
    assert error.cause.message == (
        f"Activity function echo in a thread for workflow {queue} is not registered on this "
        "worker, available activities: compose, price"
    )
    told = [one for one in caplog.records if "is not registered on this worker" in one.message]
    assert told
    assert all(one.exc_info is None and "\n" not in one.message for one in told)


async def test_a_dynamic_activity_serves_every_name(client: Client, queue: str) -> None:
    async with worker(client, queue, [programs.any_activity, programs.compose]):
        assert await call(client, queue, "whatever", "a", "b") == "whatever ['a', 'b']"
        assert (
            await client.execute_workflow(
                programs.Greeting.run, "you", id=f"{queue} 2", task_queue=queue
            )
            == "Hello, you!"
        )


async def test_no_more_activities_run_at_once_than_allowed(client: Client, queue: str) -> None:
    activity = programs.Crowd()
    async with worker(client, queue, [activity.enter], max_concurrent_activities=2):
        handles = [
            await client.start_workflow(
                programs.Calls.run, args=["enter", []], id=f"{queue} {number}", task_queue=queue
            )
            for number in range(5)
        ]
        for handle in handles:
            await handle.result()
    assert activity.most == 2


async def test_a_worker_without_activities_leaves_them_to_others(
    client: Client, queue: str
) -> None:
    async with (
        Worker(client, task_queue=queue, workflows=[programs.Greeting]),
        Worker(client, task_queue=queue, activities=[programs.compose]),
    ):
        handle = await client.start_workflow(
            programs.Greeting.run, "you", id=queue, task_queue=queue
        )
        assert await handle.result() == "Hello, you!"
    [started] = await until_event(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED)
    assert started.activity_task_started_event_attributes.attempt == 1


async def test_a_result_that_is_too_large_fails_the_activity_and_nothing_else(
    client: Client, queue: str
) -> None:
    async with worker(client, queue, [programs.say_much]):
        with pytest.raises(WorkflowFailureError) as failed:
            await client.execute_workflow(
                programs.CallsWithNumber.run,
                args=["say_much", 3_000_000],
                id=queue,
                task_queue=queue,
            )
    error = failed.value.cause
    assert isinstance(error, ActivityError)
    assert isinstance(error.cause, ApplicationError)
    assert error.cause.type == "PayloadsTooLarge"


async def test_a_worker_whose_processes_are_gone_stops(
    homes: Homes, queue: str, processes: ProcessPoolExecutor
) -> None:
    async with homes.open("embedded") as client:
        with pytest.raises(RuntimeError, match="Activity worker failed") as caught:
            async with worker(client, queue, [programs.die], activity_executor=processes):
                await call(client, queue, "die")
    assert isinstance(caught.value.__cause__, BrokenProcessPool)


async def test_no_more_activities_begin_per_second_than_allowed(homes: Homes, queue: str) -> None:
    per_second = 50
    async with (
        homes.open("embedded") as client,
        worker(client, queue, [programs.compose], max_activities_per_second=per_second),
    ):
        began = asyncio.get_running_loop().time()
        for number in range(6):
            await client.execute_workflow(
                programs.Greeting.run, "you", id=f"{queue} {number}", task_queue=queue
            )
        assert asyncio.get_running_loop().time() - began >= 5 / per_second - 0.001
