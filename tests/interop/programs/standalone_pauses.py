"""Standalone activities that are paused: what times out, and what comes of attempts that end."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.api.common.v1 import ActivityType, RetryPolicy
from temporalio.api.enums.v1 import ActivityExecutionStatus
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeActivityExecutionRequest,
    PauseActivityExecutionRequest,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    RespondActivityTaskFailedRequest,
    StartActivityExecutionRequest,
    UnpauseActivityExecutionRequest,
)

from tests.interop.raw import seconds
from tests.interop.stage import WAIT_SECONDS, Stage

ONCE = RetryPolicy(maximum_attempts=1)
SOON = RetryPolicy(maximum_attempts=3, initial_interval=seconds(1))
RUNNING = ActivityExecutionStatus.ACTIVITY_EXECUTION_STATUS_RUNNING
PAUSED = ActivityExecutionStatus.ACTIVITY_EXECUTION_STATUS_PAUSED


class _Job:
    """One activity, with a queue of its own."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self._service = stage.service
        self.name = name
        self._named: dict[str, Any] = {
            "namespace": stage.namespace,
            "activity_id": stage.workflow_id(name),
        }
        self._queue = TaskQueue(name=stage.queue(name))

    async def start(self, **fields: Any) -> None:
        """Begin it."""
        await self._service.start_activity_execution(
            StartActivityExecutionRequest(
                **{
                    **self._named,
                    "activity_type": ActivityType(name="job"),
                    "task_queue": self._queue,
                    "request_id": "start",
                    "start_to_close_timeout": seconds(60),
                    **fields,
                }
            )
        )

    async def poll(self) -> PollActivityTaskQueueResponse:
        """The next attempt."""
        return await self._service.poll_activity_task_queue(
            PollActivityTaskQueueRequest(
                namespace=self._stage.namespace, task_queue=self._queue, identity="worker"
            )
        )

    async def pause(self) -> None:
        """Whatever it is doing."""
        request = PauseActivityExecutionRequest(**self._named, request_id="pause")
        await self._service.pause_activity_execution(request)

    async def unpause(self, label: str) -> None:
        """It goes on, or is over."""
        request = UnpauseActivityExecutionRequest(**self._named)
        await self._stage.outcome(label, self._service.unpause_activity_execution(request))

    async def fail(self, task: PollActivityTaskQueueResponse) -> None:
        """An attempt fails."""
        failure = Failure(message="no", application_failure_info=ApplicationFailureInfo(type="T"))
        await self._service.respond_activity_task_failed(
            RespondActivityTaskFailedRequest(
                namespace=self._stage.namespace, task_token=task.task_token, failure=failure
            )
        )

    async def observe(self, *, once_not: tuple[int, int] = (0, 0)) -> None:
        """How it stands; as soon as status and attempt are not these."""
        request = DescribeActivityExecutionRequest(**self._named)
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                info = (await self._service.describe_activity_execution(request)).info
                if (info.status, info.attempt) != once_not:
                    break
                await asyncio.sleep(0.05)
        self._stage.observe(self.name, [info.status, info.attempt, info.run_state])


async def standalone_paused_in_time(stage: Stage) -> None:
    """What runs times out, and what waits must be over in time, but need not begin."""

    async def one(name: str, status: int, *, is_taken: bool, **fields: Any) -> None:
        job = _Job(stage, name)
        await job.start(**fields)
        if is_taken:
            await job.poll()
        await job.pause()
        await job.observe(once_not=(status, 1))

    begins = _Job(stage, "need not begin")
    await begins.start(schedule_to_start_timeout=seconds(1))
    await begins.pause()
    short = seconds(1)
    await asyncio.gather(
        one("waits too long", PAUSED, is_taken=False, schedule_to_close_timeout=short),
        one("runs too long", RUNNING, is_taken=True, schedule_to_close_timeout=short),
        one("silent", RUNNING, is_taken=True, heartbeat_timeout=short, retry_policy=ONCE),
        one("last", RUNNING, is_taken=True, start_to_close_timeout=short, retry_policy=ONCE),
        one("first", RUNNING, is_taken=True, start_to_close_timeout=short, retry_policy=SOON),
        asyncio.sleep(3),
    )
    await begins.observe()


async def standalone_paused_and_failed(stage: Stage) -> None:
    """The last attempt is the last one; a backoff goes on behind a pause."""
    last = _Job(stage, "last attempt")
    await last.start(retry_policy=ONCE)
    task = await last.poll()
    await last.pause()
    await last.fail(task)
    await last.observe()
    await last.unpause("over")
    first = _Job(stage, "first attempt")
    await first.start(retry_policy=SOON)
    task = await first.poll()
    await first.pause()
    await first.fail(task)
    await first.observe()
    await first.unpause("goes on")
    stage.observe("second attempt", (await first.poll()).attempt)
