"""Search attributes to payloads and back. No payload converter or codec of the user's applies: the
service itself must read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from temporalio.api.common.v1 import Payload
from temporalio.api.common.v1 import SearchAttributes as SearchAttributesMessage

from perdure.common.search_attributes import (
    SearchAttributeIndexedValueType,
    SearchAttributeKey,
    SearchAttributePair,
    SearchAttributes,
    SearchAttributeValue,
    SearchAttributeValues,
    TypedSearchAttributes,
)

_UNTYPED = (str, int, float, datetime)
"""What an attribute without a type of its own can have; a bool is an int."""


def encode_search_attributes(
    attributes: SearchAttributes | TypedSearchAttributes, api: SearchAttributesMessage
) -> None:
    """Write search attributes into a message."""
    if isinstance(attributes, TypedSearchAttributes):
        for pair in attributes:
            payload = encode_typed_search_attribute_value(pair.key, pair.value)
            api.indexed_fields[pair.key.name].CopyFrom(payload)
        return
    for name, values in attributes.items():
        api.indexed_fields[name].CopyFrom(encode_search_attribute_values(values))


def encode_typed_search_attribute_value(
    key: SearchAttributeKey[Any], value: SearchAttributeValue | None
) -> Payload:
    """The payload of one value, with its type; None takes the attribute away.

    Raises TypeError for a value of another type than the key's, ValueError for a datetime without
    time zone.
    """
    if value is None:
        return Payload(metadata={"encoding": b"binary/null"})
    if not isinstance(value, key.origin_value_type):
        raise TypeError(f"{key.name}: {value!r} is not a value of type {key.metadata_type}")
    metadata = {"encoding": b"json/plain", "type": key.metadata_type.encode()}
    if key.indexed_value_type is SearchAttributeIndexedValueType.KEYWORD_LIST:
        return Payload(metadata=metadata, data=_json(list(cast(Sequence[str], value))))
    return Payload(metadata=metadata, data=_json(_plain(value)))


def encode_search_attribute_values(vals: SearchAttributeValues) -> Payload:
    """The payload of untyped values.

    Raises TypeError unless it is a list of values of one type that an attribute can have,
    ValueError for a datetime without time zone.
    """
    if not isinstance(vals, list):
        raise TypeError("Search attribute values must be lists")
    for value in vals:
        if not isinstance(value, _UNTYPED):
            raise TypeError(
                f"Search attribute value of type {type(value).__name__} not one of str, int, "
                "float, bool, or datetime"
            )
        if type(value) is not type(vals[0]):
            raise TypeError("Search attribute values must have the same type for the same key")
    return Payload(
        metadata={"encoding": b"json/plain"}, data=_json([_plain(value) for value in vals])
    )


def decode_search_attributes(api: SearchAttributesMessage) -> SearchAttributes:
    """Lists of values by name."""
    decoded: dict[str, Any] = {}
    for name, payload in api.indexed_fields.items():
        value = _value(payload)
        values = value if isinstance(value, list) else [value]
        if payload.metadata.get("type") == b"Datetime":
            values = [datetime.fromisoformat(one) for one in values]
        decoded[name] = values
    return decoded


def decode_typed_search_attributes(api: SearchAttributesMessage) -> TypedSearchAttributes:
    """The attributes whose type is known and whose value is of that type; others are left out."""
    pairs = [_typed_pair(name, payload) for name, payload in api.indexed_fields.items()]
    return TypedSearchAttributes([pair for pair in pairs if pair is not None])


def _typed_pair(name: str, payload: Payload) -> SearchAttributePair[Any] | None:
    key = SearchAttributeKey.from_metadata_type(name, payload.metadata.get("type", b"").decode())
    if key is None:
        return None
    value = _value(payload)
    many = key.indexed_value_type is SearchAttributeIndexedValueType.KEYWORD_LIST
    if not many and isinstance(value, list) and len(value) == 1:
        value = value[0]  # what was written untyped is a list
    if key.indexed_value_type is SearchAttributeIndexedValueType.DATETIME and isinstance(
        value, str
    ):
        value = datetime.fromisoformat(value)
    if key.indexed_value_type is SearchAttributeIndexedValueType.DOUBLE and type(value) is int:
        value = float(value)  # JSON may write 1.0 as 1
    return SearchAttributePair(key, value) if isinstance(value, key.origin_value_type) else None


def _plain(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError("Timezone must be present on all search attribute dates")
    return value.isoformat()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _value(payload: Payload) -> Any:
    if payload.metadata.get("encoding") == b"binary/null" or not payload.data:
        return None
    return json.loads(payload.data)
