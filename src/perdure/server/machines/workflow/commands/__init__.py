"""One file per worker command; `COMMANDS` is the table of them all."""

from __future__ import annotations

from types import ModuleType
from typing import Protocol, cast

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import command_type_pb2

from perdure.server.machines.workflow.commands import (
    cancel_timer,
    cancel_workflow,
    complete_workflow,
    continue_as_new,
    fail_workflow,
    modify_properties,
    protocol_message,
    record_marker,
    request_cancel_activity,
    request_cancel_external,
    request_cancel_nexus_operation,
    schedule_activity,
    schedule_nexus_operation,
    signal_external,
    start_child,
    start_timer,
    upsert_search_attributes,
)
from perdure.server.machines.workflow.commands.context import ApplyContext, CheckContext
from perdure.server.machines.workflow.turn import Turn


class CommandHandler(Protocol):
    """What the module of a command offers."""

    def check(self, context: CheckContext, command: Command) -> None:
        """Refuse it, or note what it will change for the commands after it. Changes nothing
        else."""
        ...

    def apply(self, turn: Turn, context: ApplyContext, command: Command) -> None:
        """Record it."""
        ...


def _handler(module: ModuleType) -> CommandHandler:
    return cast(CommandHandler, module)


COMMANDS: dict[int, CommandHandler] = {
    command_type_pb2.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK: _handler(schedule_activity),
    command_type_pb2.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK: _handler(request_cancel_activity),
    command_type_pb2.COMMAND_TYPE_START_TIMER: _handler(start_timer),
    command_type_pb2.COMMAND_TYPE_CANCEL_TIMER: _handler(cancel_timer),
    command_type_pb2.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION: _handler(complete_workflow),
    command_type_pb2.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION: _handler(fail_workflow),
    command_type_pb2.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION: _handler(cancel_workflow),
    command_type_pb2.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION: _handler(continue_as_new),
    command_type_pb2.COMMAND_TYPE_RECORD_MARKER: _handler(record_marker),
    command_type_pb2.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION: _handler(start_child),
    command_type_pb2.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION: _handler(signal_external),
    command_type_pb2.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION: _handler(
        request_cancel_external
    ),
    command_type_pb2.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: _handler(
        upsert_search_attributes
    ),
    command_type_pb2.COMMAND_TYPE_PROTOCOL_MESSAGE: _handler(protocol_message),
    command_type_pb2.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES: _handler(modify_properties),
    command_type_pb2.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION: _handler(schedule_nexus_operation),
    command_type_pb2.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION: _handler(
        request_cancel_nexus_operation
    ),
}
