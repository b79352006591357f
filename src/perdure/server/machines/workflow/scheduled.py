"""What a run owes the schedule that has started its chain."""

from __future__ import annotations

from temporalio.api.enums.v1 import event_type_pb2 as types
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.schedule.messages import ActionClosed, ActionStarted, Sender
from perdure.server.machines.workflow import changes
from perdure.server.machines.workflow.turn import Turn


def note_start(turn: Turn, sender: Sender) -> None:
    """A run has begun for a schedule, which hears of it."""
    turn.change(changes.ScheduleNoted(sender))
    turn.tell_schedule(sender.schedule_id, started(turn, sender, turn.run.recorded.run_id))


def started(turn: Turn, sender: Sender, run_id: str) -> ActionStarted:
    """What the schedule is told."""
    return ActionStarted(
        sender.run_id, sender.number, turn.workflow.workflow_id, run_id, turn.now_ns
    )


def report_close(turn: Turn, sender: Sender, event: HistoryEvent) -> None:
    """The last run of the chain has closed."""
    result = failure = b""
    if event.event_type == types.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        completed = event.workflow_execution_completed_event_attributes
        result = completed.result.SerializeToString(deterministic=True)
    elif event.event_type == types.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        failed = event.workflow_execution_failed_event_attributes
        failure = failed.failure.SerializeToString(deterministic=True)
    status = int(turn.run.recorded.status)
    turn.tell_schedule(
        sender.schedule_id, ActionClosed(sender.run_id, sender.number, status, result, failure)
    )
