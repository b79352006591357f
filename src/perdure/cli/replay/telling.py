"""Says what came of the histories: for people with a progress bar, for programs as JSON."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from perdure.cli.replay.code import Problem, Result
from perdure.cli.replay.running import Tried
from perdure.cli.terminal import output, print_json


class Teller(Protocol):
    """Who says it."""

    def begin(self, total: int | None) -> None:
        """There will be so many; None: nobody knows yet."""

    def of(self, result: Result) -> None:
        """One more has been tried."""

    def finish(self, tried: Tried) -> None:
        """All have been tried."""


def teller(*, as_json: bool, everything: bool) -> Teller:
    """Who tells."""
    return _Programs() if as_json else _People(everything=everything)


class _Programs:
    """One JSON object per history and line."""

    def begin(self, total: int | None) -> None:
        pass

    def of(self, result: Result) -> None:
        print_json(result.as_json())

    def finish(self, tried: Tried) -> None:
        pass


class _People:
    """What does not fit, and how many do."""

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._out = output()
        errors = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._progress = Progress(
            TextColumn("replaying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=errors,
            transient=True,
            disable=not errors.is_terminal,
        )
        self._bar = self._progress.add_task("replaying", total=None)

    def begin(self, total: int | None) -> None:
        self._progress.start()
        self._progress.update(self._bar, total=total)

    def of(self, result: Result) -> None:
        self._progress.advance(self._bar)
        if result.problem is not None:
            self._progress.stop()
            self._tell_problem(result, result.problem)
            self._progress.start()
        elif self._everything:
            took = f"{result.events} events, {result.seconds * 1000:.0f} ms"
            line = f"fits    {result.workflow_type} {result.source} ({took})"
            self._out.print(line, soft_wrap=True)

    def _tell_problem(self, result: Result, problem: Problem) -> None:
        say = self._out.print
        say(f"FAILS   {result.workflow_type} {result.source}", style="bold red", soft_wrap=True)
        for line in lines_of(problem):
            say(f"        {line}", soft_wrap=True)
        say()

    def finish(self, tried: Tried) -> None:
        self._progress.stop()
        skipped = f", {tried.skipped} skipped" if tried.skipped else ""
        fail = f", {tried.bad} {'does' if tried.bad == 1 else 'do'} not" if tried.bad else ""
        fit = f"{tried.good} {'fits' if tried.good == 1 else 'fit'}"
        count = tried.good + tried.bad + tried.skipped
        histories = "1 history" if count == 1 else f"{count} histories"
        self._out.print(f"{histories}: {fit}{fail}{skipped}")


def lines_of(problem: Problem) -> list[str]:
    """What to say of a problem."""
    lines = problem.message.splitlines()
    if problem.event:
        lines.append(f"history: {problem.event}")
        lines.append(f"code:    {problem.command or 'no command'}")
    if problem.place is not None:
        place = problem.place
        word = "at:      " if problem.command or not problem.event else "waits:   "
        lines.append(f"{word}{place.file}:{place.line} in {place.function}: {place.source}")
    lines += [f"changed: {change}" for change in problem.changes]
    return lines
