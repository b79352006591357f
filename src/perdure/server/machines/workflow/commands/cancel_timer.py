"""CancelTimer. A timer whose firing is only buffered never fired, as far as its workflow knows: it
can still be cancelled.
"""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import event_type_pb2, failed_cause_pb2
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.workflow import changes, events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
)
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.turn import Turn

BAD_ATTRIBUTES = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_CANCEL_TIMER_ATTRIBUTES


def check(context: CheckContext, command: Command) -> None:
    """Raises CommandRefused for a timer that is not there (any more)."""
    if not command.HasField("cancel_timer_command_attributes"):
        raise CommandRefused(
            BAD_ATTRIBUTES, "CancelTimerCommandAttributes is not set on CancelTimerCommand."
        )
    timer_id = command.cancel_timer_command_attributes.timer_id
    length, length_max = len(timer_id.encode()), context.limits.id_length_max
    if not timer_id:
        raise CommandRefused(BAD_ATTRIBUTES, "TimerId is not set on CancelTimerCommand.")
    if length > length_max:
        raise CommandRefused(
            BAD_ATTRIBUTES,
            "TimerId on CancelTimerCommand exceeds length limit."
            f" TimerId={timer_id} Length={length} Limit={length_max}",
        )
    if timer_id not in context.timer_ids:
        raise CommandRefused(
            BAD_ATTRIBUTES,
            "invalid history builder state for action: add-timer-canceled-event,"
            f" TimerID: {timer_id}",
        )
    context.timer_ids.discard(timer_id)
    if timer_id in context.fired_timer_ids:
        context.fired_timer_ids.discard(timer_id)
        context.buffered -= 1


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record the cancellation. A buffered TimerFired goes first: a timer ends once."""
    timer = turn.run.timers[command.cancel_timer_command_attributes.timer_id]
    if timer.is_fired:
        turn.change(changes.BufferedDropped(_buffered_fire(turn.run, timer.timer_id)))
    event = events.timer_canceled(
        context.completed_event_id, timer.timer_id, timer.started_event_id, context.identity
    )
    turn.record(events.with_command_metadata(event, command))


def _buffered_fire(run: Run, timer_id: str) -> int:
    """Where in the buffer the timer's TimerFired is."""
    for index, buffered in run.buffered.items():
        if buffered.event_type == event_type_pb2.EVENT_TYPE_TIMER_FIRED:
            event = HistoryEvent.FromString(buffered.event)
            if event.timer_fired_event_attributes.timer_id == timer_id:
                return index
    raise InvariantViolation(f"timer {timer_id!r} has fired, but its event is not in the buffer")
