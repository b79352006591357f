"""What operators do to activities, with the store and the queues around the decision."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.workflow import inputs
from tests.engine.house import House, simulated, spawn, turns
from tests.machines import operating, requests


def pause(activity_id: str) -> inputs.PauseActivity:
    return inputs.PauseActivity("", operating.pause([activity_id], {}))


def unpause(activity_id: str) -> inputs.UnpauseActivity:
    return inputs.UnpauseActivity("", operating.unpause([activity_id], {}), "seed")


async def scheduled(house: House, commands: str = "activity a") -> None:
    await house.start("w")
    await house.complete(await house.take(), commands)


@simulated
async def test_a_pause_survives_a_crash_and_so_does_its_end(house: House) -> None:
    await scheduled(house)
    await house.submit("w", pause("a"))
    await house.crash()
    assert await house.poll_activity(seconds=5) is None, "nobody gets it"
    await house.submit("w", unpause("a"))
    await house.crash()
    task = await house.poll_activity()
    assert task is not None
    assert task.task.attempt == 1


@simulated
async def test_a_pause_takes_the_task_from_a_queue_that_holds_it(house: House) -> None:
    await scheduled(house, "activity a; activity b")
    await turns()
    await house.submit("w", pause("a"))
    task = await house.poll_activity()
    assert task is not None
    run = await house.run("w")
    assert task.task.token.scheduled_event_id == run.activity_ids["b"]
    assert await house.poll_activity(seconds=5) is None


@simulated
async def test_a_waiting_poll_gets_what_is_unpaused(house: House) -> None:
    await scheduled(house)
    await house.submit("w", pause("a"))
    polling = spawn(house.poll_activity())
    await turns()
    assert not polling.done()
    await house.submit("w", unpause("a"))
    task = await polling
    assert task is not None


@simulated
async def test_another_queue_gets_the_task_that_was_on_offer(house: House) -> None:
    await scheduled(house)
    await turns()
    elsewhere = operating.update(["a"], {"queue": "elsewhere"})
    await house.submit("w", inputs.UpdateActivityOptions("", elsewhere))
    assert await house.poll_activity(seconds=5) is None
    back = operating.update(["a", "original"], {})
    await house.submit("w", inputs.UpdateActivityOptions("", back))
    assert await house.poll_activity() is not None


@simulated
async def test_jitter_ends_by_itself_also_after_a_crash(house: House) -> None:
    await scheduled(house)
    later = operating.reset(["a"], {"jitter": "20s"})
    await house.submit("w", inputs.ResetActivity("", later, "seed"))
    await house.crash()
    await asyncio.sleep(21)
    assert await house.poll_activity(seconds=1) is not None


@simulated
async def test_a_request_that_ends_a_run_at_its_limit_is_told_so_when_that_is_durable(
    house: House,
) -> None:
    await scheduled(house, "activity a heartbeat=60s start_to_close=60s")
    task = await house.poll_activity()
    assert task is not None
    token = task.task.token
    large = requests.payloads("x" * 9 * 1024 * 1024)
    with pytest.raises(InvalidArgument, match="mutable state size exceeds limit"):
        await house.submit("w", inputs.HeartbeatActivity(token, large, "worker"))
    await house.crash()
    assert (await house.types("w"))[-1] == "WORKFLOW_EXECUTION_TERMINATED"
    with pytest.raises(NotFound):
        await house.submit("w", inputs.HeartbeatActivity(token, None, "worker"))
