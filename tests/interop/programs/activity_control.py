"""Activities that an operator pauses, unpauses, resets and gives other options, by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import ActivityType, Priority, RetryPolicy, WorkflowExecution
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionResponse,
    PauseActivityRequest,
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatRequest,
    ResetActivityRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)

from tests.interop.raw import IDENTITY, HandWorker, cancel_activity, complete_workflow, seconds
from tests.interop.stage import CLIENT_IDENTITY, Stage, payloads

RETRIES = RetryPolicy(initial_interval=seconds(100), maximum_attempts=7)
"""A first backoff that no program sees the end of."""
LONG = "x" * 1001
NO_RUN = "00000000-0000-4000-8000-000000000000"


class Operator:
    """A workflow by hand with activities, and what an operator may do to them."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        self.worker = HandWorker(stage, name)
        self.execution = WorkflowExecution()

    async def begin(self, *activities: tuple[str, dict[str, Any]]) -> None:
        """Start the workflow and schedule activities."""
        self.execution = await self.worker.start(self.name)
        task = await self.worker.poll()
        commands = [self.worker.schedule_activity(name, **fields) for name, fields in activities]
        await self.worker.complete(task, *commands)

    def _about(self, **fields: Any) -> dict[str, Any]:
        return {
            "namespace": self.stage.namespace,
            "execution": self.execution,
            "identity": CLIENT_IDENTITY,
            **fields,
        }

    def pause(self, **fields: Any) -> Awaitable[Message]:
        """PauseActivity."""
        request = PauseActivityRequest(**self._about(**fields))
        return self.stage.service.pause_activity(request)

    def unpause(self, **fields: Any) -> Awaitable[Message]:
        """UnpauseActivity."""
        request = UnpauseActivityRequest(**self._about(**fields))
        return self.stage.service.unpause_activity(request)

    def reset(self, **fields: Any) -> Awaitable[Message]:
        """ResetActivity."""
        request = ResetActivityRequest(**self._about(**fields))
        return self.stage.service.reset_activity(request)

    def update(self, *paths: str, **fields: Any) -> Awaitable[Message]:
        """UpdateActivityOptions, of the fields at these paths."""
        mask = FieldMask(paths=paths) if paths else None
        request = UpdateActivityOptionsRequest(**self._about(update_mask=mask, **fields))
        return self.stage.service.update_activity_options(request)

    def heartbeat(self, task: PollActivityTaskQueueResponse, details: str) -> Awaitable[Message]:
        """A worker's heartbeat."""
        return self.stage.service.record_activity_task_heartbeat(
            RecordActivityTaskHeartbeatRequest(
                namespace=self.stage.namespace,
                task_token=task.task_token,
                details=payloads(details),
                identity=IDENTITY,
            )
        )

    def complete(self, task: PollActivityTaskQueueResponse) -> Awaitable[Message]:
        """A worker's result."""
        return self.stage.service.respond_activity_task_completed(
            RespondActivityTaskCompletedRequest(
                namespace=self.stage.namespace,
                task_token=task.task_token,
                result=payloads("done"),
                identity=IDENTITY,
            )
        )

    def fail(
        self, task: PollActivityTaskQueueResponse, *, for_good: bool = False
    ) -> Awaitable[Message]:
        """A worker's failure."""
        return self.stage.service.respond_activity_task_failed(
            RespondActivityTaskFailedRequest(
                namespace=self.stage.namespace,
                task_token=task.task_token,
                identity=IDENTITY,
                failure=Failure(
                    message="by hand",
                    application_failure_info=ApplicationFailureInfo(
                        type="ByHand", non_retryable=for_good
                    ),
                ),
            )
        )

    def terminate(self) -> Awaitable[Message]:
        """End the workflow."""
        return self.stage.service.terminate_workflow_execution(
            TerminateWorkflowExecutionRequest(
                namespace=self.stage.namespace, workflow_execution=self.execution
            )
        )

    async def see(self, label: str) -> None:
        """Keep what a description says of the activities; the real one lists them in any order."""
        description = await self.stage.description(self.execution)
        pending = sorted(description.pending_activities, key=lambda info: info.activity_id)
        kept = DescribeWorkflowExecutionResponse(pending_activities=pending)
        self.stage.message(f"{self.name}, described: {label}", kept)

    async def answers(self, label: str, call: Awaitable[Message]) -> None:
        """Keep what a call answers."""
        await self.stage.outcome(f"{self.name}: {label}", call)

    async def end(self) -> None:
        """Close the workflow with its next task, and keep its history."""
        await self.worker.complete(await self.worker.poll(), complete_workflow("done"))
        await self.stage.history(f"{self.name}: history", self.execution)

    async def take(self, label: str) -> PollActivityTaskQueueResponse:
        """Poll an activity task and keep it."""
        task = await self.worker.poll_activity()
        kept = PollActivityTaskQueueResponse()
        kept.CopyFrom(task)
        kept.ClearField("poller_scaling_decision")
        self.stage.message(f"{self.name}, described: {label}", kept)
        return task


