"""What the worker records by itself: local activities, patches, memos."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from tests.interop.stage import Stage


@activity.defn
async def double(number: int) -> int:
    """Twice the number; three is too much."""
    if number == 3:
        raise ApplicationError("three", type="Three", non_retryable=True)
    return number * 2


@workflow.defn
class Local:
    """Local activities, one that fails among them, and a real one."""

    @workflow.run
    async def run(self) -> list[str]:
        """Their results."""
        results = []
        for number in (1, 2, 3):
            try:
                result = await workflow.execute_local_activity(
                    double, number, start_to_close_timeout=timedelta(seconds=5)
                )
                results.append(str(result))
            except Exception as error:
                results.append(str(error))
        results.append(
            str(
                await workflow.execute_activity(
                    double, 4, start_to_close_timeout=timedelta(seconds=5)
                )
            )
        )
        return results


@activity.defn
async def linger(seconds: float) -> str:
    """Takes longer than a workflow task may."""
    await asyncio.sleep(seconds)
    return "at last"


@workflow.defn
class LongLocal:
    """A local activity longer than its workflow task."""

    @workflow.run
    async def run(self) -> str:
        """Its result."""
        return await workflow.execute_local_activity(
            linger, 1.3, start_to_close_timeout=timedelta(seconds=30)
        )


@activity.defn
async def backs_off(unused: int) -> str:
    """Fails once, to be tried again after a time that needs a real timer."""
    if activity.info().attempt == 1:
        raise ApplicationError("once", type="Once")
    return "twice"


@workflow.defn
class RetriedLocal:
    """A local activity with a long backoff."""

    @workflow.run
    async def run(self) -> str:
        """Its result."""
        return await workflow.execute_local_activity(
            backs_off,
            1,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1)),
            local_retry_threshold=timedelta(milliseconds=100),
        )


@workflow.defn
class Patches:
    """Two patches and a deprecated one."""

    @workflow.run
    async def run(self) -> list[bool]:
        """Whether each is on."""
        seen = [workflow.patched("first"), workflow.patched("first")]
        await workflow.sleep(0.1)
        seen.append(workflow.patched("second"))
        workflow.deprecate_patch("third")
        return seen


@workflow.defn
class Memos:
    """Changes, adds and removes memo fields."""

    @workflow.run
    async def run(self) -> str:
        """A word."""
        workflow.upsert_memo({"kept": "new", "removed": None, "added": 1})
        await workflow.sleep(0.1)
        workflow.upsert_memo({"added": None})
        return "done"


async def local_activities(stage: Stage) -> None:
    """Each leaves a marker; the short ones need no task of their own."""
    async with stage.worker([Local, RetriedLocal], [double, backs_off]):
        handle = await stage.start(Local.run)
        stage.observe("result", await handle.result())
        await stage.chain("history", handle)
        handle = await stage.start(RetriedLocal.run, name="retried")
        await stage.chain("retried", handle)


async def local_activity_heartbeat(stage: Stage) -> None:
    """A workflow task is kept alive while a long local activity runs."""
    async with stage.worker([LongLocal], [linger]):
        handle = await stage.start(LongLocal.run, task_timeout=timedelta(seconds=1))
        await stage.chain("history", handle)


async def patches(stage: Stage) -> None:
    """A marker for each patch, and the search attribute that lists them."""
    async with stage.worker([Patches]):
        handle = await stage.start(Patches.run)
        stage.observe("result", await handle.result())
        await stage.chain("history", handle)
        await stage.describe("description", handle)


async def memo_changes(stage: Stage) -> None:
    """The event says what changed, the description what is left."""
    async with stage.worker([Memos]):
        handle = await stage.start(Memos.run, memo={"kept": "old", "removed": "x", "same": [1]})
        await stage.event(handle, EventType.EVENT_TYPE_TIMER_STARTED)
        await stage.describe("description while it runs", handle)
        await stage.chain("history", handle)
        await stage.describe("description", handle)
