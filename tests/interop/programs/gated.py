"""The official worker held inside a workflow task, or stopped and started again."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType

from tests.interop.stage import Stage

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


class Gate:
    """Holds a thread of the worker: it says when it is there, and waits to be let through.

    Not for longer than the two seconds after which the SDK takes a workflow for deadlocked.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()


# Workflow code gets no objects from outside; it finds its gate by its own id.
GATES: dict[str, Gate] = {}


@workflow.defn(sandboxed=False)
class Hasty:
    """Wants to end at once, but its task is held until a signal has arrived."""

    def __init__(self) -> None:
        self._words: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        """What it heard before it ended."""
        gate = GATES[workflow.info().workflow_id]
        gate.reached.set()
        gate.opened.wait(10)
        return self._words

    @workflow.signal
    def say(self, word: str) -> None:
        """Adds a word."""
        self._words.append(word)


@activity.defn
async def nod() -> str:
    """Agrees."""
    return "yes"


@workflow.defn
class Listener:
    """Answers each signal with an activity."""

    def __init__(self) -> None:
        self._heard = 0
        self._answered = 0

    @workflow.run
    async def run(self, until: int) -> int:
        """How many it heard."""
        while self._answered < until:
            await workflow.wait_condition(lambda: self._heard > self._answered)
            await workflow.execute_activity(nod, start_to_close_timeout=timedelta(seconds=10))
            self._answered += 1
        return self._answered

    @workflow.signal
    def hear(self) -> None:
        """Counts."""
        self._heard += 1


async def signal_races_completion(stage: Stage) -> None:
    """The completing task is refused because of the signal; the next one sees it."""
    gate = GATES[stage.workflow_id()] = Gate()
    try:
        async with stage.worker([Hasty]):
            handle = await stage.start(Hasty.run)
            await _reached(gate)
            await handle.signal(Hasty.say, "wait")
            gate.opened.set()
            stage.observe("result", await handle.result())
            await stage.chain("history", handle)
    finally:
        gate.opened.set()
        del GATES[stage.workflow_id()]


async def _reached(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.reached.wait, 10)


async def worker_restarts(stage: Stage) -> None:
    """Each signal is met by a new worker, which replays; the old one took leave properly."""
    handle = await stage.start(Listener.run, 3)
    for heard in (1, 2, 3):
        await handle.signal(Listener.hear)
        async with stage.worker([Listener], [nod]):
            # One task for the signal, one for the activity's result.
            await stage.event(handle, TASK_COMPLETED, 2 * heard)
    await stage.chain("history", handle)


async def no_cache(stage: Stage) -> None:
    """A worker that forgets everything never uses a sticky queue."""
    async with stage.worker([Listener], [nod], max_cached_workflows=0):
        handle = await stage.start(Listener.run, 2)
        for count in (1, 3):
            await stage.event(handle, TASK_COMPLETED, count)
            await handle.signal(Listener.hear)
        await stage.chain("history", handle)


async def small_cache(stage: Stage) -> None:
    """A workflow pushed out of the cache is replayed from the whole history."""
    async with stage.worker([Listener], [nod], max_cached_workflows=1):
        first = await stage.start(Listener.run, 1, name="first")
        await stage.event(first, TASK_COMPLETED)
        second = await stage.start(Listener.run, 1, name="second")
        await stage.event(second, TASK_COMPLETED)
        await first.signal(Listener.hear)
        await stage.chain("first", first)
        await second.signal(Listener.hear)
        await stage.chain("second", second)
