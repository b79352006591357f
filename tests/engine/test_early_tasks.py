"""A worker in the engine's own process is given workflow tasks before their start is durable: what
it may know then, and that nobody else learns of it."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.engine.api import EngineUnavailable
from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow.inputs import WorkflowTaskUndelivered
from tests.engine.house import House, none_done, simulated, spawn, turns


@simulated
async def test_a_start_and_the_answer_to_its_first_task_share_a_commit(house: House) -> None:
    polled = spawn(house.poll(takes_early=True))
    await turns()
    house.wire.hold()
    starting = spawn(house.start("w"))
    task = await polled
    assert task is not None
    completing = spawn(house.complete(task, "done"))
    await asyncio.sleep(60)
    assert none_done([starting, completing])
    house.wire.release()
    await asyncio.gather(starting, completing)
    assert len(house.wire.commits) == 1
    assert not (await house.run("w")).is_open


@simulated
async def test_other_workers_wait_for_the_commit(house: House) -> None:
    polled = spawn(house.poll())
    await turns()
    house.wire.hold()
    starting = spawn(house.start("w"))
    await asyncio.sleep(20)
    assert none_done([polled, starting])
    house.wire.release()
    assert await polled is not None


@simulated
async def test_the_commit_does_not_wait_for_a_worker_that_takes_its_time(house: House) -> None:
    polled = spawn(house.poll(takes_early=True))
    await turns()
    await house.start("w")
    task = await polled
    assert task is not None
    await asyncio.sleep(1)
    await house.complete(task, "done")
    assert len(house.wire.commits) == 2


@simulated
async def test_an_activity_waits_for_the_commit(house: House) -> None:
    polled, activity = spawn(house.poll(takes_early=True)), spawn(house.poll_activity(600))
    await turns()
    house.wire.hold()
    starting = spawn(house.start("w"))
    task = await polled
    assert task is not None
    completing = spawn(house.complete(task, "activity a start_to_close=1h"))
    await asyncio.sleep(60)
    assert none_done([starting, completing, activity])
    house.wire.release()
    assert await activity is not None


@simulated
async def test_the_answer_to_a_task_whose_start_was_lost_fits_no_other_start(
    house: House,
) -> None:
    await house.start("w")
    await house.complete(await house.take(), "")
    polled = spawn(house.poll(takes_early=True))
    await turns()
    house.faults.poisoned_workflow_ids.add("w")
    with pytest.raises(EngineUnavailable):
        await house.signal("w", request="lost")
    lost = await polled
    assert lost is not None
    house.faults.poisoned_workflow_ids.clear()
    await house.signal("w", request="kept")
    kept = await house.take()
    one, other = lost.task.token, kept.task.token
    assert one.scheduled_event_id == other.scheduled_event_id
    assert (one.attempt, one.stamp) == (other.attempt, other.stamp)
    with pytest.raises(NotFound):
        await house.complete(lost, "done")
    await house.complete(kept, "done")
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 1


@simulated
async def test_a_stored_task_whose_early_start_was_lost_is_found_again(house: House) -> None:
    await house.start("w")
    house.faults.poisoned_workflow_ids.add("w")
    lost = await house.poll(takes_early=True)
    assert lost is not None
    with pytest.raises(EngineUnavailable):
        await house.complete(lost, "done")
    house.faults.poisoned_workflow_ids.clear()
    assert (await house.take()).task.token.workflow_id == "w"
    with pytest.raises(NotFound):
        await house.complete(lost, "done")


@simulated
async def test_a_loss_of_another_start_takes_no_task_back(house: House) -> None:
    await house.start("w")
    task = await house.take()
    token = task.task.token
    with pytest.raises(NotFound):
        await house.submit("w", WorkflowTaskUndelivered(token.run_id, token.stamp, "another"))
    await house.complete(task, "done")
