"""How a command ends: 0 done, 1 refused or failed, 2 misused, 130 interrupted."""

from __future__ import annotations

from typing import NoReturn

import typer

from perdure.cli.saying import say

REFUSED = 1
MISUSED = 2
INTERRUPTED = 130


def fail(message: str, code: int = REFUSED) -> NoReturn:
    """End the command with one line that says what was wrong and what to do."""
    say(f"perdure: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)
