"""UpsertWorkflowSearchAttributes: what the run is found by changes."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines.workflow import events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
)
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES


def check(context: CheckContext, command: Command) -> None:
    """There must be something to upsert, within the limit."""
    require_attributes(
        command,
        "UpsertWorkflowSearchAttributes",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES,
    )
    attributes = command.upsert_workflow_search_attributes_command_attributes
    if not attributes.HasField("search_attributes"):
        raise CommandRefused(
            _BAD, "SearchAttributes is not set on UpsertWorkflowSearchAttributesCommand."
        )
    if not attributes.search_attributes.indexed_fields:
        raise CommandRefused(
            _BAD,
            "IndexedFields is not set on UpsertWorkflowSearchAttributesCommand.",
        )
    problem = context.problem_of(attributes.search_attributes)
    if problem is not None:
        raise CommandRefused(_BAD, problem)
    if attributes.search_attributes.ByteSize() > context.limits.search_attributes_bytes_max:
        raise CommandRefused(
            _BAD,
            "UpsertWorkflowSearchAttributesCommandAttributes exceeds size limit.",
            terminate=True,
        )


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record them."""
    attributes = command.upsert_workflow_search_attributes_command_attributes
    event = events.search_attributes_upserted(
        context.completed_event_id, attributes.search_attributes
    )
    turn.record(events.with_command_metadata(event, command))
