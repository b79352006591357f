"""What is in memory is a copy: it may go, unless somebody holds on to it."""

from __future__ import annotations

import asyncio

from tests.engine.house import NAMESPACE, House, none_done, simulated, spawn, turns


@simulated
async def test_workflows_that_left_memory_go_on_from_the_store(house: House) -> None:
    await house.open(executions_max=2)
    names = [f"w{number}" for number in range(8)]
    for name in names:
        await house.start(name)
    assert len(house.engine.cache) <= 2
    for _ in names:
        await house.complete(await house.take(), "timer t 5s")
    assert len(house.engine.cache) <= 2
    for _ in names:
        await house.complete(await house.take(), "done bye")
    for name in names:
        assert (await house.types(name))[-1] == "WORKFLOW_EXECUTION_COMPLETED"


@simulated
async def test_whatever_has_a_waiter_stays_in_memory(house: House) -> None:
    await house.open(executions_max=1)
    await house.start("watched")
    news = spawn(house.engine.wait_for_events(NAMESPACE, "watched", "", 2, 600))
    await turns()
    for number in range(20):
        await house.start(f"w{number}")
    assert len(house.engine.cache) <= 2
    await house.signal("watched")
    await asyncio.wait_for(news, 1)


@simulated
async def test_whatever_is_being_written_stays_in_memory(house: House) -> None:
    await house.open(executions_max=1)
    house.wire.hold()
    starting = [spawn(house.start(f"w{number}")) for number in range(10)]
    await turns()
    again = [spawn(house.start(f"w{number}")) for number in range(10)]
    await turns()
    assert none_done([*starting, *again])
    assert len(house.engine.cache) == 10
    house.wire.release()
    first, second = await asyncio.gather(*starting), await asyncio.gather(*again)
    assert [one.run_id for one in first] == [two.run_id for two in second]
    await house.start("more")
    await house.start("and more")
    assert len(house.engine.cache) < 10
