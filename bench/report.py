"""Shows results: tables for people, one JSON object for programs, and a verdict on each goal."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.goals import Goal
from bench.hello_report import hello_goals, print_hellos
from bench.plan import Plan
from bench.replays import ReplayResult, replay_goals
from bench.results import HelloResult, PeerResult, WorkloadResult
from bench.worker import CONCURRENT_TASKS_MAX, POLLERS
from bench.yardstick import yardsticks

MEBIBYTE: Final = 1024 * 1024


def print_report(
    console: Console,
    results: Sequence[PeerResult],
    hellos: Sequence[HelloResult],
    replays: ReplayResult | None,
) -> None:
    """Print every table that has something to show."""
    for build in (
        _start_up_table,
        _load_table,
        _space_table,
        _audit_table,
        _long_poll_table,
    ):
        table = build(results)
        if table.row_count:
            console.print(table)
    _print_problems(console, results)
    if hellos:
        print_hellos(console, hellos)
    every = [*goals(results), *hello_goals(hellos), *replay_goals(replays)]
    console.print(_goal_table(every))
    for found in yardsticks(results, hellos):
        console.print(
            f"{found.peer}: {found.there_ms:g} ms of CPU per hello where the goals were set, "
            f"{found.here_ms:.1f} here: {found.ratio:.1f} times as much",
            markup=False,
        )


def write_json(
    path: Path,
    plan: Plan,
    results: Sequence[PeerResult],
    hellos: Sequence[HelloResult],
    replays: ReplayResult | None,
) -> None:
    """Write all numbers, with the machine and the settings that they belong to."""
    document = {
        "machine": {
            "processors": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "settings": {
            "worker_concurrent_tasks": CONCURRENT_TASKS_MAX,
            "worker_pollers": POLLERS,
            "worker_sandbox": False,
        },
        "plan": asdict(plan),
        "peers": [asdict(result) for result in results],
        "hellos": [asdict(result) for result in hellos],
        "replays": None if replays is None else asdict(replays),
        "yardsticks": [asdict(found) for found in yardsticks(results, hellos)],
        "goals": [
            asdict(goal) | {"verdict": goal.verdict}
            for goal in (*goals(results), *hello_goals(hellos), *replay_goals(replays))
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def goals(results: Sequence[PeerResult]) -> list[Goal]:
    """The goals, measured on our server with a file and (for the CPU) the most concurrent phase."""
    ours = next((result for result in results if result.whose == "ours" and result.on_disk), None)
    hello = _workload(ours, "hello") if ours else None
    polls = ours.long_polls if ours else None
    unanswered = None
    if polls is not None:
        distinct = polls.client.answered - polls.client.duplicates
        unanswered = float(polls.client.polls - distinct)
    return [
        Goal(
            "server CPU per hello",
            1.3,
            "ms",
            hello.phases[-1].server_cpu_ms if hello and hello.phases else None,
        ),
        Goal(
            "bytes on disk per hello",
            2_200,
            "bytes",
            hello.disk.bytes_per_workflow if hello and hello.disk else None,
        ),
        Goal("parked polls left without a task", 0, "polls", unanswered),
        Goal("start-up", 500, "ms", min(ours.start_up_ms) if ours and ours.start_up_ms else None),
    ]


def _workload(result: PeerResult, name: str) -> WorkloadResult | None:
    return next((found for found in result.workloads if found.workload == name), None)


def _table(title: str, *columns: str) -> Table:
    """A table whose first column is text and the others numbers."""
    table = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position else "left")
    return table


def _start_up_table(results: Sequence[PeerResult]) -> Table:
    table = _table(
        "Start-up: process start to GetSystemInfo", "peer", "version", "best ms", "all ms"
    )
    for result in results:
        if result.start_up_ms:
            every = " ".join(f"{value:.0f}" for value in result.start_up_ms)
            table.add_row(result.peer, result.version, f"{min(result.start_up_ms):.0f}", every)
    return table


def _load_table(results: Sequence[PeerResult]) -> Table:
    table = _table(
        "Workflows (CPU in ms per workflow)",
        "peer",
        "workload",
        "at once",
        "workflows",
        "failed",
        "per s",
        "p50 ms",
        "p99 ms",
        "server",
        "worker",
        "client",
    )
    for result in results:
        for workload in result.workloads:
            for phase in workload.phases:
                load = phase.load
                table.add_row(
                    result.peer,
                    workload.workload,
                    str(phase.concurrency),
                    f"{load.workflows:,}",
                    str(load.failures),
                    f"{phase.per_second:,.0f}",
                    f"{load.p50_ms:,.1f}",
                    f"{load.p99_ms:,.1f}",
                    f"{phase.server_cpu_ms:.2f}",
                    f"{phase.worker_cpu_ms:.2f}",
                    f"{phase.client_cpu_ms:.2f}",
                )
        table.add_section()
    return table


def _space_table(results: Sequence[PeerResult]) -> Table:
    table = _table(
        "The server's memory at most, and its bytes on disk after a checkpoint",
        "peer",
        "workload",
        "workflows",
        "MiB of memory",
        "bytes on disk",
        "of it empty",
        "per workflow",
    )
    for result in results:
        for workload in result.workloads:
            disk = workload.disk
            table.add_row(
                result.peer,
                workload.workload,
                f"{workload.workflows:,}",
                f"{workload.resident_max_bytes / MEBIBYTE:,.0f}",
                f"{disk.total_bytes:,}" if disk else "",
                f"{disk.empty_bytes:,}" if disk else "",
                f"{disk.bytes_per_workflow:,.0f}" if disk else "",
            )
    return table


def _audit_table(results: Sequence[PeerResult]) -> Table:
    table = _table(
        "Audit (violations)", "peer", "workload", "runs", "events", "seconds", "H1", "H2", "H3"
    )
    for result in results:
        for workload in result.workloads:
            if (audit := workload.audit) is not None:
                table.add_row(
                    result.peer,
                    workload.workload,
                    f"{audit.runs:,}",
                    f"{audit.events:,}",
                    f"{audit.seconds:.1f}",
                    *(_count(audit.violations[invariant]) for invariant in ("H1", "H2", "H3")),
                )
    return table


def _count(violations: int) -> str:
    return f"[red]{violations:,}[/]" if violations else "[green]0[/]"


LONG_POLL_ROWS: Final[tuple[tuple[str, Callable[[Any], str]], ...]] = (
    ("polls", lambda r: f"{r.client.polls:,}"),
    ("burst read by the server, s", lambda r: f"{r.client.park_seconds:.2f}"),
    ("ended while parking", lambda r: f"{r.client.ended_while_parking:,}"),
    ("server MiB before", lambda r: f"{r.resident_before_bytes / MEBIBYTE:,.0f}"),
    ("server MiB parked", lambda r: f"{r.resident_parked_bytes / MEBIBYTE:,.0f}"),
    (
        "KiB per parked poll",
        lambda r: (
            f"{(r.resident_parked_bytes - r.resident_before_bytes) / 1024 / r.client.polls:.1f}"
        ),
    ),
    ("server CPU of parking, ms", lambda r: f"{r.server_cpu_parking_ms:,.0f}"),
    ("server CPU while parked, ms per s", lambda r: f"{r.server_cpu_parked_ms_per_second:,.1f}"),
    ("workflows started", lambda r: f"{r.client.started:,}"),
    ("polls answered with a task", lambda r: f"{r.client.answered:,}"),
    ("of those, tasks seen twice", lambda r: f"{r.client.duplicates:,}"),
    ("polls that expired", lambda r: f"{r.client.expired:,}"),
    ("polls that failed", lambda r: f"{r.client.failed:,}"),
    ("first start to last answer, s", lambda r: f"{r.client.answer_seconds:.2f}"),
    ("server CPU of starts and answers, ms", lambda r: f"{r.server_cpu_answering_ms:,.0f}"),
    ("server max MiB", lambda r: f"{r.resident_max_bytes / MEBIBYTE:,.0f}"),
)


def _long_poll_table(results: Sequence[PeerResult]) -> Table:
    measured = [result for result in results if result.long_polls is not None]
    table = _table("Parked long polls", "", *(result.peer for result in measured))
    if measured:
        for title, show in LONG_POLL_ROWS:
            table.add_row(title, *(show(result.long_polls) for result in measured))
    return table


def _goal_table(every: Sequence[Goal]) -> Table:
    table = _table("Goals", "goal", "at most", "measured", "")
    colours = {"met": "green", "missed": "red", "not measured": "yellow"}
    for goal in every:
        table.add_row(
            goal.title,
            f"{goal.limit:,g} {goal.unit}",
            "" if goal.measured is None else f"{goal.measured:,.2f}",
            f"[{colours[goal.verdict]}]{goal.verdict}[/]",
        )
    return table


def _print_problems(console: Console, results: Sequence[PeerResult]) -> None:
    """Name what went wrong, since the tables only count it."""
    for result in results:
        if result.error:
            console.print(f"{result.peer}: {result.error}", style="red", markup=False)
        for workload in result.workloads:
            for phase in workload.phases:
                if phase.load.failures:
                    text = f"{result.peer}, {workload.workload}: {phase.load.first_failure}"
                    console.print(text, style="red", markup=False)
            for example in workload.audit.examples if workload.audit else ():
                console.print(f"{result.peer}: {example}", style="red", markup=False)
        if result.long_polls and result.long_polls.client.first_failure:
            text = f"{result.peer}, long polls: {result.long_polls.client.first_failure}"
            console.print(text, style="red", markup=False)
