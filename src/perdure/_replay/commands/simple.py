"""Commands that are recorded and over: no event resolves them.

| command | recorded as |
|---|---|
| upsert search attributes | UpsertWorkflowSearchAttributes |
| modify properties (the memo) | WorkflowPropertiesModified |
| complete, fail, cancel, continue as new | the event that closes the run |
"""

from __future__ import annotations

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.port import Mismatch, Outlet

RECORDED_AS: dict[int, int] = {
    CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: (
        EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
    ),
    CommandType.COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES: (
        EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED
    ),
    CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION: (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    ),
    CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION: (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
    ),
    CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION: (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
    ),
    CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION: (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
    ),
}


class SimpleMachine:
    """One such command."""

    __slots__ = ("_recorded_as", "resolved", "withdrawn")

    def __init__(self, outlet: Outlet, command: Command) -> None:
        self._recorded_as = RECORDED_AS[command.command_type]
        self.resolved = False
        self.withdrawn = False
        outlet.issue(self, command)

    def handle(self, event: HistoryEvent) -> None:
        """The command was recorded."""
        if event.event_type != self._recorded_as or self.resolved:
            raise Mismatch("the code's next command is of another kind")
        self.resolved = True
