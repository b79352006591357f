"""FarmHash's Fingerprint32: the number by which Temporal's server ramps.

An id must be among the first so many percent on every server that a client may have spoken to
before, so this has to be that function, bit for bit. It is asked once per task of a queue whose
deployment ramps.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_FIRST = 0xCC9E2D51
_SECOND = 0x1B873593
_ADDED = 0xE6546B64
BLOCK_BYTES = 20


def fingerprint32(data: bytes) -> int:
    """The fingerprint of some bytes, 0 to 2 ** 32 - 1."""
    length = len(data)
    if length <= 4:
        return _of_at_most_4(data)
    if length <= 12:
        return _of_at_most_12(data)
    if length <= 24:
        return _of_at_most_24(data)
    return _of_more(data)


def _of_at_most_4(data: bytes) -> int:
    low, high = 0, 9
    for byte in data:
        signed = byte - 256 if byte > 127 else byte
        low = (low * _FIRST + signed) & _MASK
        high ^= low
    return _finish(_mix(low, _mix(len(data), high)))


def _of_at_most_12(data: bytes) -> int:
    length = len(data)
    head = (length + _word(data, 0)) & _MASK
    tail = (length * 5 + _word(data, length - 4)) & _MASK
    middle = (9 + _word(data, (length >> 1) & 4)) & _MASK
    return _finish(_mix(middle, _mix(tail, _mix(head, length * 5))))


def _of_at_most_24(data: bytes) -> int:
    length = len(data)
    half = length >> 1
    before_half, second = _word(data, half - 4), _word(data, 4)
    before_last, behind_half = _word(data, length - 8), _word(data, half)
    first, last = _word(data, 0), _word(data, length - 4)
    found = (behind_half * _FIRST + length) & _MASK
    added = (_turned(before_half, 12) + last) & _MASK
    found = (_mix(before_last, found) + added) & _MASK
    added = (_turned(added, 3) + before_last) & _MASK
    found = (_mix(first, found) + added) & _MASK
    added = (_turned((added + last) & _MASK, 12) + behind_half) & _MASK
    return _finish((_mix(second, found) + added) & _MASK)


def _of_more(data: bytes) -> int:
    length = len(data)
    ends = [_scrambled(_word(data, length - back)) for back in (4, 8, 16, 12, 20)]
    one, two, three = length, (_FIRST * length) & _MASK, (_FIRST * length) & _MASK
    for end in (ends[0], ends[2]):
        one = _stirred(one ^ end)
    for end in (ends[1], ends[3]):
        two = _stirred(two ^ end)
    three = (_turned((three + ends[4]) & _MASK, 19) + 113) & _MASK
    for at in range(0, (length - 1) // BLOCK_BYTES * BLOCK_BYTES, BLOCK_BYTES):
        a, b, c, d, e = (_word(data, at + offset) for offset in range(0, BLOCK_BYTES, 4))
        one, two, three = (one + a) & _MASK, (two + b) & _MASK, (three + c) & _MASK
        one = (_mix(d, one) + e) & _MASK
        two = (_mix(c, two) + a) & _MASK
        three = (_mix((b + e * _FIRST) & _MASK, three) + d) & _MASK
        three = (three + two) & _MASK
        two = (two + three) & _MASK
    for other in (two, three):
        for turns in (11, 17):
            other = (_turned(other, turns) * _FIRST) & _MASK
        one = (_turned((one + other) & _MASK, 19) * 5 + _ADDED) & _MASK
        one = (_turned(one, 17) * _FIRST) & _MASK
    return one


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _turned(value: int, bits: int) -> int:
    return (value >> bits | value << (32 - bits)) & _MASK


def _scrambled(value: int) -> int:
    return (_turned((value * _FIRST) & _MASK, 17) * _SECOND) & _MASK


def _stirred(value: int) -> int:
    return (_turned(value, 19) * 5 + _ADDED) & _MASK


def _mix(value: int, into: int) -> int:
    return _stirred(into ^ _scrambled(value))


def _finish(value: int) -> int:
    value ^= value >> 16
    value = (value * 0x85EBCA6B) & _MASK
    value ^= value >> 13
    value = (value * 0xC2B2AE35) & _MASK
    return value ^ value >> 16
