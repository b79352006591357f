"""What goes to the terminal: rich where somebody looks, plain where a program reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import typer
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.table import Table

from perdure.cli.saying import harmless, harmless_json

PIPE_WIDTH = 10_000
"""Nothing is wrapped or cut for the sake of a terminal that is not there."""


def output() -> Console:
    """Where results go. Whatever is printed there is harmless."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    console.push_render_hook(cast(RenderHook, _Harmless()))
    return console


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
    with console.status(harmless(message), spinner="dots"):
        yield


def print_json(value: Any) -> None:
    """One JSON object on one line."""
    typer.echo(harmless_json(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))


class _Harmless:
    """Sees to it that only rich itself, and no text that it is given, commands the terminal."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """The same, whose texts are harmless."""
        return [_HarmlessRenderable(one) for one in renderables]


class _HarmlessRenderable:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))
