"""Those who wait for an update.

An execution has one future for each update that somebody waits for: it is done when the update has
come further (`TellUpdate`), and fails when the execution is dropped, with what was volatile of it.
Whoever is not content then asks again: what was told once is durable by now, or final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Outcome

from perdure.server.engine.api import EngineStopped, NamespaceRef, UpdateAnswer
from perdure.server.engine.execution import Execution
from perdure.server.engine.pipeline import Pipeline, update_key
from perdure.server.machines.errors import (
    BusyWorkflow,
    NotFound,
    Rejected,
    UpdateRefused,
    WorkflowNotReady,
)
from perdure.server.machines.workflow.inputs import (
    PollUpdate,
    Reply,
    UpdateAbort,
    UpdatedWithStart,
    UpdateStage,
    UpdateStatus,
    UpdateWithStart,
    UpdateWorkflow,
    WorkflowStarted,
)

ReadOutcome = Callable[[NamespaceRef, str, str, int], Awaitable[bytes]]
"""Reads the event of a run that has an outcome."""

REFUSALS: dict[UpdateAbort, tuple[type[Rejected], str]] = {
    UpdateAbort.CLOSED: (NotFound, "workflow update was aborted by closing workflow"),
    UpdateAbort.GOES_ON: (
        BusyWorkflow,
        "workflow operation can not be applied because workflow is closing",
    ),
    UpdateAbort.TASK_REFUSED: (
        WorkflowNotReady,
        "Unable to perform workflow execution update due to unexpected workflow task failure.",
    ),
}
"""What callers are told whose update came to nothing."""


class Updates:
    """Waits for updates of one shard."""

    def __init__(self, pipeline: Pipeline, read_outcome: ReadOutcome) -> None:
        self._pipeline = pipeline
        self._read_outcome = read_outcome
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """The engine stops: nobody will be told anything."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def wait(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: UpdateWorkflow | PollUpdate,
        stage: int,
        timeout_seconds: float,
    ) -> UpdateAnswer:
        """See `EngineApi.update`."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        return await self._wait(namespace, workflow_id, message, stage, deadline)

    async def wait_with_start(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: UpdateWithStart,
        stage: int,
        timeout_seconds: float,
    ) -> tuple[WorkflowStarted, UpdateAnswer]:
        """See `EngineApi.update_with_start`. When an open run that was updated closes first, it is
        all decided anew."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            reply, told = await self._look(namespace, workflow_id, message, stage, deadline)
            assert isinstance(reply, UpdatedWithStart), "that is how it is answered"
            started, status = reply.start, told or reply.update
            if status.aborted == UpdateAbort.CLOSED and not started.is_new:
                continue
            try:
                if told is None or status.stage >= stage or status.aborted is not None:
                    answer = await self._answer(namespace, workflow_id, status)
                    was_completed = reply.update.stage == UpdateStage.COMPLETED
                    return started, msgspec.structs.replace(answer, was_completed=was_completed)
                poll = PollUpdate(status.run_id, status.update_id)
                return started, await self._wait(namespace, workflow_id, poll, stage, deadline)
            except Rejected as refusal:
                raise UpdateRefused(refusal, has_started=started.is_new) from refusal

    async def _wait(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: UpdateWorkflow | PollUpdate,
        stage: int,
        deadline: float,
    ) -> UpdateAnswer:
        while True:
            reply, told = await self._look(namespace, workflow_id, message, stage, deadline)
            status = told or _status_in(reply)
            if told is None or status.stage >= stage or status.aborted is not None:
                return await self._answer(namespace, workflow_id, status)
            message = PollUpdate(status.run_id, status.update_id)

    async def _look(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: UpdateWorkflow | UpdateWithStart | PollUpdate,
        stage: int,
        deadline: float,
    ) -> tuple[Reply, UpdateStatus | None]:
        """The decision, and the next news of the update; None when the stage is reached or no news
        came in time."""
        loop = asyncio.get_running_loop()
        watch = _Watch()
        try:
            reply = await self._pipeline.submit(
                namespace, workflow_id, message, decided=watch.begin
            )
            left = deadline - loop.time()
            return reply, await watch.told(_status_in(reply), stage, left, self._stopped)
        finally:
            watch.end()

    async def _answer(
        self, namespace: NamespaceRef, workflow_id: str, status: UpdateStatus
    ) -> UpdateAnswer:
        if status.aborted is not None:
            refusal, text = REFUSALS[status.aborted]
            raise refusal(text)
        outcome = None
        if status.failure is not None:
            failed = Outcome(failure=Failure.FromString(status.failure))
            outcome = failed.SerializeToString()
        elif status.completed_event_id:
            event = HistoryEvent.FromString(
                await self._read_outcome(
                    namespace, workflow_id, status.run_id, status.completed_event_id
                )
            )
            attributes = event.workflow_execution_update_completed_event_attributes
            outcome = attributes.outcome.SerializeToString()
        return UpdateAnswer(status.run_id, status.update_id, status.stage, outcome)


def _status_in(reply: Reply) -> UpdateStatus:
    if isinstance(reply, UpdatedWithStart):
        return reply.update
    assert isinstance(reply, UpdateStatus), "that is how it is answered"
    return reply


class _Watch:
    """One caller's look at one update, from the moment of a decision on it."""

    def __init__(self) -> None:
        self._execution: Execution | None = None
        self._future: asyncio.Future[UpdateStatus] | None = None

    def begin(self, execution: Execution, reply: Reply) -> None:
        """Decided a moment ago: what is told from now on is news."""
        self.end()
        self._future = None
        status = _status_in(reply)
        if status.stage == UpdateStage.COMPLETED or status.aborted is not None:
            return  # There will be no news, which would have to be kept for for ever.
        key = update_key(status.run_id, status.update_id)
        future = execution.waiting.get(key)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            # Nobody may be left to hear of a failure.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            execution.waiting[key] = future
        self._execution, self._future = execution, future
        execution.pins += 1

    def end(self) -> None:
        """Look away: the workflow may leave the memory again."""
        if self._execution is not None:
            self._execution.pins -= 1
            self._execution = None

    async def told(
        self,
        reply: UpdateStatus,
        stage: int,
        timeout_seconds: float,
        stopped: asyncio.Future[None],
    ) -> UpdateStatus | None:
        """The next news, unless the stage is reached; None when none came in time. Raises
        EngineUnavailable, EngineStopped."""
        if reply.stage >= stage or self._future is None:
            return None
        either: list[asyncio.Future[Any]] = [self._future, stopped]
        await asyncio.wait(
            either,
            timeout=max(0.0, timeout_seconds),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._future.done():
            return self._future.result()
        if stopped.done():
            raise EngineStopped("the engine has stopped")
        return None
