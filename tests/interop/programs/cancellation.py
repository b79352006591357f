"""Cancelled and terminated workflows, and cancelled activities of all three kinds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)
from temporalio.exceptions import ActivityError, CancelledError
from temporalio.workflow import ActivityCancellationType

from tests.interop.raw import HandWorker
from tests.interop.stage import CLIENT_IDENTITY, Stage, payloads

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


@workflow.defn
class Sleeper:
    """Sleeps, and cleans up when it is told to."""

    @workflow.run
    async def run(self, clean_up: bool) -> str:
        """Says that it cleaned up."""
        try:
            await workflow.sleep(3600)
        except asyncio.CancelledError:
            if not clean_up:
                raise
            await workflow.sleep(0.1)
            return "clean"
        return "slept"


@workflow.defn
class Canceller:
    """Cancels its activity as soon as it is signalled."""

    def __init__(self) -> None:
        self._cancel = False

    @workflow.run
    async def run(self, kind: int, options: dict[str, Any]) -> str:
        """What became of the activity, as the workflow sees it."""
        handle = workflow.start_activity(
            options["activity"],
            task_queue=options.get("task_queue"),
            start_to_close_timeout=timedelta(seconds=20),
            heartbeat_timeout=timedelta(seconds=10),
            cancellation_type=ActivityCancellationType(kind),
        )
        await workflow.wait_condition(lambda: self._cancel)
        handle.cancel()
        try:
            return str(await handle)
        except ActivityError as error:
            return f"{error.retry_state!r}: {error.cause!r}"
        except asyncio.CancelledError as error:
            return f"{type(error).__name__}"

    @workflow.signal
    def cancel(self) -> None:
        """Cancels the activity."""
        self._cancel = True


class Patient:
    """An activity that runs until it is cancelled, and then as told."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def _wait(self) -> None:
        self.began.set()
        while True:
            activity.heartbeat("still here")
            await asyncio.sleep(0.1)

    @activity.defn
    async def obedient(self) -> str:
        """Stops when cancelled."""
        await self._wait()
        return "unreachable"

    @activity.defn
    async def stubborn(self) -> str:
        """Completes although it was cancelled."""
        try:
            await self._wait()
        except (asyncio.CancelledError, CancelledError):
            return "finished anyway"
        return "unreachable"

    @activity.defn
    async def offended(self) -> str:
        """Fails when cancelled."""
        try:
            await self._wait()
        except (asyncio.CancelledError, CancelledError):
            raise RuntimeError("how dare you") from None
        return "unreachable"


async def workflow_cancelled(stage: Stage) -> None:
    """Before the first task, later, handled and not."""
    early = await stage.start(Sleeper.run, False, name="early")
    await early.cancel()
    async with stage.worker([Sleeper]):
        await stage.chain("before the first task", early)
        for name, clean_up in (("handled", True), ("not handled", False)):
            handle = await stage.start(Sleeper.run, clean_up, name=name)
            await stage.event(handle, TASK_COMPLETED)
            await handle.cancel()
            await stage.chain(name, handle)
            await stage.describe(f"{name}, description", handle)


async def workflow_cancelled_twice(stage: Stage) -> None:
    """One event for one request id, and none for another request while the first stands."""
    worker = HandWorker(stage)
    execution = await worker.start()

    def cancel(request_id: str, reason: str) -> RequestCancelWorkflowExecutionRequest:
        return RequestCancelWorkflowExecutionRequest(
            namespace=stage.namespace,
            workflow_execution=execution,
            identity=CLIENT_IDENTITY,
            request_id=request_id,
            reason=reason,
        )

    request = stage.service.request_cancel_workflow_execution
    await stage.outcome("first", request(cancel("a", "because")))
    await stage.outcome("same request id", request(cancel("a", "because")))
    await stage.outcome("other request id", request(cancel("b", "again")))
    await stage.history("history", execution)
    await worker.finish()
    await stage.outcome("after the end", request(cancel("c", "too late")))
    await stage.chain("closed", execution)


async def workflow_terminated(stage: Stage) -> None:
    """With details, before and after a task ran, and while one runs."""

    def terminate(execution: WorkflowExecution) -> TerminateWorkflowExecutionRequest:
        return TerminateWorkflowExecutionRequest(
            namespace=stage.namespace,
            workflow_execution=execution,
            reason="no longer needed",
            details=payloads("a detail", 2),
            identity=CLIENT_IDENTITY,
        )

    worker = HandWorker(stage)
    end = stage.service.terminate_workflow_execution
    idle = await worker.start("before a task")
    await stage.outcome("before a task, answer", end(terminate(idle)))
    await stage.chain("before a task", idle)
    await stage.outcome("again", end(terminate(idle)))
    busy = await worker.start("while a task runs")
    task = await worker.poll()
    await worker.signal(busy, "buffered")
    await stage.outcome("while a task runs, answer", end(terminate(busy)))
    await stage.chain("while a task runs", busy)
    await stage.outcome("late completion", worker.complete(task))
    await stage.describe("description", busy)


async def _cancel_activity(
    stage: Stage, label: str, kind: ActivityCancellationType, activity_name: str
) -> None:
    patient = Patient()
    async with stage.worker(
        [Canceller],
        [patient.obedient, patient.stubborn, patient.offended],
        queue=label,
        # Heartbeats go out one by one, so that the cancellation is seen at once.
        max_heartbeat_throttle_interval=timedelta(milliseconds=50),
        default_heartbeat_throttle_interval=timedelta(milliseconds=50),
    ):
        handle = await stage.start(
            Canceller.run, int(kind), {"activity": activity_name}, name=label, queue=label
        )
        await patient.began.wait()
        await stage.event(handle, TASK_COMPLETED)
        await handle.signal(Canceller.cancel)
        await _chain_and_result(stage, label, handle)


async def _chain_and_result(stage: Stage, label: str, handle: Any) -> None:
    await stage.chain(label, handle)
    stage.observe(f"{label}, result", await handle.result())


async def activity_cancelled_running(stage: Stage) -> None:
    """A heartbeating activity: it obeys, completes anyway, or fails."""
    kinds = ActivityCancellationType
    cases = {
        "wait, obedient": (kinds.WAIT_CANCELLATION_COMPLETED, "obedient"),
        "wait, stubborn": (kinds.WAIT_CANCELLATION_COMPLETED, "stubborn"),
        "wait, offended": (kinds.WAIT_CANCELLATION_COMPLETED, "offended"),
        "abandon": (kinds.ABANDON, "obedient"),
        "try": (kinds.TRY_CANCEL, "obedient"),
    }
    for label, (kind, activity_name) in cases.items():
        await _cancel_activity(stage, label, kind, activity_name)


async def activity_cancelled_waiting(stage: Stage) -> None:
    """An activity that nobody has started: cancelled at once, whatever the kind."""
    async with stage.worker([Canceller]):
        for kind in ActivityCancellationType:
            label = kind.name.lower()
            handle = await stage.start(
                Canceller.run,
                int(kind),
                {"activity": "obedient", "task_queue": stage.queue("nobody")},
                name=label,
            )
            await stage.event(handle, TASK_COMPLETED)
            await handle.signal(Canceller.cancel)
            await _chain_and_result(stage, label, handle)
