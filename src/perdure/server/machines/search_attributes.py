"""Which search attributes there are and of which type, which of them a workflow may set, and what
their payloads say.

An attribute has a name, which users know, and a field, by which its values are stored: the same for
those that exist everywhere, `Keyword01` and the like for custom ones. So a name that is taken away
and given again, perhaps with another type, does not bring back values of the one before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.enums.v1 import common_pb2

from perdure.server.machines.nulls import is_null
from perdure.server.machines.ports import DEFAULT_LIMITS, Limits

KEYWORD = common_pb2.INDEXED_VALUE_TYPE_KEYWORD
TEXT = common_pb2.INDEXED_VALUE_TYPE_TEXT
INT = common_pb2.INDEXED_VALUE_TYPE_INT
DOUBLE = common_pb2.INDEXED_VALUE_TYPE_DOUBLE
BOOL = common_pb2.INDEXED_VALUE_TYPE_BOOL
DATETIME = common_pb2.INDEXED_VALUE_TYPE_DATETIME
KEYWORD_LIST = common_pb2.INDEXED_VALUE_TYPE_KEYWORD_LIST

TYPE_NAMES: dict[int, str] = {
    TEXT: "Text",
    KEYWORD: "Keyword",
    INT: "Int",
    DOUBLE: "Double",
    BOOL: "Bool",
    DATETIME: "Datetime",
    KEYWORD_LIST: "KeywordList",
}
"""Each type as payloads and messages name it."""

SYSTEM_ATTRIBUTES: dict[str, int] = {
    "WorkflowId": KEYWORD,
    "RunId": KEYWORD,
    "WorkflowType": KEYWORD,
    "StartTime": DATETIME,
    "ExecutionTime": DATETIME,
    "CloseTime": DATETIME,
    "ExecutionStatus": KEYWORD,
    "TaskQueue": KEYWORD,
    "HistoryLength": INT,
    "ExecutionDuration": INT,
    "StateTransitionCount": INT,
    "HistorySizeBytes": INT,
    "ParentWorkflowId": KEYWORD,
    "ParentRunId": KEYWORD,
    "RootWorkflowId": KEYWORD,
    "RootRunId": KEYWORD,
    "TemporalWorkerDeploymentVersion": KEYWORD,
    "TemporalWorkflowVersioningBehavior": KEYWORD,
    "TemporalWorkerDeployment": KEYWORD,
    "TemporalUsedWorkerDeploymentVersions": KEYWORD_LIST,
    "TemporalExternalPayloadCount": INT,
    "TemporalExternalPayloadSizeBytes": INT,
}
"""Search attributes that only the server sets."""

PREDEFINED_ATTRIBUTES: dict[str, int] = {
    "TemporalChangeVersion": KEYWORD_LIST,
    "BinaryChecksums": KEYWORD_LIST,
    "BuildIds": KEYWORD_LIST,
    "BatcherNamespace": KEYWORD,
    "BatcherUser": KEYWORD,
    "TemporalScheduledStartTime": DATETIME,
    "TemporalScheduledById": KEYWORD,
    "TemporalSchedulePaused": BOOL,
    "TemporalNamespaceDivision": KEYWORD,
    "TemporalPauseInfo": KEYWORD_LIST,
    "TemporalReportedProblems": KEYWORD_LIST,
}
"""Search attributes that exist in every namespace and that a user may set."""

RESERVED_PREFIX = "Temporal"
"""Custom search attributes cannot be called so."""
INT_MAX = 2**63 - 1
EXPONENT_FROM = 6
"""A number with more digits than this before its point is printed with an exponent."""


class CustomAttribute(msgspec.Struct, frozen=True):
    """A search attribute that a user has added to a namespace."""

    field: str
    type: int


CustomAttributes = Mapping[str, CustomAttribute]
"""Those of a namespace, by name."""

NO_CUSTOM: CustomAttributes = {}

Scalar = str | int | float | bool
Value = Scalar | list[str]
"""A keyword, text or element of a list; a number; a Bool; a Datetime as nanoseconds."""


def settable_type(name: str, custom: CustomAttributes) -> int | None:
    """The type of an attribute that a user may set; None when there is none."""
    known = custom.get(name)
    return known.type if known is not None else PREDEFINED_ATTRIBUTES.get(name)


def problem_of(
    attributes: SearchAttributes,
    namespace: str,
    custom: CustomAttributes = NO_CUSTOM,
    limits: Limits = DEFAULT_LIMITS,
) -> str | None:
    """Why these cannot be set, in the real server's words; None when they can."""
    count = len(attributes.indexed_fields)
    if count > limits.search_attributes_max:
        return f"number of search attributes {count} exceeds limit {limits.search_attributes_max}"
    for name in sorted(attributes.indexed_fields):
        if name in SYSTEM_ATTRIBUTES:
            return f"{name} attribute can't be set in SearchAttributes"
        kind = settable_type(name, custom)
        if kind is None:
            return f"Namespace {namespace} has no mapping defined for search attribute {name}"
        payload = attributes.indexed_fields[name]
        if is_null(payload) and payload.metadata:
            continue
        try:
            read_value(payload, kind)
        except ValueError as error:
            return f"invalid value for search attribute {name} of type {TYPE_NAMES[kind]}: {error}"
    return None


