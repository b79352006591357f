"""Workflows and activities for the tests of the worker."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from perdure import activity, workflow
from perdure.common import RawValue, RetryPolicy
from perdure.exceptions import ActivityError, ApplicationError, CancelledError

LIMIT = timedelta(seconds=20)
SOON = timedelta(milliseconds=20)
ONCE = RetryPolicy(maximum_attempts=1)
QUICKLY = RetryPolicy(initial_interval=SOON, maximum_attempts=3)


@dataclass
class Order:
    """A value that is not JSON by itself."""

    number: int
    lines: list[str]


# ---- activities


@activity.defn
async def compose(greeting: str, name: str) -> str:
    """The greeting."""
    return f"{greeting}, {name}!"


@activity.defn
async def price(order: Order) -> Order:
    """The order, priced."""
    return Order(order.number, [*order.lines, "price"])


@activity.defn(name="echo in a thread")
def echo_in_thread(value: str) -> str:
    """What it was given, and that it was not the event loop's thread."""
    assert threading.current_thread() is not threading.main_thread()
    return f"{value} {activity.info().activity_type}"


@activity.defn
def process_id(value: str) -> int:
    """The process that ran it."""
    activity.heartbeat(value)
    return os.getpid()


@activity.defn
async def succeed_at_attempt(number: int) -> int:
    """Fails until it is tried that often."""
    attempt = activity.info().attempt
    if attempt < number:
        raise ApplicationError(f"attempt {attempt}", attempt, type="NotYet")
    return attempt


@activity.defn
async def fail_with_cause() -> None:
    """An error that was raised from another."""
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError("outer") from error


@activity.defn
async def go_on_from_heartbeat() -> list[str]:
    """Reports how far it is, fails, and goes on from there."""
    done = list(activity.info().heartbeat_details)
    if len(done) < 2:
        activity.heartbeat(*done)
        activity.heartbeat(*done, f"step {len(done)}")  # too soon to be sent by itself
        raise ApplicationError("again")
    return done


@activity.defn
async def go_on_from_heartbeat_of_a_thread() -> list[str]:
    """The same, its heartbeats from a thread that it waits for, with the loop."""
    done = list(activity.info().heartbeat_details)
    if len(done) < 2:
        context = contextvars.copy_context()
        details = (*done, f"step {len(done)}")
        thread = threading.Thread(target=lambda: context.run(activity.heartbeat, *details))
        thread.start()
        thread.join()
        raise ApplicationError("again")
    return done


@activity.defn
async def wait_for_cancellation(how: str) -> str:
    """Heartbeats until it is cancelled, and then lets itself be cancelled or not."""
    try:
        while True:
            activity.heartbeat("waiting")
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        assert details is not None
        assert details.cancel_requested
        assert activity.is_cancelled()
        if how == "return":
            return "cleaned up"
        if how == "fail":
            raise RuntimeError("in the middle") from None
        raise


@activity.defn
def wait_in_thread(how: str) -> str:
    """The same in a thread."""
    shielded = ""
    try:
        with activity.shield_thread_cancel_exception():
            while not activity.is_cancelled():
                activity.heartbeat("waiting")
                time.sleep(0.02)
            shielded = "shielded"
        return "not raised"
    except CancelledError:
        if how == "return":
            return shielded
        raise


@activity.defn
def wait_in_process() -> str:
    """The same in another process, where nothing is raised."""
    while not activity.is_cancelled():
        activity.heartbeat("waiting")
        activity.wait_for_cancelled_sync(0.05)
    return "seen"


@activity.defn
async def wait_for_shutdown() -> str:
    """Ends when its worker is about to go."""
    await activity.wait_for_worker_shutdown()
    return "shut down"


@activity.defn
async def wait_for_ever() -> None:
    """Ends when it is cancelled."""
    await asyncio.get_running_loop().create_future()


@activity.defn
async def complete_elsewhere() -> None:
    """Somebody else completes it."""
    activity.raise_complete_async()


@activity.defn
async def say_much(size: int) -> str:
    """So many letters."""
    return "x" * size


@activity.defn
def die() -> None:
    """Ends its process."""
    os._exit(1)


def warm_up() -> None:
    """Has a process import this module."""


@activity.defn(dynamic=True)
async def any_activity(args: Sequence[RawValue]) -> str:
    """Serves every name."""
    converter = activity.payload_converter()
    values = [converter.from_payload(arg.payload) for arg in args]
    return f"{activity.info().activity_type} {values}"


# ---- workflows


@workflow.defn
class Greeting:
    """One activity."""

    @workflow.run
    async def run(self, name: str) -> str:
        """The greeting."""
        return await workflow.execute_activity(
            compose, args=["Hello", name], start_to_close_timeout=LIMIT
        )


@workflow.defn
class Pricing:
    """Values that are dataclasses."""

    @workflow.run
    async def run(self, order: Order) -> Order:
        """The order, priced."""
        return await workflow.execute_activity(price, order, start_to_close_timeout=LIMIT)


@workflow.defn
class Calls:
    """One activity by its name."""

    @workflow.run
    async def run(self, name: str, args: list[str]) -> object:
        """What the activity returns."""
        return await workflow.execute_activity(
            name, args=args, start_to_close_timeout=LIMIT, retry_policy=QUICKLY
        )


