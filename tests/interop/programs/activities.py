"""Activities that succeed at last, fail for good, or take too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from tests.interop.stage import Stage


@workflow.defn
class One:
    """Runs one activity as it is told."""

    @workflow.run
    async def run(self, name: str, options: dict[str, Any]) -> str:
        """Its result, or the chain of what went wrong."""
        retry = options.get("retry")
        try:
            result = await workflow.execute_activity(
                name,
                options.get("argument"),
                task_queue=options.get("task_queue"),
                schedule_to_close_timeout=_time(options, "schedule_to_close"),
                schedule_to_start_timeout=_time(options, "schedule_to_start"),
                start_to_close_timeout=_time(options, "start_to_close"),
                heartbeat_timeout=_time(options, "heartbeat"),
                retry_policy=None
                if retry is None
                else RetryPolicy(
                    initial_interval=timedelta(seconds=retry.get("initial", 0.1)),
                    maximum_attempts=retry.get("attempts", 0),
                    non_retryable_error_types=retry.get("types"),
                ),
            )
        except ActivityError as error:
            if options.get("raise"):
                raise
            return f"{error.retry_state!r}: {error.cause!r}"
        return str(result)


def _time(options: dict[str, Any], name: str) -> timedelta | None:
    seconds = options.get(name)
    return None if seconds is None else timedelta(seconds=seconds)


@workflow.defn
class Parallel:
    """Several activities at once."""

    @workflow.run
    async def run(self, count: int) -> list[int]:
        """Their results."""
        activities = [
            workflow.execute_activity("gated", number, start_to_close_timeout=timedelta(seconds=30))
            for number in range(count)
        ]
        return list(await asyncio.gather(*activities))


class Gated:
    """Activities that return when the program lets them."""

    def __init__(self, count: int) -> None:
        self.gates = [asyncio.Event() for _ in range(count)]
        self.began = [asyncio.Event() for _ in range(count)]

    @activity.defn
    async def gated(self, number: int) -> int:
        """The number, later."""
        self.began[number].set()
        await self.gates[number].wait()
        return number


@activity.defn
async def third_time(unused: Any = None) -> str:
    """Succeeds at the third attempt."""
    attempt = activity.info().attempt
    if attempt < 3:
        raise ApplicationError(f"attempt {attempt}", attempt, type="NotYet")
    return f"attempt {attempt}"


@activity.defn
async def broken(unused: Any = None) -> str:
    """Fails with a plain exception that has a cause."""
    try:
        raise KeyError("inner")
    except KeyError as inner:
        raise ValueError("outer") from inner


@activity.defn
async def hopeless(unused: Any = None) -> str:
    """Fails in a way that no retry mends."""
    raise ApplicationError("hopeless", {"why": "no"}, type="Hopeless", non_retryable=True)


@activity.defn
async def slow_retry(delay: float) -> str:
    """Asks for a delay of its own before the second attempt."""
    if activity.info().attempt == 1:
        raise ApplicationError("later", type="Later", next_retry_delay=timedelta(seconds=delay))
    return "done"


@activity.defn
async def forever(unused: Any = None) -> str:
    """Never returns by itself."""
    await asyncio.Event().wait()
    return "unreachable"


@activity.defn
async def beating(unused: Any = None) -> str:
    """Heartbeats once and then falls silent."""
    activity.heartbeat("alive", activity.info().attempt)
    await asyncio.Event().wait()
    return "unreachable"


@activity.defn
async def progress(unused: Any = None) -> str:
    """Fails once; the second attempt reports what the first one's heartbeat said."""
    info = activity.info()
    if info.attempt == 1:
        activity.heartbeat("half way", 50)
        raise ApplicationError("interrupted", type="Interrupted")
    return f"{list(info.heartbeat_details)}"


@activity.defn
async def verbose(unused: Any = None) -> str:
    """Fails once with more to say than the server keeps between attempts."""
    if activity.info().attempt == 1:
        raise ApplicationError("v" * 10_000, "d" * 10_000, type="Verbose")
    return "short"


ACTIVITIES: list[Callable[..., Any]] = [
    third_time,
    broken,
    hopeless,
    slow_retry,
    forever,
    beating,
    progress,
    verbose,
]