async def activity_paused(stage: Stage) -> None:
    """Pausing what waits, what runs and what backs off, and what unpausing makes of it."""
    await _paused_waiting(stage)
    await _paused_running(stage)
    await _paused_backing_off(stage)
    await _paused_kinds(stage)


async def _paused_waiting(stage: Stage) -> None:
    operator = Operator(stage, "waiting")
    await operator.begin(("a", {}))
    await operator.answers("pause", operator.pause(id="a", reason="why", request_id="one"))
    await operator.see("paused")
    await operator.answers("pause again", operator.pause(id="a", request_id="one"))
    await operator.answers("pause otherwise", operator.pause(id="a", request_id="two"))
    await operator.answers("unpause", operator.unpause(id="a"))
    await operator.see("unpaused")
    await operator.answers("unpause again", operator.unpause(id="a"))
    task = await operator.take("task")
    await operator.answers("heartbeat", operator.heartbeat(task, "half"))
    await operator.answers("complete", operator.complete(task))
    await operator.end()


async def _paused_running(stage: Stage) -> None:
    operator = Operator(stage, "running")
    await operator.begin(("a", {"retry_policy": RETRIES}))
    task = await operator.take("task")
    await operator.answers("pause", operator.pause(id="a"))
    await operator.see("pause requested")
    await operator.answers("heartbeat", operator.heartbeat(task, "half"))
    await operator.answers("fail", operator.fail(task))
    await operator.see("failed")
    await operator.answers("unpause", operator.unpause(id="a", reset_heartbeat=True))
    await operator.see("unpaused")
    task = await operator.take("second task")
    await operator.answers("pause the second", operator.pause(id="a"))
    await operator.answers("unpause the second", operator.unpause(id="a", reset_attempts=True))
    await operator.see("the second, its attempts reset")
    await operator.answers("heartbeat of the second", operator.heartbeat(task, "more"))
    await operator.answers("fail the second", operator.fail(task))
    await operator.see("the second is over")
    await operator.answers("pause the third", operator.pause(id="a"))
    await operator.answers("complete by id", _complete_by_id(operator))
    await operator.answers("pause what is over", operator.pause(id="a"))
    await operator.end()


async def _paused_backing_off(stage: Stage) -> None:
    operator = Operator(stage, "backing off")
    await operator.begin(("a", {"retry_policy": RETRIES}))
    await operator.answers("fail", operator.fail(await operator.take("task")))
    await operator.see("backing off")
    await operator.answers("pause", operator.pause(id="a"))
    await operator.see("paused")
    await operator.answers("unpause", operator.unpause(id="a", reset_attempts=True))
    await operator.see("unpaused")
    task = await operator.take("second task")
    await operator.answers("fail for good", operator.fail(task, for_good=True))
    await operator.end()


async def _paused_kinds(stage: Stage) -> None:
    operator = Operator(stage, "kinds")
    one, other = (
        {"activity_type": ActivityType(name="One")},
        {"activity_type": ActivityType(name="Other")},
    )
    await operator.begin(("a", one), ("b", one), ("c", other))
    await operator.answers("pause one", operator.pause(type="One"))
    await operator.see("one paused")
    await operator.answers("pause one again", operator.pause(type="One"))
    await operator.answers("pause none", operator.pause(type="None"))
    await operator.answers("unpause none", operator.unpause(type="None"))
    await operator.answers("reset none", operator.reset(type="None"))
    await operator.answers("unpause all", operator.unpause(unpause_all=True))
    await operator.see("all unpaused")
    await operator.worker.complete(
        await _signalled_task(operator), cancel_activity(5), complete_workflow()
    )
    await operator.stage.history("kinds: history", operator.execution)


