"""Fields of a message by their names: what a path and a query say of a request.

What is no value of its field is refused in the words of Temporal's gateway.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

TRUE = frozenset({"", "1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,100}")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")


class BadParameter(Exception):
    """A text that is no value of its field."""


def set_field(message: Message, path: str, texts: list[str]) -> bool:
    """Set a field, named with dots for fields of fields, in either spelling, to what some texts say
    (several for a list); whether there is such a field. Raises BadParameter."""
    *parents, last = path.split(".")
    for name in parents:
        field = _field(message, name)
        if field is None:
            return False
        if field.message_type is None or field.is_repeated:
            raise BadParameter(f'invalid path: "{field.name}" is not a message')
        message = getattr(message, field.name)
    field = _field(message, last)
    if field is None:
        return False
    if len(texts) > 1 and not field.is_repeated:
        raise BadParameter(f'too many values for field "{field.name}": {", ".join(texts)}')
    try:
        if field.message_type is not None:
            _set_message(message, field, texts[-1])
        elif field.is_repeated:
            getattr(message, field.name).extend([_value(field, text) for text in texts])
        else:
            setattr(message, field.name, _value(field, texts[-1]))
    except (ValueError, TypeError, json_format.ParseError) as error:
        raise BadParameter(f'parsing field "{field.name}": {error}') from error
    return True


def _field(message: Message, name: str) -> FieldDescriptor | None:
    descriptor: Any = message.DESCRIPTOR
    found: FieldDescriptor | None = descriptor.fields_by_name.get(name)
    if found is not None:
        return found
    return next((field for field in descriptor.fields if field.json_name == name), None)


def _set_message(message: Message, field: FieldDescriptor, text: str) -> None:
    """Times and durations are texts in JSON too; other messages are not given in one text. Raises
    ValueError, ParseError."""
    assert field.message_type is not None
    if field.is_repeated or field.message_type.full_name not in (
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
        "google.protobuf.FieldMask",
    ):
        raise ValueError(f'unsupported message type: "{field.message_type.full_name}"')
    json_format.ParseDict({field.json_name: text}, message)


def _value(field: FieldDescriptor, text: str) -> Any:
    """Raises ValueError."""
    if field.enum_type is not None:
        return _enumerated(field.enum_type, text)
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_BOOL:
            if text not in TRUE | FALSE:
                raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
            return text in TRUE
        case FieldDescriptor.CPPTYPE_STRING:
            return _bytes(text) if field.type == FieldDescriptor.TYPE_BYTES else text
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return float(text)
        case _:
            return _integer(field, text)


def _enumerated(kind: EnumDescriptor, text: str) -> int:
    by_name = kind.values_by_name.get(text)
    if by_name is not None:
        return int(by_name.number)
    if not _INTEGER.fullmatch(text) or int(text) not in kind.values_by_number:
        raise ValueError(f'"{text}" is not a valid value')
    return int(text)


def _bytes(text: str) -> bytes:
    """In either alphabet; what is left out at the end is none of it."""
    standard = text.replace("-", "+").replace("_", "/")
    strange = _NOT_BASE64.search(standard)
    if strange is not None:
        raise ValueError(f"illegal base64 data at input byte {strange.start()}")
    return base64.b64decode(standard + "==")


def _integer(field: FieldDescriptor, text: str) -> int:
    is_unsigned = field.cpp_type in (
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    )
    parser = "ParseUint" if is_unsigned else "ParseInt"
    if not _INTEGER.fullmatch(text):
        raise ValueError(f'strconv.{parser}: parsing "{text}": invalid syntax')
    is_long = field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
    bits = (64 if is_long else 32) - (not is_unsigned)
    value = int(text)
    if not (0 if is_unsigned else -(2**bits)) <= value < 2**bits:
        raise ValueError(f'strconv.{parser}: parsing "{text}": value out of range')
    return value
