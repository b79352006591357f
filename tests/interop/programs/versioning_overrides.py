"""Versioning overrides: at a start, later, and what successors and children inherit."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from temporalio.api.command.v1 import (
    Command,
    FailWorkflowExecutionCommandAttributes,
    StartChildWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import RetryPolicy, WorkflowExecution, WorkflowType
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import CommandType, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    UpdateWorkflowExecutionOptionsRequest,
)
from temporalio.service import RPCError

from tests.interop.raw import complete_workflow, seconds
from tests.interop.stage import CLIENT_IDENTITY, Stage, payloads
from tests.interop.versioned import AUTO_UPGRADE, PINNED, Deployment, VersionedWorker

UNHANDLED = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
PINNED_OVERRIDE = VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED


async def override_at_start(stage: Stage) -> None:
    """A workflow that is pinned from its start, or must not be."""
    deployment, first, _ = await two_versions(stage)
    pinned = await first.start("pinned", versioning_override=pinned_to(deployment.version("1")))
    await stage.describe("begun", pinned)
    task = await first.poll()
    await first.complete(task, behavior=AUTO_UPGRADE)
    await stage.describe("pinned, upgrades itself", pinned)
    await first.signal(pinned, "end")
    await first.complete(await first.poll(), complete_workflow(), behavior=AUTO_UPGRADE)
    await stage.history("pinned", pinned)
    old = VersioningOverride(behavior=PINNED, pinned_version=f"{deployment.name}.1")
    older = await first.start("old form", versioning_override=old)
    await stage.describe("old form", older)
    await first.complete(await first.poll(), complete_workflow())
    await stage.history("old form: history", older)
    request = SignalWithStartWorkflowExecutionRequest(
        namespace=stage.namespace,
        workflow_id=stage.workflow_id("signalled"),
        workflow_type=WorkflowType(name="ByHand"),
        task_queue=stage.task_queue(),
        signal_name="go",
        signal_input=payloads(1),
        identity=CLIENT_IDENTITY,
        request_id=f"signal {stage.nonce}",
        versioning_override=pinned_to(deployment.version("1")),
    )
    response = await stage.service.signal_with_start_workflow_execution(request)
    await first.complete(await first.poll(), complete_workflow())
    run = WorkflowExecution(workflow_id=request.workflow_id, run_id=response.run_id)
    await stage.history("signalled", run)


async def override_changed(stage: Stage) -> None:
    """An operator pins a workflow, moves it, and lets it go."""
    deployment, first, second = await two_versions(stage)
    run = await second.start()
    await second.complete(await second.poll(), behavior=AUTO_UPGRADE)
    await stage.outcome("pinned", _change(stage, run, pinned_to(deployment.version("1"))))
    await stage.describe("pinned, described", run)
    await stage.outcome("pinned again", _change(stage, run, pinned_to(deployment.version("1"))))
    await second.signal(run, "one")
    await first.complete(await first.poll(), behavior=AUTO_UPGRADE)
    await stage.describe("on 1", run)
    await second.signal(run, "two")
    # The task that waits for 1 goes to 2.
    await stage.outcome("moved", _change(stage, run, pinned_to(deployment.version("2"))))
    await second.complete(await second.poll(), behavior=PINNED)
    await stage.outcome("upgrades", _change(stage, run, VersioningOverride(auto_upgrade=True)))
    await stage.describe("upgrades, described", run)
    await stage.outcome("let go", _change(stage, run, None))
    await stage.describe("let go, described", run)
    nameless = VersioningOverride(
        pinned=VersioningOverride.PinnedOverride(behavior=PINNED_OVERRIDE)
    )
    await stage.outcome("as it is", _change(stage, run, nameless))
    await second.signal(run, "end")
    await second.complete(await second.poll(), complete_workflow())
    await stage.history("history", run)
    await stage.outcome("closed", _change(stage, run, None))


async def override_once(stage: Stage) -> None:
    """A workflow is moved once, and then behaves as its worker says."""
    deployment, first, second = await two_versions(stage)
    run = await second.start()
    await second.complete(await second.poll(), behavior=PINNED)
    target = VersioningOverride.OneTimeOverride(target_deployment_version=deployment.version("1"))
    await stage.outcome("moved", _change(stage, run, VersioningOverride(one_time=target)))
    await stage.describe("on its way", run)
    await first.signal(run, "go")
    await first.complete(await first.poll(), behavior=PINNED)
    await stage.describe("there", run)
    await first.signal(run, "end")
    await first.complete(await first.poll(), complete_workflow())
    await stage.history("history", run)


async def override_in_transition(stage: Stage) -> None:
    """A workflow on its way to another version is pinned to the one that it comes from, while a
    worker of the other has its task: it goes there first all the same."""
    deployment, first, second = await two_versions(stage)
    run = await second.start()
    await second.complete(await second.poll(), behavior=AUTO_UPGRADE)
    await deployment.make_current("1")
    await second.signal(run, "go")
    task = await first.poll()
    await stage.outcome("pinned", _change(stage, run, pinned_to(deployment.version("2"))))
    await first.fail(task, UNHANDLED)
    await first.complete(await first.poll(), behavior=AUTO_UPGRADE)
    await stage.describe("described", run)
    await second.signal(run, "end")
    await second.complete(await second.poll(), complete_workflow())
    await stage.history("history", run)


async def override_of_inline_task(stage: Stage) -> None:
    """A workflow is pinned to another version while a worker has its task: the worker gets the next
    one all the same, if it asks for it with its answer."""
    deployment, first, second = await two_versions(stage)
    run = await second.start()
    task = await second.poll()
    await stage.outcome("pinned", _change(stage, run, pinned_to(deployment.version("1"))))
    await second.signal(run, "go")
    answer = await second.complete(task, behavior=AUTO_UPGRADE, return_new_workflow_task=True)
    stage.observe("got the next", answer.HasField("workflow_task"))
    if answer.HasField("workflow_task"):
        await second.complete(answer.workflow_task, behavior=AUTO_UPGRADE)
    await stage.describe("described", run)
    await second.signal(run, "end")
    await first.complete(await first.poll(), complete_workflow())
    await stage.history("history", run)


async def override_refused(stage: Stage) -> None:
    """Overrides that say nothing, or what is not there."""
    deployment, _, second = await two_versions(stage)
    run = await second.start()
    await second.complete(await second.poll(), behavior=AUTO_UPGRADE)
    kinds = VersioningOverride
    overrides = {
        "nothing": kinds(),
        "not upgraded": kinds(auto_upgrade=False),
        "no version": kinds(pinned=kinds.PinnedOverride(behavior=PINNED_OVERRIDE)),
        "no behavior": kinds(pinned=kinds.PinnedOverride(version=deployment.version("1"))),
        "no target": kinds(one_time=kinds.OneTimeOverride()),
        "unknown version": pinned_to(deployment.version("9")),
        "old, no version": kinds(behavior=PINNED),
        "old, odd version": kinds(behavior=PINNED, pinned_version="odd"),
        "old, unknown": kinds(behavior=PINNED, pinned_version=f"{deployment.name}.9"),
        "old, too much": kinds(behavior=AUTO_UPGRADE, pinned_version="a.b"),
    }
    for name, override in overrides.items():
        start = second.start_request(name, versioning_override=override)
        await stage.outcome(f"start: {name}", stage.service.start_workflow_execution(start))
        await stage.outcome(f"change: {name}", _change(stage, run, override))


async def override_inherited(stage: Stage) -> None:
    """What children and retries have of it."""
    deployment, first, second = await two_versions(stage)
    runs = {
        "pinned": await second.start("pinned"),
        "upgraded": await second.start("upgraded"),
    }
    for _ in runs:
        task = await second.poll()
        is_pinned = "pinned" in task.workflow_execution.workflow_id
        name = "pinned" if is_pinned else "upgraded"
        await second.complete(
            task, child(stage, name), behavior=PINNED if is_pinned else AUTO_UPGRADE
        )
    runs["overridden"] = await first.start(
        "overridden", versioning_override=pinned_to(deployment.version("1"))
    )
    await first.complete(await first.poll(), child(stage, "overridden"), behavior=AUTO_UPGRADE)
    for name, worker in (("pinned", second), ("upgraded", second), ("overridden", first)):
        await _finish_family(stage, worker, name)
    retried = await first.start(
        "retried",
        versioning_override=pinned_to(deployment.version("1")),
        retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=seconds(1)),
    )
    await first.complete(await first.poll(), _fail())
    await first.complete(await first.poll(), complete_workflow())
    await stage.chain("retried", retried)


async def _finish_family(stage: Stage, worker: VersionedWorker, name: str) -> None:
    """Completes whatever comes of a parent and its child, and keeps the child's history."""
    child = WorkflowExecution(workflow_id=stage.workflow_id(f"child of {name}"))
    while True:
        events = await stage.fetch(child) if await _exists(stage, child) else []
        if events and events[-1].event_type == 2:
            break
        task = await worker.poll()
        is_child = "child of" in task.workflow_execution.workflow_id
        await worker.complete(task, *([complete_workflow()] if is_child else []))
    await stage.history(f"child of {name}", child)


