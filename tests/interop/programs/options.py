"""Options of a running workflow that are changed from outside."""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    UpdateWorkflowExecutionOptionsRequest,
    UpdateWorkflowExecutionOptionsResponse,
)

from tests.interop.raw import HandWorker, complete_workflow, start_timer
from tests.interop.stage import Stage

LONG = "x" * 1001


async def _update(
    stage: Stage, execution: WorkflowExecution | None, options: Any, *paths: str, **fields: Any
) -> UpdateWorkflowExecutionOptionsResponse:
    return await stage.service.update_workflow_execution_options(
        UpdateWorkflowExecutionOptionsRequest(
            **{
                "namespace": stage.namespace,
                "workflow_execution": execution,
                "workflow_execution_options": None
                if options is None
                else WorkflowExecutionOptions(**options),
                "update_mask": {"paths": paths},
                "identity": "changer",
                **fields,
            }
        )
    )


async def update_priority(stage: Stage) -> None:
    """A new priority is recorded, described, and that of what is scheduled from then on."""
    worker = HandWorker(stage)
    execution = await worker.start(priority={"priority_key": 2, "fairness_key": "a"})
    one: Any = {"priority": {"priority_key": 4}}
    await stage.outcome("changed", _update(stage, execution, one, "priority"))
    await stage.outcome("the same again", _update(stage, execution, one, "priority"))
    await stage.history("history", execution)
    await stage.describe("description", execution)
    task = await worker.poll()
    await stage.outcome(
        "while a task runs",
        _update(stage, execution, {"priority": {"fairness_key": "b"}}, "priority"),
    )
    await worker.complete(task, worker.schedule_activity("a"), start_timer("t", 3600))
    activity = await worker.poll_activity()
    stage.message("priority of an activity", activity.priority)
    await stage.outcome("without a value", _update(stage, execution, {}, "priority"))
    await stage.describe("no priority, description", execution)
    for path in ("priority.priority_key", "priority.fairness_key", "priority.fairness_weight"):
        value: Any = {"priority": {"priority_key": 5, "fairness_key": "c", "fairness_weight": 2.0}}
        await stage.outcome(path, _update(stage, execution, value, path))
    await stage.describe("parts, description", execution)
    await worker.signal(execution, "end")
    await worker.complete(await worker.poll(), complete_workflow())
    await stage.history("closed", execution)
    await stage.outcome("too late", _update(stage, execution, one, "priority"))
    await stage.outcome("too late, nothing", _update(stage, execution, None))


OVERRIDES: dict[str, dict[str, Any]] = {
    "pinned": {
        "pinned": {
            "behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED",
            "version": {"deployment_name": "d", "build_id": "b"},
        }
    },
    "pinned without a version": {"pinned": {"behavior": "PINNED_OVERRIDE_BEHAVIOR_PINNED"}},
    "pinned without a behavior": {"pinned": {"version": {"deployment_name": "d", "build_id": "b"}}},
    "empty": {},
}


async def update_versioning(stage: Stage) -> None:
    """Versioning overrides that cannot be, and one that is not there to be unset."""
    for label, override in OVERRIDES.items():
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        await stage.outcome(
            label,
            _update(stage, execution, {"versioning_override": override}, "versioning_override"),
        )
        await stage.history(f"{label}, history", execution)
        await stage.outcome(f"{label}, unset", _update(stage, execution, {}, "versioning_override"))
        await stage.describe(f"{label}, description", execution)


async def refused_options(stage: Stage) -> None:
    """Requests that cannot be honoured."""
    worker = HandWorker(stage)
    execution = await worker.start()
    one: Any = {"priority": {"priority_key": 4}}
    never = WorkflowExecution(
        workflow_id=execution.workflow_id, run_id="11111111-2222-3333-4444-555555555555"
    )
    calls: dict[str, Any] = {
        "no namespace": _update(stage, execution, one, "priority", namespace=""),
        "no execution": _update(stage, None, one, "priority"),
        "no id": _update(stage, WorkflowExecution(), one, "priority"),
        "bad run id": _update(
            stage,
            WorkflowExecution(workflow_id=execution.workflow_id, run_id="run"),
            one,
            "priority",
        ),
        "unknown id": _update(
            stage, WorkflowExecution(workflow_id=stage.workflow_id("unknown")), one, "priority"
        ),
        "unknown run": _update(stage, never, one, "priority"),
        "no options": _update(stage, execution, None, "priority"),
        "no paths": _update(stage, execution, one),
        "no mask": _update(stage, execution, one, update_mask=None),
        "bad path": _update(stage, execution, one, "nothing"),
        "bad path within": _update(stage, execution, one, "priority.nothing"),
        "empty path": _update(stage, execution, one, ""),
        "good and bad": _update(stage, execution, one, "priority", "nothing"),
        "negative key": _update(stage, execution, {"priority": {"priority_key": -1}}, "priority"),
        "large key": _update(stage, execution, {"priority": {"priority_key": 99}}, "priority"),
        "long fairness key": _update(
            stage, execution, {"priority": {"fairness_key": LONG}}, "priority"
        ),
        "negative weight": _update(
            stage, execution, {"priority": {"fairness_weight": -1}}, "priority"
        ),
        "time skipping": _update(
            stage, execution, {"time_skipping_config": {}}, "time_skipping_config"
        ),
        "long identity": _update(stage, execution, one, "priority", identity=LONG),
        "camel case": _update(
            stage, execution, {"versioning_override": {"auto_upgrade": True}}, "versioningOverride"
        ),
    }
    for label, call in calls.items():
        await stage.outcome(label, call)
    await stage.history("history", execution)
