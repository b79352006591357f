"""What ends a delay before a run's first workflow task, and what does not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from tests.interop.stage import Stage, next_run_id


@workflow.defn
class Patient:
    """Waits until it is cancelled, unless it is to fail first."""

    @workflow.run
    async def run(self, fails: bool) -> None:
        """Nothing."""
        if fails and workflow.info().attempt == 1:
            raise ApplicationError("the first attempt")
        await asyncio.Event().wait()


@workflow.defn
class Canceller:
    """Asks another workflow to cancel."""

    @workflow.run
    async def run(self, workflow_id: str) -> None:
        """Nothing."""
        await workflow.get_external_workflow_handle(workflow_id).cancel()


async def cancelled_in_delay(stage: Stage) -> None:
    """A request to cancel brings the first task at once, whatever it waits for; a signal does not.
    Nobody would wait for these delays."""
    async with stage.worker([Patient, Canceller]):
        delayed = await stage.start(
            Patient.run, False, name="delayed", start_delay=timedelta(hours=1)
        )
        by_cron = await stage.start(Patient.run, False, name="cron", cron_schedule="@yearly")
        retried = await stage.start(
            Patient.run,
            True,
            name="retried",
            retry_policy=RetryPolicy(initial_interval=timedelta(hours=1)),
        )
        failed = await stage.closed(retried)
        retry = stage.client.get_workflow_handle(retried.id, run_id=next_run_id(failed[-1]))
        by_other = await stage.start(
            Patient.run, False, name="by another", start_delay=timedelta(hours=1)
        )
        for name, handle in {"delayed": delayed, "retried": retry}.items():
            await handle.signal("unheard")
            await stage.history(f"{name}: signalled", handle)
            await stage.describe(f"{name}: signalled, description", handle)
            await handle.cancel()
        await by_cron.cancel()
        await stage.start(Canceller.run, by_other.id, name="canceller")
        for name, handle in {"delayed": delayed, "retried": retry, "other": by_other}.items():
            await stage.closed(handle)
            await stage.history(f"{name}: cancelled", handle)
            await stage.describe(f"{name}: cancelled, description", handle)
        cancelled = await stage.closed(by_cron)
        stage.observe("cron", [event.event_type for event in cancelled])
