"""Finds the parts of a message that are of some kind, wherever in it they are.

What can be below a type of message follows from its descriptor, and is found out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.common.v1 import Header, Memo, Payload, Payloads, SearchAttributes

_HEADER = Header.DESCRIPTOR.full_name
_SEARCH_ATTRIBUTES = SearchAttributes.DESCRIPTOR.full_name

_OWN_DETAILS: dict[str, tuple[str, ...]] = {
    "core_patch": ("patch-data",),
    "core_local_activity": ("data",),
}
"""By the names of markers: the details that are the SDK's, which reads them as they are."""


@dataclass(frozen=True)
class _Sought:
    """The types that are looked for, and those that are not looked into."""

    types: frozenset[str]
    left_alone: frozenset[str]


_PAYLOADS = frozenset({Payload.DESCRIPTOR.full_name, Payloads.DESCRIPTOR.full_name})
_WITHOUT_HEADERS = _Sought(_PAYLOADS, frozenset({_HEADER, _SEARCH_ATTRIBUTES}))
_WITH_HEADERS = _Sought(_PAYLOADS, frozenset({_SEARCH_ATTRIBUTES}))
_MEMOS = _Sought(frozenset({Memo.DESCRIPTOR.full_name}), frozenset({_HEADER, _SEARCH_ATTRIBUTES}))


def holders(message: Message, *, headers: bool = False) -> Iterator[Message]:
    """Each message below this one that is a payload or holds a list of them.

    Not those of search attributes, which the service reads; those of headers when they are wanted.
    """
    return _found(message, _WITH_HEADERS if headers else _WITHOUT_HEADERS)


def memos(message: Message) -> Iterator[Message]:
    """Each memo below this message."""
    return _found(message, _MEMOS)


def _found(message: Message, sought: _Sought) -> Iterator[Message]:
    if message.DESCRIPTOR.full_name in sought.types:
        yield message
        return
    for field in _fields_on_the_way(message.DESCRIPTOR, sought):
        for child in _children(message, field):
            yield from _found(child, sought)


def _children(message: Message, field: FieldDescriptor) -> Iterable[Any]:
    value: Any = getattr(message, field.name)
    if _is_map(field):
        own = _OWN_DETAILS.get(getattr(message, "marker_name", ""), ())
        return [value[key] for key in value if key not in own]
    if field.is_repeated:
        return list(value)
    return [value] if message.HasField(field.name) else []


@cache
def _fields_on_the_way(descriptor: Descriptor, sought: _Sought) -> tuple[FieldDescriptor, ...]:
    """The fields below which there may be what is sought."""
    return tuple(field for field in descriptor.fields if _reaches(field, sought, frozenset()))


def _reaches(field: FieldDescriptor, sought: _Sought, above: frozenset[str]) -> bool:
    kind = field.message_type
    if kind is None:
        return False
    if _is_map(field):
        kind = kind.fields_by_name["value"].message_type
        if kind is None:
            return False
    name = kind.full_name
    if name in sought.types:
        return True
    if name in sought.left_alone or name in above:
        return False
    return any(_reaches(below, sought, above | {name}) for below in kind.fields)


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.GetOptions().map_entry
