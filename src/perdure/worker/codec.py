"""Applies a payload codec to all payloads of a message, wherever in it they are.

The replay core has no codec, since a codec may wait. So the payloads of a task are decoded before
it is activated, and those of its answer are encoded before it is sent. Headers are for
interceptors, and the codec's only where the client says so; search attributes the service reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.update.v1 import Acceptance, Rejection, Request, Response

from perdure.converter.holders import holders

Transform = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]
"""What a codec does, in either direction."""

_BODIES: dict[str, type[Request | Acceptance | Rejection | Response]] = {
    body.DESCRIPTOR.full_name: body for body in (Request, Acceptance, Rejection, Response)
}


async def transform_all(
    messages: Iterable[Message], transform: Transform, *, headers: bool = False
) -> None:
    """Replaces the payloads of the messages, in place."""
    for message in messages:
        for holder in holders(message, headers=headers):
            await transform_holder(holder, transform)


async def transform_bodies(
    messages: Iterable[ProtocolMessage], transform: Transform, *, headers: bool = False
) -> None:
    """Replaces the payloads in the bodies of protocol messages, in place."""
    for message in messages:
        make = _BODIES.get(message.body.TypeName())
        if make is not None:
            body = make.FromString(message.body.value)
            await transform_all([body], transform, headers=headers)
            message.body.value = body.SerializeToString()


async def transform_holder(holder: Message, transform: Transform) -> None:
    """Replaces the payloads of one message that `holders` found, in place."""
    if isinstance(holder, Payloads):
        transformed = await transform(list(holder.payloads))
        del holder.payloads[:]
        holder.payloads.extend(transformed)
    elif isinstance(holder, Payload):
        [single] = await transform([holder])
        holder.CopyFrom(single)
