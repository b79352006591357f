"""Sealed blobs: what comes back is what was stored, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.server.store.codec import COMPRESS_FROM_BYTES, PLAIN, ZSTD, seal, unseal
from perdure.server.store.ports import CorruptBlob


@given(st.binary(max_size=2000))
def test_a_sealed_blob_opens_to_its_content(content: bytes) -> None:
    assert unseal(seal(content)) == content


def test_long_content_is_compressed_when_that_helps() -> None:
    text = b"the same words again and again " * 100
    assert len(text) > COMPRESS_FROM_BYTES
    assert seal(text)[0] == ZSTD
    assert len(seal(text)) < len(text) // 4
    assert seal(text[:100])[0] == PLAIN


@pytest.mark.parametrize("content", [b"short", b"long and plain enough to be compressed " * 40])
def test_a_changed_bit_anywhere_is_noticed(content: bytes) -> None:
    blob = seal(content)
    for place in range(len(blob)):
        for bit in range(8):
            damaged = bytearray(blob)
            damaged[place] ^= 1 << bit
            try:
                opened = unseal(bytes(damaged))
            except CorruptBlob:
                continue
            # Some bits of a compressed frame's header carry no meaning; what counts is the content.
            assert opened == content


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x00\x00\x00\x00", b"\x07\x00\x00\x00\x00abc"])
def test_what_is_no_sealed_blob_is_noticed(blob: bytes) -> None:
    with pytest.raises(CorruptBlob):
        unseal(blob)
