"""gRPC over HTTP/2 requests: what a call's headers say, messages in bodies, statuses in trailers.

The header blocks of answers are constants but for failures, which are encoded on the spot.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib

import msgspec

from perdure.transport.http2.header_blocks import literal, literals, status
from perdure.transport.http2.requests import Request
from perdure.transport.port import REQUEST_BYTES_MAX, CallFailed, Code, too_large

PREFIX = struct.Struct(">BL")
"""Before each message: whether it is compressed, and its length."""
PREFIX_BYTES = 5
TIMEOUT_SECONDS_MAX = 365 * 24 * 3600.0
"""Who waits longer waits for ever."""
TIMEOUT_UNITS = {
    b"H": 3600.0,
    b"M": 60.0,
    b"S": 1.0,
    b"m": 1e-3,
    b"u": 1e-6,
    b"n": 1e-9,
}
ENCODINGS = b"identity,gzip"
GZIP = b"gzip"
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS

_FIELDS = literals(((b"content-type", b"application/grpc"), (b"grpc-accept-encoding", ENCODINGS)))
ANSWER_HEAD = status(200) + _FIELDS
"""What an answer with a body begins with."""
TRAILERS_OK = literal(b"grpc-status", b"0")
NOT_GRPC_TEXT = b"this port speaks gRPC"
_PLAIN_TEXT = literal(b"content-type", b"text/plain")
WRONG_MEDIA_TYPE = status(415) + _PLAIN_TEXT
WRONG_HTTP_METHOD = status(405) + _PLAIN_TEXT + literal(b"allow", b"POST")

_match_timeout = re.compile(rb"([0-9]{1,8})([HMSmun])").fullmatch
_match_unsafe = re.compile(rb"[^\x20-\x24\x26-\x7e]")


class CallHead(msgspec.Struct, frozen=True, gc=False):
    """What the headers of a call say."""

    method: str
    timeout_seconds: float | None
    is_gzip: bool
    """Whether messages with the compressed flag are in gzip; others may not have the flag."""
    fields: dict[bytes, bytes]
    http_refusal: bytes = b""
    """The header block that refuses a request which is no gRPC call."""
    refusal: CallFailed | None = None


def head_of(request: Request) -> CallHead:
    """The call that a request opens."""
    fields = request.fields
    content_type = fields.get(b"content-type", b"")
    http_refusal = b""
    if request.method != b"POST":
        http_refusal = WRONG_HTTP_METHOD
    elif content_type != b"application/grpc" and not content_type.startswith(
        (b"application/grpc+", b"application/grpc;")
    ):
        http_refusal = WRONG_MEDIA_TYPE
    refusal = None
    timeout_seconds = None
    if (text := fields.get(b"grpc-timeout")) is not None:
        timeout_seconds = _timeout_seconds(text)
        if timeout_seconds is None:
            refusal = CallFailed(Code.INTERNAL, f"malformed grpc-timeout: {_shown(text)}")
        elif timeout_seconds > TIMEOUT_SECONDS_MAX:
            timeout_seconds = None
    encoding = fields.get(b"grpc-encoding", b"identity")
    if encoding not in (b"identity", GZIP):
        refusal = CallFailed(
            Code.UNIMPLEMENTED,
            f"grpc: Decompressor is not installed for grpc-encoding {_shown(encoding)}",
        )
    return CallHead(
        request.path.decode("latin-1"),
        timeout_seconds,
        encoding == GZIP,
        fields,
        http_refusal,
        refusal,
    )


def _timeout_seconds(text: bytes) -> float | None:
    match = _match_timeout(text)
    return None if match is None else int(match[1]) * TIMEOUT_UNITS[match[2]]


def _shown(text: bytes) -> str:
    return f'"{text.decode("latin-1")}"'


def whole_message(data: bytes, *, is_gzip: bool) -> bytes | None:
    """The message that a body is, if it is exactly one; else None, and a MessageReader will tell.
    Raises CallFailed for one that cannot be decompressed."""
    size = len(data) - PREFIX_BYTES
    if not 0 <= size <= REQUEST_BYTES_MAX or int.from_bytes(data[1:PREFIX_BYTES], "big") != size:
        return None
    if data[0] == 0:
        return data[PREFIX_BYTES:]
    if data[0] == 1 and is_gzip:
        return _decompressed(data[PREFIX_BYTES:], REQUEST_BYTES_MAX)
    return None


class MessageReader:
    """Cuts a request's body into messages, of so many bytes at most."""

    __slots__ = ("_bytes_max", "_is_gzip", "_parts", "_size", "_wanted")

    def __init__(self, *, is_gzip: bool, bytes_max: int = REQUEST_BYTES_MAX) -> None:
        self._is_gzip = is_gzip
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = PREFIX_BYTES

    @property
    def waiting_bytes(self) -> int:
        """What has arrived of a message that is not complete."""
        return self._size

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now. Raises CallFailed for one that is too large, as soon
        as its length is known, or that cannot be decompressed."""
        self._parts.append(data)
        self._size += len(data)
        messages: list[bytes] = []
        if self._size < self._wanted:
            return messages
        body = data if len(self._parts) == 1 else b"".join(self._parts)
        position = 0
        self._wanted = PREFIX_BYTES
        while len(body) - position >= PREFIX_BYTES:
            flag, length = PREFIX.unpack_from(body, position)
            if length > self._bytes_max:
                raise too_large(length)
            after = position + PREFIX_BYTES + length
            if after > len(body):
                self._wanted = after - position
                break
            messages.append(self._message(flag, body[position + PREFIX_BYTES : after]))
            position = after
        rest = body[position:]
        self._parts = [rest] if rest else []
        self._size = len(rest)
        return messages

    def _message(self, flag: int, data: bytes) -> bytes:
        if not flag:
            return data
        if flag != 1:
            raise CallFailed(Code.INTERNAL, f"grpc: received unexpected payload format {flag}")
        if not self._is_gzip:
            raise CallFailed(
                Code.INTERNAL,
                "grpc: compressed flag set with identity or empty encoding",
            )
        return _decompressed(data, self._bytes_max)


def _decompressed(data: bytes, bytes_max: int) -> bytes:
    decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
    try:
        message = decompressor.decompress(data, bytes_max + 1)
    except zlib.error:
        raise CallFailed(Code.INTERNAL, "grpc: failed to decompress the received message") from None
    if len(message) > bytes_max:
        raise too_large(len(message))
    if not decompressor.eof:
        raise CallFailed(Code.INTERNAL, "grpc: failed to decompress the received message")
    return message


def framed(message: bytes) -> bytes:
    """A message as a body carries it."""
    return PREFIX.pack(0, len(message)) + message


def failure_trailers(failure: CallFailed) -> bytes:
    """The header block that ends an answer with a failure, after a body."""
    block = literal(b"grpc-status", b"%d" % failure.code)
    if failure.message:
        block += literal(b"grpc-message", percent_encoded(failure.message))
    if failure.details:
        encoded = base64.b64encode(failure.details).rstrip(b"=")
        block += literal(b"grpc-status-details-bin", encoded)
    return block


def failure_answer(failure: CallFailed) -> bytes:
    """The one header block that a call which failed is answered with."""
    return ANSWER_HEAD + failure_trailers(failure)


def percent_encoded(text: str) -> bytes:
    """A status message as a header carries it: printable ASCII, the rest and `%` as `%XX`."""
    return _match_unsafe.sub(lambda match: b"%%%02X" % match[0][0], text.encode())
