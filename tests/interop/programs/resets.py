"""Resets: where a run may be cut, what its successor keeps, and what is done to it again."""

from __future__ import annotations

from typing import Any

from temporalio.api.command.v1 import (
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
)
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import (
    CommandType,
    EventType,
    ResetReapplyExcludeType,
    ResetReapplyType,
    WorkflowTaskFailedCause,
)
from temporalio.api.workflow.v1 import PostResetOperation
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    ResetWorkflowExecutionRequest,
    ResetWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.raw import HandWorker, cancel_activity, complete_workflow, seconds, start_timer
from tests.interop.stage import Stage, payloads

CAUSE = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


def _request(
    stage: Stage, execution: WorkflowExecution, event_id: int, name: str = "reset", **fields: Any
) -> ResetWorkflowExecutionRequest:
    return ResetWorkflowExecutionRequest(
        **{
            "namespace": stage.namespace,
            "workflow_execution": execution,
            "reason": "because",
            "workflow_task_finish_event_id": event_id,
            "request_id": f"{name} {stage.nonce}",
            "identity": "resetter",
            **fields,
        }
    )


async def reset(
    stage: Stage, execution: WorkflowExecution, event_id: int, name: str = "reset", **fields: Any
) -> WorkflowExecution:
    answer: ResetWorkflowExecutionResponse = await stage.service.reset_workflow_execution(
        _request(stage, execution, event_id, name, **fields)
    )
    return WorkflowExecution(workflow_id=execution.workflow_id, run_id=answer.run_id)


def _continue(*value: Any) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=(
            ContinueAsNewWorkflowExecutionCommandAttributes(input=payloads(*value))
        ),
    )


async def reset_points(stage: Stage) -> None:
    """Each event of a history that has everything, as the place of a reset."""
    worker = HandWorker(stage)
    execution = await worker.start()
    task = await worker.poll()
    await worker.signal(execution, "buffered")
    await worker.complete(task, start_timer("t", 3600), worker.schedule_activity("a"))
    await worker.complete(await worker.poll(), start_timer("u", 0.01))
    task = await worker.poll()
    await worker.fail(task, CAUSE)
    await worker.complete(await worker.poll(), complete_workflow("done"))
    events = await stage.history("history", execution)
    for event_id in range(-1, len(events) + 3):
        await stage.outcome(
            f"at {event_id}",
            stage.service.reset_workflow_execution(
                _request(stage, execution, event_id, f"reset {event_id}")
            ),
        )
        current = WorkflowExecution(workflow_id=execution.workflow_id)
        await stage.history(f"after {event_id}", current)


async def reset_open(stage: Stage) -> None:
    """An open run ends; its successor goes on from there."""
    worker = HandWorker(stage)
    execution = await worker.start(
        "workflow",
        input=payloads("begin"),
        memo={"fields": {"m": payloads("memo").payloads[0]}},
        header={"fields": {"h": payloads("header").payloads[0]}},
        user_metadata={"summary": payloads("summary").payloads[0]},
        workflow_run_timeout=seconds(1000),
        workflow_execution_timeout=seconds(2000),
        priority={"priority_key": 2},
        links=[{"batch_job": {"job_id": "job"}}],
    )
    await worker.complete(
        await worker.poll(),
        start_timer("t", 3600),
        worker.schedule_activity("a"),
    )
    await worker.signal(execution, "one")
    task = await worker.poll()
    await worker.signal(execution, "two")
    await stage.describe("old, before", execution)
    new = await reset(stage, execution, 4)
    await stage.outcome("too late", worker.complete(task, complete_workflow()))
    await stage.history("old", execution)
    await stage.history("new, waiting", new)
    await stage.describe("new, description", new)
    again = await worker.poll()
    stage.task("task of the new run", again)
    await worker.complete(again, complete_workflow("again"))
    await stage.history("new", new)


