"""Timers that fire, that are cancelled, and that wait for something else."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.api.enums.v1 import EventType

from tests.interop.stage import Stage


@workflow.defn
class Sleep:
    """One timer."""

    @workflow.run
    async def run(self, seconds: float) -> str:
        """Says so when the time is over."""
        await workflow.sleep(timedelta(seconds=seconds), summary="a nap")
        return "slept"


@workflow.defn
class Cancelling:
    """Timers that are cancelled in the task that started them, and in a later one."""

    @workflow.run
    async def run(self) -> str:
        """What is left is one timer, the second."""
        early = asyncio.create_task(asyncio.sleep(3600))
        late = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.sleep(0.3)
        late.cancel()
        await asyncio.sleep(0.2)
        return "cancelled both"


@workflow.defn
class Waiting:
    """A condition with a timeout, once met and once not."""

    def __init__(self) -> None:
        self._open = False

    @workflow.run
    async def run(self) -> list[str]:
        """Whether the door was open in time, twice."""
        seen = []
        for seconds in (0.3, 3600):
            try:
                await workflow.wait_condition(lambda: self._open, timeout=seconds)
                seen.append("open")
            except TimeoutError:
                seen.append("too late")
        return seen

    @workflow.signal
    def open(self) -> None:
        """Opens the door."""
        self._open = True


@workflow.defn
class Several:
    """Three timers started together, fired one after another."""

    @workflow.run
    async def run(self) -> list[int]:
        """The order in which they fired."""
        order: list[int] = []

        async def nap(number: int, seconds: float) -> None:
            await asyncio.sleep(seconds)
            order.append(number)

        await asyncio.gather(nap(1, 2.4), nap(2, 0.1), nap(3, 1.2))
        return order


async def timer_fires(stage: Stage) -> None:
    """A timer of 300 ms."""
    async with stage.worker([Sleep]):
        handle = await stage.start(Sleep.run, 0.3)
        await stage.chain("history", handle)


async def timer_of_zero(stage: Stage) -> None:
    """A timer of no time at all, and one that the SDK rounds."""
    async with stage.worker([Sleep]):
        for name, seconds in (("zero", 0.0), ("tiny", 0.0001)):
            handle = await stage.start(Sleep.run, seconds, name=name)
            await stage.chain(name, handle)


async def timers_cancelled(stage: Stage) -> None:
    """A cancelled timer before it was sent, and after."""
    async with stage.worker([Cancelling]):
        handle = await stage.start(Cancelling.run)
        await stage.chain("history", handle)


async def timers_several(stage: Stage) -> None:
    """Each fires in its own workflow task."""
    async with stage.worker([Several]):
        handle = await stage.start(Several.run)
        stage.observe("result", await handle.result())
        await stage.chain("history", handle)


async def wait_condition(stage: Stage) -> None:
    """The first wait ends by its timer, the second by a signal, which cancels the timer."""
    async with stage.worker([Waiting]):
        handle = await stage.start(Waiting.run)
        await stage.event(handle, EventType.EVENT_TYPE_TIMER_STARTED, 2)
        await handle.signal(Waiting.open)
        await stage.chain("history", handle)
