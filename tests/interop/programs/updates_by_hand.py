"""Updates, by hand: speculative tasks and what makes them normal, rejections without a trace."""

from __future__ import annotations

from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import CommandType, EventType, WorkflowTaskFailedCause
from temporalio.api.update.v1 import Outcome
from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatRequest,
    RespondWorkflowTaskCompletedRequest,
    TerminateWorkflowExecutionRequest,
    UpdateWorkflowExecutionResponse,
)

from tests.interop.raw import HandWorker, complete_workflow, seconds, start_timer
from tests.interop.stage import Stage
from tests.interop.updates_raw import (
    ACCEPTED,
    accept,
    admitted,
    commands_of,
    failure,
    poll_update,
    reject,
    respond,
    update,
)

TIMED_OUT = EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
BUG = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
FORGETS = RespondWorkflowTaskCompletedRequest.Capabilities(
    discard_speculative_workflow_task_with_events=True
)


async def idle(stage: Stage, name: str = "workflow", **fields: object) -> WorkflowExecution:
    """A workflow whose first task is over."""
    worker = HandWorker(stage)
    execution = await worker.start(name, **fields)
    await worker.complete(await worker.poll())
    return execution


async def update_accepted(stage: Stage) -> None:
    """Accepted and completed in one task, or in two; asked about and sent again."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    first = update(stage, execution, "first")
    task = await worker.poll()
    stage.task("task", task)
    await stage.history("while the task runs", execution)
    said = [accept(task), respond("first")]
    await stage.outcome("done", worker.complete(task, *commands_of(*said), messages=said))
    await stage.outcome("first", first)
    second = update(stage, execution, "second", wait=ACCEPTED)
    task = await worker.poll()
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await stage.outcome("second is accepted", second)
    await stage.outcome("second is polled", poll_update(stage, execution, "second", wait=ACCEPTED))
    waiting = poll_update(stage, execution, "second")
    await worker.signal(execution, "go")
    task = await worker.poll()
    failed = [respond("second", Outcome(failure=failure("bad")))]
    await worker.complete(task, *commands_of(*failed), messages=failed)
    await stage.outcome("second has failed", waiting)
    for update_id in ("first", "second"):
        await stage.outcome(f"{update_id} again", update(stage, execution, update_id))
        for wait in (None, 0, 1, 2, 3):
            polled = poll_update(stage, execution, update_id, wait=wait)
            await stage.outcome(f"{update_id} polled {wait}", polled)
    await stage.history("history", execution)
    await stage.describe("described", execution)


async def update_without_stage(stage: Stage) -> None:
    """Who names no stage, or sends no policy, waits for the outcome."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    for name, fields in (("none", {"wait": 0}), ("no policy", {"wait_policy": None})):
        sent = update(stage, execution, name, **fields)
        task = await worker.poll()
        said = [accept(task)]
        await worker.complete(task, *commands_of(*said), messages=said)
        await stage.outcome(f"{name}: accepted", poll_update(stage, execution, name, wait=ACCEPTED))
        stage.observe(f"{name}: is answered", sent.done())
        await worker.signal(execution, name)
        done = [respond(name)]
        await worker.complete(await worker.poll(), *commands_of(*done), messages=done)
        await stage.outcome(f"{name}: outcome", sent)
    await stage.history("history", execution)


