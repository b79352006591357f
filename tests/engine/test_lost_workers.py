"""The process dies, and all workers with it: what they held goes on at once."""

from __future__ import annotations

from tests.engine.house import House, simulated

SLEEPERS = 50
LATE_SECONDS = 7200
"""Longer than any timeout of these tasks."""


@simulated
async def test_a_workflow_task_is_on_offer_again_and_not_counted(house: House) -> None:
    await house.start("w")
    lost = await house.take()
    await house.crash(workers_are_dead=True)
    again = await house.take()
    assert again.task.attempt == lost.task.attempt == 1
    assert again.task.token != lost.task.token
    await house.complete(again, "done bye")
    assert "WORKFLOW_TASK_TIMED_OUT" not in await house.types("w")


@simulated
async def test_an_activity_counts_a_lost_attempt(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "activity a start_to_close=1h retry=1s,1,1s,9")
    assert await house.poll_activity() is not None
    await house.crash(workers_are_dead=True)
    again = await house.poll_activity()
    assert again is not None, "it waits for its timeout"
    assert again.task.attempt == 2


@simulated
async def test_what_ran_out_while_nobody_was_there_was_lost_first(house: House) -> None:
    await house.start("w")
    await house.take()
    house.clock.stall(LATE_SECONDS)
    await house.crash(workers_are_dead=True)
    assert (await house.take()).task.attempt == 1
    assert "WORKFLOW_TASK_TIMED_OUT" not in await house.types("w")


@simulated
async def test_without_that_knowledge_it_has_timed_out(house: House) -> None:
    await house.start("w")
    await house.take()
    house.clock.stall(LATE_SECONDS)
    await house.crash()
    assert (await house.take()).task.attempt == 2


@simulated
async def test_runs_that_only_sleep_are_not_read(house: House) -> None:
    for number in range(SLEEPERS):
        await house.start(f"sleeper {number}")
        await house.complete(await house.take(), "timer t 20m")
    await house.start("held")
    await house.take()
    await house.crash(workers_are_dead=True)
    in_memory = [key for key in house.engine.cache._executions if key[1] != "held"]
    assert in_memory == []
    assert (await house.take()).task.token.workflow_id == "held"
