"""Activities that somebody else completes: by token and by id."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatRequest,
)
from temporalio.client import AsyncActivityHandle
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError
from temporalio.workflow import ActivityCancellationType

from tests.interop.stage import CLIENT_IDENTITY, Stage, payloads


@workflow.defn
class Delegate:
    """Waits for an activity that completes elsewhere."""

    def __init__(self) -> None:
        self._cancel = False

    @workflow.run
    async def run(self) -> str:
        """What came of it."""
        handle = workflow.start_activity(
            "handed_out",
            activity_id="the activity",
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(maximum_attempts=1),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        canceller = asyncio.create_task(workflow.wait_condition(lambda: self._cancel))
        canceller.add_done_callback(lambda _: handle.cancel())
        try:
            return str(await handle)
        except ActivityError as error:
            return f"{error.retry_state!r}: {error.cause!r}"

    @workflow.signal
    def cancel(self) -> None:
        """Cancels the activity."""
        self._cancel = True


class HandedOut:
    """Gives its token to the program."""

    def __init__(self) -> None:
        self.tokens: asyncio.Queue[bytes] = asyncio.Queue()

    @activity.defn
    async def handed_out(self) -> None:
        """Will complete elsewhere."""
        self.tokens.put_nowait(activity.info().task_token)
        activity.raise_complete_async()


async def _delegated(stage: Stage, by: str, outcome: str) -> None:
    out = HandedOut()
    label = f"{outcome} by {by}"
    async with stage.worker([Delegate], [out.handed_out], queue=label):
        handle = await stage.start(Delegate.run, name=label, queue=label)
        token = await out.tokens.get()
        await stage.event(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
        if by == "token":
            external = stage.client.get_async_activity_handle(task_token=token)
        else:
            external = stage.client.get_async_activity_handle(
                workflow_id=handle.id, run_id=handle.result_run_id, activity_id="the activity"
            )
        await _finish(stage, handle, external, outcome)
        await stage.chain(label, handle)


async def _finish(stage: Stage, handle: Any, external: AsyncActivityHandle, outcome: str) -> None:
    await external.heartbeat("half way")
    match outcome:
        case "complete":
            await external.complete("done elsewhere")
        case "fail":
            await external.fail(
                ApplicationError("elsewhere", type="Elsewhere"), last_heartbeat_details=["last"]
            )
        case "cancel":
            await handle.signal(Delegate.cancel)
            await stage.event(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
            await external.report_cancellation("cancelled elsewhere")


async def async_completion(stage: Stage) -> None:
    """Complete, fail and cancel, each by token and by id."""
    for by in ("token", "id"):
        for outcome in ("complete", "fail", "cancel"):
            await _delegated(stage, by, outcome)


async def async_heartbeat(stage: Stage) -> None:
    """What a heartbeat answers: before the cancellation, after it, and when all is over."""
    out = HandedOut()
    service = stage.service
    async with stage.worker([Delegate], [out.handed_out]):
        handle = await stage.start(Delegate.run)
        token = await out.tokens.get()
        by_token = RecordActivityTaskHeartbeatRequest(
            namespace=stage.namespace,
            task_token=token,
            details=payloads("by token"),
            identity=CLIENT_IDENTITY,
        )
        by_id = RecordActivityTaskHeartbeatByIdRequest(
            namespace=stage.namespace,
            workflow_id=handle.id,
            run_id=handle.result_run_id or "",
            activity_id="the activity",
            details=payloads("by id"),
            identity=CLIENT_IDENTITY,
        )
        await stage.outcome("by token", service.record_activity_task_heartbeat(by_token))
        await stage.outcome("by id", service.record_activity_task_heartbeat_by_id(by_id))
        await stage.describe("description", handle)
        await stage.event(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
        external = stage.client.get_async_activity_handle(task_token=token)
        early = await _refused(external)
        stage.observe("cancelled without being asked", early)
        await handle.signal(Delegate.cancel)
        await stage.event(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED)
        await stage.outcome("cancelled", service.record_activity_task_heartbeat(by_token))
        await stage.outcome("cancelled, by id", service.record_activity_task_heartbeat_by_id(by_id))
        await external.report_cancellation("enough")
        await stage.closed(handle)
        await stage.outcome("closed", service.record_activity_task_heartbeat(by_token))
        await stage.outcome("closed, by id", service.record_activity_task_heartbeat_by_id(by_id))
        await stage.chain("history", handle)


async def _refused(external: AsyncActivityHandle) -> str:
    """How a cancellation that nobody asked for is refused."""
    try:
        await external.report_cancellation("unasked")
    except RPCError as refusal:
        return f"{refusal.status.name}: {refusal.message}"
    return "accepted"