# name of the case: activity, options
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "third time": ("third_time", {"start_to_close": 10, "retry": {}}),
    "a long failure": ("verbose", {"start_to_close": 10, "retry": {}}),
    "no retries": ("broken", {"start_to_close": 10, "retry": {"attempts": 1}}),
    "no attempts left": ("broken", {"start_to_close": 10, "retry": {"attempts": 2}, "raise": True}),
    "not retryable": ("hopeless", {"start_to_close": 10, "raise": True}),
    "type not retryable": (
        "third_time",
        {"start_to_close": 10, "retry": {"types": ["Other", "NotYet"]}},
    ),
    "own delay": ("slow_retry", {"start_to_close": 10, "argument": 0.2}),
    "next attempt too late": (
        "broken",
        {"schedule_to_close": 2, "retry": {"initial": 60}},
    ),
    "unknown activity": ("missing", {"start_to_close": 10, "retry": {"attempts": 1}}),
    "details of the last attempt": (
        "progress",
        {"start_to_close": 10, "heartbeat": 5, "retry": {}},
    ),
}
TIMEOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "start to close": ("forever", {"start_to_close": 1, "retry": {"attempts": 1}}),
    "start to close twice": ("forever", {"start_to_close": 1, "retry": {"attempts": 2}}),
    "start to close, type not retryable": (
        "forever",
        {"start_to_close": 1, "retry": {"types": ["TemporalTimeout:StartToClose"]}},
    ),
    "schedule to start": (
        "forever",
        {"start_to_close": 10, "schedule_to_start": 1, "task_queue": "nobody"},
    ),
    "schedule to close": ("forever", {"schedule_to_close": 1}),
    "schedule to close, nobody": ("forever", {"schedule_to_close": 1, "task_queue": "nobody"}),
    "heartbeat": ("beating", {"start_to_close": 10, "heartbeat": 1, "retry": {"attempts": 1}}),
    "heartbeat twice": (
        "beating",
        {"start_to_close": 10, "heartbeat": 1, "retry": {"attempts": 2}},
    ),
}


async def _cases(stage: Stage, cases: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Runs all at once; each history by itself is determined."""
    async with stage.worker([One], ACTIVITIES):
        handles = {}
        for name, (activity_name, options) in cases.items():
            if options.get("task_queue") == "nobody":
                options = {**options, "task_queue": stage.queue("nobody")}
            handles[name] = await stage.start(One.run, activity_name, options, name=name)
        for name, handle in handles.items():
            await stage.chain(name, handle)


async def activity_outcomes(stage: Stage) -> None:
    """Retries, and every way to end without a timeout."""
    await _cases(stage, CASES)


async def activity_timeouts(stage: Stage) -> None:
    """All four timeouts, at the first attempt and at a later one."""
    await _cases(stage, TIMEOUTS)


async def activities_parallel(stage: Stage) -> None:
    """Three at once, finished in another order than scheduled, one workflow task for each."""
    gated = Gated(3)
    async with stage.worker([Parallel], [gated.gated]):
        handle = await stage.start(Parallel.run, 3)
        for count, number in enumerate((1, 2, 0), start=2):
            await gated.began[number].wait()
            gated.gates[number].set()
            await stage.event(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, count)
        await stage.chain("history", handle)


async def activity_pending(stage: Stage) -> None:
    """What a description tells of an activity: running, and waiting for its next attempt."""
    gated = Gated(1)
    async with stage.worker([Parallel, One], [gated.gated, slow_retry]):
        handle = await stage.start(Parallel.run, 1, name="running")
        await gated.began[0].wait()
        await stage.describe("running", handle)
        gated.gates[0].set()
        await stage.closed(handle)
        handle = await stage.start(
            One.run, "slow_retry", {"start_to_close": 10, "argument": 3600}, name="waiting"
        )
        await stage.described(
            handle, lambda it: any(one.attempt == 2 for one in it.pending_activities)
        )
        await stage.describe("waiting", handle)
        await handle.terminate("enough")
        # What is still "pending" of a closed run is not compared: ours has nothing pending then.
        await stage.chain("terminated", handle)