async def _signalled_task(operator: Operator) -> Any:
    await operator.worker.signal(operator.execution, "wake")
    return await operator.worker.poll()


async def activity_reset(stage: Stage) -> None:
    """Resetting what runs, backs off, waits and is paused."""
    await _reset_running(stage)
    await _reset_backing_off(stage)
    await _reset_paused(stage)
    await _reset_all(stage)


async def _reset_running(stage: Stage) -> None:
    operator = Operator(stage, "running")
    await operator.begin(("a", {"retry_policy": RETRIES}))
    task = await operator.take("task")
    await operator.answers("heartbeat", operator.heartbeat(task, "half"))
    await operator.answers("reset", operator.reset(id="a", reset_heartbeat=True))
    await operator.see("reset")
    await operator.answers("heartbeat after it", operator.heartbeat(task, "more"))
    await operator.answers("fail", operator.fail(task))
    await operator.see("failed")
    await operator.answers("reset while it backs off", operator.reset(id="a"))
    await operator.see("reset again")
    task = await operator.take("second task")
    await operator.answers("heartbeat of the second", operator.heartbeat(task, "second"))
    await operator.answers("fail the second", operator.fail(task))
    await operator.answers("pause", operator.pause(id="a"))
    await operator.answers("unpause", operator.unpause(id="a"))
    task = await operator.take("third task")
    await operator.answers("reset the third", operator.reset(id="a"))
    await operator.see("the third is reset")
    await operator.answers("heartbeat of the third", operator.heartbeat(task, "third"))
    await operator.answers("complete the third", operator.complete(task))
    await operator.answers(
        "heartbeat by id",
        stage.service.record_activity_task_heartbeat_by_id(
            RecordActivityTaskHeartbeatByIdRequest(
                namespace=stage.namespace,
                workflow_id=operator.execution.workflow_id,
                activity_id="a",
                details=payloads("by id"),
                identity=CLIENT_IDENTITY,
            )
        ),
    )
    await operator.see("the third has a heartbeat by id")
    await operator.answers("complete by id", _complete_by_id(operator))
    await operator.end()


async def _reset_backing_off(stage: Stage) -> None:
    operator = Operator(stage, "backing off")
    await operator.begin(("a", {"retry_policy": RETRIES}))
    task = await operator.take("task")
    await operator.answers("heartbeat", operator.heartbeat(task, "half"))
    await operator.answers("fail", operator.fail(task))
    await operator.answers("reset", operator.reset(id="a", reset_heartbeat=True))
    await operator.see("reset")
    await operator.answers("reset what waits", operator.reset(id="a"))
    await operator.see("reset while it waits")
    await operator.answers("complete", operator.complete(await operator.take("second task")))
    await operator.end()


async def _reset_paused(stage: Stage) -> None:
    operator = Operator(stage, "paused")
    await operator.begin(("a", {"retry_policy": RETRIES}))
    task = await operator.take("task")
    await operator.answers("heartbeat", operator.heartbeat(task, "half"))
    await operator.answers("fail", operator.fail(task))
    await operator.answers("pause", operator.pause(id="a"))
    await operator.answers(
        "reset and keep", operator.reset(id="a", keep_paused=True, reset_heartbeat=True)
    )
    await operator.see("reset and kept")
    await operator.answers("unpause", operator.unpause(id="a"))
    await operator.see("unpaused")
    task = await operator.take("second task")
    await operator.answers("pause the second", operator.pause(id="a"))
    await operator.answers("reset the second", operator.reset(id="a", keep_paused=True))
    await operator.see("the second is reset")
    await operator.answers("heartbeat of the second", operator.heartbeat(task, "second"))
    await operator.answers("fail the second", operator.fail(task))
    await operator.see("the second failed")
    await operator.answers("reset", operator.reset(id="a"))
    await operator.see("reset")
    await operator.answers("complete", operator.complete(await operator.take("third task")))
    await operator.end()


