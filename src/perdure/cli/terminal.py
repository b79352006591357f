"""What goes to the terminal: rich where somebody looks, plain where a program reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 10_000
"""Nothing is wrapped or cut for the sake of a terminal that is not there."""


def output() -> Console:
    """Where results go."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def print_table(console: Console, table: Table) -> None:
    """Print a table; for a program, without the blanks that fill its last column."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip(), file=console.file)


@contextmanager
def waiting(message: str) -> Iterator[None]:
    """A spinner while something is waited for, if somebody looks."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        yield
        return
    with console.status(message, spinner="dots"):
        yield


def print_json(value: Any) -> None:
    """One JSON object on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
