"""What becomes of those who wait when their commit fails, and that the others do not notice."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.engine.api import EngineUnavailable
from perdure.server.store.faulty import Fault
from tests.engine.house import House, none_done, simulated, spawn, turns


@simulated
async def test_a_poisoned_write_fails_alone(house: House) -> None:
    house.faults.poisoned_workflow_ids.add("bad")
    answers = await asyncio.gather(
        house.start("good"), house.start("bad"), house.start("fine"), return_exceptions=True
    )
    assert len(house.wire.commits) == 1, "they share a commit"
    assert isinstance(answers[1], EngineUnavailable)
    assert await house.types("good") == ["WORKFLOW_EXECUTION_STARTED", "WORKFLOW_TASK_SCHEDULED"]
    await house.signal("fine")
    house.faults.poisoned_workflow_ids.clear()
    assert (await house.start("bad")).is_new, "nothing of the first try was kept"


@simulated
async def test_what_was_decided_on_top_of_a_poisoned_write_falls_with_it(house: House) -> None:
    await house.start("w")
    await house.start("other")
    house.faults.poisoned_workflow_ids.add("w")
    house.wire.hold()
    first = spawn(house.signal("w", request="one"))
    await turns()
    second = spawn(house.signal("w", request="two"))
    beside = spawn(house.signal("other"))
    described = spawn(house.run("w"))
    await asyncio.sleep(60)
    assert none_done([first, second, beside, described])
    house.faults.poisoned_workflow_ids.clear()
    house.faults.poisoned_workflow_ids.add("w")
    house.wire.release()
    for lost in (first, second):
        with pytest.raises(EngineUnavailable):
            await lost
    await beside
    assert (await described).recorded.signals == 0, "described from the store"
    house.faults.poisoned_workflow_ids.clear()
    await house.signal("w", request="one")
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 1


@simulated
async def test_the_poll_of_a_poisoned_task_waits_on_and_gets_the_next(house: House) -> None:
    polled = spawn(house.poll(seconds=600))
    await turns()
    house.faults.poisoned_workflow_ids.add("bad")
    with pytest.raises(EngineUnavailable):
        await house.start("bad")
    await turns()
    assert not polled.done()
    await house.start("good")
    task = await polled
    assert task is not None
    assert task.task.token.workflow_id == "good"


@simulated
async def test_a_stored_task_whose_start_is_poisoned_is_found_again(house: House) -> None:
    await house.start("w")
    house.faults.poisoned_workflow_ids.add("w")
    polled = spawn(house.poll(seconds=600))
    await asyncio.sleep(60)
    assert not polled.done()
    assert len(house.wire.commits) < 1000, "what cannot be written is tried with pauses"
    house.faults.poisoned_workflow_ids.clear()
    task = await polled
    assert task is not None
    assert task.task.token.workflow_id == "w"
    assert (await house.types("w")).count("WORKFLOW_TASK_STARTED") == 1


@simulated
async def test_a_poisoned_task_does_not_keep_those_behind_it_from_their_polls(house: House) -> None:
    await house.start("bad")
    await house.start("good", request="2")
    house.faults.poisoned_workflow_ids.add("bad")
    assert (await house.take()).task.token.workflow_id == "good"


@simulated
async def test_a_store_that_cannot_be_written_fails_those_who_wait_and_no_others(
    house: House,
) -> None:
    await house.start("w")
    house.faults.play([Fault.UNAVAILABLE])
    with pytest.raises(EngineUnavailable):
        await house.signal("w", request="r")
    await house.signal("w", request="r")
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 1


@simulated
async def test_a_store_that_cannot_be_read_fails_whoever_needs_it(house: House) -> None:
    house.faults.is_unavailable = True
    with pytest.raises(EngineUnavailable):
        await house.start("w")
    house.faults.is_unavailable = False
    assert (await house.start("w")).is_new


@simulated
async def test_a_commit_of_unknown_outcome_that_landed_is_acknowledged(house: House) -> None:
    house.faults.play([Fault.UNKNOWN_DONE])
    started = await house.start("w")
    assert started.is_new
    await house.signal("w")
    assert (await house.types("w"))[-1] == "WORKFLOW_EXECUTION_SIGNALED"
    assert (await house.run("w")).recorded.run_id == started.run_id


@simulated
async def test_a_commit_of_unknown_outcome_that_was_lost_is_not(house: House) -> None:
    await house.start("w")
    house.faults.play([Fault.UNKNOWN_LOST])
    with pytest.raises(EngineUnavailable):
        await house.signal("w", request="r")
    assert (await house.run("w")).recorded.signals == 0
    await house.signal("w", request="r")
    assert (await house.run("w")).recorded.signals == 1


@simulated
async def test_an_unknown_commit_of_many_is_told_apart_write_by_write(house: House) -> None:
    house.faults.poisoned_workflow_ids.add("bad")
    house.faults.play([Fault.UNKNOWN_DONE])
    answers = await asyncio.gather(house.start("good"), house.start("bad"), return_exceptions=True)
    assert not isinstance(answers[0], BaseException)
    assert isinstance(answers[1], EngineUnavailable)


@simulated
async def test_nothing_is_answered_until_the_store_can_say_what_became_of_a_commit(
    house: House,
) -> None:
    house.wire.hold()
    starting = spawn(house.start("w"))
    await turns()
    house.faults.play([Fault.UNKNOWN_DONE])
    house.wire.release()
    await turns(1)
    house.faults.is_unavailable = False
    assert (await starting).is_new


@simulated
async def test_an_engine_that_has_lost_its_shard_says_so_once_and_writes_no_more(
    house: House,
) -> None:
    await house.start("w")
    old_engine = house.engine
    await house.open()
    house.engine = old_engine
    with pytest.raises(EngineUnavailable):
        await house.signal("w")
    assert house.leases_lost == 1
    with pytest.raises(Exception, match="stopped"):
        await house.signal("w")
    assert house.leases_lost == 1