async def _reset_all(stage: Stage) -> None:
    operator = Operator(stage, "all")
    one, other = (
        {"activity_type": ActivityType(name=name), "retry_policy": RETRIES}
        for name in ("One", "Other")
    )
    await operator.begin(("a", one), ("b", other))
    for label in ("one", "another"):
        # The real server offers them in any order.
        task = await operator.worker.poll_activity()
        await operator.answers(f"fail {label}", operator.fail(task))
    await operator.answers("pause other", operator.pause(type="Other"))
    await operator.answers("reset other", operator.reset(type="Other", keep_paused=True))
    await operator.see("other reset")
    await operator.answers("reset all", operator.reset(match_all=True))
    await operator.see("all reset")
    await operator.answers("not all", operator.reset(match_all=False))
    task = await _signalled_task(operator)
    await operator.worker.complete(task, cancel_activity(5), cancel_activity(6))
    await operator.end()


def _complete_by_id(operator: Operator) -> Awaitable[Message]:
    return operator.stage.service.respond_activity_task_completed_by_id(
        RespondActivityTaskCompletedByIdRequest(
            namespace=operator.stage.namespace,
            workflow_id=operator.execution.workflow_id,
            activity_id="a",
            result=payloads("by id"),
            identity=CLIENT_IDENTITY,
        )
    )


async def activity_options(stage: Stage) -> None:
    """Giving other options to what backs off, runs and waits, and the original ones back."""
    await _options_backing_off(stage)
    await _options_running(stage)
    await _options_waiting(stage)
    await _options_refused(stage)


async def _options_backing_off(stage: Stage) -> None:
    operator = Operator(stage, "backing off")
    await operator.begin(
        ("a", {"retry_policy": RETRIES, "schedule_to_close_timeout": seconds(1000)})
    )
    await operator.answers("fail", operator.fail(await operator.take("task")))
    await operator.answers(
        "slower",
        operator.update(
            "retry_policy.initial_interval",
            "retry_policy.backoff_coefficient",
            id="a",
            activity_options=ActivityOptions(
                retry_policy=RetryPolicy(initial_interval=seconds(60), backoff_coefficient=3)
            ),
        ),
    )
    await operator.see("slower")
    await operator.answers(
        "bounded",
        operator.update(
            "retry_policy.maximum_interval",
            "retry_policy.maximum_attempts",
            id="a",
            activity_options=ActivityOptions(
                retry_policy=RetryPolicy(maximum_interval=seconds(70), maximum_attempts=3)
            ),
        ),
    )
    await operator.see("bounded")
    await operator.answers(
        "timeouts",
        operator.update(
            "schedule_to_close_timeout",
            "scheduleToStartTimeout",
            "start_to_close_timeout",
            "heartbeat_timeout",
            id="a",
            activity_options=ActivityOptions(
                schedule_to_close_timeout=seconds(500),
                schedule_to_start_timeout=seconds(900),
                start_to_close_timeout=seconds(30),
                heartbeat_timeout=seconds(40),
            ),
        ),
    )
    await operator.see("timeouts")
    await operator.answers("restore", operator.update(id="a", restore_original=True))
    await operator.see("restored")
    await operator.answers(
        "reset and restore", operator.reset(id="a", restore_original_options=True)
    )
    await operator.see("reset")
    await operator.answers("complete", operator.complete(await operator.take("second task")))
    await operator.end()


async def _options_running(stage: Stage) -> None:
    operator = Operator(stage, "running")
    await operator.begin(("a", {"retry_policy": RETRIES, "priority": Priority(priority_key=2)}))
    task = await operator.take("task")
    await operator.answers(
        "priority",
        operator.update(
            "priority.priority_key",
            "priority.fairness_key",
            "priority.fairness_weight",
            id="a",
            activity_options=ActivityOptions(
                priority=Priority(priority_key=4, fairness_key="f", fairness_weight=2)
            ),
        ),
    )
    await operator.see("priority")
    await operator.answers(
        "no priority", operator.update("priority", id="a", activity_options=ActivityOptions())
    )
    await operator.see("no priority")
    await operator.answers(
        "no timeout",
        operator.update("schedule_to_start_timeout", id="a", activity_options=ActivityOptions()),
    )
    await operator.answers(
        "start delay",
        operator.update(
            "start_delay", id="a", activity_options=ActivityOptions(start_delay=seconds(5))
        ),
    )
    await operator.answers("heartbeat", operator.heartbeat(task, "half"))
    await operator.answers(
        "one attempt",
        operator.update(
            "retry_policy.maximum_attempts",
            id="a",
            activity_options=ActivityOptions(retry_policy=RetryPolicy(maximum_attempts=1)),
        ),
    )
    await operator.answers("restore", operator.reset(id="a", restore_original_options=True))
    await operator.see("restored")
    await operator.answers(
        "one attempt again",
        operator.update(
            "retry_policy.maximum_attempts",
            id="a",
            activity_options=ActivityOptions(retry_policy=RetryPolicy(maximum_attempts=1)),
        ),
    )
    await operator.answers("fail", operator.fail(task))
    await operator.end()


