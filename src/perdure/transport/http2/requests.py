"""What makes a header list a request (RFC 9113, section 8): the checks, and the result."""

from __future__ import annotations

import re

import msgspec

from perdure.transport.http2.header_blocks import Field

PSEUDO_FIELDS = frozenset({b":method", b":scheme", b":authority", b":path"})
REQUIRED = (b":method", b":scheme", b":path")
CONNECTION_FIELDS = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
"""Fields of HTTP/1.1 that say something about a connection; a request with one is malformed."""

_is_name = re.compile(rb"[a-z0-9!#$%&'*+\-.^_`|~]+").fullmatch
_is_no_value = re.compile(rb"[\0\r\n]|\A[ \t]|[ \t]\Z").search
_is_length = re.compile(rb"[0-9]{1,18}").fullmatch


class MalformedRequest(Exception):
    """The request breaks a rule of HTTP."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request's header section. `fields` has the first value of each name."""

    method: bytes
    path: bytes
    fields: dict[bytes, bytes]
    content_length: int | None


def request_of(fields: list[Field]) -> Request:
    """The request that a header list is. Raises MalformedRequest."""
    pseudo: dict[bytes, bytes] = {}
    regular: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] == b":":
            if regular or name not in PSEUDO_FIELDS or name in pseudo:
                raise MalformedRequest
            pseudo[name] = value
        else:
            if _is_name(name) is None or name in CONNECTION_FIELDS:
                raise MalformedRequest
            regular.setdefault(name, value)
        if _is_no_value(value) is not None:
            raise MalformedRequest
    if not all(pseudo.get(name) for name in REQUIRED):
        raise MalformedRequest
    if regular.get(b"te", b"trailers") != b"trailers":
        raise MalformedRequest
    return Request(
        pseudo[b":method"], pseudo[b":path"], regular, _length(regular.get(b"content-length"))
    )


def check_trailers(fields: list[Field]) -> None:
    """What may follow a request's body. Raises MalformedRequest."""
    for name, value in fields:
        if _is_name(name) is None or name in CONNECTION_FIELDS or _is_no_value(value) is not None:
            raise MalformedRequest


def _length(text: bytes | None) -> int | None:
    if text is None:
        return None
    if _is_length(text) is None:
        raise MalformedRequest
    return int(text)
