"""Options of an execution that can be changed from outside: what they are, and what a change makes
of them."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import Priority
from temporalio.api.workflow.v1 import WorkflowExecutionOptions

from perdure.server.machines.workflow import events
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import override_message


def options_of(run: Run) -> WorkflowExecutionOptions:
    """The options that a run has."""
    options = WorkflowExecutionOptions()
    if run.recorded.priority:
        options.priority.CopyFrom(Priority.FromString(run.recorded.priority))
    versioning = run.recorded.versioning
    if versioning is not None and versioning.override is not None:
        options.versioning_override.CopyFrom(override_message(versioning.override))
    return options


def bad_path(mask: FieldMask) -> str | None:
    """The first path of a mask that options do not have."""
    for path in mask.paths:
        if not FieldMask(paths=[path]).IsValidForDescriptor(WorkflowExecutionOptions.DESCRIPTOR):
            return f'proto:\u00a0invalid path "{path}" for message "{_NAME}"'
    return None


def change(
    turn: Turn, change: WorkflowExecutionOptions, mask: FieldMask, identity: str
) -> WorkflowExecutionOptions:
    """Record (or buffer) the options that a change leads to, if they are others; and those."""
    current = options_of(turn.run)
    merged = WorkflowExecutionOptions()
    merged.CopyFrom(current)
    mask.MergeMessage(change, merged, replace_message_field=True)
    if merged != current:
        turn.record_or_buffer(events.execution_options_updated(merged, identity))
    return merged


_NAME = WorkflowExecutionOptions.DESCRIPTOR.full_name
