"""Deadlines: near and far, in memory and not, and after the server stood still."""

from __future__ import annotations

import asyncio

import pytest

from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import SECOND_NS
from perdure.server.store.faulty import Fault
from tests.engine.house import House, simulated, spawn, turns


async def _elapsed(house: House, begin_ns: int) -> float:
    task = await house.poll(seconds=10_000)
    assert task is not None
    return (house.clock.now_ns() - begin_ns) / SECOND_NS


@simulated
async def test_a_timer_fires_when_it_is_due(house: House) -> None:
    await house.start("w")
    begin_ns = house.clock.now_ns()
    await house.complete(await house.take(), "timer t 5s")
    assert 5 <= await _elapsed(house, begin_ns) < 5.5
    fired = next(e for e in await house.history("w") if e.HasField("timer_fired_event_attributes"))
    assert fired.event_time.ToNanoseconds() >= begin_ns + 5 * SECOND_NS


@simulated
async def test_a_timer_beyond_the_horizon_is_not_in_memory_and_fires_in_time(house: House) -> None:
    await house.start("w")
    begin_ns = house.clock.now_ns()
    await house.complete(await house.take(), "timer t 20m")
    await asyncio.sleep(15)
    assert not house.engine.wakeups._armed
    assert 1200 <= await _elapsed(house, begin_ns) < 1201


@simulated
async def test_what_is_armed_while_the_store_is_read_fires_in_time(house: House) -> None:
    read = house.faults.due

    async def slowly(shard: int, until_ns: int, limit: int) -> list[tuple[int, int]]:
        rows = await read(shard, until_ns, limit)
        await asyncio.sleep(2)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.faults, "due", slowly)
        await house.crash()
        await house.start("w")
        begin_ns = house.clock.now_ns()
        await house.complete(await house.take(), "timer t 1s")
        assert await _elapsed(house, begin_ns) < 4


@simulated
async def test_a_nearer_deadline_replaces_a_farther_one(house: House) -> None:
    await house.start("w", run_timeout="300s")
    await house.complete(await house.take(), "timer t 20s")
    await house.signal("w")
    begin_ns = house.clock.now_ns()
    await house.complete(await house.take(), "timer u 5s; cancel_timer t")
    assert 5 <= await _elapsed(house, begin_ns) < 5.5


@simulated
async def test_a_wake_up_that_cannot_be_written_is_tried_again(house: House) -> None:
    await house.start("w")
    await house.complete(await house.take(), "timer t 5s")
    house.faults.play([Fault.UNAVAILABLE] * 3)
    assert await house.poll() is not None
    assert (await house.types("w")).count("TIMER_FIRED") == 1


@simulated
async def test_a_start_delay_is_kept(house: House) -> None:
    begin_ns = house.clock.now_ns()
    await house.start("w", delay="90s")
    assert 90 <= await _elapsed(house, begin_ns) < 91


@simulated
async def test_work_that_was_done_before_a_stall_does_not_time_out(house: House) -> None:
    await house.start("w")
    task = await house.take()
    await asyncio.sleep(1)
    house.clock.stall(15)
    await asyncio.sleep(0.4)
    await house.complete(task, "done bye")
    assert house.engine.wakeups.stalls == 1
    assert (await house.types("w"))[-2:] == [
        "WORKFLOW_TASK_COMPLETED",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]


@simulated
async def test_work_that_was_not_done_times_out_soon_after_a_stall(house: House) -> None:
    await house.start("w")
    task = await house.take()
    await asyncio.sleep(1)
    house.clock.stall(15)
    await asyncio.sleep(3)
    assert "WORKFLOW_TASK_TIMED_OUT" in await house.types("w")
    with pytest.raises(NotFound):
        await house.complete(task, "done bye")


@simulated
async def test_many_deadlines_of_one_moment_are_all_met(house: House) -> None:
    names = [f"w{number}" for number in range(50)]
    for name in names:
        await house.start(name, run_timeout="30s")
    polled = [spawn(house.poll(seconds=5)) for _ in names]
    await turns()
    assert all(await asyncio.gather(*polled))
    await asyncio.sleep(31)
    for name in names:
        assert (await house.types(name))[-1] == "WORKFLOW_EXECUTION_TIMED_OUT"
