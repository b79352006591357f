"""RequestCancelNexusOperation: the handler is asked to cancel an operation, as soon as it has
started it."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.workflow import events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
)
from perdure.server.machines.workflow.nexus import attempts, operations
from perdure.server.machines.workflow.nexus import events as nexus_events
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_REQUEST_CANCEL_NEXUS_OPERATION_ATTRIBUTES


def check(context: CheckContext, command: Command) -> None:
    """Raises CommandRefused for an operation that is not there (any more), or that is to be
    canceled already. One whose end is still buffered may be, to no effect."""
    if not command.HasField("request_cancel_nexus_operation_command_attributes"):
        raise CommandRefused(_BAD, "empty CancelNexusOperationCommandAttributes")
    attributes = command.request_cancel_nexus_operation_command_attributes
    event_id = attributes.scheduled_event_id
    pending = context.run.nexus_operations.get(event_id)
    if pending is None and event_id not in context.scheduled_operations:
        raise CommandRefused(
            _BAD,
            "requested cancelation for a non-existing or already completed operation with"
            f" scheduled event ID of {event_id}",
        )
    is_requested = pending is not None and pending.calls.cancellation is not None
    if is_requested or event_id in context.cancelled_operations:
        raise CommandRefused(
            _BAD,
            "cancelation was already requested for an operation with scheduled event ID"
            f" {event_id}",
        )
    context.cancelled_operations.add(event_id)


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record it; the run's wake-up has the handler called."""
    event_id = command.request_cancel_nexus_operation_command_attributes.scheduled_event_id
    event = nexus_events.cancel_requested(context.completed_event_id, event_id)
    requested_event_id = turn.record(events.with_command_metadata(event, command))
    pending = turn.run.nexus_operations[event_id]
    operations.take(turn, pending, attempts.CancelRequested(requested_event_id))
