"""Updates of a play: what a client sends, and what a worker says of it in a completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message as ProtoMessage
from temporalio.api.command.v1 import Command
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import (
    Acceptance,
    Input,
    Meta,
    Outcome,
    Rejection,
    Request,
    Response,
)
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.machines.workflow.inputs import UpdateWorkflow


def update(
    update_id: str,
    *,
    run_id: str = "",
    first: str = "",
    size: int = 0,
    request_id: str = "",
    callback: str = "",
) -> UpdateWorkflow:
    """An update with this id, and so many bytes of arguments; the callback is an address."""
    request = Request(meta=Meta(update_id=update_id, identity="client"), input=Input(name="change"))
    request.request_id = request_id
    if callback:
        request.completion_callbacks.add().nexus.url = callback
    if size:
        request.input.args.payloads.add().data = b"x" * size
    return UpdateWorkflow(
        run_id=run_id,
        update_id=update_id,
        request=request.SerializeToString(),
        first_execution_run_id=first,
    )


def _accept(update_id: str) -> ProtoMessage:
    return Acceptance(
        accepted_request_message_id=f"{update_id}/request", accepted_request_sequencing_event_id=1
    )


def _reject(update_id: str) -> ProtoMessage:
    return Rejection(failure=Failure(message="no"))


def _respond(update_id: str) -> ProtoMessage:
    response = Response(meta=Meta(update_id=update_id), outcome=Outcome())
    response.outcome.success.payloads.add().data = b"done"
    return response


def _revive(update_id: str) -> ProtoMessage:
    """An acceptance of an update that only its worker still has."""
    body = _accept(update_id)
    assert isinstance(body, Acceptance)
    body.accepted_request.meta.update_id = update_id
    return body


BODIES: dict[str, Callable[[str], ProtoMessage]] = {
    "accept": _accept,
    "reject": _reject,
    "respond": _respond,
    "revive": _revive,
}


def say(request: RespondWorkflowTaskCompletedRequest, text: str) -> None:
    """Add messages: "accept:ID,respond:ID"; each verb of `BODIES`."""
    for said in text.split(","):
        verb, _, update_id = said.partition(":")
        message = Message(id=f"{update_id}/{verb}", protocol_instance_id=update_id)
        message.body.Pack(BODIES[verb](update_id))
        request.messages.append(message)


def place(command: Command, words: list[str], options: dict[str, Any]) -> None:
    """The command that says where a message happens: "message ID/VERB"."""
    command.command_type = CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE
    command.protocol_message_command_attributes.message_id = words[0]
