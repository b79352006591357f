"""The life of workflow tasks, by hand: buffers, refusals, lost tasks, sticky queues."""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import MeteringMetadata, WorkerVersionStamp
from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.sdk.v1 import WorkflowTaskCompletedMetadata
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    RequestCancelWorkflowExecutionRequest,
    ResetStickyTaskQueueRequest,
    RespondActivityTaskCompletedRequest,
    ShutdownWorkerRequest,
)

from tests.interop.raw import (
    IDENTITY,
    HandWorker,
    cancel_activity,
    complete_workflow,
    seconds,
    start_timer,
)
from tests.interop.stage import CLIENT_IDENTITY, Stage, payloads

BUG = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
NONDETERMINISTIC = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
TIMED_OUT = EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
FIRED = EventType.EVENT_TYPE_TIMER_FIRED
# The first task's commands are recorded from event 5 on.
THIRD_ACTIVITY = 7


async def unhandled_command(stage: Stage) -> None:
    """A closing command is refused while events wait; other commands of the same task are too."""
    worker = HandWorker(stage)
    execution = await worker.start()
    task = await worker.poll()
    stage.task("first task", task)
    await worker.signal(execution, "late")
    closing = (start_timer("t", 3600), complete_workflow("too early"))
    await stage.outcome("refused", worker.complete(task, *closing))
    await stage.history("after the refusal", execution)
    await stage.outcome("answered twice", worker.complete(task, *closing))
    task = await worker.poll()
    stage.task("second task", task)
    await stage.outcome("accepted", worker.complete(task, *closing))
    await stage.chain("history", execution)


async def task_fails(stage: Stage) -> None:
    """The first failure is an event, later attempts are not, and a new event ends the silence."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.fail(await worker.poll(), BUG)
    await stage.history("failed once", execution)
    task = await worker.poll()
    stage.task("second attempt", task)
    await stage.history("while the second attempt runs", execution)
    await stage.describe("while the second attempt runs, description", execution)
    await worker.fail(task, NONDETERMINISTIC)
    await stage.history("failed twice", execution)
    await worker.signal(execution, "between attempts")
    await stage.history("signalled between attempts", execution)
    task = await worker.poll()
    stage.task("third attempt", task)
    await worker.signal(execution, "during the attempt")
    await worker.fail(task, BUG)
    await stage.history("signalled during the attempt", execution)
    task = await worker.poll()
    await worker.complete(task, start_timer("t", 0.1))
    await stage.event(execution, FIRED)
    await worker.finish()
    await stage.chain("history", execution)


async def task_times_out(stage: Stage) -> None:
    """A lost task times out, once as an event, and its late completion is refused."""
    worker = HandWorker(stage)
    execution = await worker.start(workflow_task_timeout=seconds(2))
    lost = await worker.poll()
    await stage.event(execution, TIMED_OUT)
    await stage.history("timed out", execution)
    second = await worker.poll()
    await stage.outcome("late completion", worker.complete(lost, complete_workflow()))
    stage.task("second attempt", second)
    third = await worker.poll()
    stage.task("third attempt", third)
    await worker.signal(execution, "hello")
    await stage.outcome("completion", worker.complete(third, start_timer("t", 3600)))
    await worker.finish()
    await stage.chain("history", execution)


async def worker_metadata(stage: Stage) -> None:
    """What workers tell of themselves with a completion, in both ways to name a build."""
    worker = HandWorker(stage)
    execution = await worker.start()
    completions: tuple[dict[str, Any], ...] = (
        {
            "binary_checksum": "one",
            "sdk_metadata": WorkflowTaskCompletedMetadata(
                core_used_flags=[1, 2], lang_used_flags=[3], sdk_name="interop", sdk_version="1"
            ),
            "metering_metadata": MeteringMetadata(nonfirst_local_activity_execution_attempts=3),
        },
        {"worker_version_stamp": WorkerVersionStamp(build_id="two")},
        {"worker_version_stamp": WorkerVersionStamp(build_id="two"), "binary_checksum": "one"},
        {"binary_checksum": "one"},
        # Of a deployment, but of no version of it.
        {"deployment_options": WorkerDeploymentOptions(deployment_name="team", build_id="b")},
    )
    for number, fields in enumerate(completions):
        await worker.complete(await worker.poll(), **fields)
        await stage.describe(f"completed {number}", execution)
        await worker.signal(execution, f"go {number}")
    await worker.finish()
    await stage.history("history", execution)


async def reported_problems(stage: Stage) -> None:
    """What a workflow shows whose tasks fail again and again, and when it goes on."""
    worker = HandWorker(stage)
    execution = await worker.start()
    causes = (
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
    )
    for number in range(6):
        await worker.fail(await worker.poll(), causes[number % 2])
        await stage.describe(f"failed {number}", execution)
    await worker.signal(execution, "go")
    task = await worker.poll()
    await stage.describe("signalled", execution)
    await worker.complete(task, start_timer("t", 60))
    await stage.describe("completed", execution)


async def buffered_events(stage: Stage) -> None:
    """What arrives while a task runs, and in which order it is recorded."""
    worker = HandWorker(stage)
    execution = await worker.start()
    first = await worker.poll()
    commands = [worker.schedule_activity(name) for name in ("a", "b", "c")]
    await worker.complete(first, *commands, start_timer("fires", 0.1))
    await stage.event(execution, FIRED)
    task = await worker.poll()
    activities = sorted(
        [await worker.poll_activity() for _ in range(3)], key=lambda one: one.activity_id
    )
    await worker.signal(execution, "before")
    for one in activities[:2]:
        await _complete_activity(stage, one)
        await worker.signal(execution, f"after {one.activity_id}")
    await stage.service.request_cancel_workflow_execution(
        RequestCancelWorkflowExecutionRequest(
            namespace=stage.namespace,
            workflow_execution=execution,
            identity=CLIENT_IDENTITY,
            request_id="cancel",
            reason="buffered too",
        )
    )
    await stage.describe("description", execution)
    cancel = cancel_activity(THIRD_ACTIVITY)
    await worker.complete(task, cancel, start_timer("t", 3600))
    await stage.history("flushed", execution)
    await worker.finish()
    await stage.chain("history", execution)


async def sticky_queue(stage: Stage) -> None:
    """A sticky task carries what is new; the queue is unpolled, deserted, and reset by hand."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll(), start_timer("1", 0.1), sticky=True)
    await stage.event(execution, FIRED)
    # Nobody ever polled the sticky queue.
    task = await worker.poll()
    stage.task("never polled", task)
    await worker.complete(task, start_timer("2", 0.1), sticky=True)
    task = await worker.poll(sticky=True)
    stage.task("from the sticky queue", task)
    await worker.complete(task, start_timer("3", 0.1), sticky=True, sticky_timeout=seconds(1))
    await stage.event(execution, TIMED_OUT)
    task = await worker.poll()
    stage.task("after the sticky timeout", task)
    await worker.complete(task, start_timer("4", 0.3), sticky=True)
    await stage.outcome(
        "reset",
        stage.service.reset_sticky_task_queue(
            ResetStickyTaskQueueRequest(namespace=stage.namespace, execution=execution)
        ),
    )
    await worker.finish()
    await stage.chain("history", execution)


