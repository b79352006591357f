"""Workers that send a version stamp which says nothing, as Java's do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import RetryPolicy, WorkerVersionCapabilities, WorkerVersionStamp
from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
    RespondWorkflowTaskFailedRequest,
)

from tests.interop.raw import IDENTITY, HandWorker, complete_workflow
from tests.interop.stage import Stage, payloads
from tests.interop.updates_raw import accept, commands_of, respond, update

BUG = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
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


async def stamps_of_answers(stage: Stage) -> None:
    """Whose stamp is recorded with the start of a task that is recorded when it is answered: a
    transient one, a speculative one, and one that is handed over with an answer."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.fail(await worker.poll(), BUG)
    await worker.complete(await _poll(stage, worker), worker_version_stamp=_stamp("transient"))
    for name, stamp in (("said", _stamp("speculative")), ("empty", EMPTY), ("none", None)):
        changed = update(stage, execution, name)
        task = await _poll(stage, worker)
        said = [accept(task), respond(name)]
        stamped = {} if stamp is None else {"worker_version_stamp": stamp}
        await worker.complete(task, *commands_of(*said), messages=said, **stamped)
        await stage.outcome(name, changed)
    await worker.signal(execution, "go on")
    task = await _poll(stage, worker)
    for stamp in (EMPTY, _stamp("inline")):
        answer = await worker.complete(
            task,
            worker_version_stamp=stamp,
            return_new_workflow_task=True,
            force_create_new_workflow_task=True,
        )
        task = answer.workflow_task
    await worker.complete(task, complete_workflow("done"))
    await stage.chain("history", execution)


async def stamps_of_failures(stage: Stage) -> None:
    """The same of a speculative task that its worker fails, or whose answer is refused."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll())
    changed = update(stage, execution, "failed")
    task = await _poll(stage, worker)
    await stage.service.respond_workflow_task_failed(
        RespondWorkflowTaskFailedRequest(
            namespace=stage.namespace,
            task_token=task.task_token,
            identity=IDENTITY,
            cause=BUG,
            failure=FAILURE,
            worker_version=_stamp("answered"),
        )
    )
    task = await _poll(stage, worker)
    said = [accept(task), respond("failed")]
    await worker.complete(task, *commands_of(*said), messages=said)
    await stage.outcome("failed", changed)
    changed = update(stage, execution, "refused")
    task = await _poll(stage, worker)
    await worker.signal(execution, "unhandled")
    said = [accept(task), respond("refused")]
    closing = [*commands_of(*said), complete_workflow("too early")]
    stamped = {"worker_version_stamp": _stamp("answered")}
    await stage.outcome("refused", worker.complete(task, *closing, messages=said, **stamped))
    task = await _poll(stage, worker)
    await worker.complete(task, *commands_of(*said), messages=said)
    await stage.outcome("refused update", changed)
    await worker.signal(execution, "end")
    await worker.finish()
    await stage.chain("history", execution)


def _stamp(build_id: str) -> WorkerVersionStamp:
    return WorkerVersionStamp(build_id=build_id)


async def _poll(stage: Stage, worker: HandWorker) -> PollWorkflowTaskQueueResponse:
    """The next task, for a worker that names its build."""
    return await stage.service.poll_workflow_task_queue(
        PollWorkflowTaskQueueRequest(
            namespace=stage.namespace,
            task_queue=TaskQueue(name=stage.queue("queue")),
            identity="poller",
            worker_version_capabilities=WorkerVersionCapabilities(build_id="polled"),
        ),
        timeout=timedelta(seconds=70),
    )
