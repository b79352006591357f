"""What changed between the code that made a history and the code at hand, as far as one sees.

A mismatch says that an event and a command do not belong together. What people want to know is
which line is new, which is gone, and which does its thing with other arguments. So the commands
that the code issued after this one are compared with the event, and the events after it with the
command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf.message import Message
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure._replay.commands.simple import RECORDED_AS

COMMAND_OF_EVENT: dict[int, int] = {
    **{event_type: command_type for command_type, event_type in RECORDED_AS.items()},
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: (
        CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK
    ),
    EventType.EVENT_TYPE_TIMER_STARTED: CommandType.COMMAND_TYPE_START_TIMER,
    EventType.EVENT_TYPE_TIMER_CANCELED: CommandType.COMMAND_TYPE_CANCEL_TIMER,
    EventType.EVENT_TYPE_MARKER_RECORDED: CommandType.COMMAND_TYPE_RECORD_MARKER,
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: (
        CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION
    ),
    EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: (
        CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION
    ),
    EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: (
        CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED: (
        CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION
    ),
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED: (
        CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: (
        CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED: (
        CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE
    ),
}

# What tells two things of one kind apart for a person; numbered ids shift when something is added.
_TELLING = frozenset(
    {"activity_type", "workflow_type", "marker_name", "signal_name", "operation", "service"}
)

VALUE_LENGTH_MAX = 60


def changes_of(
    event: HistoryEvent,
    command: Command | None,
    commands_after: Sequence[Command],
    events_after: Sequence[HistoryEvent],
) -> list[str]:
    """What seems to have changed, in sentences; empty when nothing can be said."""
    if event.event_type not in COMMAND_OF_EVENT:
        return []
    if command is None:
        return [f"gone from the code, or later in it: what made event {event.event_id}"]
    if not _alike(event, command):
        added = _index_of(event, commands_after)
        if added is not None:
            few = "" if added == 0 else f" and the {added} after it"
            return [f"new in the code: this command{few}"]
        later = _matching_event(events_after, command)
        if later is not None:
            gone = f"gone from the code: what made event {event.event_id}"
            return [f"{gone}; the command fits event {later.event_id}"]
    if COMMAND_OF_EVENT[event.event_type] == command.command_type:
        return list(_differences(event, command))
    return [f"the command stands in the place of what made event {event.event_id}"]


def _index_of(event: HistoryEvent, commands: Sequence[Command]) -> int | None:
    for index, command in enumerate(commands):
        if _alike(event, command):
            return index
    return None


def _matching_event(events: Sequence[HistoryEvent], command: Command) -> HistoryEvent | None:
    for event in events:
        if event.event_type in COMMAND_OF_EVENT and _alike(event, command):
            return event
    return None


def _alike(event: HistoryEvent, command: Command) -> bool:
    """Of one kind, and about the same thing, whatever its number."""
    if COMMAND_OF_EVENT.get(event.event_type) != command.command_type:
        return False
    recorded, issued = attributes_of(event), attributes_of(command)
    if recorded is None or issued is None:
        return True
    common = _common_fields(recorded, issued)
    return all(getattr(recorded, name) == getattr(issued, name) for name in _TELLING & common)


def _common_fields(one: Message, other: Message) -> set[str]:
    names = set(one.DESCRIPTOR.fields_by_name.keys())
    return names.intersection(other.DESCRIPTOR.fields_by_name.keys())


def attributes_of(message: HistoryEvent | Command) -> Message | None:
    """The part that depends on the kind."""
    which = message.WhichOneof("attributes")
    return None if which is None else getattr(message, which)


def _differences(event: HistoryEvent, command: Command) -> Iterator[str]:
    recorded, issued = attributes_of(event), attributes_of(command)
    if recorded is None or issued is None:
        return
    for name in sorted(_common_fields(recorded, issued)):
        before, now = _value(recorded, name), _value(issued, name)
        if before != now and now is not None:
            yield f"{name} was {_short(before)} and is {_short(now)}"


def _value(attributes: Message, name: str) -> str | int | None:
    """The field, when people can compare it at a glance."""
    value = getattr(attributes, name)
    if name in ("activity_type", "workflow_type"):
        value = value.name
    return value if isinstance(value, str | int) else None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= VALUE_LENGTH_MAX else text[:VALUE_LENGTH_MAX] + "..."