async def _exists(stage: Stage, execution: WorkflowExecution) -> bool:
    try:
        await stage.description(execution)
    except RPCError:
        return False
    return True


async def two_versions(stage: Stage) -> tuple[Deployment, VersionedWorker, VersionedWorker]:
    """A deployment whose second version is current, and workers of both."""
    deployment = Deployment(stage)
    first, second = deployment.worker("1"), deployment.worker("2")
    await first.register()
    await second.register()
    await deployment.make_current("2")
    return deployment, first, second


def pinned_to(version: WorkerDeploymentVersion) -> VersioningOverride:
    """An override, in its newest form."""
    return VersioningOverride(
        pinned=VersioningOverride.PinnedOverride(behavior=PINNED_OVERRIDE, version=version)
    )


def _change(
    stage: Stage, run: WorkflowExecution, override: VersioningOverride | None
) -> Awaitable[Message]:
    return stage.service.update_workflow_execution_options(
        UpdateWorkflowExecutionOptionsRequest(
            namespace=stage.namespace,
            workflow_execution=run,
            workflow_execution_options=WorkflowExecutionOptions(versioning_override=override),
            update_mask=FieldMask(paths=["versioning_override"]),
            identity=CLIENT_IDENTITY,
        )
    )


def child(stage: Stage, name: str, **fields: Any) -> Command:
    """A command for a child that outlives its parent."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
        start_child_workflow_execution_command_attributes=(
            StartChildWorkflowExecutionCommandAttributes(
                workflow_id=stage.workflow_id(f"child of {name}"),
                workflow_type=WorkflowType(name="ByHand"),
                parent_close_policy=2,  # type: ignore[arg-type]
                **fields,
            )
        ),
    )


def _fail() -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
            failure=Failure(message="no", application_failure_info=ApplicationFailureInfo())
        ),
    )
