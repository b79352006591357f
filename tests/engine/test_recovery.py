"""The process dies at once; another opens the same store. What was acknowledged is there, and goes
on."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.workflow import inputs
from perdure.server.store.ports import OutboxRow, StoreUnavailable
from tests.engine.house import NAMESPACE, House, simulated, spawn, turns
from tests.machines import requests


@simulated
async def test_a_task_on_offer_is_offered_after_a_crash(house: House) -> None:
    await house.start("w")
    await house.crash()
    task = await house.take()
    assert task.task.started_event_id == 3
    await house.complete(task, "done bye")
    assert (await house.types("w"))[-1] == "WORKFLOW_EXECUTION_COMPLETED"


@simulated
async def test_a_start_that_is_repeated_after_a_crash_gets_its_first_answer(house: House) -> None:
    first = await house.start("w")
    await house.crash()
    assert (await house.start("w")).run_id == first.run_id


@simulated
async def test_what_was_not_durable_never_was(house: House) -> None:
    await house.start("w")
    house.wire.hold()
    signalled = spawn(house.signal("w", request="r"))
    starting = spawn(house.start("x"))
    await turns()
    await house.crash()
    await turns()
    assert not signalled.done(), "nobody was told that it worked"
    assert not starting.done()
    assert (await house.run("w")).recorded.signals == 0
    with pytest.raises(NotFound):
        await house.run("x")
    await house.signal("w", request="r")
    assert (await house.run("w")).recorded.signals == 1


@simulated
async def test_acknowledged_signals_are_there_and_are_still_known(house: House) -> None:
    await house.start("w")
    for request in ("one", "two"):
        await house.signal("w", request=request)
    await house.crash()
    await house.signal("w", request="two")
    assert (await house.types("w")).count("WORKFLOW_EXECUTION_SIGNALED") == 2


@simulated
async def test_signals_that_were_buffered_are_recorded_after_a_crash(house: House) -> None:
    await house.start("w")
    task = await house.take()
    await house.signal("w", request="one")
    await house.crash()
    await house.complete(task, "marker m")
    types = await house.types("w")
    assert types[3:] == [
        "WORKFLOW_TASK_COMPLETED",
        "MARKER_RECORDED",
        "WORKFLOW_EXECUTION_SIGNALED",
        "WORKFLOW_TASK_SCHEDULED",
    ]


@simulated
async def test_timers_fire_after_a_crash_when_they_are_due(house: House) -> None:
    begin_ns = house.clock.now_ns()
    for name, length in (("soon", "5s"), ("later", "20m")):
        await house.start(name)
        await house.complete(await house.take(), f"timer t {length}")
    await house.crash()
    first = await house.take()
    assert first.task.token.workflow_id == "soon"
    assert 5 <= (house.clock.now_ns() - begin_ns) / SECOND_NS < 6
    await house.complete(first, "done bye")
    second = await house.poll(seconds=10_000)
    assert second is not None
    assert second.task.token.workflow_id == "later"
    assert 1200 <= (house.clock.now_ns() - begin_ns) / SECOND_NS < 1202


@simulated
async def test_a_timer_that_fell_due_while_nobody_ran_fires_at_once(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "timer t 5s")
    house.wire.cut()
    await asyncio.sleep(600)
    await house.open()
    before = asyncio.get_running_loop().time()
    await house.take()
    assert asyncio.get_running_loop().time() - before < 2


@simulated
async def test_a_worker_that_lived_on_can_complete_its_tasks(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "activity a")
    activity = await house.poll_activity()
    assert activity is not None
    await house.crash()
    await house.submit(
        "w", inputs.CompleteActivity(activity.task.token, requests.payloads("A"), "worker")
    )
    task = await house.take()
    await house.crash()
    await house.complete(task, "done bye")
    assert (await house.types("w"))[-1] == "WORKFLOW_EXECUTION_COMPLETED"


@simulated
async def test_a_worker_that_died_too_loses_its_task_to_the_timeout(house: House) -> None:
    await house.start("w")
    lost = await house.take()
    await house.crash()
    assert await house.poll(seconds=5) is None
    task = await house.take()
    assert task.task.attempt == 2
    with pytest.raises(NotFound):
        await house.complete(lost, "done stale")
    await house.complete(task, "done bye")


@simulated
async def test_who_waits_for_news_finds_it_with_the_next_process(house: House) -> None:
    await house.start("w")
    await house.crash()
    news = spawn(house.engine.wait_for_events(NAMESPACE, "w", "", 2, 600))
    await turns()
    await house.signal("w")
    await asyncio.wait_for(news, 1)


@simulated
async def test_histories_read_the_same_before_and_after(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "activity a; timer t 60s; marker m")
    await house.signal("w")
    before = await house.history("w")
    await house.crash()
    assert await house.history("w") == before


@simulated
async def test_a_chain_goes_on_after_a_crash(house: House) -> None:
    first = await house.start("w", retry="1s,2,10s,3")
    await house.complete(await house.take(), "fail once")
    await house.crash()
    task = await house.take()
    run = await house.run("w")
    assert run.recorded.attempt == 2
    assert run.recorded.first_execution_run_id == first.run_id
    await house.complete(task, "done bye")
    old = await house.engine.describe(NAMESPACE, "w", first.run_id)
    assert old.run.recorded.successor_run_id == run.recorded.run_id


@simulated
async def test_an_engine_that_cannot_be_opened_leaves_nothing_running(house: House) -> None:
    """Whoever tries again must not find another one at work."""
    await house.start("w")
    house.wire.cut()
    leftovers, outbox = house.faults.leftovers, house.faults.outbox

    async def fail() -> list[int]:
        await asyncio.sleep(0)
        raise StoreUnavailable("on purpose")

    async def take_long(after: int, limit: int) -> list[OutboxRow]:
        await asyncio.sleep(600)
        return []

    others = asyncio.all_tasks()
    house.faults.leftovers, house.faults.outbox = fail, take_long  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await house.open()
    house.faults.leftovers, house.faults.outbox = leftovers, outbox  # type: ignore[method-assign]
    assert asyncio.all_tasks() == others
    await house.open()
    assert (await house.take()).task.started_event_id == 3
