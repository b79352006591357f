"""A queue is limited as long as somebody wants it to be, also after a crash."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.taskqueue.v1 import RateLimit
from temporalio.api.workflowservice.v1 import UpdateTaskQueueConfigRequest

from perdure.server.engine.api import EngineUnavailable
from tests.engine.house import NAMESPACE, House, simulated, spawn

RateLimitUpdate = UpdateTaskQueueConfigRequest.RateLimitUpdate
ACTIVITY = task_queue_pb2.TASK_QUEUE_TYPE_ACTIVITY


async def set_rate(house: House, per_second: float) -> None:
    limit = RateLimitUpdate(rate_limit=RateLimit(requests_per_second=per_second))
    request = UpdateTaskQueueConfigRequest(
        task_queue="queue", task_queue_type=ACTIVITY, update_queue_rate_limit=limit
    )
    await house.engine.configure_queue(NAMESPACE, request)


async def with_activities(house: House, count: int) -> None:
    await house.start("w")
    commands = "; ".join(f"activity a{number}" for number in range(count))
    await house.complete(await house.take(), commands)


async def taken_at(house: House, count: int) -> list[float]:
    """When so many polls, all waiting, get their tasks."""
    began = asyncio.get_running_loop().time()

    async def take() -> float:
        assert await house.poll_activity(60) is not None
        return asyncio.get_running_loop().time() - began

    return sorted(await asyncio.gather(*(spawn(take()) for _ in range(count))))


@simulated
async def test_tasks_leave_a_queue_no_faster_than_it_is_limited_to(house: House) -> None:
    await set_rate(house, 2)
    await with_activities(house, 6)
    assert await taken_at(house, 6) == pytest.approx([0, 0, 0.5, 1, 1.5, 2], abs=0.01)


@simulated
async def test_a_limit_survives_a_crash(house: House) -> None:
    await set_rate(house, 1)
    await with_activities(house, 3)
    await house.crash()
    view = await house.engine.describe_queue(NAMESPACE, "queue", ACTIVITY)
    assert view.configured_rate == 1
    assert view.statistics[3].backlog == 3
    assert await taken_at(house, 3) == pytest.approx([0, 1, 2], abs=0.01)


@simulated
async def test_a_limit_that_is_lifted_holds_nobody_up(house: House) -> None:
    await set_rate(house, 0)
    await with_activities(house, 3)
    taking = spawn(taken_at(house, 3))
    await asyncio.sleep(7)
    await set_rate(house, 100)
    assert await taking == pytest.approx([7, 7, 7], abs=0.05)


@simulated
async def test_a_limit_that_cannot_be_written_is_not_set(house: House) -> None:
    house.faults.is_unavailable = True
    with pytest.raises(EngineUnavailable):
        await set_rate(house, 1)
    house.faults.is_unavailable = False
    view = await house.engine.describe_queue(NAMESPACE, "queue", ACTIVITY)
    assert view.configured_rate is None


@simulated
async def test_a_rate_that_is_no_number_limits_nothing_also_after_a_crash(house: House) -> None:
    await with_activities(house, 3)
    for rate in (float("inf"), float("nan")):
        await set_rate(house, rate)
    await house.crash()
    assert await taken_at(house, 3) == [0, 0, 0]