async def _options_waiting(stage: Stage) -> None:
    operator = Operator(stage, "waiting")
    await operator.begin(("a", {}), ("b", {"activity_type": ActivityType(name="Other")}))
    elsewhere = TaskQueue(name=stage.queue("elsewhere"))
    await operator.answers(
        "all elsewhere",
        operator.update(
            "task_queue.name",
            match_all=True,
            activity_options=ActivityOptions(task_queue=elsewhere),
        ),
    )
    await operator.see("all elsewhere")
    await operator.answers(
        "other back",
        operator.update(
            "task_queue.name",
            type="Other",
            activity_options=ActivityOptions(task_queue=TaskQueue(name=stage.queue("waiting"))),
        ),
    )
    await operator.answers("complete other", operator.complete(await operator.take("other")))
    await operator.answers("pause", operator.pause(id="a"))
    await operator.answers("restore what is paused", operator.update(id="a", restore_original=True))
    await operator.see("restored and paused")
    await operator.answers("unpause", operator.unpause(id="a"))
    await operator.answers("complete", operator.complete(await operator.take("task")))
    await operator.end()


async def _options_refused(stage: Stage) -> None:
    operator = Operator(stage, "refused")
    await operator.begin(("a", {}))
    options = ActivityOptions(heartbeat_timeout=seconds(1))

    def policy(**fields: Any) -> dict[str, Any]:
        return {"activity_options": ActivityOptions(retry_policy=RetryPolicy(**fields))}

    calls = {
        "no options": operator.update("heartbeat_timeout", id="a"),
        "no mask": operator.update(id="a", activity_options=options),
        "unknown path": operator.update("nonsense", id="a", activity_options=options),
        "queue without a name": operator.update(
            "task_queue.name", id="a", activity_options=ActivityOptions(task_queue=TaskQueue())
        ),
        "no queue": operator.update("task_queue.name", id="a", activity_options=options),
        "whole queue": operator.update(
            "task_queue", id="a", activity_options=ActivityOptions(task_queue=TaskQueue(name="q"))
        ),
        "long queue": operator.update(
            "task_queue.name",
            id="a",
            activity_options=ActivityOptions(task_queue=TaskQueue(name=LONG)),
        ),
        "no policy": operator.update("retry_policy", id="a", activity_options=options),
        "no policy for a part": operator.update(
            "retry_policy.maximum_attempts", id="a", activity_options=options
        ),
        "no priority for a part": operator.update(
            "priority.priority_key", id="a", activity_options=options
        ),
        "bad priority": operator.update(
            "priority", id="a", activity_options=ActivityOptions(priority=Priority(priority_key=-1))
        ),
        "whole bad policy": operator.update("retry_policy", id="a", **policy(maximum_attempts=-1)),
        "empty policy": operator.update("retry_policy", id="a", **policy()),
        "bad coefficient": operator.update(
            "retry_policy.backoff_coefficient", id="a", **policy(backoff_coefficient=0.5)
        ),
        "negative attempts": operator.update(
            "retry_policy.maximum_attempts", id="a", **policy(maximum_attempts=-1)
        ),
        "negative interval": operator.update(
            "retry_policy.initial_interval", id="a", **policy(initial_interval=seconds(-1))
        ),
        "no timeouts": operator.update(
            "start_to_close_timeout", id="a", activity_options=ActivityOptions()
        ),
        "negative timeout": operator.update(
            "heartbeat_timeout",
            id="a",
            activity_options=ActivityOptions(heartbeat_timeout=seconds(-1)),
        ),
        "mask and restore": operator.update("heartbeat_timeout", id="a", restore_original=True),
        "unknown activity": operator.update("heartbeat_timeout", id="b", activity_options=options),
        "unknown type": operator.update("heartbeat_timeout", type="b", activity_options=options),
        "restore an unknown activity": operator.update(id="b", restore_original=True),
    }
    for label, call in calls.items():
        await operator.answers(label, call)
    await operator.see("refused")
    await operator.answers("complete", operator.complete(await operator.take("task")))
    await operator.end()


