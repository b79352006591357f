"""Resets of runs that have ended, with children; and of runs that began in other ways."""

from __future__ import annotations

import asyncio

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ParentClosePolicy
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionRequest,
)

from tests.interop.programs.children_by_hand import (
    CHILD_COMPLETED,
    CHILD_STARTED,
    POLICIES,
    Home,
)
from tests.interop.programs.resets import reset
from tests.interop.raw import HandWorker, complete_workflow, seconds, start_timer
from tests.interop.stage import CLIENT_IDENTITY, Stage

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
ABANDON = ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON
TOLD_SECONDS = 2.0


async def expires_in_delay(stage: Stage) -> None:
    """A delay counts towards the timeout of the whole, also when a request to cancel ends it."""
    worker = HandWorker(stage)
    timeouts = {
        "workflow_run_timeout": seconds(4),
        "workflow_execution_timeout": seconds(5),
    }
    starts = {
        "delayed": {"workflow_start_delay": seconds(3600), **timeouts},
        "over at once": {"workflow_start_delay": seconds(3600), **timeouts},
    }
    runs = {}
    for name, fields in starts.items():
        runs[name] = await worker.start(name, **fields)
        if name != "over at once":
            await stage.service.request_cancel_workflow_execution(
                RequestCancelWorkflowExecutionRequest(
                    namespace=stage.namespace, workflow_execution=runs[name], request_id=name
                )
            )
            await worker.complete(await worker.poll())
    for name, run in runs.items():
        await stage.closed(run)
        await stage.history(name, run)


async def reset_of_starts(stage: Stage) -> None:
    """Where runs can be cut that began with a delay, or by a signal, and what is known of how."""
    worker = HandWorker(stage)
    start = worker.start_request("signalled")
    request = SignalWithStartWorkflowExecutionRequest(
        namespace=stage.namespace,
        workflow_id=start.workflow_id,
        workflow_type=start.workflow_type,
        task_queue=start.task_queue,
        signal_name="hello",
        identity=CLIENT_IDENTITY,
        request_id=start.request_id,
    )
    answer = await stage.service.signal_with_start_workflow_execution(request)
    signalled = WorkflowExecution(workflow_id=start.workflow_id, run_id=answer.run_id)
    await worker.complete(await worker.poll(), start_timer("t", 3600))
    delayed = await worker.start("delayed", workflow_start_delay=seconds(0.05))
    await worker.complete(await worker.poll(), start_timer("t", 3600))
    for name, run in {"signalled": signalled, "delayed": delayed}.items():
        for event_id in (2, 3):
            await stage.outcome(
                f"{name}, {event_id}",
                stage.service.reset_workflow_execution(
                    ResetWorkflowExecutionRequest(
                        namespace=stage.namespace,
                        workflow_execution=WorkflowExecution(workflow_id=run.workflow_id),
                        reason="because",
                        workflow_task_finish_event_id=event_id,
                        request_id=f"{name} {event_id} {stage.nonce}",
                    )
                ),
            )
    again = await reset(stage, signalled, 5)
    await stage.describe("signalled, again", again)


async def reset_after_child(stage: Stage) -> None:
    """A run that is over is reset to a time when its child still ran, which has ended since."""
    for name, policy in {"told": POLICIES["terminate"], "untold": ABANDON}.items():
        home = Home(stage, name)
        parent = await home.start(home.start_child("c", parent_close_policy=policy))
        child = WorkflowExecution(workflow_id=home.child_id("c"))
        await home.children.complete(await home.children.poll())
        await stage.event(parent, CHILD_STARTED)
        task = await home.parents.poll()
        if name == "told":
            await home.parents.complete(task)
            await home.children.signal(child, "end")
            await home.children.finish()
            await stage.event(parent, CHILD_COMPLETED)
            task = await home.parents.poll()
        await home.parents.complete(task, complete_workflow("over"))
        await stage.closed(parent)
        if name == "untold":
            await home.children.signal(child, "end")
            await home.children.finish()
            await stage.closed(child)
            # The real server tells the parent in the background, and the run that a reset makes if
            # that is there by then; nobody can see when it has told.
            await asyncio.sleep(TOLD_SECONDS)
        started = await stage.fetch(parent)
        cut = [e.event_id for e in started if e.event_type == TASK_COMPLETED][1]
        again = await reset(stage, parent, cut, f"reset {name}")
        await home.parents.complete(await home.parents.poll(), start_timer("t", 0.5))
        await stage.event(again, EventType.EVENT_TYPE_TIMER_FIRED)
        await stage.history(f"{name}: again", again)
        await stage.describe(f"{name}: description", again)
        await home.parents.finish()
        await stage.closed(again)


async def reset_and_close(stage: Stage) -> None:
    """A run that a reset made ends: what becomes of children that only its base had started."""
    names = list(POLICIES)
    home = Home(stage, "base")
    parent = await home.start(
        *(home.start_child(name, parent_close_policy=POLICIES[name]) for name in names)
    )
    for _ in names:
        await home.children.complete(await home.children.poll())
    await stage.event(parent, CHILD_STARTED, len(names))
    await home.parents.complete(await home.parents.poll())
    again = await reset(stage, parent, 4)
    await home.parents.complete(await home.parents.poll(), complete_workflow("over"))
    await stage.closed(again)
    # What were to reach the children has as long as this takes.
    marker = await home.parents.start("later")
    await home.parents.finish()
    await stage.closed(marker)
    for name in names:
        await stage.history(name, WorkflowExecution(workflow_id=home.child_id(name)))


async def reset_inherits_and_closes(stage: Stage) -> None:
    """The child of the base run, when it is taken over and the run that took it ends."""
    for name, policy in POLICIES.items():
        home = Home(stage, name)
        parent = await home.start(home.start_child("c", parent_close_policy=policy))
        await home.children.complete(await home.children.poll())
        await stage.event(parent, CHILD_STARTED)
        await home.parents.complete(await home.parents.poll())
        await home.parents.signal(parent, "go")
        await home.parents.poll()
        events = await stage.fetch(parent)
        again = await reset(stage, parent, events[-1].event_id, f"reset {name}")
        await stage.describe(f"{name}: again", again)
        await home.parents.complete(await home.parents.poll(), complete_workflow("over"))
        await stage.closed(again)
        marker = await home.parents.start(f"later {name}")
        await home.parents.finish()
        await stage.closed(marker)
        await stage.history(name, WorkflowExecution(workflow_id=home.child_id("c")))
