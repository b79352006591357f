"""Runs that follow one another: continue-as-new, cron, timeouts, delays."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.api.enums.v1 import ContinueAsNewInitiator, EventType
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from tests.interop.stage import Stage, next_run_id, types_of


@workflow.defn
class Countdown:
    """Continues as new until nothing is left."""

    @workflow.run
    async def run(self, left: int) -> str:
        """The end."""
        if left == 0:
            return "lift-off"
        # Older than the second that the server leaves between runs.
        await workflow.sleep(1.1)
        if left == 2:
            return workflow.continue_as_new(left - 1)
        return workflow.continue_as_new(
            left - 1,
            memo={"note": "changed"},
            run_timeout=timedelta(seconds=40),
            task_timeout=timedelta(seconds=7),
            retry_policy=RetryPolicy(maximum_attempts=5),
        )


@workflow.defn
class Patched:
    """Marks a patch, which becomes a search attribute, and continues once."""

    @workflow.run
    async def run(self, again: bool) -> bool:
        """Whether the patch is on."""
        on = workflow.patched("a patch")
        if again:
            await workflow.sleep(1.1)
            workflow.continue_as_new(False)
        return on


@workflow.defn
class Tick:
    """One firing; the last result is passed on."""

    @workflow.run
    async def run(self) -> int:
        """How many firings have succeeded."""
        last = workflow.get_last_completion_result(int) or 0
        if last == 1 and workflow.get_last_failure() is None:
            raise ApplicationError("the second time fails", type="Second")
        return last + 1


@workflow.defn
class Endless:
    """Never ends by itself."""

    @workflow.run
    async def run(self) -> None:
        """Waits."""
        await asyncio.Event().wait()


@workflow.defn
class Quick:
    """Ends at once."""

    @workflow.run
    async def run(self) -> str:
        """A word."""
        return "quick"


async def continue_as_new(stage: Stage) -> None:
    """A chain of four runs, with a memo, timeouts and a retry policy, inherited or replaced."""
    async with stage.worker([Countdown, Patched]):
        handle = await stage.start(
            Countdown.run,
            3,
            memo={"note": "first"},
            execution_timeout=timedelta(seconds=100),
            run_timeout=timedelta(seconds=50),
            task_timeout=timedelta(seconds=9),
            static_summary="counts",
        )
        await stage.chain("history", handle)
        await stage.describe("description of the first run", handle)
        await stage.describe(
            "description of the last run", stage.client.get_workflow_handle(handle.id)
        )
        handle = await stage.start(Patched.run, True, name="patched")
        await stage.chain("with a search attribute", handle)


@workflow.defn
class Hurried:
    """Continues as new at once."""

    @workflow.run
    async def run(self, again: bool) -> None:
        """Nothing."""
        if again:
            workflow.continue_as_new(False)


async def young_runs(stage: Stage) -> None:
    """A run younger than a second is followed by one that waits for the rest of that second."""
    async with stage.worker([Hurried]):
        handle = await stage.start(Hurried.run, True)
        events = await stage.closed(handle)
        closing = events[-1].workflow_execution_continued_as_new_event_attributes
        next_run = stage.client.get_workflow_handle(handle.id, run_id=closing.new_execution_run_id)
        started = (await stage.closed(next_run))[0].workflow_execution_started_event_attributes
        backoff = started.first_workflow_task_backoff.ToTimedelta()
        stage.observe("less than a second", timedelta(0) < backoff < timedelta(seconds=1))
        same = closing.backoff_start_interval == started.first_workflow_task_backoff
        stage.observe("both events say the same", same)
        stage.observe("events", types_of(await stage.fetch(next_run)))


async def cron(stage: Stage) -> None:
    """Fires every second: success, failure, success; each run waits for its time."""
    async with stage.worker([Tick]):
        handle = await stage.start(Tick.run, cron_schedule="@every 1s", memo={"note": "kept"})
        run_id = handle.result_run_id
        for firing in range(3):
            run = stage.client.get_workflow_handle(handle.id, run_id=run_id)
            events = await stage.closed(run)
            await stage.history(f"firing {firing}", run)
            run_id = next_run_id(events[-1])
        waiting = stage.client.get_workflow_handle(handle.id, run_id=run_id)
        started = (await stage.event(waiting, EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED))[0]
        attributes = started.workflow_execution_started_event_attributes
        stage.observe("initiator", ContinueAsNewInitiator.Name(attributes.initiator))
        await waiting.terminate("enough")


async def run_timeout(stage: Stage) -> None:
    """Run and execution timeouts, alone, with a retry policy, and without any worker."""
    # Long enough for a busy machine to run the first task before it is over.
    short = timedelta(seconds=2)
    async with stage.worker([Endless]):
        cases: dict[str, dict[str, Any]] = {
            "run": {"run_timeout": short},
            "execution": {"execution_timeout": short},
            "run, retried": {
                "run_timeout": short,
                "retry_policy": RetryPolicy(
                    initial_interval=timedelta(milliseconds=100), maximum_attempts=2
                ),
            },
            "execution, retried": {
                "execution_timeout": short,
                "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=100)),
            },
            "run above execution": {"run_timeout": 30 * short, "execution_timeout": short},
        }
        handles = {
            name: await stage.start(Endless.run, name=name, **options)
            for name, options in cases.items()
        }
        handles["nobody"] = await stage.start(
            Endless.run, name="nobody", queue="nobody", run_timeout=short
        )
        for name, handle in handles.items():
            await stage.chain(name, handle)
            await stage.describe(f"{name}, description", handle)


async def start_delay(stage: Stage) -> None:
    """Delayed starts: plain, and signalled, cancelled or terminated while they wait."""
    delay = timedelta(seconds=1)
    async with stage.worker([Quick]):
        plain = await stage.start(Quick.run, name="plain", start_delay=delay)
        await stage.history("waiting", plain)
        await stage.describe("waiting, description", plain)
        signalled = await stage.start(Quick.run, name="signalled", start_delay=delay)
        await signalled.signal("hello")
        cancelled = await stage.start(Quick.run, name="cancelled", start_delay=delay)
        await cancelled.cancel()
        terminated = await stage.start(Quick.run, name="terminated", start_delay=delay)
        await terminated.terminate()
        await stage.chain("plain", plain)
        await stage.chain("signalled", signalled)
        await stage.chain("cancelled", cancelled)
        await stage.chain("terminated", terminated)
