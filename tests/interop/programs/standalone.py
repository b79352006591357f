"""Activities without a workflow, by hand: every way to end, and what is told of them meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api import workflowservice
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import ActivityType, Header, Payload, Priority, RetryPolicy
from temporalio.api.enums.v1 import activity_pb2
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeActivityExecutionRequest,
    DescribeActivityExecutionResponse,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
)

from tests.interop.stage import CLIENT_IDENTITY, WAIT_SECONDS, Stage, payloads

WORKER = "worker by hand"
SECOND = Duration(seconds=1)
MINUTE = Duration(seconds=60)
FAILURE = Failure(message="no", application_failure_info=ApplicationFailureInfo(type="T"))
USE_EXISTING = activity_pb2.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING
FAILED_ONLY = activity_pb2.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
REJECT = activity_pb2.ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE


class Jobs:
    """Calls about the activities of a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._calls = 0

    def id(self, name: str) -> str:
        """The same for every server but for the nonce."""
        return self.stage.workflow_id(name)

    async def call(self, method: str, name: str | None, **fields: Any) -> Any:
        """A call about an activity, and what came of it."""
        request = getattr(workflowservice.v1, f"{method}Request")(
            namespace=self.stage.namespace, **fields
        )
        if name is not None:
            request.activity_id = self.id(name)
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method)
        rpc = getattr(self.stage.service, snake.lstrip("_"))
        self._calls += 1
        return await self.stage.outcome(f"{self._calls} {method} {name}", rpc(request))

    async def start(self, name: str, request: str = "first", **fields: Any) -> Any:
        """Starts an activity on the stage's queue."""
        return await self.call(
            "StartActivityExecution",
            name,
            **{
                "activity_type": ActivityType(name="Job"),
                "task_queue": self.stage.task_queue(),
                "start_to_close_timeout": MINUTE,
                "input": payloads("some", 1),
                "identity": CLIENT_IDENTITY,
                "request_id": f"{request} {name} {self.stage.nonce}",
                **fields,
            },
        )

    async def take(self) -> PollActivityTaskQueueResponse:
        """The next task, kept but for the advice on pollers."""
        task = await self.stage.service.poll_activity_task_queue(
            PollActivityTaskQueueRequest(
                namespace=self.stage.namespace,
                task_queue=self.stage.task_queue(),
                identity=WORKER,
            ),
            timeout=timedelta(seconds=70),
        )
        kept = PollActivityTaskQueueResponse()
        kept.CopyFrom(task)
        kept.ClearField("poller_scaling_decision")
        self._calls += 1
        self.stage.message(f"{self._calls} task", kept)
        return task

    async def describe(self, name: str) -> None:
        """All that is told of it, but for the SDK, which the headers of the worker's poll name."""
        self._calls += 1
        self.stage.message(f"{self._calls} describe {name}", await self._description(name))

    async def closed(self, name: str) -> None:
        """Waits for its end, and tells all of it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                if (await self._description(name)).info.HasField("close_time"):
                    break
                await asyncio.sleep(0.05)
        await self.describe(name)
        await self.call("PollActivityExecution", name)

    async def _description(self, name: str) -> DescribeActivityExecutionResponse:
        description = await self.stage.service.describe_activity_execution(
            DescribeActivityExecutionRequest(
                namespace=self.stage.namespace,
                activity_id=self.id(name),
                include_input=True,
                include_outcome=True,
                include_heartbeat_details=True,
                include_last_failure=True,
            )
        )
        description.info.ClearField("sdk_name")
        description.info.ClearField("sdk_version")
        return description


async def ends(stage: Stage) -> None:
    """A result, a failure, a cancellation, an end by force, and each timeout."""
    jobs = Jobs(stage)
    header = Header(fields={"h": Payload(data=b"x")})
    await jobs.start("done", header=header, priority=Priority(priority_key=2))
    await jobs.describe("done")
    task = await jobs.take()
    await jobs.describe("done")
    token = {"task_token": task.task_token, "identity": WORKER}
    await jobs.call("RecordActivityTaskHeartbeat", None, details=payloads("beat"), **token)
    await jobs.describe("done")
    await jobs.call("RespondActivityTaskCompleted", None, result=payloads("r"), **token)
    await jobs.closed("done")
    await jobs.call("RespondActivityTaskCompleted", None, result=payloads("r"), **token)
    await jobs.start("by-id")
    await jobs.call("RespondActivityTaskCompletedById", "by-id", identity="someone")
    await jobs.closed("by-id")
    await jobs.start("cancelled")
    task = await jobs.take()
    token = {"task_token": task.task_token, "identity": WORKER}
    await jobs.call("RespondActivityTaskCanceled", None, **token)
    cancel = {"identity": CLIENT_IDENTITY, "request_id": "one", "reason": "why not"}
    await jobs.call("RequestCancelActivityExecution", "cancelled", **cancel)
    await jobs.call("RequestCancelActivityExecution", "cancelled", **cancel)
    await jobs.call("RequestCancelActivityExecution", "cancelled", request_id="two")
    await jobs.call("RecordActivityTaskHeartbeat", None, **token)
    await jobs.describe("cancelled")
    await jobs.call("RespondActivityTaskCanceled", None, details=payloads("bye"), **token)
    await jobs.closed("cancelled")
    await jobs.call("RequestCancelActivityExecution", "cancelled", **cancel)
    await jobs.start("never begun")
    await jobs.call("RequestCancelActivityExecution", "never begun", **cancel)
    await jobs.closed("never begun")
    await jobs.start("ended")
    await jobs.call("TerminateActivityExecution", "ended", **cancel)
    await jobs.call("TerminateActivityExecution", "ended", **cancel)
    await jobs.call("TerminateActivityExecution", "ended", request_id="two")
    await jobs.closed("ended")


async def retries(stage: Stage) -> None:
    """Attempts that fail or time out, until there are no more."""
    jobs = Jobs(stage)
    policy = RetryPolicy(initial_interval=SECOND, maximum_attempts=2)
    await jobs.start("fails", retry_policy=policy)
    for _ in range(2):
        task = await jobs.take()
        await jobs.call(
            "RespondActivityTaskFailed",
            None,
            task_token=task.task_token,
            identity=WORKER,
            failure=FAILURE,
            last_heartbeat_details=payloads("beat"),
        )
        await jobs.describe("fails")
    once = RetryPolicy(maximum_attempts=1)
    await jobs.start("silent", heartbeat_timeout=SECOND, retry_policy=once)
    await jobs.take()
    await jobs.start("slow", start_to_close_timeout=SECOND, retry_policy=once)
    await jobs.take()
    await jobs.start("unwanted", schedule_to_start_timeout=SECOND)
    for name in ("silent", "slow", "unwanted"):
        await jobs.closed(name)
    long = RetryPolicy(initial_interval=Duration(seconds=10))
    await jobs.start("no time", schedule_to_close_timeout=Duration(seconds=5), retry_policy=long)
    task = await jobs.take()
    await jobs.call(
        "RespondActivityTaskFailed",
        None,
        task_token=task.task_token,
        identity=WORKER,
        failure=FAILURE,
    )
    await jobs.closed("no time")
    await jobs.start("later", start_delay=SECOND, schedule_to_close_timeout=MINUTE)
    await jobs.describe("later")
    await jobs.take()


async def policies(stage: Stage) -> None:
    """What comes of an id that is taken, or was."""
    jobs = Jobs(stage)
    await jobs.start("job")
    await jobs.start("job")
    await jobs.start("job", "other")
    await jobs.start("job", "other", id_conflict_policy=USE_EXISTING)
    await jobs.call("RespondActivityTaskCompletedById", "job", identity="someone")
    await jobs.start("job")
    for policy in (REJECT, FAILED_ONLY):
        await jobs.start("job", "other", id_reuse_policy=policy)
    first = await jobs.start("job", "third")
    await jobs.call("TerminateActivityExecution", "job", reason="enough")
    await jobs.start("job", "fourth", id_reuse_policy=FAILED_ONLY)
    await jobs.call("DescribeActivityExecution", "job", run_id=first.run_id, include_outcome=True)
    await jobs.call("PollActivityExecution", "job", run_id=first.run_id)


async def control(stage: Stage) -> None:
    """Pauses, resets and other options."""
    jobs = Jobs(stage)
    await jobs.start("job")
    pause = {"identity": "operator", "reason": "wait", "request_id": "one"}
    await jobs.call("PauseActivityExecution", "job", **pause)
    await jobs.call("PauseActivityExecution", "job", **pause)
    await jobs.call("PauseActivityExecution", "job", request_id="two")
    await jobs.describe("job")
    await jobs.call(
        "UpdateActivityExecutionOptions",
        "job",
        activity_options=ActivityOptions(start_to_close_timeout=SECOND),
        update_mask=FieldMask(paths=["start_to_close_timeout"]),
    )
    await jobs.call("UpdateActivityExecutionOptions", "job", restore_original=True)
    await jobs.call("UnpauseActivityExecution", "job")
    await jobs.call("UnpauseActivityExecution", "job")
    task = await jobs.take()
    await jobs.call("PauseActivityExecution", "job", **pause)
    await jobs.call("PauseActivityExecution", "job", **{**pause, "request_id": "three"})
    await jobs.describe("job")
    token = {"task_token": task.task_token, "identity": WORKER}
    await jobs.call("RecordActivityTaskHeartbeat", None, **token)
    await jobs.call("ResetActivityExecution", "job")
    await jobs.call("RecordActivityTaskHeartbeat", None, **token)
    await jobs.call("RespondActivityTaskCompleted", None, **token)
    await jobs.closed("job")
    for method in (
        "PauseActivityExecution",
        "UnpauseActivityExecution",
        "ResetActivityExecution",
    ):
        await jobs.call(method, "job")


async def resets(stage: Stage) -> None:
    """What runs is reset when its attempt is over; what is refused until then, and later."""
    jobs = Jobs(stage)
    await jobs.start("job", retry_policy=RetryPolicy(maximum_attempts=1))
    task = await jobs.take()
    other = {
        "activity_options": ActivityOptions(start_to_close_timeout=SECOND),
        "update_mask": FieldMask(paths=["start_to_close_timeout"]),
    }
    for _ in range(2):
        await jobs.call("ResetActivityExecution", "job")
    await jobs.call("PauseActivityExecution", "job", request_id="one")
    await jobs.call("UnpauseActivityExecution", "job")
    await jobs.call("UpdateActivityExecutionOptions", "job", **other)
    token = {"task_token": task.task_token, "identity": WORKER}
    await jobs.call("RecordActivityTaskHeartbeat", None, **token)
    await jobs.call("RespondActivityTaskFailed", None, failure=FAILURE, **token)
    await jobs.describe("job")
    task = await jobs.take()
    await jobs.call("RequestCancelActivityExecution", "job", request_id="one", reason="why")
    await jobs.call("ResetActivityExecution", "job")
    await jobs.call("PauseActivityExecution", "job", request_id="two")
    await jobs.call("UnpauseActivityExecution", "job")
    await jobs.call("UpdateActivityExecutionOptions", "job", **other)
    token = {"task_token": task.task_token, "identity": WORKER}
    await jobs.call("RespondActivityTaskCanceled", None, **token)
    await jobs.closed("job")
    await jobs.call("RequestCancelActivityExecution", "job", request_id="two")
    await jobs.call("UpdateActivityExecutionOptions", "job", **other)
    await jobs.call("RespondActivityTaskCompletedById", "job", identity="someone")
    await jobs.call("RespondActivityTaskFailedById", "job", identity="someone")
    mask = FieldMask(paths=["nonsense"])
    await jobs.call(
        "UpdateActivityExecutionOptions",
        "nobody",
        activity_options=ActivityOptions(),
        update_mask=mask,
    )


async def refusals(stage: Stage) -> None:
    """What makes no sense."""
    jobs = Jobs(stage)
    wrong: list[dict[str, Any]] = [
        {"activity_type": None},
        {"task_queue": None},
        {"task_queue": TaskQueue()},
        {"start_to_close_timeout": None},
        {"start_to_close_timeout": Duration(seconds=-1)},
        {"request_id": "x" * 1001},
        {"identity": "x" * 1001},
        {"id_reuse_policy": 9},
        {"id_conflict_policy": 9},
        {"retry_policy": RetryPolicy(backoff_coefficient=0.5)},
        {"start_delay": Duration(seconds=-1)},
        {"priority": Priority(priority_key=-1)},
        {"input": payloads("x" * 2_100_000)},
        {"user_metadata": UserMetadata(summary=Payload(data=b"x" * 397)), "id_reuse_policy": 9},
        {"user_metadata": UserMetadata(details=Payload(data=b"x" * 20_001))},
    ]
    for fields in wrong:
        await jobs.start("job", **fields)
    for method in (
        "DescribeActivityExecution",
        "PollActivityExecution",
        "RequestCancelActivityExecution",
        "TerminateActivityExecution",
        "DeleteActivityExecution",
        "PauseActivityExecution",
        "UnpauseActivityExecution",
        "ResetActivityExecution",
        "UpdateActivityExecutionOptions",
    ):
        await jobs.call(method, "missing")
        await jobs.call(method, None)
        await jobs.call(method, "missing", run_id="not a uuid")
    await jobs.call("RespondActivityTaskCompletedById", "missing", identity=WORKER)
    await jobs.call("PauseActivityExecution", "missing", workflow_id="missing")
