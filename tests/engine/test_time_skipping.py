"""Skipping time: to what is due, when nothing can happen before, and never otherwise.

The loop's time is what passes outside; the engine's clock is ahead of it by what was skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from temporalio.api.failure.v1 import Failure

from perdure.server.engine.clock import SkippingClock
from perdure.server.engine.time_skipping import (
    LATEST_NS,
    LOOK_SECONDS,
    SETTLE_SECONDS_MAX,
    TOLD_SECONDS,
    TimeSkipper,
)
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import SECOND_NS, Kind
from perdure.server.machines.workflow import inputs
from tests.engine.house import NAMESPACE, House, VirtualClock, VirtualLoop, spawn, turns
from tests.engine.test_queries import answer, take_query
from tests.machines import requests

DAY_NS = 24 * 3600 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS


class SkippingHouse:
    """A house whose clock skips, and a worker's hands."""

    def __init__(self) -> None:
        self.house = House()
        self.clock = SkippingClock(VirtualClock())
        self.house.clock = cast(VirtualClock, self.clock)
        self.swept: list[int] = []
        self.skipper: TimeSkipper

    async def open(self) -> None:
        """Open the engine, with time locked."""
        engine = await self.house.open()
        self.skipper = TimeSkipper(engine, self.clock, self._sweep)
        engine.time_skipper = self.skipper
        self.skipper.start()

    async def _sweep(self) -> None:
        self.swept.append(self.clock.now_ns())

    async def idle_workflow(self, name: str, commands: str) -> None:
        """Start a workflow, and complete its first task with commands."""
        await self.house.start(name)
        await self.house.complete(await self.house.take(), commands)


def skipping(test: Callable[[SkippingHouse], Awaitable[None]]) -> Callable[[], None]:
    """A test in virtual time, in which hardly any may pass."""

    async def main() -> None:
        house = SkippingHouse()
        await house.open()
        await test(house)
        assert house.house.engine.recorder.violations == 0
        await house.house.engine.close()

    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())

    run.__name__ = getattr(test, "__name__", "test")
    return run


async def _passed(seconds: float) -> None:
    await asyncio.sleep(seconds)


@skipping
async def test_time_is_locked_at_first(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "timer t 10s")
    begin_ns = it.clock.now_ns()
    await _passed(5)
    assert it.clock.now_ns() - begin_ns == 5 * SECOND_NS
    assert "TIMER_FIRED" not in await it.house.types("w")


@skipping
async def test_unlocked_time_skips_to_each_timer(it: SkippingHouse) -> None:
    loop = asyncio.get_running_loop()
    await it.idle_workflow("w", "timer t 86400s")
    begin_ns, begin = it.clock.now_ns(), loop.time()
    it.skipper.unlock()
    task = await it.house.take()
    assert DAY_NS <= it.clock.now_ns() - begin_ns < DAY_NS + SECOND_NS
    await it.house.complete(task, "timer u 3600s")
    await it.house.take()
    assert it.clock.now_ns() - begin_ns >= DAY_NS + HOUR_NS
    assert loop.time() - begin < 1


@skipping
async def test_time_does_not_skip_while_a_workflow_task_is_on_offer_or_taken(
    it: SkippingHouse,
) -> None:
    await it.idle_workflow("w", "timer t 86400s")
    await it.house.start("busy")
    it.skipper.unlock()
    begin_ns = it.clock.now_ns()
    await _passed(3)
    task = await it.house.take()
    await _passed(3)
    assert it.clock.now_ns() - begin_ns < 7 * SECOND_NS
    await it.house.complete(task, "")
    await it.house.take()
    assert it.clock.now_ns() - begin_ns >= DAY_NS


@skipping
async def test_time_does_not_skip_while_an_activity_is_on_offer_or_taken(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "timer t 86400s; activity a start_to_close=60s")
    it.skipper.unlock()
    begin_ns = it.clock.now_ns()
    await _passed(3)
    found = await it.house.poll_activity()
    await _passed(3)
    assert it.clock.now_ns() - begin_ns < 7 * SECOND_NS
    assert found is not None


