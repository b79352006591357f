"""Fields of a message by their names: what a path and a query say of a request."""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


class BadParameter(Exception):
    """A text that is no value of its field."""


def set_field(message: Message, path: str, texts: list[str]) -> bool:
    """Set a field, named with dots for fields of fields, in either spelling, to what some texts say
    (several for a list); whether there is such a field. Raises BadParameter."""
    *parents, last = path.split(".")
    for name in parents:
        field = _field(message, name)
        if field is None or field.message_type is None or field.is_repeated:
            return False
        message = getattr(message, field.name)
    field = _field(message, last)
    if field is None:
        return False
    if field.message_type is not None:
        _set_message(message, field, path, texts[-1])
        return True
    try:
        if field.is_repeated:
            getattr(message, field.name).extend([_value(field, text) for text in texts])
        else:
            setattr(message, field.name, _value(field, texts[-1]))
    except (ValueError, TypeError) as error:
        raise BadParameter(f'parsing field "{path}": {error}') from error
    return True


def _field(message: Message, name: str) -> FieldDescriptor | None:
    descriptor: Any = message.DESCRIPTOR
    found: FieldDescriptor | None = descriptor.fields_by_name.get(name)
    if found is not None:
        return found
    return next((field for field in descriptor.fields if field.json_name == name), None)


def _set_message(message: Message, field: FieldDescriptor, path: str, text: str) -> None:
    """Times and durations are texts in JSON too; other messages are not given in one text."""
    assert field.message_type is not None
    if field.is_repeated or field.message_type.full_name not in (
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "google.protobuf.FieldMask",
    ):
        raise BadParameter(f'field "{path}" cannot be given in a query')
    try:
        json_format.ParseDict({field.json_name: text}, message)
    except json_format.ParseError as error:
        raise BadParameter(f'parsing field "{path}": {error}') from error


def _value(field: FieldDescriptor, text: str) -> Any:
    if field.enum_type is not None:
        by_name = field.enum_type.values_by_name.get(text)
        return by_name.number if by_name is not None else int(text)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            if text not in ("", "true", "false", "1", "0"):
                raise ValueError(f"{text!r} is neither true nor false")
            return text in ("", "true", "1")
        case FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return base64.b64decode(text.replace("-", "+").replace("_", "/") + "==")
            return text
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return float(text)
        case _:
            return int(text)
