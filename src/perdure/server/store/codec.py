"""Sealing: each stored blob carries one codec byte and a checksum, verified on every read.

    byte 0      codec: 0 plain, 1 zstd
    bytes 1..4  CRC-32 of the content before compression, little endian
    bytes 5..   the content

Formats only grow: a codec number is never used again for something else.
"""

from __future__ import annotations

import threading
import zlib

import zstandard

from perdure.server.store.ports import CorruptBlob

PLAIN = 0
ZSTD = 1
COMPRESS_FROM_BYTES = 512
"""Below this the gain on disk is less than a row's overhead, and the time is lost on a hot path."""
CONTENT_BYTES_MAX = 256 * 1024 * 1024
"""A length that a damaged blob could claim must not take the memory of the process with it."""

_compressor = zstandard.ZstdCompressor(level=1, write_checksum=False)


class _Decompressors(threading.local):
    """One per thread: it is not safe to share, and readers open blobs in threads of their own."""

    def __init__(self) -> None:
        self.mine = zstandard.ZstdDecompressor()


_decompressors = _Decompressors()


def seal(content: bytes) -> bytes:
    """The blob to store for `content`."""
    checksum = zlib.crc32(content).to_bytes(4, "little")
    if len(content) >= COMPRESS_FROM_BYTES:
        packed = _compressor.compress(content)
        if len(packed) < len(content):
            return b"\x01" + checksum + packed
    return b"\x00" + checksum + content


def unseal(blob: bytes) -> bytes:
    """The content of a stored blob. Raises CorruptBlob when it is damaged."""
    if len(blob) < 5:
        raise CorruptBlob(f"a stored blob of {len(blob)} bytes is too short")
    match blob[0]:
        case 0:
            content = blob[5:]
        case 1:
            try:
                content = _decompress(blob[5:])
            except zstandard.ZstdError as error:
                raise CorruptBlob(f"a stored blob cannot be decompressed: {error}") from error
        case codec:
            raise CorruptBlob(f"a stored blob names codec {codec}, which is unknown here")
    if zlib.crc32(content) != int.from_bytes(blob[1:5], "little"):
        raise CorruptBlob("a stored blob does not match its checksum")
    return content


def _decompress(packed: bytes) -> bytes:
    # `max_output_size` counts only for frames that do not say how long they are; ours do.
    if zstandard.frame_content_size(packed) > CONTENT_BYTES_MAX:
        raise CorruptBlob("a stored blob claims to be longer than any that was ever stored")
    return _decompressors.mine.decompress(packed, max_output_size=CONTENT_BYTES_MAX)
