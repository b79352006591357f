"""The simulated loop: virtual time, asyncio's order, processes that die."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from sim.clock import EPOCH_NS, SECOND_NS, SimulatedClock
from sim.loop import Deadlock, Process, SimulatedLoop


@pytest.fixture
def loop() -> SimulatedLoop:
    return SimulatedLoop(random.Random(1))


def test_time_jumps_to_the_next_timer(loop: SimulatedLoop) -> None:
    began = time.perf_counter()
    loop.run_until_complete(asyncio.sleep(3_600))
    assert loop.time() >= 3_600
    assert time.perf_counter() - began < 60
    loop.bury()


def test_callbacks_of_one_process_keep_their_order(loop: SimulatedLoop) -> None:
    seen: list[int] = []

    async def main() -> None:
        for number in range(50):
            asyncio.get_running_loop().call_soon(seen.append, number)
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert seen == list(range(50))
    loop.bury()


def test_processes_take_turns_in_an_order_of_the_seed() -> None:
    orders = set()
    for seed in range(10):
        loop = SimulatedLoop(random.Random(seed))
        seen: list[str] = []

        async def work(name: str, seen: list[str] = seen) -> None:
            for _ in range(3):
                seen.append(name)
                await asyncio.sleep(0)

        for name in "ab":
            loop.spawn(Process(name), work(name))
        loop.run_until_complete(asyncio.sleep(1))
        orders.add("".join(seen))
        loop.bury()
    assert len(orders) > 3


def test_nothing_of_a_killed_process_runs_afterwards(loop: SimulatedLoop) -> None:
    seen: list[str] = []
    process = Process("victim")

    async def victim() -> None:
        try:
            await asyncio.sleep(1)
            seen.append("went on")
        finally:
            seen.append("cleaned up")

    async def main() -> None:
        loop.spawn(process, victim())
        await asyncio.sleep(0.5)
        loop.kill(process)
        await asyncio.sleep(5)
        assert seen == []

    loop.run_until_complete(main())
    loop.bury()


def test_a_process_dies_after_the_steps_that_it_was_given(loop: SimulatedLoop) -> None:
    process = Process("victim")
    steps = []

    async def victim() -> None:
        while True:
            steps.append(loop.time())
            await asyncio.sleep(0.1)

    async def main() -> None:
        loop.kill_after(process, 3, lambda: loop.kill(process))
        loop.spawn(process, victim())
        await asyncio.sleep(60)

    loop.run_until_complete(main())
    assert 1 <= len(steps) <= 3
    loop.bury()


def test_a_deadlock_is_reported(loop: SimulatedLoop) -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    task = loop.create_task(forever())
    with pytest.raises(Deadlock):
        loop.run_until_complete(task)
    loop.bury()


def test_wall_time_jumps_forward_and_stands_still_but_never_goes_back(loop: SimulatedLoop) -> None:
    clock = SimulatedClock(loop)
    assert clock.now_ns() == EPOCH_NS
    clock.shift(5)
    assert clock.now_ns() == EPOCH_NS + 5 * SECOND_NS
    clock.shift(-3)
    loop.run_until_complete(asyncio.sleep(2))
    assert clock.now_ns() == EPOCH_NS + 5 * SECOND_NS
    loop.run_until_complete(asyncio.sleep(2))
    assert clock.now_ns() > EPOCH_NS + 5 * SECOND_NS
    loop.bury()
