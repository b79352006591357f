"""FarmHash's Fingerprint32 of texts that are longer than 24 bytes: the published function, which is
the same for ever. The real server takes the jitter of schedules from it, and so do we."""

from __future__ import annotations

LENGTH_MIN = 25
_MASK = 0xFFFFFFFF
_C1 = 0xCC9E2D51
_C2 = 0x1B873593
_ADDED = 0xE6546B64


def fingerprint32(content: bytes) -> int:
    """32 bits that depend on all of `content`, which has at least 25 bytes."""
    length = len(content)
    assert length >= LENGTH_MIN, "shorter texts have other functions"
    h, g = length, _C1 * length & _MASK
    f = g
    h = _stir(h ^ _mixed(_word(content, length - 4)))
    h = _stir(h ^ _mixed(_word(content, length - 16)))
    g = _stir(g ^ _mixed(_word(content, length - 8)))
    g = _stir(g ^ _mixed(_word(content, length - 12)))
    f = _rotate(f + _mixed(_word(content, length - 20)) & _MASK, 19) + 113
    for start in range(0, (length - 1) // 20 * 20, 20):
        a, b, c, d, e = (_word(content, start + offset) for offset in (0, 4, 8, 12, 16))
        h, g, f = (h + a) & _MASK, (g + b) & _MASK, (f + c) & _MASK
        h = (_murmur(d, h) + e) & _MASK
        g = (_murmur(c, g) + a) & _MASK
        f = (_murmur(b + e * _C1, f) + d) & _MASK
        f = (f + g) & _MASK
        g = (g + f) & _MASK
    g = _rotate(_rotate(g, 11) * _C1 & _MASK, 17) * _C1 & _MASK
    f = _rotate(_rotate(f, 11) * _C1 & _MASK, 17) * _C1 & _MASK
    h = _rotate(_stir(h + g & _MASK), 17) * _C1 & _MASK
    return _rotate(_stir(h + f & _MASK), 17) * _C1 & _MASK


def _word(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "little")


def _rotate(value: int, places: int) -> int:
    """To the right, in 32 bits."""
    return (value >> places | value << (32 - places)) & _MASK


def _mixed(value: int) -> int:
    return _rotate(value * _C1 & _MASK, 17) * _C2 & _MASK


def _stir(value: int) -> int:
    return (_rotate(value & _MASK, 19) * 5 + _ADDED) & _MASK


def _murmur(value: int, into: int) -> int:
    return _stir(into ^ _mixed(value & _MASK))