async def update_rejected(stage: Stage) -> None:
    """A rejected update leaves no trace, whoever rejects it."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    sent = update(stage, execution, "rejected")
    task = await worker.poll()
    await stage.describe("while the task runs", execution)
    await stage.outcome("rejection", worker.complete(task, messages=[reject(task)]))
    await stage.outcome("rejected", sent)
    await stage.outcome("rejected, polled", poll_update(stage, execution, "rejected"))
    await stage.outcome("answered twice", worker.complete(task, messages=[reject(task)]))
    await stage.history("rejected history", execution)
    await stage.describe("rejected, described", execution)
    sent = update(stage, execution, "ignored")
    task = await worker.poll()
    await stage.outcome("nothing said", worker.complete(task))
    await stage.outcome("ignored", sent)
    await worker.signal(execution, "s")
    task = await worker.poll()
    stage.task("next task", task)
    await worker.complete(task)
    sent = update(stage, execution, "with a command")
    task = await worker.poll()
    done = worker.complete(task, start_timer("t", 3600), messages=[reject(task)])
    await stage.outcome("rejection with a command", done)
    await stage.outcome("with a command, rejected", sent)
    sent = update(stage, execution, "forced")
    task = await worker.poll()
    done = worker.complete(task, messages=[reject(task)], force_create_new_workflow_task=True)
    await stage.outcome("rejection with a new task", done)
    await stage.outcome("forced, rejected", sent)
    await worker.complete(await worker.poll())
    sent = update(stage, execution, "placed")
    task = await worker.poll()
    said = [reject(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await stage.outcome("placed, rejected", sent)
    await stage.history("history", execution)


async def update_rejected_after_events(stage: Stage) -> None:
    """A task that showed events is only dropped by a worker that can forget some of them."""
    worker = HandWorker(stage)
    for capabilities in (None, FORGETS):
        for count in (0, 1, 9, 10, 11, 12, 13):
            name = f"{count}-{bool(capabilities)}"
            execution = await worker.start(name)
            timers = [start_timer(f"t{index}", 3600) for index in range(count)]
            await worker.complete(await worker.poll(), *timers)
            sent = update(stage, execution, "u")
            task = await worker.poll()
            done = worker.complete(task, messages=[reject(task)], capabilities=capabilities)
            await stage.outcome(f"{name} dropped", done)
            await sent


async def update_while_task_runs(stage: Stage) -> None:
    """An update that comes while a task runs gets the next one: a normal one on the queue, a
    speculative one in hand."""
    worker = HandWorker(stage)
    execution = await worker.start()
    task = await worker.poll()
    first = update(stage, execution, "first")
    await admitted(stage, execution, "first")
    await worker.complete(task)
    await stage.history("after the first task", execution)
    task = await worker.poll()
    stage.task("normal", task)
    second = update(stage, execution, "second")
    await admitted(stage, execution, "second")
    done = worker.complete(task, messages=[reject(task)], return_new_workflow_task=True)
    answer = await stage.outcome("speculative", done)
    await stage.outcome("first", first)
    assert answer is not None
    in_hand = answer.workflow_task  # type: ignore[attr-defined]
    third = update(stage, execution, "third")
    await admitted(stage, execution, "third")
    done = worker.complete(in_hand, messages=[reject(in_hand)])
    await stage.outcome("dropped", done)
    await stage.outcome("second", second)
    task = await worker.poll()
    stage.task("after a dropped one", task)
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await stage.history("history", execution)
    third.cancel()


async def update_before_first_task(stage: Stage) -> None:
    """It waits for the first task, also for one that is delayed."""
    worker = HandWorker(stage)
    for name, fields in (("at once", {}), ("delayed", {"workflow_start_delay": seconds(1)})):
        execution = await worker.start(name, **fields)
        sent = update(stage, execution, "early", wait=ACCEPTED)
        await admitted(stage, execution, "early")
        await stage.history(f"{name} before", execution)
        task = await worker.poll()
        stage.task(f"{name} task", task)
        said = [accept(task)]
        await worker.complete(task, *commands_of(*said), messages=said)
        await stage.outcome(f"{name} accepted", sent)
        await stage.history(f"{name} after", execution)
    execution = await worker.start("rejected", workflow_start_delay=seconds(2))
    sent = update(stage, execution, "early")
    task = await worker.poll()
    await stage.outcome("delayed, dropped", worker.complete(task, messages=[reject(task)]))
    await stage.outcome("delayed, rejected", sent)
    await stage.history("delayed, rejected history", execution)
    stage.task("delayed first task", await worker.poll())


async def speculative_becomes_normal(stage: Stage) -> None:
    """A signal, before or after the task is started; an activity that starts; a timer."""
    worker = HandWorker(stage)
    execution = await idle(stage, "scheduled")
    sent = update(stage, execution, "u")
    await admitted(stage, execution, "u")
    await worker.signal(execution, "scheduled")
    await stage.history("scheduled, signalled", execution)
    task = await worker.poll()
    stage.task("scheduled, task", task)
    await stage.outcome("scheduled, done", worker.complete(task, messages=[reject(task)]))
    await stage.outcome("scheduled, rejected", sent)
    await stage.history("scheduled", execution)

    execution = await idle(stage, "started")
    sent = update(stage, execution, "u")
    task = await worker.poll()
    await worker.signal(execution, "started")
    await stage.history("started, signalled", execution)
    await stage.outcome("started, done", worker.complete(task, messages=[reject(task)]))
    await stage.outcome("started, rejected", sent)
    await stage.history("started", execution)
    await worker.complete(await worker.poll())

    execution = await worker.start("activity")
    await worker.complete(await worker.poll(), worker.schedule_activity("a"))
    sent = update(stage, execution, "u")
    await admitted(stage, execution, "u")
    activity = await worker.poll_activity()
    await stage.history("activity, started", execution)
    heartbeat = RecordActivityTaskHeartbeatRequest(
        namespace=stage.namespace, task_token=activity.task_token
    )
    await stage.service.record_activity_task_heartbeat(heartbeat)
    task = await worker.poll()
    await stage.outcome("activity, done", worker.complete(task, messages=[reject(task)]))
    await stage.outcome("activity, rejected", sent)
    await stage.history("activity", execution)

    execution = await worker.start("timer")
    await worker.complete(await worker.poll(), start_timer("t", 1))
    sent = update(stage, execution, "u", wait=ACCEPTED)
    task = await worker.poll()
    await stage.event(execution, EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED, 2)
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await stage.outcome("timer, accepted", sent)
    await stage.event(execution, EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, 3)
    await stage.history("timer", execution)


async def speculative_fails(stage: Stage) -> None:
    """One that times out, fails or is refused is recorded."""
    worker = HandWorker(stage)
    execution = await idle(stage, "timeout", workflow_task_timeout=seconds(1))
    sent = update(stage, execution, "u")
    await worker.poll()
    await stage.event(execution, TIMED_OUT)
    task = await worker.poll()
    stage.task("timeout, second attempt", task)
    await worker.complete(task, messages=[reject(task)])
    await stage.outcome("timeout, rejected", sent)
    await stage.history("timeout", execution)

    execution = await idle(stage, "failure")
    sent = update(stage, execution, "u")
    await worker.fail(await worker.poll(), BUG)
    await stage.history("failure, failed", execution)
    task = await worker.poll()
    stage.task("failure, second attempt", task)
    await worker.complete(task, messages=[reject(task)])
    await stage.outcome("failure, rejected", sent)
    await stage.history("failure", execution)

    execution = await idle(stage, "third")
    for _ in range(3):
        await worker.signal(execution, "s")
        task = await worker.poll()
        if task.attempt < 3:
            await worker.fail(task, BUG)
    await stage.outcome("third attempt", update(stage, execution, "u"))
    await worker.complete(task)

    execution = await idle(stage, "refused")
    sent = update(stage, execution, "u")
    task = await worker.poll()
    await worker.signal(execution, "s")
    said = [accept(task)]
    closing = worker.complete(task, *commands_of(*said), complete_workflow("x"), messages=said)
    await stage.outcome("unhandled command", closing)
    await stage.outcome("refused, update", sent)
    stage.task("refused, next task", await worker.poll())
    await stage.history("refused", execution)


async def speculative_is_not_taken(stage: Stage) -> None:
    """Without a poller it becomes a normal task, on the sticky queue too."""
    worker = HandWorker(stage)
    execution = await worker.start("sticky")
    await worker.complete(await worker.poll(), sticky=True, sticky_timeout=seconds(1))
    await stage.outcome("sticky, given up", _taken(stage, execution, worker, "sticky"))
    execution = await worker.start("polled")
    await worker.complete(await worker.poll(), sticky=True, sticky_timeout=seconds(1))
    await worker.signal(execution, "s")
    task = await worker.poll()
    await worker.complete(task, sticky=True, sticky_timeout=seconds(1))
    await stage.outcome("polled, given up", _taken(stage, execution, worker, "polled"))
    await stage.history("polled", execution)


async def _taken(
    stage: Stage, execution: WorkflowExecution, worker: HandWorker, name: str
) -> UpdateWorkflowExecutionResponse:
    sent = update(stage, execution, "u")
    task = await worker.poll()
    stage.task(f"{name}, task", task)
    await worker.complete(task, messages=[reject(task)])
    return await sent


async def speculative_heartbeat(stage: Stage) -> None:
    """A heartbeat leaves the update to the next task; one that says nothing rejects it."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    sent = update(stage, execution, "u")
    task = await worker.poll()
    await stage.outcome("beat", worker.complete(task, force_create_new_workflow_task=True))
    task = await worker.poll()
    stage.task("next task", task)
    await stage.outcome("nothing said", worker.complete(task))
    await stage.outcome("update", sent)
    await stage.history("history", execution)


