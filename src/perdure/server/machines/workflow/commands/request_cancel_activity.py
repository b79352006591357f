"""RequestCancelActivityTask: one that no worker has is cancelled at once; one that runs learns of
it when it heartbeats.
"""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.activity.attempt import RequestCancel
from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.workflow import activity_task, events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
)
from perdure.server.machines.workflow.state import AttemptState
from perdure.server.machines.workflow.turn import Turn

BAD_ATTRIBUTES = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES
_UNSTARTED = (AttemptState.SCHEDULED, AttemptState.BACKING_OFF)


def check(context: CheckContext, command: Command) -> None:
    """Raises CommandRefused for an activity that is not there (any more), or that is to be
    cancelled already.
    """
    if not command.HasField("request_cancel_activity_task_command_attributes"):
        raise CommandRefused(
            BAD_ATTRIBUTES,
            "RequestCancelActivityTaskCommandAttributes is not set on"
            " RequestCancelActivityTaskCommand.",
        )
    event_id = command.request_cancel_activity_task_command_attributes.scheduled_event_id
    if event_id <= 0:
        raise CommandRefused(
            BAD_ATTRIBUTES, "ScheduledEventId is not set on RequestCancelActivityTaskCommand."
        )
    pending = context.run.activities.get(event_id)
    if pending is None:
        raise _refused(event_id)
    state = pending.attempt.state
    is_first = event_id not in context.cancelled_activities
    if state == AttemptState.STARTED and (
        pending.activity.cancel_requested_event_id or not is_first
    ):
        raise _refused(event_id)
    if state in _UNSTARTED and is_first:
        # Its id stays in use: its end is recorded after all commands of this completion.
        context.pending_activities -= 1
    context.cancelled_activities.add(event_id)


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record the request, and the cancellation too when no worker has the activity; the workflow
    must then hear of it.
    """
    event_id = command.request_cancel_activity_task_command_attributes.scheduled_event_id
    event = events.activity_cancel_requested(context.completed_event_id, event_id)
    turn.record(events.with_command_metadata(event, command))
    pending = turn.run.activities.get(event_id)
    if pending is None:
        raise InvariantViolation(
            f"activity {event_id} is gone, though its cancellation was checked"
        )
    ends = activity_task.take(turn, pending, RequestCancel())
    if ends is not None:
        activity_task.end_canceled(
            turn,
            pending,
            ends,
            details=activity_task.NOT_STARTED,
            identity=context.identity,
            is_deferred=True,
        )
        context.needs_new_task = True


def _refused(event_id: int) -> CommandRefused:
    return CommandRefused(
        BAD_ATTRIBUTES,
        "invalid history builder state for action: add-activitytask-cancel-requested-event,"
        f" ScheduledEventID: {event_id}",
    )
