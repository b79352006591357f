"""ModifyWorkflowProperties: the memo changes."""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Memo
from temporalio.api.enums.v1 import failed_cause_pb2

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

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES


def check(context: CheckContext, command: Command) -> None:
    """There must be something to change, within the limit."""
    require_attributes(
        command,
        "ModifyWorkflowProperties",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES,
    )
    attributes = command.modify_workflow_properties_command_attributes
    if not attributes.HasField("upserted_memo"):
        raise CommandRefused(_BAD, "UpsertedMemo is not set on ModifyWorkflowPropertiesCommand.")
    if not attributes.upserted_memo.fields:
        raise CommandRefused(
            _BAD, "UpsertedMemo.Fields is not set on ModifyWorkflowPropertiesCommand."
        )
    if attributes.upserted_memo.ByteSize() > context.limits.blob_size_bytes_max:
        raise CommandRefused(
            _BAD, "ModifyWorkflowPropertiesCommandAttributes exceeds size limit.", terminate=True
        )
    if context.memo is None:
        context.memo = Memo.FromString(context.run.blobs.get(BlobName.MEMO, b""))
    merge_fields(context.memo.fields, attributes.upserted_memo.fields)
    if context.memo.ByteSize() > context.limits.memo_size_bytes_max:
        raise CommandRefused(
            _BAD,
            "ModifyWorkflowPropertiesCommandAttributes. Memo exceeds size limit.",
            terminate=True,
        )


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record it."""
    attributes = command.modify_workflow_properties_command_attributes
    event = events.properties_modified(
        context.completed_event_id,
        attributes.upserted_memo if attributes.HasField("upserted_memo") else None,
    )
    turn.record(events.with_command_metadata(event, command))