async def reset_keeps(stage: Stage) -> None:
    """What was under way at the cut goes on: activities anew, timers at their time."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(
        await worker.poll(),
        start_timer("t", 5),
        worker.schedule_activity("a", heartbeat_timeout=seconds(9)),
        worker.schedule_activity("b", task_queue=stage.task_queue("nobody")),
    )
    first = await worker.poll_activity()
    await worker.signal(execution, "one")
    await worker.complete(await worker.poll(), cancel_activity(6))
    await worker.signal(execution, "two")
    events = await stage.event(execution, EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, 3)
    stage.observe("events", len(events))
    await worker.complete(await worker.poll(), start_timer("late", 3600))
    finish = [
        event.event_id for event in await stage.fetch(execution) if event.event_type == COMPLETED
    ]
    stage.observe("finish", finish)
    new = await reset(stage, execution, finish[1])
    await stage.history("new, waiting", new)
    await stage.describe("new, description", new)
    stage.observe("stale activity", first.activity_id)
    activity = await worker.poll_activity()
    stage.observe("attempt", (activity.attempt, activity.activity_id))
    await stage.event(new, EventType.EVENT_TYPE_TIMER_FIRED)
    task = await worker.poll()
    await worker.complete(task, complete_workflow("again"))
    await stage.history("new", new)


async def reset_reapplies(stage: Stage) -> None:
    """Which of the later events are done again, by each choice that a request has."""
    choices: dict[str, dict[str, Any]] = {
        "all": {},
        "no signals": {
            "reset_reapply_exclude_types": [
                ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL
            ]
        },
        "no updates": {
            "reset_reapply_exclude_types": [
                ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE
            ]
        },
        "no cancels": {
            "reset_reapply_exclude_types": [
                ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST
            ]
        },
        "type none": {"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_NONE},
        "type signal": {"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_SIGNAL},
        "type all": {"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE},
        "type none, exclude nothing": {
            "reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_NONE,
            "reset_reapply_exclude_types": [
                ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_NEXUS
            ],
        },
        "type signal, no signals": {
            "reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_SIGNAL,
            "reset_reapply_exclude_types": [
                ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL
            ],
        },
        "unknown exclusion": {"reset_reapply_exclude_types": [17]},
    }
    for label, fields in choices.items():
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        await worker.complete(await worker.poll(), start_timer("t", 3600))
        await worker.signal(execution, f"{label} one")
        await worker.complete(await worker.poll(), start_timer("u", 3600))
        await stage.service.request_cancel_workflow_execution(
            RequestCancelWorkflowExecutionRequest(
                namespace=stage.namespace,
                workflow_execution=execution,
                identity="canceller",
                reason="tired",
                request_id=f"cancel {label} {stage.nonce}",
            )
        )
        task = await worker.poll()
        await worker.signal(execution, f"{label} buffered")
        del task
        await stage.outcome(
            f"{label}, answer",
            stage.service.reset_workflow_execution(_request(stage, execution, 4, label, **fields)),
        )
        await stage.history(f"{label}, old", execution)
        current = WorkflowExecution(workflow_id=execution.workflow_id)
        await stage.history(f"{label}, new", current)
        await stage.describe(f"{label}, description", current)


async def reset_chain(stage: Stage) -> None:
    """A run that continued as new: what its successors heard is done again as well."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll(), start_timer("t", 3600))
    await worker.signal(execution, "one")
    task = await worker.poll()
    await worker.complete(task, start_timer("u", 1.1))
    await stage.event(execution, EventType.EVENT_TYPE_TIMER_FIRED)
    await worker.complete(await worker.poll(), _continue("next"))
    current = WorkflowExecution(workflow_id=execution.workflow_id)
    await worker.signal(current, "two")
    await worker.complete(await worker.poll(), start_timer("v", 1.1))
    await stage.event(current, EventType.EVENT_TYPE_TIMER_FIRED)
    await worker.complete(await worker.poll(), _continue("last"))
    second = await stage.description(current)
    last = WorkflowExecution(
        workflow_id=execution.workflow_id,
        run_id=second.workflow_execution_info.execution.run_id,
    )
    await worker.signal(current, "three")
    new = await reset(stage, execution, 4)
    await stage.history("new", new)
    await stage.describe("new, description", new)
    await stage.history("first", execution)
    await stage.describe("first, description", execution)
    await stage.history("last", last)
    await stage.describe("last, description", last)
    await worker.complete(await worker.poll(), start_timer("w", 1.1))
    await stage.event(new, EventType.EVENT_TYPE_TIMER_FIRED)
    await worker.complete(await worker.poll(), _continue("beyond"))
    await stage.history("new, closed", new)
    newest = WorkflowExecution(
        workflow_id=execution.workflow_id,
        run_id=(await stage.description(current)).workflow_execution_info.execution.run_id,
    )
    await stage.history("successor of the new", newest)
    await stage.describe("successor of the new, description", newest)


async def reset_while_another_runs(stage: Stage) -> None:
    """A closed run is reset while a later run of the same id is open, which ends."""
    worker = HandWorker(stage)
    old = await worker.start()
    await worker.complete(await worker.poll(), complete_workflow("first"))
    current = await worker.start(request_id="another")
    task = await worker.poll()
    await worker.signal(current, "not for the old one")
    new = await reset(stage, old, 4)
    await stage.outcome("too late", worker.complete(task, complete_workflow()))
    await stage.history("old", old)
    await stage.describe("old, description", old)
    await stage.history("current", current)
    await stage.describe("current, description", current)
    await stage.history("new", new)
    await stage.describe("new, description", new)
    second = await reset(stage, new, 4, "second")
    await stage.history("reset again", second)
    await stage.describe("reset again, description", second)
    third = await reset(stage, second, 3, "third")
    await stage.history("reset a third time", third)
    await stage.describe("reset a third time, description", third)
    await worker.finish()
    await stage.history("closed", third)


