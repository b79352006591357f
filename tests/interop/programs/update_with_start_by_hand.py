"""Update-with-start, by hand: one request that starts, updates or does both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from typing import Any

from google.protobuf.message import Message as ProtoMessage
from temporalio.api.command.v1 import Command, ContinueAsNewWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import (
    Callback,
    Link,
    Payload,
    Payloads,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import CommandType, WorkflowTaskFailedCause
from temporalio.api.protocol.v1 import Message
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.update.v1 import Input, Meta, Request, WaitPolicy
from temporalio.api.workflow.v1 import OnConflictOptions
from temporalio.api.workflowservice.v1 import (
    ExecuteMultiOperationRequest,
    ExecuteMultiOperationResponse,
    PollWorkflowTaskQueueResponse,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.programs.identifiers import CONFLICTS, REUSES, STATES
from tests.interop.raw import HandWorker, complete_workflow, seconds
from tests.interop.stage import Stage
from tests.interop.updates_raw import (
    ACCEPTED,
    ADMITTED,
    accept,
    admitted,
    commands_of,
    poll_update,
    reject,
    respond,
    update,
    update_request,
)

BUG = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
Operation = ExecuteMultiOperationRequest.Operation
LONG = "x" * 1001
NO_RUN = "11111111-1111-1111-1111-111111111111"


def both(
    stage: Stage,
    start: StartWorkflowExecutionRequest,
    update_id: str,
    *,
    wait_seconds: float = 30,
    **fields: Any,
) -> asyncio.Task[ExecuteMultiOperationResponse]:
    """Sends both operations; the task is done when they are answered."""
    target = WorkflowExecution(workflow_id=start.workflow_id)
    return multiple(
        stage,
        [
            Operation(start_workflow=start),
            Operation(update_workflow=update_request(stage, target, update_id, **fields)),
        ],
        wait_seconds=wait_seconds,
    )


def multiple(
    stage: Stage, operations: Sequence[Operation], *, wait_seconds: float = 30, **fields: Any
) -> asyncio.Task[ExecuteMultiOperationResponse]:
    """Sends these operations."""
    request = ExecuteMultiOperationRequest(
        **{"namespace": stage.namespace, "operations": operations, **fields}
    )

    async def call() -> ExecuteMultiOperationResponse:
        return await stage.service.execute_multi_operation(
            request, timeout=timedelta(seconds=wait_seconds)
        )

    return asyncio.create_task(call())


def closing(answer: ProtoMessage | None, name: str) -> WorkflowExecution:
    """The run that was answered."""
    assert isinstance(answer, ExecuteMultiOperationResponse)
    return WorkflowExecution(workflow_id=name, run_id=answer.responses[0].start_workflow.run_id)


async def say(
    worker: HandWorker, task: PollWorkflowTaskQueueResponse, *said: Message, **fields: Any
) -> None:
    """Completes a task with these messages, each placed by a command."""
    await worker.complete(task, *commands_of(*said), messages=said, **fields)


async def update_with_start(stage: Stage) -> None:
    """Starts and updates; then only updates; a known update is answered again, also of a closed
    run."""
    worker = HandWorker(stage)
    start = worker.start_request()
    links = [Link(batch_job=Link.BatchJob(job_id="job"))]
    start.links.extend(links)
    sent = both(stage, start, "first")
    task = await worker.poll()
    stage.task("task", task)
    await say(worker, task, accept(task), respond("first"))
    answer = await stage.outcome("started and updated", sent)
    execution = closing(answer, start.workflow_id)
    await stage.outcome("the same again", both(stage, start, "first"))
    sent = both(stage, start, "second", wait=ACCEPTED)
    task = await worker.poll()
    await say(worker, task, accept(task))
    await stage.outcome("same request, second update", sent)
    other = worker.start_request(request_id=f"other {stage.nonce}")
    await stage.outcome("other request, known update", both(stage, other, "first"))
    await stage.outcome("other request, accepted", both(stage, other, "second", wait=ACCEPTED))
    await stage.outcome("other request, other update", both(stage, other, "third"))
    await stage.history("history", execution)
    await stage.describe("described", execution)
    await worker.signal(execution, "go")
    await worker.finish()
    await stage.outcome("closed, the same again", both(stage, start, "first"))
    await stage.outcome("closed, other request, known", both(stage, other, "first"))
    await stage.outcome("closed, same request, new", both(stage, start, "fourth"))
    sent = both(stage, other, "second")
    task = await worker.poll()
    await worker.complete(task, messages=[reject(task)])
    answer = await stage.outcome("started again and rejected", sent)
    await stage.history("second run", closing(answer, start.workflow_id))


async def update_with_start_policies(stage: Stage) -> None:
    """Every reuse policy with every conflict policy, on a running and on closed runs."""
    for state, reuse, conflict in product(STATES, REUSES, CONFLICTS):
        label = f"{state}, reuse {reuse}, conflict {conflict}"
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        if state == "completed":
            await worker.finish()
        elif state == "terminated":
            await stage.service.terminate_workflow_execution(
                TerminateWorkflowExecutionRequest(
                    namespace=stage.namespace, workflow_execution=execution, reason="replaced"
                )
            )
        else:
            await worker.complete(await worker.poll())
        start = worker.start_request(
            label,
            request_id=f"both {label} {stage.nonce}",
            workflow_id_reuse_policy=REUSES[reuse],
            workflow_id_conflict_policy=CONFLICTS[conflict],
        )
        sent = both(stage, start, "u")
        polled = asyncio.create_task(worker.poll())
        await asyncio.wait([sent, polled], return_when=asyncio.FIRST_COMPLETED)
        if polled.done():
            task = await polled
            await say(worker, task, accept(task), respond("u"))
        polled.cancel()
        await stage.outcome(label, sent)
        await stage.history(f"{label}, first run", execution)


async def update_with_start_attached(stage: Stage) -> None:
    """A running workflow, and what the start wants attached to it."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll())
    use = CONFLICTS["use existing"]
    for label, options in (
        ("nothing", {}),
        ("request", {"attach_request_id": True}),
        ("links", {"attach_links": True}),
        ("both", {"attach_request_id": True, "attach_links": True}),
    ):
        start = worker.start_request(
            request_id=f"{label} {stage.nonce}",
            workflow_id_conflict_policy=use,
            on_conflict_options=OnConflictOptions(**options),
            links=[Link(batch_job=Link.BatchJob(job_id=label))],
        )
        sent = both(stage, start, label)
        task = await worker.poll()
        await say(worker, task, accept(task), respond(label))
        await stage.outcome(label, sent)
        again = both(stage, start, label)
        await stage.outcome(f"{label} again", again)
    await stage.history("history", execution)
    await stage.describe("described", execution)