async def refused_activity_control(stage: Stage) -> None:
    """What the four requests may not say."""
    operator = Operator(stage, "control")
    await operator.begin(("a", {}))
    targets: dict[str, dict[str, Any]] = {
        "no namespace": {"namespace": "", "id": "a"},
        "unknown namespace": {"namespace": "nowhere", "id": "a"},
        "no execution": {"execution": None, "id": "a"},
        "no workflow id": {"execution": WorkflowExecution(), "id": "a"},
        "no activity": {},
        "empty activity id": {"id": ""},
        "empty type": {"type": ""},
        "unknown activity": {"id": "b"},
        "long activity id": {"id": LONG},
        "long identity": {"id": "b", "identity": LONG},
        "unknown workflow": {"execution": WorkflowExecution(workflow_id="unknown"), "id": "a"},
        "unknown run": {
            "execution": WorkflowExecution(
                workflow_id=operator.execution.workflow_id, run_id=NO_RUN
            ),
            "id": "a",
        },
        "bad run id": {
            "execution": WorkflowExecution(
                workflow_id=operator.execution.workflow_id, run_id="nonsense"
            ),
            "id": "a",
        },
        "long workflow id": {"execution": WorkflowExecution(workflow_id=LONG), "id": "a"},
    }
    await _refuse_each(operator, targets)
    jitters = {
        "negative": seconds(-1),
        "huge": seconds(3_000_000_000),
    }
    for label, jitter in jitters.items():
        await operator.answers(f"unpause, {label} jitter", operator.unpause(id="b", jitter=jitter))
        await operator.answers(f"reset, {label} jitter", operator.reset(id="b", jitter=jitter))
    long_reason = operator.pause(id="a", reason="r" * 5000, request_id=LONG)
    await operator.answers("long reason", long_reason)
    await operator.see("long reason")
    await operator.answers("unpause", operator.unpause(id="a"))
    await operator.answers("complete", operator.complete(await operator.take("task")))
    await operator.end()
    await _refuse_each(operator, {"closed": {"id": "a"}, "closed, unknown": {"id": "b"}})


async def _refuse_each(operator: Operator, targets: dict[str, dict[str, Any]]) -> None:
    options = ActivityOptions(heartbeat_timeout=seconds(1))
    for label, fields in targets.items():
        await operator.answers(f"pause, {label}", operator.pause(**fields))
        await operator.answers(f"unpause, {label}", operator.unpause(**fields))
        await operator.answers(f"reset, {label}", operator.reset(**fields))
        await operator.answers(
            f"update, {label}",
            operator.update("heartbeat_timeout", **{"activity_options": options, **fields}),
        )


async def activity_paused_in_time(stage: Stage) -> None:
    """Timeouts stand still while an activity is paused, and are due when it goes on."""
    operator = Operator(stage, "time")
    await operator.begin(
        (
            "a",
            {
                "retry_policy": RETRIES,
                "start_to_close_timeout": seconds(1),
                "schedule_to_close_timeout": seconds(1000),
            },
        ),
        ("b", {"schedule_to_start_timeout": seconds(1)}),
    )
    await operator.answers("pause the second", operator.pause(id="b"))
    await operator.take("task")
    await operator.answers("pause", operator.pause(id="a"))
    await asyncio.sleep(2)
    await operator.see("paused for long")
    await operator.answers("unpause", operator.unpause(id="a"))
    await stage.described(
        operator.execution,
        lambda description: max(info.attempt for info in description.pending_activities) == 2,
    )
    await operator.answers("reset", operator.reset(id="a", reset_heartbeat=True))
    await operator.see("reset")
    await operator.answers("terminate", operator.terminate())
    await stage.history("time: history", operator.execution)
