"""Text for people, from whoever it may come: nothing in it reaches the terminal as a command.

Ids, memos, reasons and messages are chosen by others. A terminal that is given them as they are
would obey what is in them: clear itself, rename its window, show one text for another.
"""

from __future__ import annotations

from typing import Final

import typer

CONTROL_PICTURES: Final = 0x2400
"""Where Unicode has a picture of each control character."""
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
DELETE: Final = 0x7F
SECOND_SET: Final = range(0x80, 0xA0)
"""Control characters too; the one at 0x9b begins an escape sequence by itself."""
DIRECTIONS: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""They let a text be read in another order than it has."""
KEPT: Final = "\n\t"

_PICTURES: Final = {
    **{code: chr(CONTROL_PICTURES + code) for code in range(0x20) if chr(code) not in KEPT},
    DELETE: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys((*SECOND_SET, *DIRECTIONS), REPLACEMENT),
}
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in (DELETE, *SECOND_SET, *DIRECTIONS)}


def harmless(text: str) -> str:
    """The text with a picture in place of each character that a terminal would obey."""
    return text.translate(_PICTURES)


def harmless_json(text: str) -> str:
    """The same JSON, whose texts have no character that a terminal would obey."""
    return text.translate(_ESCAPES)


def say(text: object = "", *, err: bool = False) -> None:
    """Print a text, harmless."""
    typer.echo(harmless(str(text)), err=err)
