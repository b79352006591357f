"""Comparing run ids with any text, as ranges of their 16 bytes, which an index can find."""

from __future__ import annotations

from perdure.server.visibility.query.tree import (
    Between,
    Compare,
    Comparison,
    OneOf,
    StartsWith,
)

Range = tuple[bytes | None, bytes | None]
"""From the first, and below the second; None is no bound."""

_DIGITS = "0123456789abcdef"
_DASHES = frozenset((8, 13, 18, 23))
_LENGTH = 36
_AFTER_ALL = "g"
RANGES_MAX = 50


def ranges(part: Compare | OneOf | Between | StartsWith) -> list[Range] | None:
    """The ranges in which a part about run ids is true; None when they are too many."""
    match part:
        case Compare(_, comparison, value):
            return _compared(comparison, str(value))
        case OneOf(_, values, negated):
            if negated or len(values) > RANGES_MAX:
                return None
            return [_between(value, f"{value}\0") for value in sorted({str(one) for one in values})]
        case Between(_, low, high, negated):
            return _in_or_out(_between(str(low), f"{high}\0"), negated)
        case StartsWith(_, prefix, negated):
            return _in_or_out(_between(prefix, prefix + "\U0010ffff"), negated)


def _compared(comparison: Comparison, text: str) -> list[Range]:
    at, after = first_from(text), first_from(f"{text}\0")
    match comparison:
        case Comparison.EQUAL:
            return [_between(text, f"{text}\0")]
        case Comparison.UNEQUAL:
            return _outside(_between(text, f"{text}\0"))
        case Comparison.LESS:
            return [(None, at)]
        case Comparison.AT_MOST:
            return [(None, after)]
        case Comparison.MORE:
            return [_from(after)]
        case Comparison.AT_LEAST:
            return [_from(at)]


def _between(low: str, high: str) -> Range:
    from_, below = first_from(low), first_from(high)
    if from_ is None:
        return _NOTHING
    return (from_, below)


_NOTHING: Range = (b"\1", b"\0")


def _in_or_out(inner: Range, negated: bool) -> list[Range]:
    return _outside(inner) if negated else [inner]


def _from(low: bytes | None) -> Range:
    return _NOTHING if low is None else (low, None)


def _outside(inner: Range) -> list[Range]:
    low, high = inner
    if low is not None and high is not None and low >= high:
        return [(None, None)]
    return [(None, low), _from(high)]


def first_from(text: str) -> bytes | None:
    """The first run id whose text is not below `text`; None when all are."""
    place = 0
    while place < _LENGTH and place < len(text) and _allowed(place, text[place]):
        place += 1
    if place == len(text) and place <= _LENGTH:
        return _filled(text)
    # The text parts from all ids at `place`: there a greater character, or an earlier one raised.
    wanted = text[place] if place < _LENGTH else _AFTER_ALL
    while True:
        above = _above(place, wanted) if place < _LENGTH else None
        if above is not None:
            return _filled(text[:place] + above)
        place -= 1
        if place < 0:
            return None
        wanted = text[place]


def _allowed(place: int, character: str) -> bool:
    return character == "-" if place in _DASHES else character in _DIGITS


def _above(place: int, character: str) -> str | None:
    """The first character above this one that may stand at a place."""
    choices = "-" if place in _DASHES else _DIGITS
    return next((choice for choice in choices if choice > character), None)


def _filled(prefix: str) -> bytes:
    return bytes.fromhex(prefix.replace("-", "").ljust(32, "0"))
