"""The encodings that need no type hints: nothing, bytes, and protobuf messages."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format, symbol_database
from google.protobuf.message import DecodeError, Message
from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1.external_storage_pb2 import ExternalStorageReference

from perdure.converter.external_storage import MESSAGE_TYPE, StorageNotConfiguredError
from perdure.converter.payload_converter import EncodingPayloadConverter

_REFERENCE: type[Message] = ExternalStorageReference
"""The hint of who wants to see the reference itself."""


class BinaryNullPayloadConverter(EncodingPayloadConverter):
    """`binary/null`: None, without data."""

    @property
    def encoding(self) -> str:
        """The name of the encoding."""
        return "binary/null"

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of None."""
        return None if value is not None else Payload(metadata={"encoding": b"binary/null"})

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """None. Raises RuntimeError when there is data."""
        if payload.data:
            raise RuntimeError("Expected empty data set for binary/null")
        return None


class BinaryPlainPayloadConverter(EncodingPayloadConverter):
    """`binary/plain`: bytes as they are."""

    @property
    def encoding(self) -> str:
        """The name of the encoding."""
        return "binary/plain"

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of bytes."""
        if not isinstance(value, bytes):
            return None
        return Payload(metadata={"encoding": b"binary/plain"}, data=value)

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The bytes."""
        return payload.data


class JSONProtoPayloadConverter(EncodingPayloadConverter):
    """`json/protobuf`: a message in protobuf's JSON, with the name of its type."""

    def __init__(self, ignore_unknown_fields: bool = False) -> None:
        self._ignore_unknown_fields = ignore_unknown_fields

    @property
    def encoding(self) -> str:
        """The name of the encoding."""
        return "json/protobuf"

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of a message, keys sorted, so that equal messages give equal bytes."""
        if not isinstance(value, Message):
            return None
        fields = json_format.MessageToDict(value)
        text = json.dumps(fields, separators=(",", ":"), sort_keys=True)
        return _message_payload("json/protobuf", value, text.encode())

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The message. Raises RuntimeError for an unknown type and for what cannot be parsed."""
        if payload.metadata.get("messageType") == MESSAGE_TYPE and type_hint is not _REFERENCE:
            raise StorageNotConfiguredError
        message = _new_message(payload)
        try:
            return json_format.Parse(
                payload.data, message, ignore_unknown_fields=self._ignore_unknown_fields
            )
        except json_format.ParseError as error:
            raise RuntimeError("Failed parsing") from error


class BinaryProtoPayloadConverter(EncodingPayloadConverter):
    """`binary/protobuf`: a serialised message, with the name of its type."""

    @property
    def encoding(self) -> str:
        """The name of the encoding."""
        return "binary/protobuf"

    def to_payload(self, value: Any) -> Payload | None:
        """The payload of a message."""
        if not isinstance(value, Message):
            return None
        return _message_payload("binary/protobuf", value, value.SerializeToString())

    def from_payload(self, payload: Payload, type_hint: Any = None) -> Any:
        """The message. Raises RuntimeError for an unknown type and for what cannot be parsed."""
        message = _new_message(payload)
        try:
            message.ParseFromString(payload.data)
        except DecodeError as error:
            raise RuntimeError("Failed parsing") from error
        return message


def _message_payload(encoding: str, message: Message, data: bytes) -> Payload:
    return Payload(
        metadata={
            "encoding": encoding.encode(),
            "messageType": message.DESCRIPTOR.full_name.encode(),
        },
        data=data,
    )


def _new_message(payload: Payload) -> Message:
    """An empty message of the payload's type, which must have been imported by the program."""
    name = payload.metadata.get("messageType", b"<unknown>").decode()
    try:
        kind: type[Message] = symbol_database.Default().GetSymbol(name)
    except KeyError as error:
        raise RuntimeError(f"Unknown Protobuf type {name}") from error
    return kind()