ENDS = ("closes", "goes on", "other closes", "terminated", "fails", "rejects", "silent")


async def update_with_start_ends(stage: Stage) -> None:
    """What becomes of both when the update comes to nothing, of a new run and of a running one."""
    for is_new, end in product((True, False), ENDS):
        name = f"{'new' if is_new else 'running'} {end}"
        worker = HandWorker(stage, name)
        start = worker.start_request(name)
        if end == "other closes":
            start.request_id += " other"
            start.workflow_id_conflict_policy = CONFLICTS["use existing"]
        target = WorkflowExecution(workflow_id=start.workflow_id)
        if not is_new:
            await worker.start(name)
            await worker.complete(await worker.poll())
        sent = both(stage, start, "u")
        await _end(stage, worker, end)
        polled = asyncio.create_task(worker.poll())
        await asyncio.wait([sent, polled], return_when=asyncio.FIRST_COMPLETED)
        if polled.done():
            task = await polled
            stage.task(f"{name}, once more", task)
            await say(worker, task, accept(task), respond("u"))
        polled.cancel()
        await stage.outcome(name, sent)
        await stage.history(f"{name}, history", target)


async def _end(stage: Stage, worker: HandWorker, end: str) -> None:
    task = await worker.poll()
    match end:
        case "closes" | "other closes":
            await worker.complete(task, complete_workflow("done"))
        case "goes on":
            await worker.complete(task, continue_as_new())
        case "terminated":
            request = TerminateWorkflowExecutionRequest(
                namespace=stage.namespace, workflow_execution=task.workflow_execution
            )
            await stage.service.terminate_workflow_execution(request)
        case "fails":
            await worker.fail(task, BUG)
        case "rejects":
            await worker.complete(task, messages=[reject(task)])
        case "silent":
            await worker.complete(task)


