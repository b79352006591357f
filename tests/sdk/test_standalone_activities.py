"""Activities without a workflow, of our SDK, in every home."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from perdure import activity
from perdure.client import (
    ActivityExecutionStatus,
    ActivityFailureError,
    ActivityOptionsKeys,
    Client,
    OutboundInterceptor,
    PendingActivityState,
    StartActivityInput,
)
from perdure.client import Interceptor as ClientInterceptor
from perdure.common import ActivityIDConflictPolicy, RetryPolicy
from perdure.exceptions import (
    ActivityAlreadyStartedError,
    ApplicationError,
    CancelledError,
    TerminatedError,
)
from perdure.worker import Worker

MINUTE = timedelta(minutes=1)
ONCE = RetryPolicy(maximum_attempts=1)


@activity.defn
async def double(number: int) -> int:
    """Twice as much."""
    return 2 * number


@activity.defn
async def names() -> dict[str, Any]:
    """How an activity finds itself."""
    info = activity.info()
    return {
        "id": info.activity_id,
        "in_workflow": info.in_workflow,
        "workflow_id": info.workflow_id,
        "run": info.activity_run_id,
        "attempt": info.attempt,
    }


@activity.defn
async def fail(text: str) -> None:
    """Never does it."""
    raise ApplicationError(text, type="Never")


@activity.defn
async def wait() -> None:
    """Until it is cancelled."""
    while True:
        activity.heartbeat("alive")
        await asyncio.sleep(0.05)


def worker(client: Client, queue: str) -> Worker:
    """A worker of all of them."""
    return Worker(
        client,
        task_queue=queue,
        activities=[double, names, fail, wait],
        # An activity hears of its cancellation when it heartbeats.
        max_heartbeat_throttle_interval=timedelta(milliseconds=100),
    )


async def test_a_result(client: Client, queue: str) -> None:
    async with worker(client, queue):
        options: Any = {"task_queue": queue, "start_to_close_timeout": MINUTE}
        assert await client.execute_activity(double, 21, id=f"{queue}-a", **options) == 42
        handle = await client.start_activity(names, id=f"{queue}-b", summary="names", **options)
        assert await handle.result() == {
            "id": f"{queue}-b",
            "in_workflow": False,
            "workflow_id": None,
            "run": handle.run_id,
            "attempt": 1,
        }
        found = client.get_activity_handle(f"{queue}-b")
        description = await found.describe(include_input=True, include_outcome=True)
        assert description.status == ActivityExecutionStatus.COMPLETED
        assert [
            description.has_input(),
            description.has_result(),
            description.has_outcome_failure(),
            description.has_last_failure(),
            description.has_heartbeat_details(),
        ] == [False, True, False, False, False]
        assert (await description.result())["id"] == f"{queue}-b"
        assert (description.activity_type, description.task_queue) == ("names", queue)
        assert description.start_to_close_timeout == MINUTE


async def test_every_other_end(client: Client, queue: str) -> None:
    async with worker(client, queue):
        options: Any = {
            "task_queue": queue,
            "start_to_close_timeout": MINUTE,
            "heartbeat_timeout": MINUTE,
            "retry_policy": ONCE,
        }
        with pytest.raises(ActivityFailureError) as failed:
            await client.execute_activity(fail, "no", id=f"{queue}-f", **options)
        assert isinstance(failed.value.cause, ApplicationError)
        assert (failed.value.cause.message, failed.value.cause.type) == ("no", "Never")
        handle = await client.start_activity(wait, id=f"{queue}-w", **options)
        async with asyncio.timeout(20):
            while (await handle.describe()).run_state != PendingActivityState.STARTED:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await handle.cancel(reason="enough")
        with pytest.raises(ActivityFailureError) as cancelled:
            await handle.result()
        assert isinstance(cancelled.value.cause, CancelledError)
        assert (await handle.describe()).canceled_reason == "enough"
    handle = await client.start_activity("nobody", id=f"{queue}-t", **options)
    await handle.terminate(reason="at once")
    with pytest.raises(ActivityFailureError) as terminated:
        await handle.result()
    assert isinstance(terminated.value.cause, TerminatedError)


async def test_ids_are_taken_while_it_runs(client: Client, queue: str) -> None:
    options: Any = {"id": queue, "task_queue": queue, "start_to_close_timeout": MINUTE}
    first = await client.start_activity(double, 1, **options)
    with pytest.raises(ActivityAlreadyStartedError) as taken:
        await client.start_activity(double, 1, **options)
    assert (taken.value.activity_id, taken.value.run_id) == (queue, first.run_id)
    again = await client.start_activity(
        double, 1, **options, id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING
    )
    assert again.run_id == first.run_id
    await first.terminate()


async def test_a_pause_and_other_options(client: Client, queue: str) -> None:
    handle = await client.start_activity(
        double, 4, id=queue, task_queue="elsewhere", start_to_close_timeout=MINUTE
    )
    await handle.pause(reason="wait")
    assert (await handle.describe()).status == ActivityExecutionStatus.PAUSED
    changed = await handle.update_options(
        [
            ActivityOptionsKeys.task_queue.value_set(queue),
            ActivityOptionsKeys.start_to_close_timeout.value_set(2 * MINUTE),
        ]
    )
    assert (changed.task_queue, changed.start_to_close_timeout) == (queue, 2 * MINUTE)
    await handle.unpause()
    async with worker(client, queue):
        assert await handle.result() == 8


async def test_they_are_found(client: Client, queue: str) -> None:
    options: Any = {"task_queue": queue, "start_to_close_timeout": MINUTE}
    for name in ("a", "b", "c"):
        await client.start_activity(double, 1, id=f"{queue}-{name}", **options)
    query = f"TaskQueue = '{queue}'"
    async with asyncio.timeout(20):
        while (await client.count_activities(query)).count != 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    found = [one.activity_id async for one in client.list_activities(query, page_size=2)]
    assert sorted(found) == [f"{queue}-{name}" for name in ("a", "b", "c")]
    few = [one.status async for one in client.list_activities(query, limit=2)]
    assert few == [ActivityExecutionStatus.RUNNING] * 2
    for name in found:
        await client.get_activity_handle(name).terminate()


class Renaming(ClientInterceptor):
    """Has every activity asked for twice the number."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        class Doubling(OutboundInterceptor):
            async def start_activity(self, input: StartActivityInput) -> Any:  # noqa: A002
                input.args = [2 * number for number in input.args]
                return await super().start_activity(input)

        return Doubling(next)


async def test_interceptors_see_the_start(client: Client, queue: str) -> None:
    watched = Client(client.service_client, interceptors=[Renaming()])
    async with worker(client, queue):
        assert (
            await watched.execute_activity(
                double, 3, id=queue, task_queue=queue, start_to_close_timeout=MINUTE
            )
            == 12
        )
