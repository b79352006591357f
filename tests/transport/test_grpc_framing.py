"""gRPC on HTTP/2: heads, messages, statuses."""

from __future__ import annotations

import base64
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.transport.http2.grpc_framing import (
    CallHead,
    MessageReader,
    failure_trailers,
    framed,
    head_of,
    percent_encoded,
    whole_message,
)
from perdure.transport.http2.header_blocks import BlockDecoder, Field
from perdure.transport.http2.requests import Request
from perdure.transport.port import REQUEST_BYTES_MAX, CallFailed, Code


def head(method: bytes = b"POST", **fields: str) -> CallHead:
    """The head of a call with these fields (`_` for `-`)."""
    sent = {b"content-type": b"application/grpc"}
    sent |= {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    return head_of(Request(method, b"/a.Service/echo", sent, None))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3H", 10_800.0), ("2M", 120.0), ("70S", 70.0), ("5m", 0.005), ("7u", 7e-6), ("9n", 9e-9)],
)
def test_a_timeout_has_a_unit(text: str, seconds: float) -> None:
    assert head(grpc_timeout=text).timeout_seconds == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "5", "5s", "-1S", "123456789S", "1.5S"])
def test_another_timeout_is_refused(text: str) -> None:
    refusal = head(grpc_timeout=text).refusal
    assert refusal is not None
    assert refusal.code is Code.INTERNAL


def test_a_timeout_of_years_is_none() -> None:
    assert head(grpc_timeout="99999999H").timeout_seconds is None


@pytest.mark.parametrize("kind", ["application/grpc+proto", "application/grpc;charset=utf-8"])
def test_variants_of_the_media_type_are_grpc(kind: str) -> None:
    assert not head(content_type=kind).http_refusal


def test_other_requests_are_refused_by_http() -> None:
    assert head(content_type="application/grpc-web").http_refusal
    assert head(content_type="text/plain").http_refusal
    assert head(b"GET").http_refusal


def test_an_unknown_encoding_is_unimplemented() -> None:
    refusal = head(grpc_encoding="snappy").refusal
    assert refusal is not None
    assert refusal.code is Code.UNIMPLEMENTED
    assert head(grpc_encoding="gzip").is_gzip


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_messages_are_found_however_a_body_is_cut(
    messages: list[bytes], cuts: st.DataObject
) -> None:
    body = b"".join(framed(message) for message in messages)
    reader = MessageReader(is_gzip=False)
    found: list[bytes] = []
    while body:
        size = cuts.draw(st.integers(1, len(body)))
        found += reader.feed(body[:size])
        body = body[size:]
    assert found == messages
    assert reader.waiting_bytes == 0


def compressed(message: bytes) -> bytes:
    """A message in gzip, as a body carries it."""
    packed = gzip.compress(message, mtime=0)
    return b"\1" + len(packed).to_bytes(4, "big") + packed


def test_a_message_in_gzip_is_unpacked() -> None:
    assert MessageReader(is_gzip=True).feed(compressed(b"text" * 100)) == [b"text" * 100]
    assert whole_message(compressed(b"text" * 100), is_gzip=True) == b"text" * 100


@given(st.binary(max_size=40) | st.binary(max_size=40).map(framed))
def test_a_body_that_is_one_message_is_seen_at_once(body: bytes) -> None:
    whole = whole_message(body, is_gzip=False)
    if whole is not None:
        reader = MessageReader(is_gzip=False)
        assert reader.feed(body) == [whole]
        assert reader.waiting_bytes == 0


@given(st.binary(max_size=40))
def test_each_framed_message_is_a_whole_body(message: bytes) -> None:
    assert whole_message(framed(message), is_gzip=False) == message


def test_a_message_that_unpacks_beyond_the_limit_is_refused() -> None:
    assert MessageReader(is_gzip=True).feed(compressed(bytes(REQUEST_BYTES_MAX)))
    with pytest.raises(CallFailed, match="received message larger than max") as caught:
        MessageReader(is_gzip=True).feed(compressed(bytes(REQUEST_BYTES_MAX + 1)))
    assert caught.value.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("is_gzip", "body"),
    [
        (False, compressed(b"text")),
        (True, b"\1\0\0\0\3abc"),
        (True, compressed(b"text")[:-5].replace(b"\x18", b"\x13", 1)),
        (True, b"\2\0\0\0\0"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(is_gzip: bool, body: bytes) -> None:
    with pytest.raises(CallFailed) as caught:
        MessageReader(is_gzip=is_gzip).feed(body)
    assert caught.value.code is Code.INTERNAL
    if is_gzip and body[0] == 1:
        with pytest.raises(CallFailed, match="failed to decompress"):
            whole_message(body, is_gzip=True)
    else:
        assert whole_message(body, is_gzip=is_gzip) is None


def test_a_message_too_large_is_refused_by_its_length_alone() -> None:
    with pytest.raises(CallFailed) as caught:
        MessageReader(is_gzip=False).feed(b"\0" + (REQUEST_BYTES_MAX + 1).to_bytes(4, "big"))
    assert caught.value.message == "grpc: received message larger than max (4194305 vs. 4194304)"


def test_a_status_message_is_percent_encoded() -> None:
    assert percent_encoded("50% of\n\u00fc") == b"50%25 of%0A%C3%BC"


def test_a_failure_is_told_in_trailers() -> None:
    decoder: BlockDecoder[dict[bytes, bytes]] = BlockDecoder(_as_dict)
    failure = CallFailed(Code.NOT_FOUND, "not here", b"\0\1\2\3")
    fields = decoder.meaning(failure_trailers(failure))
    assert fields == {
        b"grpc-status": b"5",
        b"grpc-message": b"not here",
        b"grpc-status-details-bin": base64.b64encode(b"\0\1\2\3").rstrip(b"="),
    }


def _as_dict(fields: list[Field]) -> dict[bytes, bytes]:
    return dict(fields)
