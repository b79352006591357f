"""Payloads as the content of HTTP messages: headers without their `Content-` prefix, and bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload

BODY_BYTES_MAX = 2 * 1024 * 1024
"""Of what a handler says by HTTP; a worker's answer is held to the same."""
TOKEN_BYTES_MAX = 4096
"""Temporal's nexusoperation.limit.operationToken.length."""
PLAIN_TYPES = {"json/plain": "application/json", "binary/plain": "application/octet-stream"}
PROTOBUF_TYPES = {
    "json/protobuf": "application/json; format=protobuf",
    "binary/protobuf": "application/x-protobuf",
}
PAYLOAD_TYPE = "application/x-temporal-payload"
UNKNOWN = b"unknown/nexus-content"
_MESSAGE_TYPE = re.compile(r'(.*); message-type="([^"]*)"')
_ENCODINGS = {text: encoding for encoding, text in (PLAIN_TYPES | PROTOBUF_TYPES).items()}
PREFIX = "content-"
NOT_CONTENT = frozenset(("content-length", "content-encoding"))


def problem_of_token(token: str) -> str:
    """Why a token cannot be kept; "" when it can."""
    length = len(token.encode())
    if length <= TOKEN_BYTES_MAX:
        return ""
    return f"operation token length exceeds allowed limit ({length}/{TOKEN_BYTES_MAX})"


class BadContent(Exception):
    """What should be a payload is none."""


def content_of(payload: Payload) -> tuple[str, bytes]:
    """Type and bytes of a payload: one that HTTP has a type for travels by itself, any other one as
    it is."""
    metadata = {key: value.decode(errors="replace") for key, value in payload.metadata.items()}
    encoding = metadata.pop("encoding", "")
    message_type = metadata.pop("messageType", "") if encoding in PROTOBUF_TYPES else ""
    if not metadata and encoding in PLAIN_TYPES:
        return PLAIN_TYPES[encoding], payload.data
    if not metadata and (encoding == "binary/null" or not (encoding or payload.data)):
        return "", b""
    if not metadata and message_type:
        return f"{PROTOBUF_TYPES[encoding]}; message-type={json.dumps(message_type)}", payload.data
    return PAYLOAD_TYPE, payload.SerializeToString(deterministic=True)


def payload_of(headers: Mapping[str, str], body: bytes) -> Payload:
    """The payload that a message of HTTP carries; names of headers are in lower case. Raises
    BadContent."""
    content = {
        name.removeprefix(PREFIX): value
        for name, value in headers.items()
        if name.startswith(PREFIX) and name not in NOT_CONTENT
    }
    kind = content.get("type", "")
    if kind == PAYLOAD_TYPE:
        try:
            return Payload.FromString(body)
        except DecodeError as error:
            raise BadContent(str(error)) from error
    if not content and not body:
        return Payload(metadata={"encoding": b"binary/null"})
    if len(content) == 1:
        found = _MESSAGE_TYPE.fullmatch(kind)
        encoding = _ENCODINGS.get(found[1] if found else kind, "")
        if encoding in PLAIN_TYPES and not found:
            return Payload(metadata={"encoding": encoding.encode()}, data=body)
        if encoding in PROTOBUF_TYPES and found:
            metadata = {"encoding": encoding.encode(), "messageType": found[2].encode()}
            return Payload(metadata=metadata, data=body)
    metadata = {name: value.encode() for name, value in content.items()}
    return Payload(metadata={**metadata, "encoding": UNKNOWN}, data=body)
