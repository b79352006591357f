"""An update: asked for by a message, answered by messages, each of which has its place among the
commands.

| the code | is sent | is recorded |
|---|---|---|
| refuses | a rejection, which has no command | nothing |
| accepts | an acceptance | UpdateAccepted |
| has an outcome | a response | UpdateCompleted |

The command of a message only says where among the other commands it belongs. A message is sent
once, with the task in which the code made it: on replay only the commands are made again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from google.protobuf.message import Message
from temporalio.api.command.v1 import Command, ProtocolMessageCommandAttributes
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.update.v1 import Acceptance, Outcome, Rejection, Request, Response

from perdure._replay.commands.port import Mismatch, Outlet

ASKED: Final = "not yet accepted"
ACCEPTING: Final = "being accepted"
ANSWERED: Final = "being accepted, and has an outcome"
ACCEPTED: Final = "accepted"
COMPLETING: Final = "being completed"
DONE: Final = "done"

_ACCEPTED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED


class UpdateRequest(NamedTuple):
    """Somebody asks for an update."""

    instance_id: str
    """Names the update in all messages about it."""
    message_id: str
    event_id: int
    """What the update was sent after."""
    request: Request
    is_new: bool
    """It was not accepted before, so that it may be refused."""


class UpdateMachine:
    """One update. `send` takes the messages about it."""

    __slots__ = ("_asked", "_outlet", "_send", "state", "withdrawn")

    def __init__(
        self, outlet: Outlet, asked: UpdateRequest, send: Callable[[ProtocolMessage], None]
    ) -> None:
        self.state = ASKED
        self.withdrawn = False
        self._asked = asked
        self._outlet = outlet
        self._send = send

    @property
    def resolved(self) -> bool:
        """No event can follow any more."""
        return self.state is DONE

    # What the code does

    def reject(self, failure: Failure) -> None:
        """Refuses the update, which leaves no trace."""
        self.state = DONE
        rejection = Rejection(
            rejected_request_message_id=self._asked.message_id,
            rejected_request_sequencing_event_id=self._asked.event_id,
            rejected_request=self._asked.request,
            failure=failure,
        )
        self._send(self._message("reject", rejection))

    def accept(self) -> None:
        """Accepts the update: from here on its handler may do what it likes."""
        self.state = ACCEPTING
        acceptance = Acceptance(
            accepted_request_message_id=self._asked.message_id,
            accepted_request_sequencing_event_id=self._asked.event_id,
            accepted_request=self._asked.request,
        )
        self._issue("accept", acceptance)

    def succeed(self, result: list[Payload]) -> None:
        """The handler has returned."""
        self._complete(Outcome(success=Payloads(payloads=result)))

    def fail(self, failure: Failure) -> None:
        """The handler has failed."""
        self._complete(Outcome(failure=failure))

    def _complete(self, outcome: Outcome) -> None:
        self.state = ANSWERED if self.state is ACCEPTING else COMPLETING
        self._issue("complete", Response(meta=self._asked.request.meta, outcome=outcome))

    def _issue(self, action: str, body: Message) -> None:
        message = self._message(action, body)
        command = Command(
            command_type=CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE,
            protocol_message_command_attributes=ProtocolMessageCommandAttributes(
                message_id=message.id
            ),
        )
        self._outlet.issue(self, command)
        self._send(message)

    def _message(self, action: str, body: Message) -> ProtocolMessage:
        instance_id = self._asked.instance_id
        message = ProtocolMessage(id=f"{instance_id}/{action}", protocol_instance_id=instance_id)
        message.body.Pack(body)
        return message

    # What the history says

    def handle(self, event: HistoryEvent) -> None:
        """Applies one of the update's events."""
        instance_id = self._asked.instance_id
        transition = _EVENTS.get((self.state, event.event_type))
        if transition is None:
            raise Mismatch(f"the update {instance_id!r} is {self.state}")
        recorded = _instance_of(event)
        if recorded != instance_id:
            raise Mismatch(f"the history has the update {recorded!r}, the code {instance_id!r}")
        self.state = transition


def _instance_of(event: HistoryEvent) -> str:
    if event.event_type == _ACCEPTED:
        return event.workflow_execution_update_accepted_event_attributes.protocol_instance_id
    return event.workflow_execution_update_completed_event_attributes.meta.update_id


_EVENTS: dict[tuple[str, int], str] = {
    (ACCEPTING, _ACCEPTED): ACCEPTED,
    (ANSWERED, _ACCEPTED): COMPLETING,
    (COMPLETING, _COMPLETED): DONE,
}
