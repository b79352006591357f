"""The words of a text: what a filter on a Text attribute compares, and patterns of words."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_PATTERN = re.compile(r"(?:[^\W_]|[%_])+")


def words_of(text: str) -> tuple[str, ...]:
    """Each word once, in order: letters and digits, without case and accents."""
    return tuple(dict.fromkeys(_WORD.findall(_plain(text))))


def pattern_of(text: str) -> str | None:
    """A pattern without case and accents; None when it could not be that of a single word."""
    plain = _plain(text)
    return plain if _PATTERN.fullmatch(plain) else None


def is_like(word: str, pattern: str) -> bool:
    """Whether a word is like a pattern, as SQL has it, in steps of at most the product of both
    lengths."""
    place = taken = 0
    retry, retried = -1, 0
    while taken < len(word):
        here = pattern[place] if place < len(pattern) else ""
        if here == "%":
            retry, retried = place, taken
            place += 1
        elif here and here in ("_", word[taken]):
            place += 1
            taken += 1
        elif retry >= 0:
            retried += 1
            place, taken = retry + 1, retried
        else:
            return False
    return not pattern[place:].strip("%")


def _plain(text: str) -> str:
    return "".join(
        character
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(character)
    )
