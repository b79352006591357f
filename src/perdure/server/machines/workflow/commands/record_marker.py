"""RecordMarker: something that the SDK wants to find again on replay (local activities, patches,
side effects)."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.activity.failures import cut_causes
from perdure.server.machines.workflow import events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
)
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES


def check(context: CheckContext, command: Command) -> None:
    """A marker has a name and keeps within the limits."""
    require_attributes(
        command,
        "RecordMarker",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_RECORD_MARKER_ATTRIBUTES,
    )
    attributes = command.record_marker_command_attributes
    if not attributes.marker_name:
        raise CommandRefused(_BAD, "MarkerName is not set on RecordMarkerCommand.")
    if len(attributes.marker_name.encode()) > context.limits.id_length_max:
        raise CommandRefused(
            _BAD,
            "MarkerName on RecordMarkerCommand exceeds length limit."
            f" MarkerName={attributes.marker_name} Length={len(attributes.marker_name.encode())}"
            f" Limit={context.limits.id_length_max}",
        )
    cut_causes(attributes.failure, context.limits.failure_depth_max)
    if attributes.ByteSize() > context.limits.blob_size_bytes_max:
        raise CommandRefused(
            _BAD, "RecordMarkerCommandAttributes.Details exceeds size limit.", terminate=True
        )


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record it."""
    event = events.marker_recorded(
        context.completed_event_id, command.record_marker_command_attributes
    )
    turn.record(events.with_command_metadata(event, command))