async def update_and_close(stage: Stage) -> None:
    """What becomes of updates when the run closes."""
    worker = HandWorker(stage)
    execution = await idle(stage, "accepted")
    accepted = update(stage, execution, "accepted", wait=ACCEPTED)
    task = await worker.poll()
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await accepted
    polled = poll_update(stage, execution, "accepted")
    sent = update(stage, execution, "sent")
    task = await worker.poll()
    waiting = update(stage, execution, "admitted")
    await admitted(stage, execution, "admitted")
    await stage.outcome("closed", worker.complete(task, complete_workflow("x")))
    await stage.outcome("polled", polled)
    await stage.outcome("sent", sent)
    await stage.outcome("admitted", waiting)
    await stage.outcome("accepted again", update(stage, execution, "accepted"))
    await stage.history("accepted", execution)

    execution = await idle(stage, "together")
    sent = update(stage, execution, "u", wait=ACCEPTED)
    task = await worker.poll()
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), complete_workflow("x"), messages=said)
    await stage.outcome("together", sent)
    await stage.history("together, history", execution)

    execution = await idle(stage, "whole")
    sent = update(stage, execution, "u")
    task = await worker.poll()
    said = [accept(task), respond("u")]
    await worker.complete(task, *commands_of(*said), complete_workflow("x"), messages=said)
    await stage.outcome("whole", sent)

    execution = await idle(stage, "rejected")
    sent = update(stage, execution, "u")
    task = await worker.poll()
    await worker.complete(task, complete_workflow("x"), messages=[reject(task)])
    await stage.outcome("rejected", sent)
    await stage.history("rejected, history", execution)

    for name in ("scheduled", "started"):
        execution = await idle(stage, name)
        sent = update(stage, execution, "u")
        await admitted(stage, execution, "u")
        if name == "started":
            await worker.poll()
        await stage.service.terminate_workflow_execution(
            TerminateWorkflowExecutionRequest(
                namespace=stage.namespace, workflow_execution=execution
            )
        )
        await stage.outcome(f"{name} when terminated", sent)
        await stage.history(f"{name}, history", execution)


async def update_and_next_run(stage: Stage) -> None:
    """An accepted update has failed when its run continues as new."""
    worker = HandWorker(stage)
    execution = await idle(stage)
    accepted = update(stage, execution, "accepted", wait=ACCEPTED)
    task = await worker.poll()
    said = [accept(task)]
    await worker.complete(task, *commands_of(*said), messages=said)
    await accepted
    polled = poll_update(stage, execution, "accepted")
    await worker.signal(execution, "go")
    task = await worker.poll()
    continuing = Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=ContinueAsNewWorkflowExecutionCommandAttributes(),
    )
    await worker.complete(task, continuing)
    await stage.outcome("accepted", polled)
    current = WorkflowExecution(workflow_id=execution.workflow_id)
    await stage.outcome("not of this run", poll_update(stage, current, "accepted"))
    again = update(stage, current, "accepted")
    task = await worker.poll()
    stage.observe("next run", [message.id for message in task.messages])
    await stage.outcome("done", worker.complete(task, messages=[reject(task)]))
    await stage.outcome("again", again)
