"""Little workflow programs, as functions of a history.

A program is a list of stages and an ending, written as JSON into the workflow's input. What it
wants next is a pure function of the events so far: `commands(facts(events))`. So a worker with a
cache and one that replays from the first event must come to the same commands, and a checker can
ask again for every task of a stored history.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    RecordMarkerCommandAttributes,
    RequestCancelActivityTaskCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
)
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, RetryPolicy, WorkflowType
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure.server.machines.wire import duration
from sim.workload import nexus, relations
from sim.workload.facts import (
    ACTIVITY_TYPE,
    MILLISECOND_NS,
    QUEUE,
    ActivityPlan,
    Facts,
    Program,
    Stage,
    encode,
)
from sim.workload.timers import cancel_timer, run_timer

# ---- what comes next


def commands(found: Facts) -> list[Command]:
    """What the program wants now."""
    program = found.program
    wanted: list[Command] = []
    if found.is_cancel_requested and program.is_cancellable:
        return [
            Command(
                command_type=CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
                cancel_workflow_execution_command_attributes=(
                    CancelWorkflowExecutionCommandAttributes()
                ),
            )
        ]
    signals_used = 0
    for index, stage in enumerate(program.stages):
        signals_used += stage.signals if stage.kind == "signals" else 0
        if not _STAGES[stage.kind](f"s{index}", stage, found, wanted, signals_used):
            return wanted
    wanted.append(_ENDINGS[program.ending](program))
    return wanted


def _activities(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    is_over = True
    for index, plan in enumerate(stage.activities):
        is_over = _run_activity(f"{name}.{index}", plan, found, wanted) and is_over
    return is_over


def _timer(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    return run_timer(name, stage.timer_ms, found, wanted)


def _signals(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    if run_timer(name, stage.timer_ms, found, wanted):
        return True
    if found.signals < signals or name not in found.timers:
        return False
    cancel_timer(name, found, wanted)
    return True


def _race(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    is_timer_over = run_timer(name, stage.timer_ms, found, wanted)
    is_activity_over = _run_activity(f"{name}.0", stage.activities[0], found, wanted)
    if is_timer_over and not is_activity_over:
        event_id = found.activities[f"{name}.0"]
        if event_id not in found.activities_cancelled:
            wanted.append(
                Command(
                    command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
                    request_cancel_activity_task_command_attributes=(
                        RequestCancelActivityTaskCommandAttributes(scheduled_event_id=event_id)
                    ),
                )
            )
    elif is_activity_over and not is_timer_over:
        cancel_timer(name, found, wanted)
    return is_timer_over or is_activity_over


def _marker(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    if name not in found.markers:
        wanted.append(
            Command(
                command_type=CommandType.COMMAND_TYPE_RECORD_MARKER,
                record_marker_command_attributes=RecordMarkerCommandAttributes(marker_name=name),
            )
        )
    return True


_STAGES: dict[str, Callable[[str, Stage, Facts, list[Command], int], bool]] = {
    "activities": _activities,
    "timer": _timer,
    "signals": _signals,
    "race": _race,
    "marker": _marker,
    "upsert": relations.upsert,
    "child": relations.child,
    "external": relations.external,
    "operation": nexus.operation,
}


def _run_activity(name: str, plan: ActivityPlan, found: Facts, wanted: list[Command]) -> bool:
    """Schedule an activity once; whether it is over."""
    event_id = found.activities.get(name)
    if event_id is None:
        wanted.append(_schedule(name, plan))
    return event_id in found.activities_over


def _schedule(name: str, plan: ActivityPlan) -> Command:
    attributes = ScheduleActivityTaskCommandAttributes(
        activity_id=name,
        activity_type=ActivityType(name=ACTIVITY_TYPE),
        task_queue=TaskQueue(name=QUEUE),
        input=Payloads(payloads=[Payload(data=msgspec.json.encode(plan))]),
        start_to_close_timeout=duration(plan.start_to_close_ms * MILLISECOND_NS),
        request_eager_execution=plan.is_eager,
        retry_policy=RetryPolicy(
            initial_interval=duration(300 * MILLISECOND_NS),
            backoff_coefficient=2.0,
            maximum_attempts=plan.attempts_max,
        ),
    )
    for field in ("schedule_to_close", "schedule_to_start", "heartbeat"):
        length_ms: int = getattr(plan, f"{field}_ms")
        if length_ms:
            getattr(attributes, f"{field}_timeout").CopyFrom(duration(length_ms * MILLISECOND_NS))
    return Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=attributes,
    )


def _complete(program: Program) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes(
            result=Payloads(payloads=[Payload(data=b'"done"')])
        ),
    )


def _fail(program: Program) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
            failure=Failure(
                message="as planned",
                application_failure_info=ApplicationFailureInfo(type="Planned"),
            )
        ),
    )


def _continue(program: Program) -> Command:
    if not program.continues:
        return _complete(program)
    successor = msgspec.structs.replace(program, continues=program.continues - 1)
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=(
            ContinueAsNewWorkflowExecutionCommandAttributes(
                workflow_type=WorkflowType(name="program"),
                task_queue=TaskQueue(name=QUEUE),
                input=encode(successor),
                initial_versioning_behavior=program.initial_behavior,  # type: ignore[arg-type]
            )
        ),
    )


_ENDINGS: dict[str, Callable[[Program], Command]] = {
    "complete": _complete,
    "fail": _fail,
    "continue": _continue,
}