@workflow.defn
class CallsWithNumber:
    """One activity by its name, with a number."""

    @workflow.run
    async def run(self, name: str, number: int) -> object:
        """What the activity returns."""
        return await workflow.execute_activity(
            name, number, start_to_close_timeout=LIMIT, retry_policy=QUICKLY
        )


@workflow.defn
class Cancels:
    """Cancels an activity once it is told to."""

    def __init__(self) -> None:
        self.go = False

    @workflow.signal
    def proceed(self) -> None:
        """The activity runs."""
        self.go = True

    @workflow.run
    async def run(self, name: str, args: list[str]) -> str:
        """How the activity ended."""
        handle = workflow.start_activity(
            name,
            args=args,
            start_to_close_timeout=LIMIT,
            heartbeat_timeout=timedelta(seconds=2),
            retry_policy=ONCE,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.wait_condition(lambda: self.go)
        handle.cancel()
        try:
            return f"returned {await handle}"
        except ActivityError as error:
            return f"{type(error.cause).__name__}: {error.cause}"


@workflow.defn
class TimesOut:
    """An activity that takes too long."""

    @workflow.run
    async def run(self) -> str:
        """Which timeout it was."""
        try:
            await workflow.execute_activity(
                wait_for_ever,
                start_to_close_timeout=timedelta(milliseconds=300),
                retry_policy=ONCE,
            )
        except ActivityError as error:
            return f"{type(error.cause).__name__}: {error.cause}"
        return "in time"


@workflow.defn
class Collects:
    """Signals, in their order."""

    def __init__(self) -> None:
        self.received: list[str] = []

    @workflow.signal
    def add(self, word: str) -> None:
        """One more."""
        self.received.append(word)

    @workflow.query
    def count(self) -> int:
        """So many so far."""
        return len(self.received)

    @workflow.run
    async def run(self, count: int) -> list[str]:
        """The words, when there are enough."""
        await workflow.wait_condition(lambda: len(self.received) >= count)
        return self.received


@workflow.defn
class Sleeps:
    """A timer, and then an activity."""

    @workflow.run
    async def run(self, seconds: float) -> str:
        """The greeting."""
        await workflow.sleep(seconds)
        return await workflow.execute_activity(
            compose, args=["Good morning", "you"], start_to_close_timeout=LIMIT
        )


@workflow.defn
class Counts:
    """Continues as new until it has counted down."""

    @workflow.run
    async def run(self, left: int, runs: list[str]) -> list[str]:
        """The ids of all runs."""
        runs.append(workflow.info().run_id)
        if left > 0:
            workflow.continue_as_new(args=[left - 1, runs])
        return runs


@workflow.defn
class SaysMuch:
    """Its result is too large for the service, unless something can be done about it."""

    size = 3_000_000

    @workflow.run
    async def run(self) -> str:
        """So many letters."""
        return "x" * SaysMuch.size


@workflow.defn
class Blocks:
    """Does not let go of the thread, the first time."""

    tried = 0

    @workflow.run
    async def run(self) -> str:
        """When it was tried again."""
        Blocks.tried += 1
        while Blocks.tried == 1:
            pass
        return "let go"


@workflow.defn
class BlocksBeside:
    """Does not let go of the thread in a task that nobody awaits, the first time."""

    tried = 0

    def __init__(self) -> None:
        self._done = False

    @workflow.run
    async def run(self) -> str:
        """When it was tried again."""
        self._begin()
        await workflow.wait_condition(lambda: self._done)
        return "let go"

    def _begin(self) -> None:
        task = asyncio.create_task(self._block())
        assert not task.done()

    async def _block(self) -> None:
        BlocksBeside.tried += 1
        while BlocksBeside.tried == 1:
            pass
        self._done = True


@workflow.defn
class Breaks:
    """Has an error that is mended later."""

    times_left = 0

    @workflow.run
    async def run(self) -> str:
        """That it was mended."""
        if Breaks.times_left:
            Breaks.times_left -= 1
            raise RuntimeError("broken\nin two lines")
        return "mended"


class Version:
    """What the code is like just now; the tests change it as a deployment would."""

    activity_first = True


@workflow.defn
class Changes:
    """Its code is changed while it runs."""

    def __init__(self) -> None:
        self.go = False

    @workflow.signal
    def proceed(self) -> None:
        """On."""
        self.go = True

    @workflow.run
    async def run(self) -> str:
        """How often it was asked."""
        if Version.activity_first:
            await workflow.execute_activity(
                compose, args=["Hello", "you"], start_to_close_timeout=LIMIT
            )
        else:
            await workflow.sleep(0.01)
        await workflow.wait_condition(lambda: self.go)
        return "done"


class Crowd:
    """An activity that is a method, and knows how many of it run at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    @activity.defn
    async def enter(self) -> None:
        """Stays for a few turns of the loop."""
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        self.now -= 1


class Gate:
    """What an activity waits for; each test brings its own."""

    opened = asyncio.Event()
    passed = 0


@activity.defn
async def pass_gate() -> str:
    """Waits for the gate."""
    await Gate.opened.wait()
    Gate.passed += 1
    return "passed"


@workflow.defn
class Draws:
    """A random number before and after a timer."""

    @workflow.run
    async def run(self) -> list[float]:
        drawn = [workflow.random().random()]
        await workflow.sleep(0.01)
        return [*drawn, workflow.random().random()]
