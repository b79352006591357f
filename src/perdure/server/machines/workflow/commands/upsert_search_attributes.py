"""UpsertWorkflowSearchAttributes: what the run is found by changes."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines import search_attributes
from perdure.server.machines.nulls import merge_fields
from perdure.server.machines.workflow import events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
)
from perdure.server.machines.workflow.state import BlobName
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES

_BUILD_IDS = Payload(
    metadata={"encoding": b"json/plain", "type": b"KeywordList"}, data=b'["unversioned"]'
)
"""The real server counts the attribute that it adds itself."""


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
    upserted, limits = attributes.search_attributes, context.limits
    problem = context.problem_of(upserted)
    if problem is not None:
        raise CommandRefused(_BAD, problem)
    if upserted.ByteSize() > limits.blob_size_bytes_max:
        raise CommandRefused(
            _BAD,
            "UpsertWorkflowSearchAttributesCommandAttributes exceeds size limit.",
            terminate=True,
        )
    if context.upserted_attributes is None:
        blob = context.run.blobs.get(BlobName.SEARCH_ATTRIBUTES, b"")
        context.upserted_attributes = SearchAttributes.FromString(blob)
        context.upserted_attributes.indexed_fields["BuildIds"].CopyFrom(_BUILD_IDS)
    merge_fields(context.upserted_attributes.indexed_fields, upserted.indexed_fields)
    problem = search_attributes.size_problem_of(context.upserted_attributes, limits)
    if problem is not None:
        raise CommandRefused(_BAD, problem, terminate=True)


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record them."""
    attributes = command.upsert_workflow_search_attributes_command_attributes
    event = events.search_attributes_upserted(
        context.completed_event_id, attributes.search_attributes
    )
    turn.record(events.with_command_metadata(event, command))