async def sticky_worker_shuts_down(stage: Stage) -> None:
    """A worker that says goodbye gives up its sticky queue at once."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll(), start_timer("1", 0.1), sticky=True)
    await stage.event(execution, FIRED)
    task = await worker.poll()
    await worker.complete(task, start_timer("2", 0.1), sticky=True)
    task = await worker.poll(sticky=True)
    await worker.complete(task, start_timer("3", 0.5), sticky=True)
    await stage.outcome(
        "goodbye",
        stage.service.shutdown_worker(
            ShutdownWorkerRequest(
                namespace=stage.namespace,
                sticky_task_queue=worker.sticky.name,
                identity=IDENTITY,
                reason="interop",
            )
        ),
    )
    await worker.finish()
    await stage.chain("history", execution)


async def new_task_at_once(stage: Stage) -> None:
    """A completion may ask for another task, and take it with the answer."""
    worker = HandWorker(stage)
    execution = await worker.start()
    task = await worker.poll()
    answer = await worker.complete(task, force_create_new_workflow_task=True)
    stage.message("forced", answer)
    await stage.history("after the forced task", execution)
    answer = await worker.complete(
        await worker.poll(), force_create_new_workflow_task=True, return_new_workflow_task=True
    )
    stage.message("forced and returned", answer)
    answer = await worker.complete(
        answer.workflow_task,
        start_timer("t", 3600),
        return_new_workflow_task=True,
        sticky=True,
    )
    stage.message("nothing to return", answer)
    await worker.signal(execution, "one")
    task = await worker.poll()
    await worker.signal(execution, "two")
    answer = await worker.complete(task, return_new_workflow_task=True)
    stage.message("returned because of a signal", answer)
    await worker.complete(answer.workflow_task, complete_workflow("done"))
    await stage.chain("history", execution)


async def eager_activity(stage: Stage) -> None:
    """An activity that comes back with the completion that scheduled it, and a polled one."""
    worker = HandWorker(stage)
    execution = await worker.start()
    eager = worker.schedule_activity("eager", request_eager_execution=True)
    answer = await worker.complete(await worker.poll(), eager)
    stage.message("eager", answer)
    await stage.describe("description", execution)
    await _complete_activity(stage, answer.activity_tasks[0])
    answer = await worker.complete(await worker.poll(), worker.schedule_activity("not eager"))
    stage.message("not eager", answer)
    task = await worker.poll_activity()
    task.ClearField("poller_scaling_decision")
    stage.message("polled", task)
    await _complete_activity(stage, task)
    await worker.finish()
    await stage.chain("history", execution)


async def _complete_activity(stage: Stage, task: PollActivityTaskQueueResponse) -> None:
    await stage.service.respond_activity_task_completed(
        RespondActivityTaskCompletedRequest(
            namespace=stage.namespace,
            task_token=task.task_token,
            result=payloads(task.activity_id),
            identity=IDENTITY,
        )
    )
