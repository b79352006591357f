"""Completion callbacks of updates: what is posted when one is over, and what is shown of it."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.api.common.v1 import Callback, Link, WorkflowExecution
from temporalio.api.update.v1 import Outcome
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionResponse

from tests.interop.listener import Listener, listening
from tests.interop.programs.callbacks import observe_post
from tests.interop.programs.update_with_start_by_hand import continue_as_new
from tests.interop.raw import HandWorker, complete_workflow
from tests.interop.stage import Stage
from tests.interop.updates_raw import (
    ACCEPTED,
    COMPLETED,
    accept,
    commands_of,
    failure,
    reject,
    respond,
    update_request,
)

JOB, OTHER = (Link(batch_job=Link.BatchJob(job_id=name)) for name in ("job", "other"))


class Board:
    """A workflow that is updated, and whoever hears of it."""

    def __init__(self, stage: Stage, label: str, listener: Listener) -> None:
        self.stage = stage
        self.label = label
        self.listener = listener
        self.worker = HandWorker(stage, label)
        self.execution = WorkflowExecution()

    async def open(self) -> None:
        """The workflow waits for updates."""
        self.execution = await self.worker.start(self.label)
        await self.worker.complete(await self.worker.poll())

    def send(
        self, update_id: str, request_id: str, **fields: Any
    ) -> asyncio.Task[UpdateWorkflowExecutionResponse]:
        """An update with a callback."""
        request = update_request(self.stage, self.execution, update_id, **fields)
        request.request.request_id = request_id
        request.request.links.append(JOB)
        nexus = Callback.Nexus(url=f"{self.listener.base}/200/{request_id}")
        request.request.completion_callbacks.append(Callback(nexus=nexus, links=[OTHER]))

        async def call() -> UpdateWorkflowExecutionResponse:
            return await self.stage.service.update_workflow_execution(request)

        return asyncio.create_task(call())

    async def say(self, *messages: Any, task: Any) -> None:
        """The worker's answer to a task."""
        await self.worker.complete(task, *commands_of(*messages), messages=messages)

    async def go_on(self, *commands: Any) -> None:
        """The next task, after a signal."""
        await self.worker.signal(self.execution, "go")
        await self.worker.complete(await self.worker.poll(), *commands)

    async def described(self, label: str) -> None:
        """The description; the real server shows callbacks in any order."""
        found = await self.stage.description(self.execution)
        ordered = sorted(found.callbacks, key=lambda one: one.callback.nexus.url)
        del found.callbacks[:]
        found.callbacks.extend(ordered)
        self.stage.message(f"{self.label}: {label}", found)

    async def noted(self) -> None:
        """The workflow knows of all calls so far: that would make a task of an update a normal one,
        whose worker is not recorded, if it came meanwhile."""
        await self.stage.described(
            self.execution, lambda found: all(one.attempt for one in found.callbacks)
        )

    async def heard(self, name: str, count: int) -> None:
        """The newest of so many posts."""
        await self.listener.hears(count)
        observe_post(self.stage, f"{self.label}, {name}", self.listener)


async def update_callbacks(stage: Stage) -> None:
    """Every end of an update, as it is posted."""
    async with listening() as listener:
        stage.hide(str(listener.port))
        board = Board(stage, "ends", listener)
        await board.open()
        sent = board.send("done", "first")
        task = await board.worker.poll()
        stage.task("task", task)
        await board.say(accept(task), respond("done"), task=task)
        stage.message("done: answer", await sent)
        await board.heard("done", 1)
        await board.noted()
        sent = board.send("failed", "second")
        task = await board.worker.poll()
        await board.say(accept(task), respond("failed", Outcome(failure=failure("no"))), task=task)
        stage.message("failed: answer", await sent)
        await board.heard("failed", 2)
        await board.noted()
        await stage.history("ends: history", board.execution)
        await board.described("described")
        sent = board.send("rejected", "third")
        task = await board.worker.poll()
        await board.say(reject(task), task=task)
        stage.message("rejected: answer", await sent)
        await board.described("described after a rejection")
        for label, command in (("closed", complete_workflow()), ("continued", continue_as_new())):
            left = Board(stage, label, listener)
            await left.open()
            sent = left.send("left", label, wait=ACCEPTED)
            task = await left.worker.poll()
            await left.say(accept(task), task=task)
            stage.message(f"{label}: answer", await sent)
            await left.go_on(command)
            await left.heard("left", 3 if label == "closed" else 4)


async def update_callbacks_attached(stage: Stage) -> None:
    """Others want to hear of an update that goes on."""
    async with listening() as listener:
        stage.hide(str(listener.port))
        board = Board(stage, "attached", listener)
        await board.open()
        sent = board.send("update", "first", wait=ACCEPTED)
        task = await board.worker.poll()
        await board.say(accept(task), task=task)
        await sent
        for request_id in ("second", "second"):
            await board.send("update", request_id, wait=ACCEPTED)
        await stage.history("attached: history", board.execution)
        await board.worker.signal(board.execution, "go")
        await board.say(respond("update"), task=await board.worker.poll())
        await listener.hears(2)
        stage.observe("called", sorted(head[0] for head, _ in listener.posts))
        stage.message("late: answer", await board.send("update", "late", wait=COMPLETED))
        await stage.history("late: history", board.execution)


async def refused_update_callbacks(stage: Stage) -> None:
    """A request that cannot be told from another."""
    async with listening() as listener:
        board = Board(stage, "refused", listener)
        await board.open()
        await stage.outcome("no request id", board.send("update", ""))
