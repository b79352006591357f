"""Replays a recorded history with our SDK and says in what our commands differ from its events."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.update.v1 import Acceptance, Response

from perdure import converter
from perdure._definitions import WorkflowDefinition
from perdure._replay.api import (
    RunnerOptions,
    TaskFailure,
    WorkflowActivation,
    WorkflowCompletion,
)
from perdure._replay.history import COMMAND_EVENTS
from perdure._replay.runner import WorkflowRunner

_STARTED = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
_UPDATE_ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
_UPDATE_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED
_PROTOCOL_MESSAGE = CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE
_CONTINUED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW

_CANCEL_INITIATED = EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED

# What a command does not say of its event, or an event not of its command.
_SERVER_ADDS = frozenset(
    {
        "workflowTaskCompletedEventId",
        "newExecutionRunId",
        "identity",
        "requestEagerExecution",
        "retryState",
        "startedEventId",
        "initiator",
        "backoffStartInterval",
        "namespaceId",
        "endpointId",
        "requestId",
    }
)
# What the server fills in where a command leaves it out.
_SERVER_DEFAULTS = frozenset(
    {
        "scheduleToCloseTimeout",
        "scheduleToStartTimeout",
        "startToCloseTimeout",
        "heartbeatTimeout",
        "retryPolicy",
        "workflowRunTimeout",
        "workflowTaskTimeout",
        "workflowExecutionTimeout",
    }
)
# The lines of the SDK itself, and the kind of a queue.
_ANYWHERE = frozenset({"stackTrace", "kind"})

# The event's name, where it is not that of its command.
_EVENT_NAMES: dict[int, int] = {
    CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK: (EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED),
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK: (
        EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED
    ),
    CommandType.COMMAND_TYPE_START_TIMER: EventType.EVENT_TYPE_TIMER_STARTED,
    CommandType.COMMAND_TYPE_CANCEL_TIMER: EventType.EVENT_TYPE_TIMER_CANCELED,
    CommandType.COMMAND_TYPE_RECORD_MARKER: EventType.EVENT_TYPE_MARKER_RECORDED,
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
    CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION: _CONTINUED,
    CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION: (
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
    ),
    CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION: (
        EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED
    ),
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION: (
        EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED
    ),
    CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION: (
        EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
    ),
    CommandType.COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION: (
        EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
    ),
}


def options(
    definitions: Mapping[str, WorkflowDefinition], *, task_queue: str = "queue", **more: Any
) -> RunnerOptions:
    """The options of a worker with these workflows."""
    data_converter = converter.default()
    return RunnerOptions(
        definitions=definitions.get,
        registered=lambda: definitions,
        payload_converter=data_converter.payload_converter,
        failure_converter=data_converter.failure_converter,
        namespace="default",
        task_queue=task_queue,
        **more,
    )


def task_numbers(events: Sequence[HistoryEvent]) -> range:
    """The tasks of a history that were completed, numbered from 0."""
    return range(len(_completed_tasks(events)))


def differences(
    definitions: Mapping[str, WorkflowDefinition],
    events: Sequence[HistoryEvent],
    evicted_before: Collection[int],
) -> list[str]:
    """Replays task by task, on a fresh runner for those before which it was evicted."""
    started = events[0].workflow_execution_started_event_attributes
    worker = options(definitions, task_queue=started.task_queue.name)
    found: list[str] = []
    runner: WorkflowRunner | None = None
    seen = previous = 0
    for number, index in enumerate(_completed_tasks(events)):
        if runner is None or number in evicted_before:
            if runner is not None:
                runner.evict()
            runner, seen = None, 0
        task = WorkflowActivation(
            run_id=started.original_execution_run_id,
            workflow_id=started.workflow_id,
            workflow_type=started.workflow_type.name,
            events=events[seen : index + 1],
            previous_started_event_id=previous,
            started_event_id=events[index].event_id,
            messages=_requests(_commands_of(events, index + 1)),
        )
        runner = runner or WorkflowRunner(worker, task)
        outcome = runner.activate(task)
        seen, previous = index + 1, events[index].event_id
        found += [
            f"task {number}, event {previous}: {difference}"
            for difference in _compare(outcome, events[index + 1], _commands_of(events, index + 1))
        ]
        if isinstance(outcome, TaskFailure):
            break
    if runner is not None:
        runner.evict()
    return found


def _completed_tasks(events: Sequence[HistoryEvent]) -> list[int]:
    return [
        index
        for index, (event, following) in enumerate(pairwise(events))
        if event.event_type == _STARTED and following.event_type == _COMPLETED
    ]


def _commands_of(events: Sequence[HistoryEvent], completed: int) -> list[HistoryEvent]:
    def is_of_command(event: HistoryEvent) -> bool:
        return event.event_type in COMMAND_EVENTS

    return list(takewhile(is_of_command, events[completed + 1 :]))


def _requests(events: Sequence[HistoryEvent]) -> list[ProtocolMessage]:
    """The messages that came with a task in which updates were accepted."""
    messages = []
    for event in events:
        if event.event_type == _UPDATE_ACCEPTED:
            attributes = event.workflow_execution_update_accepted_event_attributes
            message = ProtocolMessage(
                id=attributes.accepted_request_message_id,
                protocol_instance_id=attributes.protocol_instance_id,
                event_id=attributes.accepted_request_sequencing_event_id,
            )
            message.body.Pack(attributes.accepted_request)
            messages.append(message)
    return messages


def _compare(outcome: Any, completed: HistoryEvent, events: Sequence[HistoryEvent]) -> list[str]:
    if not isinstance(outcome, WorkflowCompletion):
        return [str(outcome)]
    found = _compare_metadata(outcome, completed)
    bodies = {message.id: message.body for message in outcome.messages}
    ours = [_event_name(command, bodies) for command in outcome.commands]
    theirs = [event.event_type for event in events]
    if ours != theirs:
        return [*found, f"we have {_names(ours)}, the history {_names(theirs)}"]
    for command, event in zip(outcome.commands, events, strict=True):
        if command.command_type == _PROTOCOL_MESSAGE:
            body = bodies[command.protocol_message_command_attributes.message_id]
            found += _compare_message(body, event)
        else:
            found += _compare_one(command, event)
    return found


def _event_name(command: Command, bodies: Mapping[str, Any]) -> int:
    if command.command_type != _PROTOCOL_MESSAGE:
        return _EVENT_NAMES[command.command_type]
    body = bodies[command.protocol_message_command_attributes.message_id]
    return _UPDATE_ACCEPTED if body.Is(Acceptance.DESCRIPTOR) else _UPDATE_COMPLETED


def _compare_message(packed: Any, event: HistoryEvent) -> list[str]:
    theirs = _plain(_attributes(event))
    body = Acceptance() if event.event_type == _UPDATE_ACCEPTED else Response()
    packed.Unpack(body)
    ours = _plain(body)
    for name in ("protocolInstanceId", "acceptedEventId"):
        theirs.pop(name, None)
    return [] if ours == theirs else [f"our message is {ours}, the history has {theirs}"]


def _compare_metadata(outcome: WorkflowCompletion, completed: HistoryEvent) -> list[str]:
    def plain(metadata: Any) -> Any:
        return (
            sorted(metadata.core_used_flags),
            sorted(metadata.lang_used_flags),
            metadata.sdk_name,
            metadata.sdk_version,
        )

    ours = plain(outcome.sdk_metadata)
    theirs = plain(completed.workflow_task_completed_event_attributes.sdk_metadata)
    return [] if ours == theirs else [f"our metadata is {ours}, the history's {theirs}"]


def _compare_one(command: Command, event: HistoryEvent) -> list[str]:
    ours, theirs = _plain(_attributes(command)), _plain(_attributes(event))
    for name in _SERVER_DEFAULTS - ours.keys():
        theirs.pop(name, None)
    if "execution" in ours:  # of a signal to another workflow
        ours["workflowExecution"] = ours.pop("execution")
    if event.event_type == _CANCEL_INITIATED:
        target = {"workflowId": ours.pop("workflowId"), "runId": ours.pop("runId", None)}
        ours["workflowExecution"] = {key: value for key, value in target.items() if value}
    if event.event_type == _CONTINUED:
        ours.pop("retryPolicy", None)  # the event does not tell
    name = EventType.Name(event.event_type)
    found = [
        f"{name}.{key}: ours is {ours.get(key)}, the history's {theirs.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    if command.user_metadata != event.user_metadata:
        found.append(f"{name}: our labels are {command.user_metadata}, not {event.user_metadata}")
    if list(command.event_group_markers) != list(event.event_group_markers):
        found.append(f"{name}: our groups are {command.event_group_markers}")
    return found


def _attributes(message: Any) -> Any:
    return getattr(message, message.WhichOneof("attributes"))


def _plain(attributes: Message) -> dict[str, Any]:
    plain: dict[str, Any] = _without(MessageToDict(attributes))
    return {name: value for name, value in plain.items() if name not in _SERVER_ADDS}


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(one) for key, one in value.items() if key not in _ANYWHERE}
    return [_without(one) for one in value] if isinstance(value, list) else value


def _names(types: Sequence[int]) -> list[str]:
    return [EventType.Name(one).removeprefix("EVENT_TYPE_") for one in types]  # type: ignore[arg-type]
