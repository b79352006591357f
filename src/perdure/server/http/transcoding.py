"""Messages as JSON, and back.

It is the JSON of protobuf, but for payloads, which are written as what they hold: a payload in
`json/plain` is its value, one in `json/protobuf` an object that names its type, and a list of such
payloads is a list. Whoever asks for `no-payload-shorthand` gets them as they are. Enumerations may
be given without what all their names begin with.

protobuf's own module does the conversion; here payloads are folded before it and unfolded after,
along the descriptors.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

PAYLOAD = "temporal.api.common.v1.Payload"
PAYLOADS = "temporal.api.common.v1.Payloads"
MESSAGE_TYPE = "_protoMessageType"
DEPTH_MAX = 100
"""Messages within messages; deeper ones are refused."""

NESTED_MAX = 500
"""Lists and objects in a payload that is shown as its value."""


class BadJson(Exception):
    """The text is not the JSON of the message."""


class _Way(msgspec.Struct, frozen=True):
    """What is done to the JSON of a message on its way: to payloads (by the name of their type and
    the value), to enumerations, and to each object that is a message."""

    convert: Callable[[str, Any], Any]
    name_of: Callable[[EnumDescriptor, Any], Any]
    check: Callable[[dict[str, Any]], None]


# ---- out


def to_json(message: Message, *, shorthand: bool, pretty: bool) -> bytes:
    """The text of a message."""
    value = json_format.MessageToDict(message)
    if shorthand:
        value = _walk(message.DESCRIPTOR, value, _Way(_fold, _same, _accept), 0)
    if pretty:
        return json.dumps(value, indent=2, ensure_ascii=False).encode()
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _fold(name: str, value: Any) -> Any:
    """A payload, or a list of them, in few words; as it is when that cannot be."""
    if name == PAYLOAD:
        return _folded(value)[1]
    folded = [_folded(payload) for payload in value.get("payloads", [])]
    texts = [text for _, text in folded]
    if all(is_short for is_short, _ in folded):
        return texts
    return {"payloads": texts}


def _folded(payload: dict[str, Any]) -> tuple[bool, Any]:
    metadata = {key: base64.b64decode(value) for key, value in payload.get("metadata", {}).items()}
    encoding = metadata.pop("encoding", b"")
    message_type = metadata.pop("messageType", None) if encoding == b"json/protobuf" else None
    if metadata or "externalPayloads" in payload:
        return False, payload
    if encoding == b"binary/null" and not payload.get("data"):
        return True, payload  # As Temporal's server shows it.
    if encoding not in (b"json/plain", b"json/protobuf"):
        return False, payload
    try:
        value = _value_of(base64.b64decode(payload.get("data", "")))
    except ValueError:
        return False, payload
    if encoding == b"json/plain":
        return True, value
    if message_type is None or not isinstance(value, dict):
        return False, payload
    return True, {MESSAGE_TYPE: message_type.decode(errors="replace"), **value}


def _value_of(data: bytes) -> Any:
    """What a payload holds. Raises ValueError when it is not JSON, or none that could be written
    again."""
    if data.count(b"[") + data.count(b"{") > NESTED_MAX:
        raise ValueError("it may be nested too deeply")
    value = json.loads(data, parse_constant=_refuse, parse_float=_finite)
    if b"\\u" in data:
        # Half of a pair may be escaped in JSON, but has no UTF-8 of its own.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


# ---- in


def from_json(text: bytes, message: Message, *, shorthand: bool) -> None:
    """Fill a message from its text. Raises BadJson."""
    repeats = _Repeats()
    try:
        value = json.loads(
            text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=repeats.note
        )
    except (ValueError, RecursionError) as error:
        raise BadJson(f"invalid JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadJson("a request is a JSON object")
    way = _Way(_unfold if shorthand else _unchanged, _full_name, repeats.refuse)
    try:
        value = _walk(message.DESCRIPTOR, value, way, 0)
        json_format.ParseDict(value, message, max_recursion_depth=DEPTH_MAX)
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise BadJson(str(error).partition("\n")[0] or "nested too deeply") from error


class _Repeats:
    """Which objects give a name twice: fine within a payload, but of a field nobody knows which
    one another reader would take."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[dict[str, Any], str]] = {}

    def note(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """The object of some names and values."""
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            repeated = next(name for name in names if names.count(name) > 1)
            self._found[id(made)] = (made, repeated)  # Kept, so that no other has its identity.
        return made

    def refuse(self, value: dict[str, Any]) -> None:
        """Raises BadJson."""
        if id(value) in self._found:
            raise BadJson(f'duplicate field "{self._found[id(value)][1]}"')


def _unfold(name: str, value: Any) -> Any:
    if name == PAYLOAD:
        return _unfolded(value)
    if isinstance(value, list):
        return {"payloads": [_unfolded(one) for one in value]}
    if isinstance(value, dict) and isinstance(value.get("payloads"), list):
        return {**value, "payloads": [_unfolded(one) for one in value["payloads"]]}
    return value


def _unfolded(value: Any) -> Any:
    if value is None:
        return {"metadata": {"encoding": _base64(b"binary/null")}}
    if isinstance(value, dict):
        if _is_whole(value):
            return value
        message_type = value.get(MESSAGE_TYPE)
        if MESSAGE_TYPE in value and not isinstance(message_type, str):
            raise BadJson(f'"{MESSAGE_TYPE}" of a payload has to be a text')
        if isinstance(message_type, str):
            rest = {key: one for key, one in value.items() if key != MESSAGE_TYPE}
            return {
                "metadata": {
                    "encoding": _base64(b"json/protobuf"),
                    "messageType": _base64(message_type.encode()),
                },
                "data": _base64(_compact(rest)),
            }
    return {"metadata": {"encoding": _base64(b"json/plain")}, "data": _base64(_compact(value))}


def _is_whole(value: dict[str, Any]) -> bool:
    """Whether it is a payload as it is: its metadata name an encoding."""
    metadata = value.get("metadata")
    return (
        value.keys() <= {"metadata", "data", "externalPayloads"}
        and isinstance(metadata, dict)
        and "encoding" in metadata
        and all(isinstance(one, str) for one in metadata.values())
    )


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


# ---- along the descriptors


def _walk(
    descriptor: Any,
    value: Any,
    way: _Way,
    depth: int,
) -> Any:
    """The JSON of a message with its payloads converted and its enumerations named."""
    if depth > DEPTH_MAX:
        raise BadJson("messages are nested too deeply")
    if descriptor.full_name in (PAYLOAD, PAYLOADS):
        return way.convert(descriptor.full_name, value)
    if descriptor.full_name.startswith("google.protobuf.") or not isinstance(value, dict):
        return value
    way.check(value)
    fields = {field.json_name: field for field in descriptor.fields}
    fields |= descriptor.fields_by_name

    def one(field: FieldDescriptor, item: Any) -> Any:
        if field.enum_type is not None:
            return way.name_of(field.enum_type, item)
        if field.message_type is None:
            return item
        return _walk(field.message_type, item, way, depth + 1)

    found: dict[str, Any] = {}
    for name, item in value.items():
        field = fields.get(name)
        if field is None or (field.message_type is None and field.enum_type is None):
            found[name] = item
        elif _is_map(field):
            assert field.message_type is not None
            values = field.message_type.fields_by_name["value"]
            is_object = isinstance(item, dict)
            found[name] = (
                {key: one(values, part) for key, part in item.items()} if is_object else item
            )
        elif field.is_repeated:
            found[name] = [one(field, part) for part in item] if isinstance(item, list) else item
        else:
            found[name] = one(field, item)
    return found


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _accept(value: dict[str, Any]) -> None:
    """Nothing can be wrong."""


def _same(enum: EnumDescriptor, value: Any) -> Any:
    return value


def _unchanged(name: str, value: Any) -> Any:
    return value


def _full_name(enum: EnumDescriptor, value: Any) -> Any:
    """The whole name of a value that is given in few words: `AllowDuplicate`. Raises BadJson."""
    if value is None or (isinstance(value, str) and value in enum.values_by_name):
        return value
    if not isinstance(value, str):
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise BadJson(f"invalid value for enum type: {json.dumps(value)}")
        return int(value)
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value).upper()
    name = f"{prefix}_{words}"
    if name not in enum.values_by_name:
        raise BadJson(f"invalid value for enum type: {json.dumps(value)}")
    return name
