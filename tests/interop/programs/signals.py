"""Signals before a worker exists, between tasks, while a task runs, and twice."""

from __future__ import annotations

from temporalio import workflow
from temporalio.api.enums.v1 import EventType

from tests.interop.raw import HandWorker, complete_workflow, start_timer
from tests.interop.stage import Stage


@workflow.defn
class Collect:
    """Collects signals until it is told to stop."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._stopped = False

    @workflow.run
    async def run(self) -> list[str]:
        """The words in the order of their arrival."""
        await workflow.wait_condition(lambda: self._stopped)
        return self._words

    @workflow.signal
    def say(self, word: str) -> None:
        """Adds a word."""
        self._words.append(word)

    @workflow.signal
    def stop(self) -> None:
        """Ends the workflow."""
        self._stopped = True


async def signals_before_worker(stage: Stage) -> None:
    """All are delivered with the first task, in their order."""
    handle = await stage.start(Collect.run)
    for word in ("one", "two", "three"):
        await handle.signal(Collect.say, word)
    await handle.signal(Collect.stop)
    async with stage.worker([Collect]):
        stage.observe("result", await handle.result())
        await stage.chain("history", handle)


async def signals_between_tasks(stage: Stage) -> None:
    """Each signal of an idle workflow makes a task of its own, on the sticky queue."""
    async with stage.worker([Collect]):
        handle = await stage.start(Collect.run)
        for count, word in enumerate(("one", "two"), start=1):
            await stage.event(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, count)
            await handle.signal(Collect.say, word)
        await stage.event(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, 3)
        await handle.signal(Collect.stop)
        await stage.chain("history", handle)


async def signals_buffered(stage: Stage) -> None:
    """Signals that arrive while a task runs stay out of history until it completes."""
    worker = HandWorker(stage)
    execution = await worker.start()
    task = await worker.poll()
    for name in ("one", "two", "three"):
        await worker.signal(execution, name)
    await stage.history("while the task runs", execution)
    await worker.complete(task, start_timer("t", 3600))
    await stage.history("after the task", execution)
    await worker.finish()
    await stage.chain("history", execution)


async def signal_twice(stage: Stage) -> None:
    """A request id counts once: buffered, recorded, and from the buffer to the record."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await stage.outcome("first answer", worker.signal(execution, "recorded"))
    await stage.outcome("second answer", worker.signal(execution, "recorded"))
    task = await worker.poll()
    await worker.signal(execution, "recorded")
    await worker.signal(execution, "buffered")
    await worker.signal(execution, "buffered")
    await worker.complete(task, start_timer("t", 3600))
    await worker.signal(execution, "buffered")
    await worker.signal(execution, "other name", request_id=f"signal buffered {stage.nonce}")
    await worker.complete(await worker.poll(), complete_workflow())
    await stage.chain("history", execution)
    await stage.describe("description", execution)
