"""Deadlines that share timers: who is told, and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine

import pytest

from perdure.transport import Caller, CallFailed, Code, InProcessTransport
from perdure.transport.deadlines import SHARED_SECONDS_MIN, Deadlines
from sim.loop import SimulatedLoop


def in_virtual_time(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run where time jumps."""
    loop = SimulatedLoop(random.Random(1))
    loop.run_until_complete(work())
    loop.bury()


@pytest.mark.parametrize("seconds", [0.5, SHARED_SECONDS_MIN, 69.9])
def test_a_call_is_told_at_its_deadline_or_up_to_a_second_late(seconds: float) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[float] = loop.create_future()
        deadlines: Deadlines[str] = Deadlines(lambda _: told.set_result(loop.time()))
        began = loop.time()
        deadlines.add("call", seconds)
        waited = await told - began
        assert seconds <= waited <= seconds + (1.1 if seconds >= SHARED_SECONDS_MIN else 0.1)

    in_virtual_time(work)


def test_only_the_calls_that_are_left_are_told() -> None:
    async def work() -> None:
        told: list[int] = []
        deadlines: Deadlines[int] = Deadlines(told.append)
        watched = {
            number: deadlines.add(number, seconds)
            for number, seconds in enumerate((1, 1, 10, 10, 10, 20))
        }
        for over in (0, 3):
            watched[over].discard(over)
        await asyncio.sleep(30)
        assert told[0] == 1
        assert sorted(told[1:3]) == [2, 4]
        assert told[3:] == [5]

    in_virtual_time(work)


async def forever(request: bytes, caller: Caller) -> bytes:
    """A handler that is never done."""
    await asyncio.get_running_loop().create_future()
    return b""


@pytest.mark.parametrize("seconds", [1.0, 30.0])
def test_a_call_within_the_process_ends_at_its_deadline(seconds: float) -> None:
    async def work() -> None:
        transport = InProcessTransport({"/s/forever": forever})
        with pytest.raises(CallFailed) as caught:
            await transport.call("/s/forever", b"", None, seconds)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    in_virtual_time(work)


def test_who_is_cancelled_at_the_deadline_is_cancelled() -> None:
    async def work() -> None:
        transport = InProcessTransport({"/s/forever": forever})
        task = asyncio.create_task(transport.call("/s/forever", b"", None, 1.0))
        asyncio.get_running_loop().call_later(1.0, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    in_virtual_time(work)
