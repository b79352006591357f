"""Finds all payloads of a message, wherever in it they are, to apply a payload codec to them.

The replay core has no codec, since a codec may wait. So the payloads of a task are decoded before
it is activated, and those of its answer are encoded before it is sent. Headers and search
attributes are not the codec's: the first are for interceptors, the service reads the second.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.common.v1 import Header, Payload, Payloads, SearchAttributes
from temporalio.api.protocol.v1 import Message as ProtocolMessage
from temporalio.api.update.v1 import Acceptance, Rejection, Request, Response

Transform = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]
"""What a codec does, in either direction."""

_PAYLOAD = Payload.DESCRIPTOR.full_name
_PAYLOADS = Payloads.DESCRIPTOR.full_name
_LEFT_ALONE = frozenset({Header.DESCRIPTOR.full_name, SearchAttributes.DESCRIPTOR.full_name})

_OWN_DETAILS: dict[str, tuple[str, ...]] = {
    "core_patch": ("patch-data",),
    "core_local_activity": ("data",),
}
"""By the names of markers: the details that are the SDK's, which reads them as they are."""

_BODIES: dict[str, type[Request | Acceptance | Rejection | Response]] = {
    body.DESCRIPTOR.full_name: body for body in (Request, Acceptance, Rejection, Response)
}


async def transform_all(messages: Iterable[Message], transform: Transform) -> None:
    """Replaces the payloads of the messages, in place."""
    for message in messages:
        for holder in holders(message):
            await transform_holder(holder, transform)


async def transform_bodies(messages: Iterable[ProtocolMessage], transform: Transform) -> None:
    """Replaces the payloads in the bodies of protocol messages, in place."""
    for message in messages:
        make = _BODIES.get(message.body.TypeName())
        if make is not None:
            body = make.FromString(message.body.value)
            await transform_all([body], transform)
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


def holders(message: Message) -> Iterator[Message]:
    """Each message below this one that is a payload or holds a list of them."""
    name = message.DESCRIPTOR.full_name
    if name in (_PAYLOAD, _PAYLOADS):
        yield message
        return
    for field in _fields_on_the_way(message.DESCRIPTOR):
        for child in _children(message, field):
            yield from holders(child)


def _children(message: Message, field: FieldDescriptor) -> Iterable[Any]:
    value: Any = getattr(message, field.name)
    if _is_map(field):
        own = _OWN_DETAILS.get(getattr(message, "marker_name", ""), ())
        return [value[key] for key in value if key not in own]
    if field.is_repeated:
        return list(value)
    return [value] if message.HasField(field.name) else []


@cache
def _fields_on_the_way(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields below which there may be a payload."""
    return tuple(field for field in descriptor.fields if _reaches(field, frozenset()))


def _reaches(field: FieldDescriptor, above: frozenset[str]) -> bool:
    kind = field.message_type
    if kind is None:
        return False
    if _is_map(field):
        kind = kind.fields_by_name["value"].message_type
        if kind is None:
            return False
    name = kind.full_name
    if name in (_PAYLOAD, _PAYLOADS):
        return True
    if name in _LEFT_ALONE or name in above:
        return False
    return any(_reaches(below, above | {name}) for below in kind.fields)


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry
