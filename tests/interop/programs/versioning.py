"""Workflows on versions of a worker deployment: pinned, or going where it sends them."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import CommandType, ContinueAsNewVersioningBehavior
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    RespondActivityTaskCompletedRequest,
)

from tests.interop.raw import IDENTITY, HandWorker, complete_workflow
from tests.interop.stage import Stage
from tests.interop.versioned import AUTO_UPGRADE, PINNED, Deployment, VersionedWorker


async def versioned_workflows(stage: Stage) -> None:
    """A pinned workflow stays, one that upgrades itself goes on elsewhere."""
    deployment = Deployment(stage)
    first, second = deployment.worker("1"), deployment.worker("2")
    await first.register()
    await second.register()
    await deployment.make_current("1")
    runs: dict[str, WorkflowExecution] = {}
    for name, behavior in (("pinned", PINNED), ("upgraded", AUTO_UPGRADE)):
        runs[name] = await first.start(name)
        await stage.describe(f"{name}: begun", runs[name])
        task = await first.poll()
        await stage.describe(f"{name}: first task", runs[name])
        await first.complete(task, behavior=behavior)
        await stage.describe(f"{name}: on 1", runs[name])
    await deployment.make_current("2")
    await first.signal(runs["pinned"], "pinned")
    await first.signal(runs["upgraded"], "upgraded")
    pinned, upgraded = await first.poll(), await second.poll()
    await stage.describe("upgraded: in transition", runs["upgraded"])
    await first.complete(pinned)
    await second.complete(upgraded, behavior=AUTO_UPGRADE)
    await stage.describe("pinned: told", runs["pinned"])
    await stage.describe("upgraded: on 2", runs["upgraded"])
    for worker, name in ((first, "pinned"), (second, "upgraded")):
        await worker.signal(runs[name], f"{name}, end")
        await worker.complete(await worker.poll(), complete_workflow("done"))
        await stage.history(f"{name}: history", runs[name])
        await stage.describe(f"{name}: closed", runs[name])


async def versioned_activities(stage: Stage) -> None:
    """Activities follow their workflow, and a workflow follows its activities."""
    deployment = Deployment(stage)
    first, second = deployment.worker("1"), deployment.worker("2")
    for worker in (first, second):
        await worker.register()
        await worker.register(activities=True, queues=2)
    await deployment.make_current("1")
    pinned = await first.start("pinned")
    await first.complete(await first.poll(), first.schedule_activity("a"), behavior=PINNED)
    upgraded = await first.start("upgraded")
    await first.complete(await first.poll(), behavior=AUTO_UPGRADE)
    await first.signal(upgraded, "go")
    task = await first.poll()
    await deployment.make_current("2")
    await first.complete(task, first.schedule_activity("b"), behavior=AUTO_UPGRADE)
    # The activity meets a worker of the new version, and waits until its workflow is there too.
    async with second.polling(activities=True, queues=2) as polls:
        await second.complete(await second.poll(), behavior=AUTO_UPGRADE)
        await _complete(stage, await polls[0])
    await _complete(stage, await first.poll_activity())
    await first.complete(await first.poll(), complete_workflow("pinned"))
    await second.complete(await second.poll(), complete_workflow("upgraded"))
    await stage.history("pinned", pinned)
    await stage.history("upgraded", upgraded)


async def versioned_sticky(stage: Stage) -> None:
    """A sticky worker keeps its workflow until that has to go elsewhere."""
    deployment = Deployment(stage)
    first, second = deployment.worker("1"), deployment.worker("2")
    await first.register()
    await second.register()
    await deployment.make_current("1")
    run = await first.start()
    await first.complete(await first.poll(), sticky=True, behavior=AUTO_UPGRADE)
    async with first.sticky_polling() as polls:
        await first.signal(run, "one")
        await first.complete(await polls[0], sticky=True, behavior=AUTO_UPGRADE)
    async with first.sticky_polling():
        await deployment.make_current("2")
        await first.signal(run, "two")
        await second.complete(await second.poll(), complete_workflow(), behavior=AUTO_UPGRADE)
    await stage.history("history", run)


async def unversioned_to_versioned(stage: Stage) -> None:
    """A workflow of unversioned workers goes to a version, and back."""
    deployment = Deployment(stage)
    plain, worker = HandWorker(stage), deployment.worker("1")
    run = await plain.start()
    await plain.complete(await plain.poll())
    await stage.describe("unversioned", run)
    await worker.register()
    await deployment.make_current("1")
    await plain.signal(run, "one")
    await worker.complete(await worker.poll(), behavior=AUTO_UPGRADE)
    await stage.describe("versioned", run)
    await deployment.make_current("")
    await plain.signal(run, "two")
    task = await plain.poll()
    await stage.describe("in transition", run)
    await plain.complete(task)
    await stage.describe("unversioned again", run)
    await plain.signal(run, "three")
    await plain.complete(await plain.poll(), complete_workflow())
    await stage.history("history", run)


async def versioned_chains(stage: Stage) -> None:
    """What a run that continues as new passes on."""
    deployment = Deployment(stage)
    first, second = deployment.worker("1"), deployment.worker("2")
    await first.register()
    await second.register()
    await deployment.make_current("1")
    runs = {name: await first.start(name) for name in ("stays", "leaves", "told", "upgraded")}
    for _ in runs:
        task = await first.poll()
        is_upgraded = "upgraded" in task.workflow_execution.workflow_id
        await first.complete(task, behavior=AUTO_UPGRADE if is_upgraded else PINNED)
    await deployment.make_current("2")
    await asyncio.sleep(1)  # What follows a run that was younger begins after a backoff.
    initial = ContinueAsNewVersioningBehavior
    for name, before, after, behavior in (
        ("stays", first, first, initial.CONTINUE_AS_NEW_VERSIONING_BEHAVIOR_UNSPECIFIED),
        ("leaves", first, second, initial.CONTINUE_AS_NEW_VERSIONING_BEHAVIOR_AUTO_UPGRADE),
        ("told", first, first, initial.CONTINUE_AS_NEW_VERSIONING_BEHAVIOR_UNSPECIFIED),
        ("upgraded", second, second, initial.CONTINUE_AS_NEW_VERSIONING_BEHAVIOR_UNSPECIFIED),
    ):
        anyone = WorkflowExecution(workflow_id=runs[name].workflow_id)
        kept = AUTO_UPGRADE if name == "upgraded" else PINNED
        await first.signal(runs[name], name)
        await before.complete(await before.poll(), _continue(before, behavior), behavior=kept)
        task = await after.poll()
        await stage.describe(f"{name}: next", anyone)
        await after.complete(task, behavior=kept)
        await after.signal(anyone, f"{name}, end")
        await after.complete(await after.poll(), complete_workflow(), behavior=kept)
        await stage.chain(name, runs[name])


async def refused_versions(stage: Stage) -> None:
    """What a worker may not say."""
    deployment = Deployment(stage)
    worker = deployment.worker("1")
    await worker.register()
    await deployment.make_current("1")
    run = await worker.start()
    task = await worker.poll()
    plain = HandWorker(stage)
    await stage.outcome("behavior alone", plain.complete(task, versioning_behavior=PINNED))
    options = worker.options
    options.worker_versioning_mode = 1  # type: ignore[assignment]
    await stage.outcome(
        "behavior of an unversioned worker",
        plain.complete(task, versioning_behavior=PINNED, deployment_options=options),
    )
    await plain.complete(task, deployment_options=options)
    await stage.describe("unversioned with options", run)
    await stage.history("history", run)


async def _complete(stage: Stage, task: PollActivityTaskQueueResponse) -> None:
    await stage.service.respond_activity_task_completed(
        RespondActivityTaskCompletedRequest(
            namespace=stage.namespace, task_token=task.task_token, identity=IDENTITY
        )
    )


def _continue(worker: VersionedWorker, behavior: Any = 0) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=(
            ContinueAsNewWorkflowExecutionCommandAttributes(
                workflow_type=WorkflowType(name="ByHand"), initial_versioning_behavior=behavior
            )
        ),
    )