async def update_with_start_waits(stage: Stage) -> None:
    """Without a stage the outcome is waited for, also of a plain update."""
    worker = HandWorker(stage)
    start = worker.start_request()
    target = WorkflowExecution(workflow_id=start.workflow_id)
    sent = both(stage, start, "first", wait=0)
    await admitted(stage, target, "first")
    task = await worker.poll()
    await say(worker, task, accept(task))
    plain = update(stage, target, "plain", wait=0)
    task = await worker.poll()
    await say(worker, task, accept(task))
    unset = update(stage, target, "unset", wait_policy=None)
    task = await worker.poll()
    await say(worker, task, accept(task))
    await poll_update(stage, target, "unset", wait=ACCEPTED)
    await asyncio.sleep(1)
    stage.observe("are answered", [sent.done(), plain.done(), unset.done()])
    await worker.signal(target, "go")
    task = await worker.poll()
    await say(worker, task, respond("first"), respond("plain"), respond("unset"))
    await stage.outcome("no stage", sent)
    await stage.outcome("plain, no stage", plain)
    await stage.outcome("plain, no policy", unset)


START_FIELDS: dict[str, dict[str, Any]] = {
    "other namespace": {"namespace": "other"},
    "no namespace": {"namespace": ""},
    "no workflow id": {"workflow_id": ""},
    "long workflow id": {"workflow_id": LONG},
    "other workflow id": {"workflow_id": "other"},
    "no type": {"workflow_type": None},
    "long type": {"workflow_type": WorkflowType(name=LONG)},
    "no queue": {"task_queue": None},
    "unnamed queue": {"task_queue": TaskQueue()},
    "long request id": {"request_id": LONG},
    "cron": {"cron_schedule": "* * * * *"},
    "bad cron": {"cron_schedule": "zz"},
    "eager": {"request_eager_execution": True},
    "delay": {"workflow_start_delay": seconds(5)},
    "cron, delay": {"cron_schedule": "* * * * *", "workflow_start_delay": seconds(5)},
    "cron, eager": {"cron_schedule": "* * * * *", "request_eager_execution": True},
    "eager, delay": {"request_eager_execution": True, "workflow_start_delay": seconds(5)},
    "eager, no type": {"request_eager_execution": True, "workflow_type": None},
    "cron, large": {
        "cron_schedule": "* * * * *",
        "input": Payloads(payloads=[Payload(data=b"x" * 2_200_000)]),
    },
    "large": {"input": Payloads(payloads=[Payload(data=b"x" * 2_200_000)])},
    "callback": {"completion_callbacks": [Callback(nexus=Callback.Nexus(url="http://x"))]},
    "empty link": {"links": [Link()]},
}
UPDATE_FIELDS: dict[str, dict[str, Any]] = {
    "other namespace": {"namespace": "other"},
    "other namespace, no meta": {"namespace": "other", "request": Request()},
    "no namespace": {"namespace": "", "first_execution_run_id": NO_RUN},
    "no execution": {"workflow_execution": None},
    "no workflow id": {"workflow_execution": WorkflowExecution()},
    "other workflow id": {"workflow_execution": WorkflowExecution(workflow_id="other")},
    "other id, no meta": {
        "workflow_execution": WorkflowExecution(workflow_id="other"),
        "request": Request(),
    },
    "other id, run": {"workflow_execution": WorkflowExecution(workflow_id="other", run_id=NO_RUN)},
    "bad run, no meta": {
        "workflow_execution": WorkflowExecution(workflow_id="other", run_id="zz"),
        "request": Request(),
    },
    "other id, first run": {
        "workflow_execution": WorkflowExecution(workflow_id="other"),
        "first_execution_run_id": NO_RUN,
    },
    "first run": {"first_execution_run_id": NO_RUN},
    "first run, no meta": {"first_execution_run_id": NO_RUN, "request": Request()},
    "long first run": {"first_execution_run_id": LONG},
    "no request": {"request": None},
    "no input": {"request": Request(meta=Meta(update_id="u"))},
    "no name": {"request": Request(meta=Meta(update_id="u"), input=Input())},
    "long update id": {"request": Request(meta=Meta(update_id=LONG), input=Input(name="n"))},
    "admitted": {"wait_policy": WaitPolicy(lifecycle_stage=ADMITTED)},
    "admitted, no name": {
        "wait_policy": WaitPolicy(lifecycle_stage=ADMITTED),
        "request": Request(meta=Meta(update_id="u"), input=Input()),
    },
    "admitted, first run": {
        "wait_policy": WaitPolicy(lifecycle_stage=ADMITTED),
        "first_execution_run_id": NO_RUN,
    },
}
"""What is wrong with one operation, while the other is right."""


