"""StartTimer."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines import durations
from perdure.server.machines.workflow import events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
)
from perdure.server.machines.workflow.turn import Turn

BAD_ATTRIBUTES = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_TIMER_ATTRIBUTES


def check(context: CheckContext, command: Command) -> None:
    """Raises CommandRefused for a bad id or time, or an id in use."""
    if not command.HasField("start_timer_command_attributes"):
        raise CommandRefused(
            BAD_ATTRIBUTES, "StartTimerCommandAttributes is not set on StartTimerCommand."
        )
    attributes = command.start_timer_command_attributes
    timer_id, length_max = attributes.timer_id, context.limits.id_length_max
    if not timer_id:
        raise CommandRefused(BAD_ATTRIBUTES, "TimerId is not set on StartTimerCommand.")
    length = len(timer_id.encode())
    if length > length_max:
        raise CommandRefused(
            BAD_ATTRIBUTES,
            "TimerId on StartTimerCommand exceeds length limit."
            f" TimerId={timer_id} Length={length} Limit={length_max}",
        )
    if problem := durations.problem_of(attributes.start_to_fire_timeout):
        raise CommandRefused(
            BAD_ATTRIBUTES,
            f"An invalid StartToFireTimeout is set on StartTimerCommand: {problem}."
            f" TimerId={timer_id}",
        )
    if timer_id in context.timer_ids:
        raise CommandRefused(
            failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_START_TIMER_DUPLICATE_ID,
            "invalid history builder state for action: add-timer-started-event,"
            f" TimerID: {timer_id}",
        )
    context.timer_ids.add(timer_id)


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record the timer; its deadline follows from that."""
    attributes = command.start_timer_command_attributes
    event = events.timer_started(context.completed_event_id, attributes)
    recorded = event.timer_started_event_attributes
    if attributes.HasField("start_to_fire_timeout"):
        durations.cap(recorded.start_to_fire_timeout)
    else:
        recorded.ClearField("start_to_fire_timeout")
    turn.record(events.with_command_metadata(event, command))
