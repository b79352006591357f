"""A workflow that does one thing after the other, each when it is told to.

It is written against the official SDK and translated into one of ours, so that either SDK can take
over from the other between any two of its steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

LIMIT = timedelta(seconds=20)
SOON = timedelta(milliseconds=10)


@activity.defn
async def echo(word: str) -> str:
    """The word."""
    return word


@activity.defn
async def fail_once(word: str) -> str:
    """The word, from the second attempt on."""
    if activity.info().attempt == 1:
        raise ApplicationError(word)
    return word


@activity.defn
async def refuse(word: str) -> str:
    """Fails for good."""
    raise ApplicationError(word, non_retryable=True)


@workflow.defn
class Below:
    """A child that waits for a word."""

    def __init__(self) -> None:
        self._word = ""

    @workflow.run
    async def run(self) -> str:
        """The word."""
        await workflow.wait_condition(lambda: self._word != "")
        return self._word

    @workflow.signal
    def tell(self, word: str) -> None:
        """What it waits for."""
        self._word = word


@workflow.defn
class HandedOver:
    """Takes its steps one by one."""

    def __init__(self) -> None:
        self._allowed = 0
        self._seen: list[str] = []
        self._child: workflow.ChildWorkflowHandle[Below, str] | None = None

    @workflow.run
    async def run(self) -> list[str]:
        """What all steps came to."""
        for number, step in enumerate(STEPS):
            await workflow.wait_condition(lambda number=number: self._allowed > number)  # type: ignore[misc]
            self._seen.append(await step(self))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._seen

    @workflow.signal
    async def go(self) -> None:
        """Allows for the next step."""
        await workflow.execute_activity(echo, "go", start_to_close_timeout=LIMIT)
        self._allowed += 1

    @workflow.update
    async def reach(self, count: int) -> list[str]:
        """Waits for so many steps."""
        await workflow.wait_condition(lambda: len(self._seen) >= count)
        return self._seen

    @workflow.query
    def seen(self) -> int:
        """How many steps have been taken."""
        return len(self._seen)

    async def activities(self) -> str:
        """Some at once, one of which fails."""
        words: list[str] = await asyncio.gather(
            *(workflow.execute_activity(echo, w, start_to_close_timeout=LIMIT) for w in "abc"),
            workflow.execute_activity(
                fail_once,
                "d",
                start_to_close_timeout=LIMIT,
                retry_policy=RetryPolicy(initial_interval=SOON),
            ),
        )
        try:
            await workflow.execute_activity(refuse, "e", start_to_close_timeout=LIMIT)
        except ActivityError as error:
            words.append(str(error.cause))
        return "".join(words)

    async def local_activities(self) -> str:
        """Two at once, one of which fails once, and another that fails for good."""
        words: list[str] = await asyncio.gather(  # type: ignore[assignment]
            workflow.execute_local_activity(echo, "a", start_to_close_timeout=LIMIT),
            workflow.execute_local_activity(
                fail_once,
                "b",
                start_to_close_timeout=LIMIT,
                retry_policy=RetryPolicy(initial_interval=SOON),
            ),
        )
        try:
            await workflow.execute_local_activity(refuse, "c", start_to_close_timeout=LIMIT)
        except ApplicationError as error:  # not within an ActivityError
            words.append(error.message)
        return "".join(words)

    async def timers(self) -> str:
        """One that fires and one that is cancelled."""
        await asyncio.sleep(0.01)
        try:
            async with asyncio.timeout(0.01):
                await workflow.sleep(3600)
        except TimeoutError:
            return "late"
        return "early"

    async def randoms(self) -> str:
        """Something else in each run, and the same whoever replays it."""
        chosen = f"{workflow.random().randint(0, 9)} {workflow.uuid4()}"
        return str(await workflow.execute_activity(echo, chosen, start_to_close_timeout=LIMIT))

    async def patches(self) -> str:
        """Versions of code."""
        workflow.deprecate_patch("old")
        return f"{workflow.patched('new')}"

    async def child(self) -> str:
        """Starts one."""
        self._child = await workflow.start_child_workflow(
            Below.run, id=f"{workflow.info().workflow_id} below"
        )
        return "started"

    async def told_child(self) -> str:
        """Tells it what it waits for, twice, and hears of its end."""
        assert self._child is not None
        await self._child.signal(Below.tell, "word")
        return str(await self._child)

    async def attributes(self) -> str:
        """Changes the memo."""
        workflow.upsert_memo({"step": len(self._seen)})
        return str(workflow.memo_value("step"))


STEPS: tuple[Callable[[HandedOver], Awaitable[str]], ...] = (
    HandedOver.activities,
    HandedOver.local_activities,
    HandedOver.timers,
    HandedOver.randoms,
    HandedOver.patches,
    HandedOver.child,
    HandedOver.told_child,
    HandedOver.attributes,
)
