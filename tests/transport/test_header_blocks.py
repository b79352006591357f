"""Header blocks: the walk agrees with another implementation, and remembers only what holds."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, HeaderTuple, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from perdure.transport.http2.frames import ConnectionFailed, ErrorCode
from perdure.transport.http2.header_blocks import (
    BlockDecoder,
    Field,
    literal,
    literals,
    status,
)

TEXT = st.binary(max_size=300)
FIELD = st.tuples(st.sampled_from([b"a", b":path", b"content-type", b"grpc-timeout"]) | TEXT, TEXT)
BLOCK = st.tuples(st.lists(st.tuples(FIELD, st.booleans()), max_size=8), st.booleans())


def decoder() -> BlockDecoder[list[Field]]:
    """One that means the fields themselves."""
    return BlockDecoder(lambda fields: fields)


@given(st.lists(st.tuples(BLOCK, st.none() | st.integers(0, 4096)), max_size=20))
def test_any_blocks_of_another_encoder_are_read_as_they_were_meant(
    blocks: list[tuple[tuple[list[tuple[Field, bool]], bool], int | None]],
) -> None:
    encoder, ours = Encoder(), decoder()
    for (fields, huffman), table_bytes in blocks:
        if table_bytes is not None:
            encoder.header_table_size = table_bytes
        tuples = [
            (NeverIndexedHeaderTuple if is_secret else HeaderTuple)(*field)
            for field, is_secret in fields
        ]
        block = encoder.encode(tuples, huffman=huffman)
        assert ours.meaning(block) == [field for field, _ in fields]


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_arbitrary_blocks_are_read_as_another_decoder_reads_them(blocks: list[bytes]) -> None:
    theirs, ours = Decoder(), decoder()
    for block in blocks:
        try:
            expected = [tuple(field) for field in theirs.decode(block, raw=True)]
        except Exception:
            with pytest.raises(ConnectionFailed) as caught:
                ours.meaning(block)
            assert caught.value.code is ErrorCode.COMPRESSION_ERROR
            return
        assert ours.meaning(block) == expected


def test_a_block_that_changes_nothing_is_interpreted_once() -> None:
    interpreted = []

    def interpret(fields: list[Field]) -> int:
        interpreted.append(fields)
        return len(interpreted)

    ours = BlockDecoder(interpret)
    plain = literal(b"a", b"b")
    assert [ours.meaning(plain), ours.meaning(plain)] == [1, 1]
    assert ours.meaning(literal(b"a", b"c")) == 2


def test_a_change_of_the_table_changes_what_a_block_means() -> None:
    ours = decoder()
    ours.meaning(b"\x40\x01a\x01b")
    newest = b"\xbe"
    assert ours.meaning(newest) == ours.meaning(newest) == [(b"a", b"b")]
    ours.skip(b"\x40\x01c\x01d")
    assert ours.meaning(newest) == [(b"c", b"d")]
    # A table without room forgets all.
    ours.meaning(b"\x20")
    with pytest.raises(ConnectionFailed):
        ours.meaning(newest)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5), st.sampled_from([200, 204, 404, 431]))
def test_what_we_encode_is_read_by_another_decoder_on_any_connection(
    fields: list[Field], code: int
) -> None:
    theirs = Decoder()
    block = status(code) + literals(fields)
    for _ in range(2):
        decoded = [tuple(field) for field in theirs.decode(block, raw=True)]
        assert decoded == [(b":status", b"%d" % code), *fields]