@skipping
async def test_an_activity_that_sleeps_skips_time_to_its_own_timeout(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "activity a start_to_close=3600s heartbeat=60s retry=1s,1,1s,1")
    assert await it.house.poll_activity() is not None
    it.skipper.unlock()
    begin_ns = it.clock.now_ns()
    sleeping = spawn(it.skipper.unlock_with_sleep(120 * SECOND_NS))
    task = await it.house.take()
    assert 60 * SECOND_NS <= it.clock.now_ns() - begin_ns < 62 * SECOND_NS
    assert "ACTIVITY_TASK_TIMED_OUT" in await it.house.types("w")
    await it.house.complete(task, "done")
    await sleeping
    assert 120 * SECOND_NS <= it.clock.now_ns() - begin_ns < 122 * SECOND_NS


@skipping
async def test_the_backoff_of_an_activity_is_skipped(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "activity a start_to_close=60s retry=3600s,1,3600s,3")
    found = await it.house.poll_activity()
    assert found is not None
    it.skipper.unlock()
    begin_ns = it.clock.now_ns()
    await it.house.submit("w", inputs.FailActivity(found.task.token, Failure(), "worker"))
    assert await it.house.poll_activity() is not None
    assert HOUR_NS <= it.clock.now_ns() - begin_ns < HOUR_NS + SECOND_NS


@skipping
async def test_a_timer_that_was_canceled_is_not_skipped_to(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "timer t 60s; timer u 86400s")
    await it.house.signal("w")
    await it.house.complete(await it.house.take(), "cancel_timer t")
    begin_ns = it.clock.now_ns()
    it.skipper.unlock()
    await it.house.take()
    assert it.clock.now_ns() - begin_ns > DAY_NS - SECOND_NS
    assert it.house.engine.wakeups.stalls == 0


@skipping
async def test_a_sleep_ends_when_what_is_due_with_it_is_done(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "timer t 60s")
    begin_ns = it.clock.now_ns()
    sleeping = spawn(it.skipper.unlock_with_sleep(60 * SECOND_NS))
    task = await it.house.take()
    await turns()
    assert not sleeping.done()
    await it.house.complete(task, "done")
    await sleeping
    assert it.clock.now_ns() - begin_ns < 61 * SECOND_NS
    assert it.swept[-1] - begin_ns >= 60 * SECOND_NS


@skipping
async def test_a_sleep_does_not_wait_for_workers_that_are_not_there(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "timer t 60s")
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await it.skipper.unlock_with_sleep(60 * SECOND_NS)
    assert SETTLE_SECONDS_MAX <= loop.time() - begin < SETTLE_SECONDS_MAX + 1
    assert "TIMER_FIRED" in await it.house.types("w")


@skipping
async def test_a_sleep_passes_a_task_that_nobody_takes_when_a_result_is_awaited_too(
    it: SkippingHouse,
) -> None:
    loop = asyncio.get_running_loop()
    await it.house.start("w")
    sleeping = spawn(it.skipper.unlock_with_sleep(HOUR_NS))
    await _passed(3 * SETTLE_SECONDS_MAX)
    assert not sleeping.done()
    begin, begin_ns = loop.time(), it.clock.now_ns()
    it.skipper.unlock()
    await sleeping
    assert loop.time() - begin <= 2 * SETTLE_SECONDS_MAX + 1
    assert it.clock.now_ns() - begin_ns >= HOUR_NS - 5 * SECOND_NS


@skipping
async def test_a_sleep_waits_for_a_task_that_a_worker_has_when_a_result_is_awaited_too(
    it: SkippingHouse,
) -> None:
    await it.house.start("w")
    it.skipper.unlock()
    sleeping = spawn(it.skipper.unlock_with_sleep(HOUR_NS))
    begin_ns = it.clock.now_ns()
    await _passed(SETTLE_SECONDS_MAX / 2)
    await it.house.complete(await it.house.take(), "timer t 600s")
    assert it.clock.now_ns() - begin_ns < SECOND_NS
    await it.house.complete(await it.house.take(), "done")
    await sleeping
    assert it.clock.now_ns() - begin_ns < HOUR_NS + 5 * SECOND_NS


