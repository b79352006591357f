"""ProtocolMessage: the place among the commands where a message of the completion happens, and the
messages that no command places."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import failed_cause_pb2
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import Acceptance, Rejection, Response
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.workflow import updates
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
)
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE
_PACKAGE = "temporal.api.update.v1"
_BODIES: dict[str, type[updates.Body]] = {
    f"{_PACKAGE}.{body.DESCRIPTOR.name}": body for body in (Acceptance, Rejection, Response)
}
_LOST = (
    "update {} wasn't found on the server."
    " This is most likely a transient error which will be resolved automatically by retries"
)


def check(context: CheckContext, command: Command) -> None:
    """It names a message that has not happened yet, and that may."""
    require_attributes(command, "ProtocolMessage", _BAD)
    message_id = command.protocol_message_command_attributes.message_id
    if not message_id:
        raise CommandRefused(_BAD, "MessageID is not set on ProtocolMessageCommand.")
    index = context.message_indexes.pop(message_id, None)
    if index is None:
        raise CommandRefused(
            _BAD, f"ProtocolMessageCommand referenced absent message ID {message_id}"
        )
    body = _check_message(context, context.messages[index])
    context.placed[index] = body
    if isinstance(body, Rejection):
        context.next_event_id -= 1  # It leaves no event.


def check_rest(context: CheckContext) -> None:
    """Messages that no command places happen after all commands. When the run has closed by then,
    only rejections do."""
    for index, message in enumerate(context.messages):
        if index in context.placed:
            continue
        if context.has_closed and _type_of(message) != f"{_PACKAGE}.Rejection":
            continue
        context.rest[index] = _check_message(context, message)


def check_bodies(request: RespondWorkflowTaskCompletedRequest) -> None:
    """Every message has a body of some type. Raises InvalidArgument; the task stays as it is."""
    for message in request.messages:
        if not message.HasField("body"):
            raise InvalidArgument("nil message body")
        if not message.body.type_url:
            raise InvalidArgument("no message name specified")


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Let it happen."""
    update_id, body = context.placed.pop(0)
    updates.apply(turn, update_id, body)


def apply_rejections(turn: Turn, context: ApplyContext) -> None:
    """Before a command that closes the run: what is rejected is not aborted by it."""
    for update_id, body in [said for said in context.rest if isinstance(said[1], Rejection)]:
        updates.apply(turn, update_id, body)
    context.rest = [said for said in context.rest if not isinstance(said[1], Rejection)]


def apply_rest(turn: Turn, context: ApplyContext) -> None:
    """Let the messages happen that no command places."""
    for update_id, body in context.rest:
        updates.apply(turn, update_id, body)


def _check_message(context: CheckContext, message: Message) -> updates.Body:
    update_id = message.protocol_instance_id
    body = _body_of(context, message)
    place = context.places.get(update_id) or updates.place_of(context.workflow, update_id)
    if place is None:
        place = _resurrected(body)
    if place is None:
        raise CommandRefused(_BAD, _LOST.format(update_id))
    following = updates.NEXT.get((place, type(body)))
    if following is None:
        raise CommandRefused(
            _BAD,
            f"invalid state transition attempted for Update {update_id}:"
            f" received *update.{type(body).DESCRIPTOR.name} message while in state {place}",
        )
    if problem := _problem_of(update_id, body):
        name = type(body).DESCRIPTOR.name
        raise CommandRefused(_BAD, f"invalid *update.{name}: {problem}")
    context.places[update_id] = following
    return body


def _body_of(context: CheckContext, message: Message) -> updates.Body:
    name = _type_of(message)
    package, _, short_name = name.rpartition(".")
    if package != _PACKAGE:
        raise CommandRefused(_BAD, f"unsupported protocol type {package}")
    if message.body.ByteSize() > context.limits.blob_size_bytes_max:
        raise CommandRefused(_BAD, f"Message type {name} exceeds size limit.", terminate=True)
    kind = _BODIES.get(name)
    if kind is None:
        raise CommandRefused(_BAD, f"Message type *update.{short_name} not supported")
    try:
        return kind.FromString(message.body.value)
    except DecodeError:
        raise CommandRefused(
            _BAD, "unable to unmarshal request: proto: cannot parse invalid wire-format data"
        ) from None


def _type_of(message: Message) -> str:
    return message.body.type_url.rpartition("/")[2]


def _resurrected(body: updates.Body) -> updates.Place | None:
    """An update that was lost with the process lives on when its worker still has the request."""
    match body:
        case Acceptance() if body.HasField("accepted_request"):
            return updates.Place.SENT
        case Rejection() if body.HasField("rejected_request"):
            return updates.Place.SENT
        case _:
            return None


def _problem_of(update_id: str, body: updates.Body) -> str:
    match body:
        case Acceptance() if not body.accepted_request_sequencing_event_id:
            return "accepted_request_sequencing_event_id is not set"
        case Acceptance() if not body.accepted_request_message_id:
            return "accepted_request_message_id is not set"
        case Response() if not body.HasField("meta"):
            return "meta is not set"
        case Response() if body.meta.update_id != update_id:
            return f"meta.update_id != {update_id}"
        case Response() if not body.HasField("outcome"):
            return "outcome is not set"
        case _:
            return ""
