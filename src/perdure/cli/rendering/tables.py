"""Pairs and rows for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from perdure.cli.terminal import output, print_table


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and what they are, one a line; what is empty is left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value not in ("", None):
            table.add_row(name, Text(str(value)))
    print_table(output(), table)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with a head."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    print_table(output(), table)
