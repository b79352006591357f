"""Deletions through the shell: gone at once, for good, and whole."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.engine.api import EngineUnavailable
from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import Address, Kind
from perdure.server.store.faulty import Fault
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns
from tests.engine.test_resets import begin, reset


async def delete(house: House, run_id: str = "") -> None:
    """Delete a run of "w"."""
    await house.engine.delete(NAMESPACE, Address(Kind.WORKFLOW, "w"), run_id)


async def check_gone(house: House, run_id: str = "") -> None:
    """Nobody finds it."""
    with pytest.raises(NotFound):
        await house.engine.describe(NAMESPACE, "w", run_id)
    with pytest.raises(NotFound):
        await house.engine.read_history(NAMESPACE, "w", run_id, first_event_id=1, events_max=9)
    with pytest.raises(NotFound):
        await delete(house, run_id)


@simulated
async def test_a_closed_run_is_gone_also_after_a_crash_and_its_id_is_free(house: House) -> None:
    run_id = await begin(house, "done bye")
    await delete(house)
    await check_gone(house)
    await check_gone(house, run_id)
    await house.crash()
    await check_gone(house, run_id)
    again = await house.start("w", request="start done bye")
    assert again.run_id != run_id
    await house.complete(await house.take(), "done bye")


@simulated
async def test_an_open_run_is_gone_with_its_tasks_and_its_wake_up(house: House) -> None:
    await begin(house, "timer t 5s; activity a")
    await house.signal("w", request="one")
    task = await house.take()
    await delete(house)
    await check_gone(house)
    with pytest.raises(NotFound):
        await house.complete(task, "done bye")
    assert await house.poll(seconds=20) is None, "the timer fires for nobody"
    assert await house.poll_activity(seconds=1) is None
    assert await house.faults.queues_with_backlog() == []
    assert await house.faults.next_wake(1) is None


@simulated
async def test_a_waiting_reader_is_told_that_it_is_gone(house: House) -> None:
    await begin(house)
    waiting = spawn(house.engine.wait_for_events(NAMESPACE, "w", "", 99, 20.0))
    await turns()
    await delete(house)
    with pytest.raises(NotFound):
        await waiting


@simulated
async def test_an_earlier_run_goes_and_the_current_one_stays(house: House) -> None:
    first = await begin(house, "done bye")
    second = (await house.start("w", request="second")).run_id
    await delete(house, first)
    await check_gone(house, first)
    assert (await house.run("w")).recorded.run_id == second
    await house.complete(await house.take(), "done bye")
    await house.crash()
    await check_gone(house, first)
    assert (await house.types("w"))[-1] == "WORKFLOW_EXECUTION_COMPLETED"


@simulated
async def test_an_earlier_run_that_goes_while_the_current_one_moves_harms_nothing(
    house: House,
) -> None:
    first = await begin(house, "done bye")
    await house.start("w", request="second")
    house.wire.hold()
    before = spawn(house.signal("w", request="before"))
    await turns()
    deleting = spawn(delete(house, first))
    await turns()
    after = spawn(house.signal("w", request="after"))
    await turns()
    house.wire.release()
    await asyncio.gather(before, deleting, after)
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 2
    await house.crash()
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 2


@simulated
async def test_an_earlier_run_stays_when_the_current_one_goes(house: House) -> None:
    first = await begin(house, "done bye")
    second = (await house.start("w", request="second")).run_id
    await delete(house)
    await check_gone(house, second)
    with pytest.raises(NotFound):
        await house.run("w")
    described = await house.engine.describe(NAMESPACE, "w", first)
    assert described.run.recorded.run_id == first
    await delete(house, first)
    await check_gone(house, first)


@simulated
async def test_records_and_history_are_cleared_also_when_a_crash_comes_between(
    house: House,
) -> None:
    await begin(house)
    for number in range(3):
        await house.signal("w", request=f"signal {number}")
    deleting = spawn(delete(house))
    for _ in range(100):
        if await house.faults.leftovers():
            break
        await asyncio.sleep(0)
    assert await house.faults.leftovers()
    await house.crash()
    await turns()
    assert await house.faults.leftovers() == []
    await check_gone(house)
    deleting.cancel()


@simulated
async def test_a_deletion_whose_commit_is_lost_has_not_happened(house: House) -> None:
    run_id = await begin(house)
    house.faults.play([Fault.UNAVAILABLE])
    with pytest.raises(EngineUnavailable):
        await delete(house)
    assert (await house.run("w")).recorded.run_id == run_id
    await delete(house)
    await check_gone(house)


@simulated
async def test_a_deletion_of_unknown_outcome_is_found_out(house: House) -> None:
    await begin(house)
    house.faults.play([Fault.UNKNOWN_DONE])
    await delete(house)
    await check_gone(house)
    await begin(house)
    house.faults.play([Fault.UNKNOWN_LOST])
    with pytest.raises(EngineUnavailable):
        await delete(house)
    assert (await house.run("w")).is_open


@simulated
async def test_what_comes_with_a_deletion_meets_a_new_workflow(house: House) -> None:
    old = await begin(house)
    house.wire.hold()
    deleting = spawn(delete(house))
    await turns()
    starting = spawn(house.start("w", request="new"))
    await turns()
    signalling = spawn(house.signal("w", request="one"))
    await turns()
    house.wire.release()
    await asyncio.gather(deleting, starting, signalling)
    run = await house.run("w")
    assert run.recorded.run_id == starting.result().run_id != old
    assert run.recorded.signals == 1
    await house.crash()
    assert (await house.run("w")).recorded.signals == 1


@simulated
async def test_the_run_that_was_reset_can_be_deleted_and_the_new_one_goes_on(house: House) -> None:
    first = await begin(house)
    second = await reset(house, 4)
    await delete(house, first)
    await check_gone(house, first)
    await house.complete(await house.take(), "done bye")
    await house.crash()
    assert (await house.run("w")).recorded.run_id == second
    assert len(await house.types("w")) == 8
