"""H5: replaying a stored history yields, at each completed workflow task, the commands that were
recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent

from sim.audit import Audit, StoredRun
from sim.workload.facts import facts
from sim.workload.program import commands

Step = tuple[str, str]
"""What a command and its event have in common: a kind and a name."""


def check(audit: Audit) -> Iterator[str]:
    """Every completed task whose recorded commands a replay does not yield."""
    for stored in audit.runs:
        yield from _check_run(stored)


def _check_run(stored: StoredRun) -> Iterator[str]:
    for event in stored.events:
        if event.event_type != EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            continue
        started = event.workflow_task_completed_event_attributes.started_event_id
        wanted = [_step_of(command) for command in commands(facts(stored.events[:started]))]
        recorded = list(_recorded(stored.events[event.event_id :], event.event_id))
        if wanted != recorded:
            yield (
                f"{stored.run_id}: task {event.event_id} recorded {recorded},"
                f" and a replay wants {wanted}"
            )


def _recorded(following: list[HistoryEvent], completed_event_id: int) -> Iterator[Step]:
    for event in following:
        naming = _EVENTS.get(event.event_type)
        if naming is None:
            continue
        attributes = getattr(event, event.WhichOneof("attributes") or "")
        if attributes.workflow_task_completed_event_id == completed_event_id:
            yield naming[0], naming[1](attributes)


def _step_of(command: Command) -> Step:
    kind, name_of = _COMMANDS[command.command_type]
    return kind, name_of(getattr(command, command.WhichOneof("attributes") or ""))


def _no_name(attributes: object) -> str:
    return ""


def _field(name: str) -> Callable[[object], str]:
    return lambda attributes: str(getattr(attributes, name))


_COMMANDS: dict[int, tuple[str, Callable[[object], str]]] = {
    CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK: ("schedule", _field("activity_id")),
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK: (
        "cancel activity",
        _field("scheduled_event_id"),
    ),
    CommandType.COMMAND_TYPE_START_TIMER: ("start timer", _field("timer_id")),
    CommandType.COMMAND_TYPE_CANCEL_TIMER: ("cancel timer", _field("timer_id")),
    CommandType.COMMAND_TYPE_RECORD_MARKER: ("marker", _field("marker_name")),
    CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: ("upsert", _no_name),
    CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION: ("child", _field("workflow_id")),
    CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION: ("signal", _field("control")),
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION: (
        "cancel external",
        _field("control"),
    ),
    CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION: ("operation", _field("operation")),
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION: (
        "cancel operation",
        _field("scheduled_event_id"),
    ),
    CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION: ("complete", _no_name),
    CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION: ("fail", _no_name),
    CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION: ("cancel", _no_name),
    CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION: ("continue", _no_name),
}
_EVENTS: dict[int, tuple[str, Callable[[object], str]]] = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: ("schedule", _field("activity_id")),
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: (
        "cancel activity",
        _field("scheduled_event_id"),
    ),
    EventType.EVENT_TYPE_TIMER_STARTED: ("start timer", _field("timer_id")),
    EventType.EVENT_TYPE_TIMER_CANCELED: ("cancel timer", _field("timer_id")),
    EventType.EVENT_TYPE_MARKER_RECORDED: ("marker", _field("marker_name")),
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: ("upsert", _no_name),
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: ("child", _field("workflow_id")),
    EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: (
        "signal",
        _field("control"),
    ),
    EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: (
        "cancel external",
        _field("control"),
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED: ("operation", _field("operation")),
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED: (
        "cancel operation",
        _field("scheduled_event_id"),
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: ("complete", _no_name),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: ("fail", _no_name),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: ("cancel", _no_name),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: ("continue", _no_name),
}
