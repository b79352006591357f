"""Header blocks (HPACK, RFC 7541): what peers send, decoded; what we send, encoded.

The table and the Huffman code are those of the `hpack` package. The walk over a block is our own
for one reason: a client sends nearly the same blocks over and over, and whoever walks knows whether
a block changed the table. One that did not means the same the next time, until another does, so
its meaning is remembered by its bytes.

What we send uses nothing but the static table and literals that enter no table: a block of ours is
the same bytes on every connection, at any time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from perdure.transport.http2.frames import ConnectionFailed, ErrorCode

Field = tuple[bytes, bytes]
Meaning = TypeVar("Meaning")

TABLE_BYTES = HeaderTable.DEFAULT_SIZE
"""The size of the dynamic table that a peer may use: the protocol's default."""
LIST_BYTES_MAX = 16 * 1024
"""Names and values of one request, with 32 bytes for each, as the protocol counts them."""
FIELD_OVERHEAD_BYTES = 32
REMEMBERED_BLOCKS_MAX = 1000
REMEMBERED_STRINGS_MAX = 1000
INTEGER_BYTES_MAX = 5


class HeaderListTooLarge(Exception):
    """The header list is larger than this server accepts."""


class BlockDecoder(Generic[Meaning]):
    """One direction of one connection: its table, and what its blocks mean.

    `interpret` makes of the fields what the caller wants of them; what it raises passes through,
    and is not remembered.
    """

    def __init__(self, interpret: Callable[[list[Field]], Meaning]) -> None:
        self._interpret = interpret
        self._table = HeaderTable()
        self._meanings: dict[bytes, Meaning] = {}
        self._strings: dict[bytes, bytes] = {}

    def meaning(self, block: bytes) -> Meaning:
        """What a block means.

        Raises ConnectionFailed for one that cannot be decoded, and HeaderListTooLarge.
        """
        known = self._meanings.get(block)
        if known is not None:
            return known
        fields, is_repeatable = self._decode(block)
        if not is_repeatable:
            self._meanings.clear()
        meaning = self._interpret(fields)
        if is_repeatable:
            if len(self._meanings) >= REMEMBERED_BLOCKS_MAX:
                self._meanings.clear()
            self._meanings[block] = meaning
        return meaning

    def fields(self, block: bytes) -> list[Field]:
        """The fields of a block that is no request.

        Raises ConnectionFailed for one that cannot be decoded, and HeaderListTooLarge.
        """
        fields, is_repeatable = self._decode(block)
        if not is_repeatable:
            self._meanings.clear()
        return fields

    def skip(self, block: bytes) -> None:
        """Take note of what a block does to the table. Raises ConnectionFailed."""
        with contextlib.suppress(HeaderListTooLarge):
            self.fields(block)

    def _decode(self, block: bytes) -> tuple[list[Field], bool]:
        try:
            return self._walk(block)
        except (HPACKError, IndexError) as error:
            raise ConnectionFailed(ErrorCode.COMPRESSION_ERROR, "bad header block") from error

    def _walk(self, block: bytes) -> tuple[list[Field], bool]:
        """The fields, and whether the block left the table as it was."""
        table = self._table
        fields: list[Field] = []
        list_bytes = position = 0
        is_repeatable = True
        end = len(block)
        while position < end:
            first = block[position]
            if first & 0x80:
                index, position = _integer(block, position, 0x7F)
                field = table.get_by_index(index)
            elif first & 0x40:
                field, position = self._literal(block, position, 0x3F)
                table.add(*field)
                is_repeatable = False
            elif first & 0x20:
                position = self._resize(block, position, is_first=not list_bytes)
                is_repeatable = False
                continue
            else:
                field, position = self._literal(block, position, 0x0F)
            list_bytes += len(field[0]) + len(field[1]) + FIELD_OVERHEAD_BYTES
            # Beyond the limit nothing is kept, but the table must go on as the peer's does.
            if list_bytes <= LIST_BYTES_MAX:
                fields.append(field)
        if list_bytes > LIST_BYTES_MAX:
            self._meanings.clear()
            raise HeaderListTooLarge
        return fields, is_repeatable

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[Field, int]:
        if block[position] & mask:
            index, position = _integer(block, position, mask)
            name = self._table.get_by_index(index)[0]
        else:
            name, position = self._string(block, position + 1)
        value, position = self._string(block, position)
        return (name, value), position

    def _string(self, block: bytes, position: int) -> tuple[bytes, int]:
        is_huffman = block[position] & 0x80
        size, position = _integer(block, position, 0x7F)
        end = position + size
        if end > len(block):
            raise IndexError
        text = block[position:end]
        return (self._plain(text) if is_huffman else text), end

    def _plain(self, text: bytes) -> bytes:
        plain = self._strings.get(text)
        if plain is None:
            if len(self._strings) >= REMEMBERED_STRINGS_MAX:
                self._strings.clear()
            plain = self._strings[text] = bytes(decode_huffman(text))
        return plain

    def _resize(self, block: bytes, position: int, *, is_first: bool) -> int:
        size, position = _integer(block, position, 0x1F)
        if size > TABLE_BYTES or not is_first:
            raise HPACKError
        self._table.maxsize = size
        return position


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """A number in the low bits of an octet, and in further octets when they are all set."""
    number = block[position] & mask
    position += 1
    if number < mask:
        return number, position
    for count in range(INTEGER_BYTES_MAX):
        octet = block[position]
        position += 1
        number += (octet & 0x7F) << (7 * count)
        if octet < 0x80:
            return number, position
    raise HPACKError


STATUS_200 = b"\x88"
"""`:status: 200`, an entry of the static table."""
STATUS_NAME_INDEX = b"\x08"
"""A literal whose name is that of static entry 8."""


def literal(name: bytes, value: bytes) -> bytes:
    """A field that enters no table."""
    return b"\x00" + _length(name) + name + _length(value) + value


def literals(fields: Iterable[Field]) -> bytes:
    """Fields that enter no table."""
    return b"".join(literal(name, value) for name, value in fields)


def status(code: int) -> bytes:
    """The field that a response begins with."""
    if code == 200:
        return STATUS_200
    value = b"%d" % code
    return STATUS_NAME_INDEX + _length(value) + value


def _length(text: bytes) -> bytes:
    size = len(text)
    if size < 0x7F:
        return bytes((size,))
    encoded = bytearray((0x7F,))
    size -= 0x7F
    while size >= 0x80:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded)
