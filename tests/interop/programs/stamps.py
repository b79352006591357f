"""Workers that send a version stamp which says nothing, as Java's do."""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import RetryPolicy, WorkerVersionStamp
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
)

from tests.interop.raw import IDENTITY, HandWorker
from tests.interop.stage import Stage, payloads

EMPTY = WorkerVersionStamp()
FAILURE = Failure(message="x", application_failure_info=ApplicationFailureInfo(type="X"))


async def empty_stamps(stage: Stage) -> None:
    """What events and descriptions keep of an empty stamp, and of none after it."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll(), worker.schedule_activity("completed"))
    await stage.service.respond_activity_task_completed(
        RespondActivityTaskCompletedRequest(
            result=payloads("done"), **_answer(stage, await worker.poll_activity())
        )
    )
    once = RetryPolicy(maximum_attempts=1)
    failing = worker.schedule_activity("failed", retry_policy=once)
    await worker.complete(await worker.poll(), failing, worker_version_stamp=EMPTY)
    await stage.describe("after an empty stamp", execution)
    await stage.service.respond_activity_task_failed(
        RespondActivityTaskFailedRequest(
            failure=FAILURE, **_answer(stage, await worker.poll_activity())
        )
    )
    await worker.finish()
    await stage.describe("after no stamp", execution)
    await stage.chain("history", execution)


def _answer(stage: Stage, task: Any) -> dict[str, Any]:
    return {
        "namespace": stage.namespace,
        "task_token": task.task_token,
        "identity": IDENTITY,
        "worker_version": EMPTY,
    }
