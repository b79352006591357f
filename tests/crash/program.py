"""The workflow of the load, as a pure function from its history to commands.

It starts some activities and a timer, waits for signals, continues as new as often as it was told,
and completes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import (
    CancelTimerCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
    StartTimerCommandAttributes,
)
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, RetryPolicy, WorkflowType
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue

QUEUE = "queue"
WORKFLOW_TYPE = "Load"
TIMER = "timer"
ATTEMPTS_MAX = 4
ACTIVITY_SECONDS = 1.0
TASK_SECONDS = 1.0
RETRY_SECONDS = 0.05


class Plan(msgspec.Struct):
    """The input of a run."""

    signals: int = 0
    """It ends when it has got so many."""
    activities: int = 1
    timer_milliseconds: int = 50
    cancels_timer: bool = False
    """The timer is cancelled by the first signal."""
    continues: int = 0
    """So many runs follow this one."""


_ACTIVITY_ENDS = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: "activity_task_completed_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: "activity_task_failed_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: "activity_task_timed_out_event_attributes",
}


class _Facts:
    def __init__(self, events: Sequence[HistoryEvent]) -> None:
        started = events[0].workflow_execution_started_event_attributes
        self.plan = msgspec.json.decode(started.input.payloads[0].data, type=Plan)
        self.signals = 0
        self.scheduled = False
        self.running: set[int] = set()
        self.timer = 0
        for event in events:
            self._see(event)

    def _see(self, event: HistoryEvent) -> None:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                self.signals += 1
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                self.running.add(event.event_id)
            case EventType.EVENT_TYPE_TIMER_STARTED:
                self.timer = event.event_id
                self.scheduled = True
            case EventType.EVENT_TYPE_TIMER_FIRED | EventType.EVENT_TYPE_TIMER_CANCELED:
                self.timer = 0
            case kind if kind in _ACTIVITY_ENDS:
                attributes = getattr(event, _ACTIVITY_ENDS[kind])
                self.running.discard(attributes.scheduled_event_id)


def commands(events: Sequence[HistoryEvent]) -> list[Command]:
    """What the workflow does next."""
    facts = _Facts(events)
    plan = facts.plan
    if not facts.scheduled:
        return [*map(_schedule, range(plan.activities)), _start_timer(plan)]
    result: list[Command] = []
    if facts.timer and plan.cancels_timer and facts.signals:
        result.append(_cancel_timer())
        facts.timer = 0
    if facts.timer or facts.running:
        return result
    # A first run never continues before its start was answered, which the first signal tells: a
    # start that is sent again must find the run that it made.
    if plan.continues and (facts.signals or not plan.signals):
        left = max(plan.signals - facts.signals, 0)
        following = msgspec.structs.replace(plan, signals=left, continues=plan.continues - 1)
        return [*result, _continue_as_new(following)]
    if facts.signals >= plan.signals:
        result.append(_complete())
    return result


def payloads(data: bytes) -> Payloads:
    """One payload."""
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=data)])


def seconds(amount: float) -> Duration:
    """A protobuf duration."""
    duration = Duration()
    duration.FromNanoseconds(round(amount * 1e9))
    return duration


def _schedule(number: int) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
        schedule_activity_task_command_attributes=ScheduleActivityTaskCommandAttributes(
            activity_id=f"activity-{number}",
            activity_type=ActivityType(name="Work"),
            task_queue=TaskQueue(name=QUEUE),
            start_to_close_timeout=seconds(ACTIVITY_SECONDS),
            retry_policy=RetryPolicy(
                initial_interval=seconds(RETRY_SECONDS), maximum_attempts=ATTEMPTS_MAX
            ),
        ),
    )


def _start_timer(plan: Plan) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_TIMER,
        start_timer_command_attributes=StartTimerCommandAttributes(
            timer_id=TIMER, start_to_fire_timeout=seconds(plan.timer_milliseconds / 1000)
        ),
    )


def _cancel_timer() -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER,
        cancel_timer_command_attributes=CancelTimerCommandAttributes(timer_id=TIMER),
    )


def _continue_as_new(plan: Plan) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=(
            ContinueAsNewWorkflowExecutionCommandAttributes(
                workflow_type=WorkflowType(name=WORKFLOW_TYPE),
                task_queue=TaskQueue(name=QUEUE),
                input=payloads(msgspec.json.encode(plan)),
                workflow_task_timeout=seconds(TASK_SECONDS),
            )
        ),
    )


def _complete() -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=(
            CompleteWorkflowExecutionCommandAttributes(result=payloads(b'"done"'))
        ),
    )