OPERATIONS: dict[str, list[Any]] = {
    "signal": [
        {
            "signal_workflow": {
                "signal_name": "after",
                "input": payloads("after"),
                "header": {"fields": {"h": payloads("header").payloads[0]}},
                "links": [{"batch_job": {"job_id": "job"}}],
            }
        }
    ],
    "options": [
        {
            "update_workflow_options": {
                "workflow_execution_options": {"priority": {"priority_key": 4}},
                "update_mask": {"paths": ["priority"]},
            }
        }
    ],
    "both": [
        {"signal_workflow": {"signal_name": "first"}},
        {
            "update_workflow_options": {
                "workflow_execution_options": {"priority": {"priority_key": 4}},
                "update_mask": {"paths": ["priority"]},
            }
        },
        {"signal_workflow": {"signal_name": "second"}},
    ],
    "empty": [{}],
    "bad mask": [
        {
            "update_workflow_options": {
                "workflow_execution_options": {},
                "update_mask": {"paths": ["nothing"]},
            }
        }
    ],
    "time skipping": [
        {
            "update_workflow_options": {
                "workflow_execution_options": {"time_skipping_config": {}},
                "update_mask": {"paths": ["priority"]},
            }
        }
    ],
    "bad override without a mask": [
        {"update_workflow_options": {"workflow_execution_options": {"versioning_override": {}}}}
    ],
    "no name": [{"signal_workflow": {}}],
    "long name": [{"signal_workflow": {"signal_name": "x" * 1001}}],
    "bad priority": [
        {
            "update_workflow_options": {
                "workflow_execution_options": {"priority": {"priority_key": -1}},
                "update_mask": {"paths": ["priority"]},
            }
        }
    ],
}


async def reset_post_operations(stage: Stage) -> None:
    """Signals and changed options that come with the reset."""
    for label, operations in OPERATIONS.items():
        worker = HandWorker(stage, queue=label)
        execution = await worker.start(label)
        await worker.complete(await worker.poll(), start_timer("t", 3600))
        await worker.signal(execution, f"{label} one")
        await stage.outcome(
            f"{label}, answer",
            stage.service.reset_workflow_execution(
                _request(
                    stage,
                    execution,
                    4,
                    label,
                    post_reset_operations=[PostResetOperation(**each) for each in operations],
                )
            ),
        )
        current = WorkflowExecution(workflow_id=execution.workflow_id)
        await stage.history(f"{label}, new", current)
        await stage.describe(f"{label}, description", current)


async def refused_resets(stage: Stage) -> None:
    """Requests that cannot be honoured, one fault at a time."""
    worker = HandWorker(stage)
    execution = await worker.start()
    await worker.complete(await worker.poll(), start_timer("t", 3600))
    unknown = WorkflowExecution(workflow_id=stage.workflow_id("unknown"))
    never = WorkflowExecution(
        workflow_id=execution.workflow_id, run_id="11111111-2222-3333-4444-555555555555"
    )
    faults: dict[str, dict[str, Any]] = {
        "no namespace": {"namespace": ""},
        "unknown namespace": {"namespace": "nowhere"},
        "no execution": {"workflow_execution": None},
        "no id": {"workflow_execution": WorkflowExecution()},
        "bad run id": {
            "workflow_execution": WorkflowExecution(workflow_id=execution.workflow_id, run_id="run")
        },
        "unknown id": {"workflow_execution": unknown},
        "unknown run": {"workflow_execution": never},
        "no request id": {"request_id": ""},
        "long request id": {"request_id": "x" * 1001},
        "zero": {"workflow_task_finish_event_id": 0},
        "one": {"workflow_task_finish_event_id": 1},
        "negative": {"workflow_task_finish_event_id": -5},
        "beyond": {"workflow_task_finish_event_id": 99},
        "long identity": {"identity": "x" * 1001},
        "long reason": {"reason": "x" * 5000},
    }
    for label, fields in faults.items():
        request = _request(stage, execution, fields.pop("workflow_task_finish_event_id", 3), label)
        for name, value in fields.items():
            request.ClearField(name)  # type: ignore[arg-type]
            if isinstance(value, str):
                setattr(request, name, value)
            elif value is not None:
                getattr(request, name).CopyFrom(value)
        await stage.outcome(label, stage.service.reset_workflow_execution(request))
    await stage.history("history", WorkflowExecution(workflow_id=execution.workflow_id))
    delayed = await worker.start("delayed", workflow_start_delay=seconds(3600))
    await stage.outcome(
        "delayed", stage.service.reset_workflow_execution(_request(stage, delayed, 2, "delayed"))
    )
    await stage.service.terminate_workflow_execution(
        TerminateWorkflowExecutionRequest(namespace=stage.namespace, workflow_execution=delayed)
    )
    await stage.outcome(
        "without a task",
        stage.service.reset_workflow_execution(_request(stage, delayed, 2, "without a task")),
    )