def size_problem_of(attributes: SearchAttributes, limits: Limits) -> str | None:
    """Why these are too large, in the real server's words; None when they are not."""
    if not attributes.indexed_fields:
        return None
    for name, payload in sorted(attributes.indexed_fields.items()):
        size, size_max = len(payload.data), limits.search_attribute_bytes_max
        if size > size_max:
            return f"search attribute {name} value size {size} exceeds size limit {size_max}"
    total, total_max = attributes.ByteSize(), limits.search_attributes_bytes_max
    if total > total_max:
        return f"total size of search attributes {total} exceeds size limit {total_max}"
    return None


def add_types(attributes: SearchAttributes, custom: CustomAttributes) -> None:
    """Say in each payload of which type it is, in place, unless it says something itself."""
    for name, payload in attributes.indexed_fields.items():
        kind = settable_type(name, custom)
        if kind is not None and "type" not in payload.metadata:
            payload.metadata["type"] = TYPE_NAMES[kind].encode()


def read_value(payload: Payload, kind: int) -> Value:
    """What a payload says. Raises ValueError, with what stands there, when it is not of this type.

    A list of one is that one.
    """
    encoding = payload.metadata.get("encoding", b"")
    if encoding == b"binary/plain":
        raise ValueError(f"[{' '.join(str(byte) for byte in payload.data)}]")
    if encoding != b"json/plain":
        raise ValueError(f"value from <{_printed_payload(payload)}>")
    try:
        value = msgspec.json.decode(payload.data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ValueError(f"value from <{_printed_payload(payload)}>") from None
    if kind == KEYWORD_LIST:
        return _read_list(value)
    one = value[0] if isinstance(value, list) and len(value) == 1 else value
    read = _READ[kind](one)
    if read is None:
        raise ValueError(_printed(value))
    return read


def _read_list(value: object) -> list[str]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise ValueError(_printed(value))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _int(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and -INT_MAX - 1 <= value <= INT_MAX:
        return value
    return None


def _double(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _datetime(value: object) -> int | None:
    return datetime_ns(value) if isinstance(value, str) else None


_READ: dict[int, Callable[[object], Scalar | None]] = {
    KEYWORD: _text,
    TEXT: _text,
    INT: _int,
    DOUBLE: _double,
    BOOL: _bool,
    DATETIME: _datetime,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII
)


def datetime_ns(text: str) -> int | None:
    """Nanoseconds since the epoch of a time such as `2026-01-31T12:00:00.5Z`, as far as they can
    be counted; None when it is none.

    Who writes a time of the year 9999 means one that never comes: it is after all others.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
    except ValueError:
        return None
    seconds = (moment - _EPOCH) // _SECOND
    time_ns = seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
    return max(-INT_MAX - 1, min(time_ns, INT_MAX))


def _printed(value: object) -> str:
    """A JSON value as the real server prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, int | float):
        return _printed_number(value)
    if isinstance(value, list):
        return f"[{' '.join(_printed(one) for one in value)}]"
    if isinstance(value, dict):
        pairs = (f"{key}:{_printed(value[key])}" for key in sorted(value))
        return f"map[{' '.join(pairs)}]"
    return str(value)


def _printed_number(value: float) -> str:
    """The fewest digits that say which number it is, with an exponent from a million on."""
    try:
        number = float(value)
    except OverflowError:
        return str(value)
    if not number:
        return "0"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int), "JSON has no infinities"
    point = len(digits) + exponent - 1
    if -5 < point < EXPONENT_FROM:
        return repr(number).removesuffix(".0")
    text = "".join(map(str, digits))
    mantissa = text[0] + (f".{text[1:]}" if len(text) > 1 else "")
    return f"{'-' if sign else ''}{mantissa}e{point:+03d}"


def _printed_payload(payload: Payload) -> str:
    parts = [
        f'metadata:{{key:"{key}"  value:"{_escaped(value)}"}}'
        for key, value in sorted(payload.metadata.items())
    ]
    if payload.data:
        parts.append(f'data:"{_escaped(payload.data)}"')
    return "  ".join(parts)


def _escaped(content: bytes) -> str:
    text = content.decode("utf-8", errors="backslashreplace")
    return text.replace("\\", "\\\\").replace('"', '\\"')
