"""Workflows and activities for the tests of the embedded engine and of sessions.

What holds a task says so on standard output, for whoever waits to kill its process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from temporalio.api.common.v1 import Payload

from perdure import activity, workflow
from perdure.common import RetryPolicy
from perdure.converter import PayloadCodec
from perdure.exceptions import ActivityError, TimeoutError  # noqa: A004 -- the name of the SDK

LONG = timedelta(hours=1)
"""No timeout of these workflows can help them in a test."""


@activity.defn
async def compose(name: str) -> str:
    """The greeting."""
    return f"Hello, {name}!"


@activity.defn
async def hold() -> str:
    """The first attempt is never answered; the next says what the first one left."""
    info = activity.info()
    if info.attempt > 1:
        return f"attempt {info.attempt} after {list(info.heartbeat_details)}"
    activity.heartbeat("half way")
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody wakes it")


@workflow.defn
class Greeting:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The greeting."""
        return await workflow.execute_activity(compose, name, start_to_close_timeout=LONG)


@workflow.defn
class Holding:
    """An activity that the first worker never answers, tried as often as it is told."""

    @workflow.run
    async def run(self, attempts_max: int) -> str:
        """What the activity said, or the kind of failure that it ended with."""
        try:
            return await workflow.execute_activity(
                hold,
                start_to_close_timeout=LONG,
                retry_policy=RetryPolicy(maximum_attempts=attempts_max),
            )
        except ActivityError as error:
            return type(error.cause).__name__


class Puzzled(PayloadCodec):
    """The codec of a worker that never gets as far as to answer a task with a puzzle in it."""

    def __init__(self) -> None:
        self.is_thinking = asyncio.Event()

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """As they are."""
        return list(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """As they are, but for a puzzle."""
        if any(payload.data == b'"puzzle"' for payload in payloads):
            self.is_thinking.set()
            await asyncio.get_running_loop().create_future()
        return list(payloads)


@workflow.defn
class Thinking:
    """Its first workflow task is never answered by a worker that is puzzled."""

    @workflow.run
    async def run(self, puzzle: str) -> str:
        """Done thinking."""
        return "thought"


@workflow.defn
class Sleeping:
    """A durable sleep that is longer than any test."""

    @workflow.run
    async def run(self) -> None:
        """Sleep."""
        await workflow.sleep(LONG)


@workflow.defn
class Waiting:
    """Waits for a signal."""

    def __init__(self) -> None:
        self._is_open = False

    @workflow.run
    async def run(self) -> str:
        """The end of it."""
        await workflow.wait_condition(lambda: self._is_open)
        return await workflow.execute_activity(compose, "again", start_to_close_timeout=LONG)

    @workflow.signal
    def open(self) -> None:
        """Let it go on."""
        self._is_open = True


class Work:
    """What happens while the loop of a worker stands still."""

    began = threading.Event()
    """The work in a thread."""
    blocks_seconds = 0.0


@activity.defn
def work_in_thread() -> str:
    """Is done soon after the loop is blocked."""
    Work.began.set()
    time.sleep(0.5)
    return f"worked, attempt {activity.info().attempt}"


@activity.defn
async def work_in_loop() -> str:
    """Is done, and has not been answered when the loop is blocked."""
    await asyncio.to_thread(Work.began.wait)
    asyncio.get_running_loop().call_soon(time.sleep, Work.blocks_seconds)
    return f"worked, attempt {activity.info().attempt}"


@workflow.defn
class Working:
    """Two activities that must not take longer than some seconds."""

    @workflow.run
    async def run(self, limit_seconds: float) -> list[str]:
        """What they say."""
        limit = timedelta(seconds=limit_seconds)
        return list(
            await asyncio.gather(
                workflow.execute_activity(
                    work_in_thread, start_to_close_timeout=limit, heartbeat_timeout=limit
                ),
                workflow.execute_activity(work_in_loop, start_to_close_timeout=limit),
            )
        )


@activity.defn
async def never() -> None:
    """Is never answered."""
    activity.raise_complete_async()


@workflow.defn
class Late:
    """An activity that is not answered in time."""

    @workflow.run
    async def run(self) -> str:
        """How it failed."""
        try:
            await workflow.execute_activity(
                never,
                start_to_close_timeout=timedelta(milliseconds=100),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        except ActivityError as error:
            cause = error.cause
            if isinstance(cause, TimeoutError) and cause.type is not None:
                return cause.type.name
        return "not late"


WORKFLOWS = [Greeting, Holding, Thinking, Sleeping, Waiting, Working, Late]
ACTIVITIES: list[Callable[..., object]] = [compose, hold, work_in_thread, work_in_loop, never]
QUEUE = "embedded"
