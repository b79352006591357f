"""Little workflow programs, as functions of a history.

A program is a list of stages and an ending, written as JSON into the workflow's input. What it
wants next is a pure function of the events so far: `commands(facts(events))`. So a worker with a
cache and one that replays from the first event must come to the same commands, and a checker can
ask again for every task of a stored history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from temporalio.api.command.v1 import (
    CancelTimerCommandAttributes,
    CancelWorkflowExecutionCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    RecordMarkerCommandAttributes,
    RequestCancelActivityTaskCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
    StartTimerCommandAttributes,
)
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, RetryPolicy, WorkflowType
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure.server.machines.wire import duration

MILLISECOND_NS = 1_000_000
ACTIVITY_TYPE = "act"
QUEUE = "queue"


class ActivityPlan(msgspec.Struct):
    """An activity: its options, and what each attempt of it does (the last entry again and
    again)."""

    attempts: tuple[str, ...] = ("ok",)
    """ok, fail, fatal, hang, or beat (heartbeats until it is done or told to cancel)."""
    start_to_close_ms: int = 2_000
    schedule_to_close_ms: int = 8_000
    schedule_to_start_ms: int = 0
    heartbeat_ms: int = 0
    attempts_max: int = 3
    is_eager: bool = False


class Stage(msgspec.Struct):
    """One step of a program. `kind`: activities (wait for all), timer, signals (wait for some, or
    for the timer), race (an activity against a timer; the loser is cancelled), marker."""

    kind: str
    activities: list[ActivityPlan] = []
    timer_ms: int = 1_000
    signals: int = 1


class Program(msgspec.Struct):
    """What a workflow does."""

    stages: list[Stage]
    ending: str = "complete"
    """complete, fail, or continue (as new, `continues` times, and then complete)."""
    continues: int = 0
    is_cancellable: bool = True


class Facts:
    """What a history says, as far as programs ask."""

    def __init__(self) -> None:
        self.program = Program([])
        self.activities: dict[str, int] = {}
        self.activities_over: set[int] = set()
        self.activities_cancelled: set[int] = set()
        self.timers: set[str] = set()
        self.timers_fired: set[str] = set()
        self.timers_cancelled: set[str] = set()
        self.markers: set[str] = set()
        self.signals = 0
        self.is_cancel_requested = False


def facts(events: Iterable[HistoryEvent]) -> Facts:
    """Read a history."""
    found = Facts()
    for event in events:
        note = _NOTES.get(event.event_type)
        if note is not None:
            note(found, event)
    return found


def encode(program: Program) -> Payloads:
    """A program as the input of a workflow."""
    data = msgspec.json.encode(program)
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=data)])


def _note_started(found: Facts, event: HistoryEvent) -> None:
    payloads = event.workflow_execution_started_event_attributes.input.payloads
    found.program = msgspec.json.decode(payloads[0].data, type=Program)


def _note_activity(found: Facts, event: HistoryEvent) -> None:
    name = event.activity_task_scheduled_event_attributes.activity_id
    found.activities[name] = event.event_id


def _note_cancel(found: Facts, event: HistoryEvent) -> None:
    found.activities_cancelled.add(
        event.activity_task_cancel_requested_event_attributes.scheduled_event_id
    )


def _note_over(attributes: str) -> Callable[[Facts, HistoryEvent], None]:
    def note(found: Facts, event: HistoryEvent) -> None:
        found.activities_over.add(getattr(event, attributes).scheduled_event_id)

    return note


def _note_signal(found: Facts, event: HistoryEvent) -> None:
    found.signals += 1


def _note_cancel_request(found: Facts, event: HistoryEvent) -> None:
    found.is_cancel_requested = True


_NOTES: dict[int, Callable[[Facts, HistoryEvent], None]] = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: _note_started,
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: _note_activity,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: _note_cancel,
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _note_over(
        "activity_task_completed_event_attributes"
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: _note_over("activity_task_failed_event_attributes"),
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: _note_over(
        "activity_task_timed_out_event_attributes"
    ),
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: _note_over(
        "activity_task_canceled_event_attributes"
    ),
    EventType.EVENT_TYPE_TIMER_STARTED: lambda found, event: found.timers.add(
        event.timer_started_event_attributes.timer_id
    ),
    EventType.EVENT_TYPE_TIMER_FIRED: lambda found, event: found.timers_fired.add(
        event.timer_fired_event_attributes.timer_id
    ),
    EventType.EVENT_TYPE_TIMER_CANCELED: lambda found, event: found.timers_cancelled.add(
        event.timer_canceled_event_attributes.timer_id
    ),
    EventType.EVENT_TYPE_MARKER_RECORDED: lambda found, event: found.markers.add(
        event.marker_recorded_event_attributes.marker_name
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: _note_signal,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: _note_cancel_request,
}


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
    return _run_timer(name, stage.timer_ms, found, wanted)


def _signals(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    if _run_timer(name, stage.timer_ms, found, wanted):
        return True
    if found.signals < signals or name not in found.timers:
        return False
    _cancel_timer(name, found, wanted)
    return True


def _race(name: str, stage: Stage, found: Facts, wanted: list[Command], signals: int) -> bool:
    is_timer_over = _run_timer(name, stage.timer_ms, found, wanted)
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
        _cancel_timer(name, found, wanted)
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
}


def _run_timer(name: str, length_ms: int, found: Facts, wanted: list[Command]) -> bool:
    """Start a timer once; whether it is over."""
    if name not in found.timers:
        wanted.append(
            Command(
                command_type=CommandType.COMMAND_TYPE_START_TIMER,
                start_timer_command_attributes=StartTimerCommandAttributes(
                    timer_id=name,
                    start_to_fire_timeout=duration(length_ms * MILLISECOND_NS),
                ),
            )
        )
    return name in found.timers_fired or name in found.timers_cancelled


def _cancel_timer(name: str, found: Facts, wanted: list[Command]) -> None:
    if name in found.timers and name not in found.timers_fired | found.timers_cancelled:
        wanted.append(
            Command(
                command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER,
                cancel_timer_command_attributes=CancelTimerCommandAttributes(timer_id=name),
            )
        )


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
            )
        ),
    )


_ENDINGS: dict[str, Callable[[Program], Command]] = {
    "complete": _complete,
    "fail": _fail,
    "continue": _continue,
}