@skipping
async def test_a_sleep_takes_its_time_while_time_is_locked(it: SkippingHouse) -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await it.skipper.sleep(5 * SECOND_NS)
    assert 4.9 < loop.time() - begin < 5.1
    it.skipper.unlock()
    await it.skipper.sleep_until(it.clock.now_ns() + DAY_NS)
    assert loop.time() - begin < 6


@skipping
async def test_two_locks_need_two_unlocks(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "timer t 86400s")
    it.skipper.lock()
    it.skipper.unlock()
    begin_ns = it.clock.now_ns()
    await _passed(3)
    assert it.clock.now_ns() - begin_ns == 3 * SECOND_NS
    it.skipper.unlock()
    await it.house.complete(await it.house.take(), "done")


@skipping
async def test_who_unlocks_what_is_not_locked_locks_it_again_for_himself_only(
    it: SkippingHouse,
) -> None:
    await it.idle_workflow("w", "timer t 86400s; timer u 172800s")
    it.skipper.unlock()
    it.skipper.unlock()
    await it.skipper.unlock_with_sleep(HOUR_NS)
    it.skipper.lock()
    await it.house.complete(await it.house.take(), "")
    it.skipper.lock()
    begin_ns = it.clock.now_ns()
    await _passed(3)
    assert it.clock.now_ns() - begin_ns == 3 * SECOND_NS


@skipping
async def test_time_skips_again_as_soon_as_those_who_were_told_had_time_to_lock_it(
    it: SkippingHouse,
) -> None:
    await it.idle_workflow("one", "timer t 86400s")
    await it.idle_workflow("two", "timer t 172800s")
    engine = it.house.engine
    execution = await engine.pipeline.execution(NAMESPACE, "one", Kind.WORKFLOW)
    waiting = spawn(engine.waiters.wait(execution, 3600))
    it.skipper.unlock()
    await it.house.complete(await it.house.take(), "done")
    begin = asyncio.get_running_loop().time()
    await waiting
    await it.house.take()
    assert asyncio.get_running_loop().time() - begin <= TOLD_SECONDS + LOOK_SECONDS


@skipping
async def test_a_sleep_that_is_given_up_locks_time_again(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "timer t 86400s; activity a start_to_close=60s")
    sleeping = spawn(it.skipper.unlock_with_sleep(HOUR_NS))
    await _passed(1)
    sleeping.cancel()
    found = await it.house.poll_activity()
    assert found is not None
    begin_ns = it.clock.now_ns()
    await _passed(3)
    assert it.clock.now_ns() - begin_ns == 3 * SECOND_NS
    assert not it.skipper._sleepers


@skipping
async def test_nothing_skips_further_than_times_reach(it: SkippingHouse) -> None:
    it.skipper.unlock()
    with pytest.raises(InvalidArgument):
        await it.skipper.sleep_until(LATEST_NS + 1)
    assert not it.skipper._sleepers


@skipping
async def test_a_query_that_waits_keeps_time_from_skipping(it: SkippingHouse) -> None:
    await it.idle_workflow("w", "timer t 86400s")
    message = inputs.QueryWorkflow("", requests.query("q"))
    asking = spawn(it.house.engine.query(NAMESPACE, "w", message, 60))
    await turns()
    it.skipper.unlock()
    begin_ns = it.clock.now_ns()
    await _passed(2)
    assert it.clock.now_ns() - begin_ns == 2 * SECOND_NS
    answer(it.house, await take_query(it.house), "yes")
    await asking
    await it.house.take()
    assert it.clock.now_ns() - begin_ns >= DAY_NS
