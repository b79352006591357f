"""What a person reads of a run of many programs: differences, and how often what occurred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.differential.compare import Difference
from tests.differential.coverage import NEVER, wanted
from tests.differential.program import script


def report(console: Console, difference: Difference) -> None:
    """The program, how to run it again, its histories side by side, and all that differs."""
    program = difference.program
    console.rule(f"{program.kind}, seed {program.seed}")
    console.print(f"again: {program.command}")
    _print(console, script(program))
    for name in sorted({*difference.real, *difference.ours}):
        real, ours = difference.real.get(name), difference.ours.get(name)
        if real != ours and name.startswith("history of "):
            console.print(_side_by_side(name, real or [], ours or []))
    _print(console, difference.diff)


def summary(console: Console, counts: Mapping[str, int], kind: str = "") -> list[str]:
    """How often each thing occurred; returns what never did, though it must."""
    names = sorted({*wanted(kind), *counts})
    table = Table(title="What occurred, on the real server")
    table.add_column("what", no_wrap=True)
    table.add_column("times", justify="right")
    for name in names:
        table.add_row(name.replace("_", " "), str(counts.get(name, 0)))
    console.print(table)
    missing = [name for name in wanted(kind) if not counts.get(name)]
    _print(console, f"never occurred, though it must: {', '.join(missing) or 'nothing'}")
    _print(console, f"cannot occur: {', '.join(_by_reason(NEVER))}")
    return missing


def _by_reason(reasons: Mapping[str, str]) -> Iterator[str]:
    for reason, count in Counter(reasons.values()).items():
        names = [name for name in reasons if reasons[name] == reason]
        yield f"{names[0]} ({reason})" if count == 1 else f"{count} names ({reason})"


def _side_by_side(name: str, real: list[Any], ours: list[Any]) -> Table:
    """The events of both in one line each, marked where they differ."""
    table = Table(title=name, title_justify="left", show_edge=False)
    for header in ("", "the real server", "our server"):
        table.add_column(header, overflow="fold")
    left, right = list(_events(real)), list(_events(ours))
    for index in range(max(len(left), len(right))):
        cells = [each[index] if index < len(each) else ("", None) for each in (left, right)]
        mark = "" if cells[0] == cells[1] else "≠"
        table.add_row(mark, cells[0][0], cells[1][0])
    return table


def _events(history: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """A title for each event, and the event."""
    for entry in history:
        if isinstance(entry, list):
            yield from _events(entry)
        elif "race" in entry:
            yield "(a race, as a set:)", None
            yield from _events(entry["race"])
            yield "(the race is over)", None
        else:
            kind = str(entry["event_type"]).removeprefix("EVENT_TYPE_")
            number = str(entry["event_id"])
            is_named = not number.isdigit() and not number.startswith("race")
            yield number if is_named else f"{number} {kind}", entry


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
