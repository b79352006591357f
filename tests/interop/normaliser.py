"""What two servers may differ in, and nothing else.

A normaliser turns protobuf messages into plain values (dict, list, str, int, float, bool) that
are equal exactly when two servers behaved alike. These are the differences that it knows; no
value is ever removed.

=========  =========================================  ============================================
kind       what                                       becomes
=========  =========================================  ============================================
ids        UUIDs anywhere in strings and bytes        ``<run-1>``, ``<request-1>``, ``<id-1>``:
                                                      one id, one placeholder, in all messages
nonces     what the test itself put into its ids      ``<nonce>``
times      ``google.protobuf.Timestamp``, and the     ``<time>``; ``<zero time>`` for one that is
           two in the SDK's local activity marker     set but empty
task ids   fields of ``TASK_ID_FIELDS``               ``<task>``
tokens     what only its server can read, fields of   ``<token>``
           ``TOKEN_FIELDS``
measured   sizes and durations that were measured,    ``<measured>``
           fields of ``MEASURED_FIELDS``
rounded    durations between two readings of a        to 10 ms
           clock, fields of ``ROUNDED_FIELDS``
sets       fields of ``SET_FIELDS``, which the        the same values, sorted
           worker sends in a hash table's order
=========  =========================================  ============================================

The rules that a reviewer should hold it to:

1. An unset field is absent from the result and a set one is present: no value is dropped, and no
   default is added. A placeholder stands only where a value is set (for a field without presence:
   where it differs from the default).
2. Repeated fields keep their order, but for the two sets that the worker itself shuffles. Map
   entries and fields have no order in protobuf, so they become dicts.
3. Durations are kept exactly, but for the few that are measured rather than configured.
4. Fields that the schema does not know are kept, under their number.
5. Identities need no rule: the harness gives fixed ones to its clients and workers, so they are
   compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import Default as default_descriptor_pool
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

Plain = dict[str, Any] | list[Any] | str | int | float | bool | None

# With or without hyphens: the SDK names sticky queues and builds with the bare 32 digits.
UUID = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])"
    r"|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"
)

# The SDK's core writes its marker of a local activity as JSON, with two times of its clock.
MARKER_TIME = re.compile(
    r'("complete_time"|"original_schedule_time"):\{"seconds":\d+,"nanos":\d+\}'
)

# The sequence number of a server's internal queue; the real one takes them from a block per shard.
TASK_ID_FIELDS = frozenset({"temporal.api.history.v1.HistoryEvent.task_id"})

# Each is a fact about bytes on a disk or about a clock, not about behaviour:
# - the size of a history counts its encoded bytes, which vary with the nanoseconds of each time
#   (varints), with the task ids, and with each server's own encoding of the same events;
# - the duration of an execution is its close time less its start time.
MEASURED_FIELDS = frozenset(
    {
        "temporal.api.history.v1.WorkflowTaskStartedEventAttributes.history_size_bytes",
        "temporal.api.workflow.v1.WorkflowExecutionInfo.history_size_bytes",
        "temporal.api.workflow.v1.WorkflowExecutionInfo.execution_duration",
        "temporal.api.activity.v1.ActivityExecutionInfo.execution_duration",
        "temporal.api.activity.v1.ActivityExecutionInfo.state_size_bytes",
        "temporal.api.activity.v1.ActivityExecutionListInfo.execution_duration",
        "temporal.api.nexus.v1.NexusOperationExecutionInfo.execution_duration",
        "temporal.api.nexus.v1.NexusOperationExecutionInfo.state_size_bytes",
        "temporal.api.nexus.v1.NexusOperationExecutionListInfo.execution_duration",
    }
)

# The real server subtracts the end of the last attempt from the time of the next; the two were
# computed from two readings of the clock, some microseconds apart.
ROUNDED_FIELDS = frozenset(
    {
        "temporal.api.workflow.v1.PendingActivityInfo.current_retry_interval",
        "temporal.api.activity.v1.ActivityExecutionInfo.current_retry_interval",
    }
)

# The SDK's core keeps these in a hash set with a random seed: two runs against one server differ in
# their order.
SET_FIELDS = frozenset(
    {
        "temporal.api.sdk.v1.WorkflowTaskCompletedMetadata.core_used_flags",
        "temporal.api.sdk.v1.WorkflowTaskCompletedMetadata.lang_used_flags",
    }
)

# Encoded by one server for itself.
TOKEN_FIELDS = frozenset(
    {"task_token", "next_page_token", "page_token", "conflict_token", "long_poll_token"}
)

NONCE_PLACEHOLDER = "<nonce>"


class Normaliser:
    """Makes comparable values of one server's messages; ids keep their identity across all of them.

    ``nonces`` are the random strings that the test itself put into the ids that it chose.
    """

    def __init__(self, nonces: Iterable[str] = ()) -> None:
        self._nonces = tuple(nonces)
        self._placeholders: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def hide(self, nonce: str) -> None:
        """One more string that the test itself chose."""
        self._nonces = (*self._nonces, nonce)

    def message(self, message: Message) -> dict[str, Any]:
        """The message's set fields, by name, with only the named differences replaced."""
        plain: dict[str, Any] = {}
        for field, value in message.ListFields():
            plain[field.name] = self._field(field, value)
        for unknown in _unknown_fields(message):
            plain.setdefault(f"unknown field {unknown.field_number}", []).append(
                self.text(repr(unknown.data))
            )
        return plain

    def messages(self, messages: Iterable[Message]) -> list[dict[str, Any]]:
        """Each message in its order."""
        return [self.message(message) for message in messages]

    def text(self, text: str, kind: str = "id") -> str:
        """The text with every id in it replaced."""
        for nonce in self._nonces:
            text = text.replace(nonce, NONCE_PLACEHOLDER)
        return UUID.sub(lambda match: self._placeholder(match.group(), kind), text)

    def _placeholder(self, unique: str, kind: str) -> str:
        known = self._placeholders.get(unique)
        if known is None:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            known = self._placeholders[unique] = f"<{kind}-{self._counts[kind]}>"
        return known

    def _field(self, field: FieldDescriptor, value: Any) -> Any:
        if _is_map(field):
            return self._map(field, value)
        if field.full_name in SET_FIELDS:
            return sorted(value)
        if field.is_repeated:
            return [self._single(field, element) for element in value]
        return self._single(field, value)

    def _map(self, field: FieldDescriptor, entries: Mapping[Any, Any]) -> dict[str, Any]:
        entry_type = field.message_type
        assert entry_type is not None
        value_field = entry_type.fields_by_name["value"]
        return {
            self.text(str(key)): self._single(value_field, entries[key]) for key in sorted(entries)
        }

    def _single(self, field: FieldDescriptor, value: Any) -> Any:
        if field.full_name in TASK_ID_FIELDS:
            return "<task>"
        if field.full_name in MEASURED_FIELDS:
            return "<measured>"
        if field.full_name in ROUNDED_FIELDS:
            return f"about {value.ToTimedelta() / timedelta(seconds=1):.2f}s"
        if field.name in TOKEN_FIELDS:
            return "<token>"
        if isinstance(value, Message):
            return self._nested(value)
        if field.enum_type is not None:
            known = field.enum_type.values_by_number.get(value)
            return known.name if known is not None else value
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, str):
            return self.text(value, _kind_of_id(field.name))
        return value

    def _nested(self, value: Message) -> Any:
        if isinstance(value, Timestamp):
            return "<time>" if value.seconds or value.nanos else "<zero time>"
        if isinstance(value, Duration):
            return f"{value.seconds}.{value.nanos:09d}s"
        if isinstance(value, AnyMessage):
            return self._any(value)
        return self.message(value)

    def _any(self, value: AnyMessage) -> dict[str, Any]:
        """A packed message opened, if its type is known; else its bytes."""
        try:
            descriptor = default_descriptor_pool().FindMessageTypeByName(value.TypeName())
        except KeyError:
            return {"type": value.type_url, "bytes": self._bytes(value.value)}
        packed = GetMessageClass(descriptor)()
        packed.ParseFromString(value.value)
        return {"type": value.type_url, "value": self.message(packed)}

    def _bytes(self, value: bytes) -> str:
        try:
            return MARKER_TIME.sub(r"\1:<time>", self.text(value.decode()))
        except UnicodeDecodeError:
            return f"hex:{value.hex()}"


def as_text(plain: Plain) -> str:
    """The one printed form of a normalised value, for diffs and files; fields in schema order."""
    return json.dumps(plain, indent=2, ensure_ascii=False)


def _unknown_fields(message: Message) -> Iterable[Any]:
    """What was parsed but is not in the schema; the published types forget that it iterates."""
    fields: Any = UnknownFieldSet(message)
    return list(fields)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _kind_of_id(field_name: str) -> str:
    """Says in the placeholder what the id was first seen as, for whoever reads the diff."""
    if "run_id" in field_name:
        return "run"
    if "request_id" in field_name:
        return "request"
    return "id"
