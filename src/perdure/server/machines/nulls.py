"""Payloads that say "none": in a memo and among search attributes they are no value, but remove
one."""

from __future__ import annotations

from collections.abc import MutableMapping

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload

NULLS = frozenset((b"", b"null", b"[]"))
"""Whatever their encoding, as the real server sees it."""

_MAPS = {"memo": "fields", "search_attributes": "indexed_fields"}


def is_null(payload: Payload) -> bool:
    """Whether a payload says "none"."""
    return payload.data in NULLS


def clear_nulls(attributes: Message) -> None:
    """Take nulls out of the memo and the search attributes of an event, in place; what is then
    empty is not set."""
    for name, map_name in _MAPS.items():
        if not attributes.HasField(name):
            continue
        fields = getattr(getattr(attributes, name), map_name)
        for key in [key for key, payload in fields.items() if is_null(payload)]:
            del fields[key]
        if not fields:
            attributes.ClearField(name)


def merge_fields(
    target: MutableMapping[str, Payload], upserted: MutableMapping[str, Payload]
) -> None:
    """Take over fields of a memo or of search attributes, in place; a null one removes its name."""
    for name, payload in upserted.items():
        if is_null(payload):
            target.pop(name, None)
        else:
            target[name].CopyFrom(payload)
