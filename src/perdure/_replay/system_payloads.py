"""How messages for the server's own Nexus endpoint are payloads: serialised, and marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload

from perdure.common import RawValue
from perdure.converter import PayloadConverter

SYSTEM_ENDPOINT = "__temporal_system"
"""The endpoint of the server itself."""
MARK = "__temporal_system_payload"
_TRUE = b"true"


class SystemPayloadConverter(PayloadConverter):
    """Converts messages of the API, and nothing else."""

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """Payloads for messages."""
        return [_payload(value) for value in values]

    def from_payloads(
        self, payloads: Sequence[Payload], type_hints: list[Any] | None = None
    ) -> list[Any]:
        """Messages for payloads, by the types that are hinted at."""
        if type_hints is None:
            return [RawValue(payload) for payload in payloads]
        return [
            hint.FromString(payload.data)
            for payload, hint in zip(payloads, type_hints, strict=True)
        ]


def is_marked(payload: Payload) -> bool:
    """Whether it is a message for the server."""
    return payload.metadata.get(MARK) == _TRUE


def _payload(value: Any) -> Payload:
    if isinstance(value, RawValue):
        return value.payload
    if not isinstance(value, Message):
        raise TypeError(f"the server's own operations take messages, not {type(value).__name__}")
    return Payload(
        metadata={
            "encoding": b"binary/protobuf",
            "messageType": value.DESCRIPTOR.full_name.encode(),
            MARK: _TRUE,
        },
        data=value.SerializeToString(deterministic=True),
    )
