"""A workflow of the official SDK with local activities; `translated` makes it ours."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

CASES = (
    "one",
    "several",
    "side by side",
    "retried",
    "failed",
    "given up",
    "backing off",
    "timed out",
    "cancelled",
    "cancelled and awaited",
    "cancelled at once",
    "kept alive",
    "kept alive beside a timer",
    "signalled while kept alive",
    "run out",
)


LONG = timedelta(seconds=30)
SOON = timedelta(milliseconds=10)


@activity.defn(name="echo")
async def echo(value: int) -> int:
    return value


@activity.defn(name="pause")
async def pause(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"paused {seconds}"


@activity.defn(name="fail")
async def fail(times: int) -> int:
    if activity.info().attempt <= times:
        raise ApplicationError("not yet", type="NotYet")
    return int(activity.info().attempt)


@activity.defn(name="refuse")
async def refuse() -> None:
    raise ApplicationError("never", "a detail", non_retryable=True)


@activity.defn(name="obey")
async def obey() -> None:
    await asyncio.Future()


@workflow.defn(name="Local", sandboxed=False)
class Local:
    def __init__(self) -> None:
        self.signals = 0

    @workflow.run
    async def run(self, case: str) -> str:
        try:
            return str(await getattr(self, case.replace(" ", "_"))())
        except Exception as error:
            return _chain(error)

    @workflow.signal
    async def signal(self) -> None:
        self.signals += 1
        await workflow.execute_local_activity(echo, 3, start_to_close_timeout=LONG)

    async def one(self) -> int:
        return int(
            await workflow.execute_local_activity(
                echo, 1, start_to_close_timeout=LONG, activity_id="mine", summary="A label"
            )
        )

    async def several(self) -> list[int]:
        found = [
            await workflow.execute_local_activity(echo, value, start_to_close_timeout=LONG)
            for value in range(3)
        ]
        later = await workflow.execute_activity(echo, 7, start_to_close_timeout=LONG)
        return [
            *found,
            later,
            await workflow.execute_local_activity(echo, 8, start_to_close_timeout=LONG),
        ]

    async def side_by_side(self) -> list[Any]:
        return list(
            await asyncio.gather(
                workflow.execute_local_activity(pause, 0.05, start_to_close_timeout=LONG),
                workflow.execute_local_activity(echo, 2, start_to_close_timeout=LONG),
                workflow.execute_activity(echo, 7, start_to_close_timeout=LONG),
                asyncio.sleep(0.01),
            )
        )

    async def retried(self) -> int:
        policy = RetryPolicy(initial_interval=SOON)
        return int(
            await workflow.execute_local_activity(
                fail, 2, start_to_close_timeout=LONG, retry_policy=policy
            )
        )

    async def failed(self) -> None:
        await workflow.execute_local_activity(refuse, schedule_to_close_timeout=LONG)

    async def given_up(self) -> None:
        policy = RetryPolicy(initial_interval=SOON, maximum_attempts=2)
        await workflow.execute_local_activity(
            fail, 9, schedule_to_close_timeout=LONG, retry_policy=policy
        )

    async def backing_off(self) -> int:
        policy = RetryPolicy(initial_interval=SOON, backoff_coefficient=10)
        return int(
            await workflow.execute_local_activity(
                fail,
                2,
                schedule_to_close_timeout=LONG,
                retry_policy=policy,
                local_retry_threshold=timedelta(milliseconds=50),
            )
        )

    async def timed_out(self) -> None:
        policy = RetryPolicy(initial_interval=SOON, maximum_attempts=2)
        await workflow.execute_local_activity(
            obey, start_to_close_timeout=timedelta(seconds=0.05), retry_policy=policy
        )

    async def run_out(self) -> None:
        await workflow.execute_local_activity(
            obey, schedule_to_close_timeout=timedelta(seconds=0.05)
        )

    async def cancelled(self) -> None:
        handle = workflow.start_local_activity(obey, start_to_close_timeout=LONG)
        await workflow.execute_local_activity(pause, 0.05, start_to_close_timeout=LONG)
        handle.cancel()
        await handle

    async def cancelled_and_awaited(self) -> None:
        handle = workflow.start_local_activity(
            obey,
            start_to_close_timeout=LONG,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        await workflow.execute_local_activity(pause, 0.05, start_to_close_timeout=LONG)
        handle.cancel()
        await handle

    async def cancelled_at_once(self) -> None:
        handle = workflow.start_local_activity(obey, start_to_close_timeout=LONG)
        await asyncio.sleep(0)
        handle.cancel()
        await handle

    async def kept_alive(self) -> str:
        return str(await workflow.execute_local_activity(pause, 1.8, start_to_close_timeout=LONG))

    async def kept_alive_beside_a_timer(self) -> list[Any]:
        before = workflow.time()
        found = await asyncio.gather(
            workflow.execute_local_activity(pause, 1.2, start_to_close_timeout=LONG),
            asyncio.sleep(0.1),
        )
        return [*found, workflow.time() - before >= 1.2]

    async def signalled_while_kept_alive(self) -> list[Any]:
        paused = await workflow.execute_local_activity(pause, 1.8, start_to_close_timeout=LONG)
        await workflow.wait_condition(lambda: self.signals > 0)
        return [
            paused,
            await workflow.execute_local_activity(echo, 4, start_to_close_timeout=LONG),
        ]


ACTIVITIES: list[Any] = [echo, pause, fail, refuse, obey]


def _chain(error: BaseException | None) -> str:
    causes = []
    while error is not None:
        causes.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return " < ".join(causes)
