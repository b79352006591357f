"""Workflows that fail, workflow tasks that fail and recover, code that left its history."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from tests.interop.stage import Stage, types_of

TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


@workflow.defn
class Fails:
    """Fails in several ways."""

    @workflow.run
    async def run(self, how: str) -> None:
        """Never returns."""
        match how:
            case "plain":
                raise ApplicationError("plain")
            case "details":
                raise ApplicationError("with details", "one", {"two": 2}, type="Detailed")
            case "benign":
                raise ApplicationError("benign", category=ApplicationErrorCategory.BENIGN)
        try:
            raise ValueError("the cause")
        except ValueError as cause:
            raise ApplicationError("with a cause", type="Caused", non_retryable=True) from cause


@workflow.defn(name="Mended")
class Broken:
    """A bug, not a failure: the task fails and the workflow waits for better code."""

    @workflow.run
    async def run(self) -> str:
        """Never returns."""
        raise ValueError("a bug")


@workflow.defn(name="Mended")
class Mended:
    """The same, better."""

    @workflow.run
    async def run(self) -> str:
        """Says so."""
        return "mended"


@workflow.defn(name="Changed")
class Before:
    """Sleeps, then waits."""

    def __init__(self) -> None:
        self._go = False

    @workflow.run
    async def run(self) -> str:
        """Says which."""
        await workflow.sleep(0.1)
        await workflow.wait_condition(lambda: self._go)
        return "before"

    @workflow.signal
    def go(self) -> None:
        """Goes on."""
        self._go = True


@workflow.defn(name="Changed")
class After:
    """Runs an activity where the history says timer."""

    def __init__(self) -> None:
        self._go = False

    @workflow.run
    async def run(self) -> str:
        """Says which."""
        await workflow.execute_activity("nothing", start_to_close_timeout=timedelta(seconds=1))
        return "after"

    @workflow.signal
    def go(self) -> None:
        """Goes on."""
        self._go = True


@workflow.defn
class Retried:
    """Fails until its third attempt."""

    @workflow.run
    async def run(self) -> str:
        """Says which attempt it was."""
        attempt = workflow.info().attempt
        if attempt < 3:
            raise ApplicationError(f"attempt {attempt}", type="NotYet")
        return f"attempt {attempt}"


@workflow.defn
class GivesUp:
    """Always fails; the first time it asks for a delay."""

    @workflow.run
    async def run(self) -> None:
        """Never returns."""
        raise ApplicationError("no", type="No", next_retry_delay=timedelta(seconds=1.125))


async def workflow_failed(stage: Stage) -> None:
    """With details, with a cause, benign, with no retry policy."""
    async with stage.worker([Fails]):
        for how in ("plain", "details", "benign", "cause"):
            handle = await stage.start(Fails.run, how, name=how)
            await stage.chain(how, handle)


async def workflow_retried(stage: Stage) -> None:
    """Each attempt is a run; the last one ends the chain."""
    # A run must be a second old before the next may begin (see the program ``young_runs``), so a
    # shorter interval would be stretched to what is left of that second.
    interval = timedelta(seconds=1.25)
    async with stage.worker([Retried, GivesUp, Fails]):
        handle = await stage.start(
            Retried.run,
            name="third time",
            retry_policy=RetryPolicy(initial_interval=interval, backoff_coefficient=1.5),
            memo={"note": "kept"},
            execution_timeout=timedelta(seconds=60),
            run_timeout=timedelta(seconds=50),
        )
        await stage.chain("third time", handle)
        await stage.describe("third time, description", handle)
        handle = await stage.start(
            GivesUp.run,
            name="gives up",
            retry_policy=RetryPolicy(initial_interval=interval, maximum_attempts=2),
        )
        await stage.chain("gives up", handle)
        handle = await stage.start(
            Fails.run, "cause", name="not retryable", retry_policy=RetryPolicy()
        )
        await stage.chain("not retryable", handle)
        handle = await stage.start(
            Fails.run,
            "details",
            name="type not retryable",
            retry_policy=RetryPolicy(non_retryable_error_types=["Detailed"]),
        )
        await stage.chain("type not retryable", handle)


async def workflow_task_failed(stage: Stage) -> None:
    """A bug fails the task once in history however often it is tried; a mended worker goes on."""
    async with stage.worker([Broken]):
        # The SDK reports only the first failure and lets the later attempts time out.
        handle = await stage.start(Broken.run, task_timeout=timedelta(seconds=1))
        await stage.described(handle, lambda it: it.pending_workflow_task.attempt >= 3)
    async with stage.worker([Mended]):
        stage.observe("result", await handle.result())
    events = await stage.closed(handle)
    # How often it was tried until the mended worker came is a matter of time.
    stage.observe("events", types_of(events))
    stage.message("failed task", next(e for e in events if e.event_type == TASK_FAILED))


async def nondeterminism(stage: Stage) -> None:
    """Changed code fails the task, and the old code still completes the workflow."""
    fired = EventType.EVENT_TYPE_TIMER_FIRED
    async with stage.worker([Before]):
        handle = await stage.start(Before.run)
        await stage.event(handle, fired)
        await stage.event(handle, TASK_COMPLETED, 2)
    await handle.signal(Before.go)
    async with stage.worker([After]):
        events = await stage.event(handle, TASK_FAILED)
    # What follows the failure is the next attempt, if it has begun.
    failed = next(event for event in events if event.event_type == TASK_FAILED)
    stage.observe(
        "events", types_of(event for event in events if event.event_id <= failed.event_id)
    )
    stage.message("failed task", failed)
    async with stage.worker([Before]):
        stage.observe("result", await handle.result())
