"""Resets of parents: children that run go on with the run that follows, and are found again."""

from __future__ import annotations

from temporalio.api.common.v1 import WorkflowExecution

from tests.interop.programs.children_by_hand import (
    CHILD_COMPLETED,
    CHILD_STARTED,
    POLICIES,
    START_FAILED,
    Home,
)
from tests.interop.programs.resets import reset
from tests.interop.raw import complete_workflow, start_timer
from tests.interop.stage import Stage


async def reset_with_child_before(stage: Stage) -> None:
    """A child that had started before the cut becomes the new run's, whatever its policy."""
    for label, policy in POLICIES.items():
        home = Home(stage, label)
        command = home.start_child(parent_close_policy=policy)
        parent = await home.start(command)
        await stage.event(parent, CHILD_STARTED)
        await home.children.complete(await home.children.poll(), start_timer("t", 3600))
        await home.parents.complete(await home.parents.poll(), start_timer("t", 3600))
        new = await reset(stage, parent, 9)
        await home.parents.complete(await home.parents.poll(), start_timer("u", 3600))
        child = WorkflowExecution(workflow_id=home.child_id())
        await home.children.signal(child, "wake up")
        await home.children.complete(await home.children.poll(), complete_workflow("child"))
        await stage.event(new, CHILD_COMPLETED)
        await stage.history(f"{label}: child", child)
        await home.parents.complete(await home.parents.poll(), complete_workflow("parent"))
        await stage.history(f"{label}: new", new)
        await stage.history(f"{label}: old", parent)


async def reset_then_close(stage: Stage) -> None:
    """When the new run closes, the child that it took over stays, whatever its policy."""
    for label, policy in POLICIES.items():
        home = Home(stage, label)
        parent = await home.start(home.start_child(parent_close_policy=policy))
        await stage.event(parent, CHILD_STARTED)
        await home.children.complete(await home.children.poll(), start_timer("t", 3600))
        await home.parents.complete(await home.parents.poll(), start_timer("t", 3600))
        new = await reset(stage, parent, 9)
        await stage.describe(f"{label}: description", new)
        await home.parents.complete(await home.parents.poll(), complete_workflow("parent"))
        await stage.history(f"{label}: new", new)
        child = WorkflowExecution(workflow_id=home.child_id())
        # Whatever the close may have asked for comes before this.
        await home.children.signal(child, "wake up")
        await home.children.complete(await home.children.poll(), complete_workflow("child"))
        await stage.history(f"{label}: child", child)


async def reset_hears_again(stage: Stage) -> None:
    """What a child told the old run after the cut is told to the new one."""
    home = Home(stage, "again")
    parent = await home.start(home.start_child())
    await stage.event(parent, CHILD_STARTED)
    await home.parents.complete(await home.parents.poll(), start_timer("t", 3600))
    await home.children.complete(await home.children.poll(), complete_workflow("child"))
    await stage.event(parent, CHILD_COMPLETED)
    await home.parents.signal(parent, "one")
    new = await reset(stage, parent, 9)
    await stage.history("new", new)
    await home.parents.complete(await home.parents.poll(), complete_workflow("parent"))
    await stage.history("new, closed", new)


async def reset_with_child_after(stage: Stage) -> None:
    """A child that started after the cut runs on, and is in the way of the one that the new run
    starts."""
    home = Home(stage, "after")
    parent = await home.start(home.start_child(control="control"))
    await stage.event(parent, CHILD_STARTED)
    await home.children.complete(await home.children.poll(), start_timer("t", 3600))
    new = await reset(stage, parent, 4)
    child = WorkflowExecution(workflow_id=home.child_id())
    await stage.history("child, after the reset", child)
    await home.parents.complete(await home.parents.poll(), home.start_child(control="control"))
    await stage.event(new, START_FAILED)
    await stage.history("new", new)
    await home.children.signal(child, "wake up")
    await home.children.complete(await home.children.poll(), complete_workflow("child"))
    await stage.history("child", child)
    await home.parents.complete(await home.parents.poll(), complete_workflow("parent"))
    await stage.history("new, closed", new)
    await stage.history("old", parent)


async def reset_with_child_over(stage: Stage) -> None:
    """A child that has started and ended after the cut is started again."""
    home = Home(stage, "over")
    parent = await home.start(home.start_child())
    await home.children.complete(await home.children.poll(), complete_workflow("first"))
    await stage.event(parent, CHILD_COMPLETED)
    new = await reset(stage, parent, 4)
    await home.parents.complete(await home.parents.poll(), home.start_child())
    await home.children.complete(await home.children.poll(), complete_workflow("second"))
    await stage.event(new, CHILD_COMPLETED)
    await home.parents.complete(await home.parents.poll(), complete_workflow("parent"))
    await stage.history("new", new)
    await stage.history("old", parent)
    await stage.history("child", WorkflowExecution(workflow_id=home.child_id()))


async def reset_child(stage: Stage) -> None:
    """The reset of a running child: the parent waits for the run that follows."""
    home = Home(stage, "child")
    parent = await home.start(home.start_child())
    await stage.event(parent, CHILD_STARTED)
    await home.children.complete(await home.children.poll(), start_timer("t", 3600))
    child = WorkflowExecution(workflow_id=home.child_id())
    run_id = (await stage.description(child)).workflow_execution_info.execution.run_id
    first = WorkflowExecution(workflow_id=child.workflow_id, run_id=run_id)
    new = await reset(stage, first, 4)
    await home.parents.complete(await home.parents.poll(), start_timer("t", 3600))
    await stage.history("parent, after the reset", parent)
    await home.children.complete(await home.children.poll(), complete_workflow("child"))
    await stage.event(parent, CHILD_COMPLETED)
    await home.parents.complete(await home.parents.poll(), complete_workflow("parent"))
    await stage.history("parent", parent)
    await stage.history("first", first)
    await stage.history("new", new)
    await stage.describe("new, description", new)
