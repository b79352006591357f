"""What workers say of updates and queries.

An update's name says what becomes of it: `now` (accepted and completed by one task), `later`
(completed by the task after that), or `reject`. A query is answered with what the workflow has
seen.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from temporalio.api.command.v1 import Command, ProtocolMessageCommandAttributes
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import CommandType, QueryResultType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.protocol.v1 import Message
from temporalio.api.query.v1 import WorkflowQueryResult
from temporalio.api.update.v1 import Acceptance, Input, Meta, Outcome, Rejection, Request, Response

from sim.workload.facts import Facts

UPDATES = ("now", "now", "later", "reject")
Body = Acceptance | Rejection | Response


class Seen(msgspec.Struct):
    """The answer of every query: what a run had seen."""

    run_id: str
    signals: list[str]
    """Their request ids."""
    updates: list[str]
    """Ids of those that were accepted."""


def answers(
    found: Facts, messages: Iterable[bytes], seen_event_id: int
) -> tuple[list[Command], list[Message]]:
    """What a task says of the updates that it brought, of those that the history has since the last
    task, and of those accepted earlier."""
    said = [
        _completion(update_id) for update_id in found.updates if update_id not in found.updates_over
    ]
    brought = [Message.FromString(serialised) for serialised in messages]
    for update_id, (event_id, name) in found.updates_admitted.items():
        if event_id > seen_event_id:
            meta = Request(meta=Meta(update_id=update_id), input=Input(name=name))
            message = Message(
                id=f"{update_id}/request", protocol_instance_id=update_id, event_id=event_id
            )
            message.body.Pack(meta)
            brought.append(message)
    for message in brought:
        request = Request.FromString(message.body.value)
        update_id, name = request.meta.update_id, request.input.name
        if update_id in found.updates:
            continue
        if name == "reject":
            said.append(_rejection(update_id, message, request))
            continue
        said.append(_acceptance(update_id, message, request))
        if name == "now":
            said.append(_completion(update_id))
    placed = [
        Command(
            command_type=CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE,
            protocol_message_command_attributes=ProtocolMessageCommandAttributes(
                message_id=message.id
            ),
        )
        for message in said
        if not message.id.endswith("/reject")
    ]
    return placed, said


def accepts(messages: Iterable[Message]) -> list[str]:
    """Ids of the updates that a task accepts."""
    return [message.protocol_instance_id for message in messages if message.id.endswith("/accept")]


def query_result(run_id: str, found: Facts, accepted: list[str]) -> WorkflowQueryResult:
    """What the workflow answers to any query; `accepted` by its newest task, besides."""
    seen = Seen(run_id, found.signal_ids, [*found.updates, *accepted])
    return WorkflowQueryResult(
        result_type=QueryResultType.QUERY_RESULT_TYPE_ANSWERED,
        answer=Payloads(payloads=[Payload(data=msgspec.json.encode(seen))]),
    )


def outcome_of(update_id: str) -> Outcome:
    """The result of every update that is not rejected."""
    return Outcome(success=Payloads(payloads=[Payload(data=f'"{update_id} is done"'.encode())]))


def _acceptance(update_id: str, message: Message, request: Request) -> Message:
    body = Acceptance(
        accepted_request_message_id=message.id,
        accepted_request_sequencing_event_id=message.event_id,
        accepted_request=request,
    )
    return _message(update_id, "accept", body)


def _completion(update_id: str) -> Message:
    body = Response(meta=Meta(update_id=update_id), outcome=outcome_of(update_id))
    return _message(update_id, "complete", body)


def _rejection(update_id: str, message: Message, request: Request) -> Message:
    body = Rejection(
        rejected_request_message_id=message.id,
        rejected_request_sequencing_event_id=message.event_id,
        rejected_request=request,
        failure=Failure(
            message="as planned",
            application_failure_info=ApplicationFailureInfo(type="Planned"),
        ),
    )
    return _message(update_id, "reject", body)


def _message(update_id: str, what: str, body: Body) -> Message:
    packed = AnyMessage()
    packed.Pack(body)
    return Message(id=f"{update_id}/{what}", protocol_instance_id=update_id, body=packed)
