"""Versioning overrides of children: what a command may say, and versions that are not there."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import EventType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import VersioningOverride

from tests.interop.programs.versioning_overrides import (
    PINNED_OVERRIDE,
    child,
    pinned_to,
    two_versions,
)
from tests.interop.raw import HandWorker
from tests.interop.stage import Stage
from tests.interop.versioned import AUTO_UPGRADE, PINNED, Deployment

STARTED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED
FAILED = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED
_Kinds = VersioningOverride


async def child_overrides_refused(stage: Stage) -> None:
    """Overrides that say nothing, and what else of a command counts more or less."""
    version = Deployment(stage).version("1")
    nothing, queue = _Kinds(), TaskQueue(name="/_sys/queue")
    overrides = {
        "nothing": nothing,
        "not upgraded": _Kinds(auto_upgrade=False),
        "no version": _Kinds(pinned=_Kinds.PinnedOverride(behavior=PINNED_OVERRIDE)),
        "no behavior": _Kinds(pinned=_Kinds.PinnedOverride(version=version)),
        "no target": _Kinds(one_time=_Kinds.OneTimeOverride()),
        "old, no version": _Kinds(behavior=PINNED),
        "old, odd version": _Kinds(behavior=PINNED, pinned_version="odd"),
        "old, too much": _Kinds(behavior=AUTO_UPGRADE, pinned_version="a.b"),
    }
    commands = {
        name: child(stage, name, versioning_override=override)
        for name, override in overrides.items()
    }
    commands["and no queue"] = child(stage, "q", versioning_override=nothing, task_queue=queue)
    commands["and another queue"] = child(
        stage,
        "o",
        versioning_override=nothing,
        task_queue=TaskQueue(name="o"),
        inherit_build_id=True,
    )
    for name, command in commands.items():
        worker = HandWorker(stage, name)
        await worker.start(name)
        await stage.outcome(name, worker.complete(await worker.poll(), command))


async def child_overrides(stage: Stage) -> None:
    """Children that are pinned by their parents, also to versions that nobody has seen."""
    deployment, _, second = await two_versions(stage)
    known, unknown = deployment.version("1"), pinned_to(deployment.version("9"))
    once = _Kinds(one_time=_Kinds.OneTimeOverride(target_deployment_version=known))
    old = _Kinds(behavior=PINNED, pinned_version=f"{deployment.name}.9")
    elsewhere = stage.task_queue("elsewhere")
    commands: dict[str, tuple[Command, EventType.ValueType]] = {
        "known": (child(stage, "a", versioning_override=pinned_to(known)), STARTED),
        "once": (child(stage, "b", versioning_override=once), STARTED),
        "upgraded": (child(stage, "c", versioning_override=_Kinds(auto_upgrade=True)), STARTED),
        "unknown": (child(stage, "d", versioning_override=unknown), FAILED),
        "old, unknown": (child(stage, "e", versioning_override=old), FAILED),
        "another queue": (
            child(stage, "f", versioning_override=pinned_to(known), task_queue=elsewhere),
            FAILED,
        ),
    }
    for name, (command, outcome) in commands.items():
        parent = await second.start(name)
        task = await second.poll()
        while task.workflow_execution.workflow_id != parent.workflow_id:
            await second.complete(task, behavior=AUTO_UPGRADE)
            task = await second.poll()
        await second.complete(task, command, behavior=AUTO_UPGRADE)
        await stage.event(parent, outcome)
        events = await stage.fetch(parent)
        stage.message(f"{name}: asked for", events[4])
        stage.message(f"{name}: came of it", events[5])
