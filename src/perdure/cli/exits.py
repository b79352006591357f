"""How a command ends: 0 done, 1 refused or failed, 2 misused, 130 interrupted."""

from __future__ import annotations

from typing import NoReturn

import typer

REFUSED = 1
MISUSED = 2
INTERRUPTED = 130


def fail(message: str, code: int = REFUSED) -> NoReturn:
    """End the command with one line that says what was wrong and what to do."""
    typer.echo(f"perdure: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)
