"""One activity, ten in a chain, none at all."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import Priority, RetryPolicy

from tests.interop.stage import Stage


@activity.defn
async def compose(greeting: str, name: str) -> str:
    """The greeting."""
    return f"{greeting}, {name}!"


@workflow.defn
class Greeting:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The greeting of one activity."""
        return await workflow.execute_activity(
            compose, args=["Hello", name], start_to_close_timeout=timedelta(seconds=10)
        )


@workflow.defn
class Chain:
    """Activities one after another."""

    @workflow.run
    async def run(self, length: int) -> str:
        """The result of the last."""
        greeting = "Hello"
        for link in range(length):
            greeting = await workflow.execute_activity(
                compose, args=[greeting, str(link)], start_to_close_timeout=timedelta(seconds=10)
            )
        return greeting


@workflow.defn
class Nothing:
    """Completes at once."""

    @workflow.run
    async def run(self) -> None:
        """Nothing."""


async def greeting(stage: Stage) -> None:
    """The smallest real workflow, with metadata, its description when closed."""
    async with stage.worker([Greeting], [compose]):
        handle = await stage.start(
            Greeting.run, "World", static_summary="a greeting", static_details="*of* the world"
        )
        stage.observe("result", await handle.result())
        await stage.chain("history", handle)
        await stage.describe("description", handle)


async def chain(stage: Stage) -> None:
    """Ten activities in a row; eager dispatch leaves no trace in the history."""
    async with stage.worker([Chain], [compose]):
        handle = await stage.start(Chain.run, 10)
        await stage.chain("history", handle)


async def nothing(stage: Stage) -> None:
    """No activity, no argument, no result; with eager start and without."""
    async with stage.worker([Nothing]):
        handle = await stage.start(Nothing.run)
        await stage.chain("history", handle)
        eager = await stage.start(Nothing.run, name="eager", request_eager_start=True)
        await stage.chain("eager", eager)


@workflow.defn
class Ranked:
    """Passes on what it was started with."""

    @workflow.run
    async def run(self) -> str:
        """The greeting of one activity with a rank of its own."""
        return await workflow.execute_activity(
            compose,
            args=["Hello", "you"],
            start_to_close_timeout=timedelta(seconds=10),
            priority=Priority(priority_key=4),
            summary="ranked",
        )


async def priority(stage: Stage) -> None:
    """Priority and fairness, of the workflow and of its activity, in history and description."""
    async with stage.worker([Ranked], [compose]):
        handle = await stage.start(
            Ranked.run,
            priority=Priority(priority_key=2, fairness_key="tenant", fairness_weight=1.5),
            retry_policy=RetryPolicy(maximum_attempts=2),
            task_timeout=timedelta(seconds=5),
            run_timeout=timedelta(minutes=5),
        )
        await stage.chain("history", handle)
        await stage.describe("description", handle)