async def refused_update_with_start(stage: Stage) -> None:
    """The wrong operations, or wrong fields of one or both of them."""
    worker = HandWorker(stage)
    start = Operation(start_workflow=worker.start_request())
    target = WorkflowExecution(workflow_id=start.start_workflow.workflow_id)
    changed = Operation(update_workflow=update_request(stage, target, "u"))
    for label, operations in (
        ("nothing", []),
        ("one", [start]),
        ("three", [start, changed, changed]),
        ("swapped", [changed, start]),
        ("two starts", [start, start]),
        ("two updates", [changed, changed]),
        ("empty", [Operation(), Operation()]),
        ("half empty", [start, Operation()]),
    ):
        await stage.outcome(label, multiple(stage, operations))
    for label, namespace in (("no namespace", ""), ("unknown namespace", "nowhere")):
        await stage.outcome(label, multiple(stage, [start, changed], namespace=namespace))
        await stage.outcome(f"{label}, one", multiple(stage, [start], namespace=namespace))
    for label, fields in START_FIELDS.items():
        other = Operation(start_workflow=worker.start_request(**fields))
        await stage.outcome(f"start: {label}", multiple(stage, [other, changed]))
    for label, fields in UPDATE_FIELDS.items():
        other = Operation(update_workflow=update_request(stage, target, "u", **fields))
        await stage.outcome(f"update: {label}", multiple(stage, [start, other]))
    both_wrong = [
        Operation(start_workflow=worker.start_request(workflow_type=None)),
        Operation(update_workflow=update_request(stage, target, "u", request=Request())),
    ]
    await stage.outcome("both are wrong", multiple(stage, both_wrong))
    both_denied = [
        both_wrong[0],
        Operation(update_workflow=update_request(stage, target, "u", wait=ADMITTED)),
    ]
    await stage.outcome("wrong and denied", multiple(stage, both_denied))


async def too_many_updates_with_start(stage: Stage) -> None:
    """Ten may be in flight."""
    worker = HandWorker(stage)
    start = worker.start_request()
    target = WorkflowExecution(workflow_id=start.workflow_id)
    sent = []
    for index in range(10):
        sent.append(both(stage, start, f"u{index}"))
        await admitted(stage, target, f"u{index}")
    await stage.outcome("one too many", both(stage, start, "more"))
    task = await worker.poll()
    await worker.fail(task, BUG)
    for _ in range(2):
        await worker.fail(await worker.poll(), BUG)
    await worker.poll()
    await stage.outcome("known, of a failing workflow", both(stage, start, "u1"))
    await stage.outcome("of a failing workflow", both(stage, start, "more"))
    for task_of in sent:
        task_of.cancel()


def continue_as_new() -> Command:
    """The command that follows a run by another of its kind."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=ContinueAsNewWorkflowExecutionCommandAttributes(
            backoff_start_interval=seconds(2)
        ),
    )
