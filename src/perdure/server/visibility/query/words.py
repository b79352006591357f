"""The words of a text: what a filter on a Text attribute compares."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> tuple[str, ...]:
    """Each word once, in order: letters and digits, without case and accents."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(character)
    )
    return tuple(dict.fromkeys(_WORD.findall(plain)))
