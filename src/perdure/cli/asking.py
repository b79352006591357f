"""One RPC from a command: the request's class says which, and refusals end the command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.cli.calling import Target, call

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message
    from temporalio.api.common.v1 import Payloads

    from perdure.client import Client

Response = TypeVar("Response", bound="Message")


def ask(target: Target, request: Message, response: type[Response]) -> Response:
    """The answer to a request."""
    return call(target, lambda client: asked(client, request, response))


async def asked(client: Client, request: Message, response: type[Response]) -> Response:
    """The answer to a request, over a client. Raises RPCError."""
    words = re.findall(r"[A-Z][a-z]+", type(request).__name__.removesuffix("Request"))
    is_operator = "operatorservice" in request.DESCRIPTOR.full_name
    service = client.operator_service if is_operator else client.workflow_service
    answer = await getattr(service, "_".join(words).lower())(request)
    assert isinstance(answer, response)
    return answer


def as_json(message: Message) -> dict[str, Any]:
    """A message as JSON has it, with payloads as what they hold."""
    from google.protobuf import json_format

    found: dict[str, Any] = json_format.MessageToDict(message)
    return found


def to_duration(length: timedelta) -> Duration:
    """A duration as messages have it."""
    from google.protobuf.duration_pb2 import Duration

    found = Duration()
    found.FromTimedelta(length)
    return found


def identity() -> str:
    """Who acts, as histories keep it."""
    import os
    import socket

    return f"perdure-cli:{os.getpid()}@{socket.gethostname()}"


def payloads_of(values: Sequence[Any]) -> Payloads:
    """Values as payloads of JSON."""
    import json

    from temporalio.api.common.v1 import Payload, Payloads

    metadata = {"encoding": b"json/plain"}
    return Payloads(
        payloads=[Payload(metadata=metadata, data=json.dumps(value).encode()) for value in values]
    )
