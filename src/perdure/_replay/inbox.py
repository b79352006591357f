"""The messages of a run's tasks: requests for updates come in, the answers to them go out.

A request comes as a message of the task in which it is to be looked at. Once it was accepted, it
is in the history, after that task: so on replay it is found by looking ahead, when the events of
its task have been applied. What was refused is nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import Request

from perdure._replay.commands.update import UpdateRequest

UPDATE_ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED


class Inbox:
    """The requests that the code has not been told of."""

    __slots__ = ("_admitted", "_received")

    def __init__(self) -> None:
        self._received: list[Message] = []
        self._admitted: dict[str, Request] = {}

    def receive(self, messages: Iterable[Message]) -> None:
        """Takes the messages of a task. Those that an earlier task left have gone with it."""
        self._received = list(messages)

    def take(self, last_event_id: int) -> list[UpdateRequest]:
        """The requests that were sent after an event up to this one."""
        if not self._received:
            return []
        received = self._received
        due = [message for message in received if message.event_id <= last_event_id]
        self._received = [message for message in received if message.event_id > last_event_id]
        return [_request_of(message) for message in due]

    def admit(self, event: HistoryEvent) -> None:
        """A reset has put a request into the history, where its acceptance does not repeat it."""
        request = event.workflow_execution_update_admitted_event_attributes.request
        self._admitted[request.meta.update_id] = request

    def bring_back(self, event: HistoryEvent) -> UpdateRequest:
        """The request that an UpdateAccepted ahead of the code is about."""
        attributes = event.workflow_execution_update_accepted_event_attributes
        instance_id = attributes.protocol_instance_id
        request: Request | None = attributes.accepted_request
        if not attributes.HasField("accepted_request"):
            request = self._admitted.pop(instance_id, None)
        return UpdateRequest(
            instance_id=instance_id,
            message_id=attributes.accepted_request_message_id,
            event_id=attributes.accepted_request_sequencing_event_id,
            request=request or Request(),
            is_new=False,
        )


def _request_of(message: Message) -> UpdateRequest:
    request = Request()
    if not message.body.Unpack(request):
        raise UnknownMessageError(
            f"message {message.id!r} is of a kind that this SDK does not know: "
            f"{message.body.type_url}"
        )
    return UpdateRequest(
        instance_id=message.protocol_instance_id,
        message_id=message.id,
        event_id=message.event_id,
        request=request,
        is_new=True,
    )


class UnknownMessageError(Exception):
    """A task has a message that this SDK does not know and may not pass over."""
