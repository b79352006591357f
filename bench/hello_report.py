"""Shows what hellos cost in every home, and how our own homes stand to their goals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.goals import Goal
from bench.hellos import EMBEDDED, SESSION, UNARY
from bench.results import HelloPhaseResult, HelloResult

CPU_GOALS: Final = ((EMBEDDED, 0.65), (SESSION, 1.0), (UNARY, 2.4))
WORKER_CPU_GOALS: Final = ((SESSION, 0.4), (UNARY, 0.9))
P50_GOALS: Final = ((EMBEDDED, 2.0), (SESSION, 4.0))
FIRST_RESULT_GOALS: Final = ((EMBEDDED, 400.0),)


def hello_goals(results: Sequence[HelloResult]) -> list[Goal]:
    """The goals: CPU where most run at once, latency where one runs at a time."""
    found = {result.home: result for result in results}
    goals = []
    for home, limit in CPU_GOALS:
        phase = _phase(found.get(home), -1)
        measured = phase.total_cpu_ms if phase else None
        goals.append(Goal(f"CPU per hello: {home}", limit, "ms", measured))
    for home, limit in WORKER_CPU_GOALS:
        phase = _phase(found.get(home), -1)
        measured = phase.cpu_ms.get("worker") if phase else None
        goals.append(Goal(f"worker CPU per hello: {home}", limit, "ms", measured))
    for home, limit in P50_GOALS:
        phase = _phase(found.get(home), 0)
        measured = phase.load.p50_ms if phase else None
        goals.append(Goal(f"p50, one at a time: {home}", limit, "ms", measured))
    for home, limit in FIRST_RESULT_GOALS:
        times = found[home].first_result_ms if home in found else []
        measured = min(times) if times else None
        goals.append(Goal(f"start to first result: {home}", limit, "ms", measured))
    return goals


def _phase(result: HelloResult | None, place: int) -> HelloPhaseResult | None:
    """A phase without failures; one with failures says nothing about what success costs."""
    if result is None or not result.phases:
        return None
    phase = result.phases[place]
    return None if phase.load.failures else phase


def print_hellos(console: Console, results: Sequence[HelloResult]) -> None:
    """The table, the first results, and what is missing or went wrong."""
    console.print(_phase_table(results))
    console.print(_first_table(results))
    for result in results:
        if result.missing:
            console.print(f"{result.home}: not installed; {result.missing}", markup=False)
        if result.error:
            console.print(f"{result.home}: {result.error}", style="red", markup=False)
        for phase in result.phases:
            if phase.load.failures:
                text = f"{result.home}: {phase.load.first_failure}"
                console.print(text, style="red", markup=False)
        for example in result.audit.examples if result.audit else ():
            console.print(f"{result.home}: {example}", style="red", markup=False)


def _phase_table(results: Sequence[HelloResult]) -> Table:
    table = Table(title="Hello in every home (CPU in ms per workflow)", title_justify="left")
    table.add_column("home")
    for column in ("at once", "runs", "failed", "per s", "p50 ms", "p99 ms", "CPU"):
        table.add_column(column, justify="right")
    table.add_column("of which")
    table.add_column("reference ms", justify="right")
    for result in results:
        for phase in result.phases:
            load = phase.load
            parts = " ".join(f"{name} {value:.2f}" for name, value in phase.cpu_ms.items())
            table.add_row(
                result.home,
                str(phase.concurrency),
                f"{load.workflows:,}",
                str(load.failures),
                f"{phase.per_second:,.0f}",
                f"{load.p50_ms:,.1f}",
                f"{load.p99_ms:,.1f}",
                f"{phase.total_cpu_ms:.2f}",
                parts,
                f"{phase.reference_cpu_ms:.0f}",
            )
        table.add_section()
    return table


def _first_table(results: Sequence[HelloResult]) -> Table:
    table = Table(title="First result since process start, and the audit", title_justify="left")
    table.add_column("home")
    for column in ("best ms", "all ms", "runs read", "H1", "H2", "H3"):
        table.add_column(column, justify="right")
    for result in results:
        times, audit = result.first_result_ms, result.audit
        table.add_row(
            result.home,
            f"{min(times):.0f}" if times else "",
            " ".join(f"{value:.0f}" for value in times),
            f"{audit.runs:,}" if audit else "",
            *(str(audit.violations[name]) if audit else "" for name in ("H1", "H2", "H3")),
        )
    return table
