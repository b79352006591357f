"""`python -m bench.visibility`: find runs among a million on SQLite, and print how long it takes.

First pages of every indexed filter, alone and with a status, in a list's own order and by start
time; pages far down; counts by status; and what all that does to commits meanwhile.
Exit code 0 whatever the numbers are: this is a measurement, not a test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBars
from rich.table import Table

from bench.executions import (
    BEGAN_NS,
    CUSTOM,
    CUSTOM_TIMES,
    NAMESPACE,
    SHARD,
    STEP_NS,
    close_of,
    execution,
    fill,
    run_id,
    start_of,
)
from bench.goals import Goal
from perdure.server.machines.search_attributes import (
    BOOL,
    DATETIME,
    INT,
    KEYWORD,
    CustomAttribute,
)
from perdure.server.store.codec import seal
from perdure.server.store.ports import Commit, Fence, Store, VisibilityCursor
from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from perdure.server.visibility.query.binding import understand
from perdure.server.visibility.query.tree import Query

EXECUTIONS: Final = 1_000_000
PAGE: Final = 100
TIMES: Final = 5
DEEP_PAGES: Final = 300
COMMITS: Final = 100
SLICES: Final = 8
PAGE_GOAL_MS: Final = 20.0
COUNT_GOAL_MS: Final = 100.0
COMMIT_GOAL_MS: Final = 2.0
PLAIN_WIDTH: Final = 120
SWITCH_SECONDS: Final = 0.0005
"""As in an engine: so that who waits for the disk goes on soon."""

TYPES: Final = (KEYWORD, KEYWORD, INT, DATETIME, BOOL)
ATTRIBUTES: Final = {
    name: CustomAttribute(field, kind)
    for (name, field), kind in zip((CUSTOM | CUSTOM_TIMES).items(), TYPES, strict=True)
}
COUNTS: Final = (
    "",
    "ExecutionStatus = 'Running'",
    "ExecutionStatus = 'Completed'",
    "ExecutionStatus = 'Failed'",
    "GROUP BY ExecutionStatus",
    "ExecutionStatus != 'Running' GROUP BY ExecutionStatus",
)


@dataclass(frozen=True)
class Timing:
    """How long a query took: the best, the median and the worst of some times, and the median of
    the CPU that it cost, which is all it takes on a machine that does nothing else."""

    attribute: str
    query: str
    best_ms: float
    median_ms: float
    worst_ms: float
    cpu_ms: float
    found: int


@dataclass(frozen=True)
class CommitTimes:
    """The 99th percentile of commits alone, and while queries are carried out."""

    alone_ms: float
    beside_queries_ms: float

    @property
    def rise_ms(self) -> float:
        return self.beside_queries_ms - self.alone_ms


def time_of(number: int) -> str:
    """When the run with a number started, as queries write it."""
    seconds, nanoseconds = divmod(BEGAN_NS + number * STEP_NS, 1_000_000_000)
    shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"'{shown}.{nanoseconds:09}Z'"


def filters(count: int) -> dict[str, list[str]]:
    """For each attribute what is asked of it: values that many, few and no runs have, ranges wide
    and narrow, beginnings."""
    middle, late = count // 2, count - count // 100
    run = run_id(middle).hex()
    this_run = f"{run[:8]}-{run[8:12]}-{run[12:16]}-{run[16:20]}-{run[20:]}"
    parent = f"order-{middle - middle % 5}"
    return {
        "ExecutionStatus": ["= 'Running'", "= 'Failed'", "IN ('Failed', 'TimedOut')",
                            "= 'Paused'"],
        "WorkflowId": [f"= '{parent}'", "= 'none'", "STARTS_WITH 'order-'",
                       "STARTS_WITH 'order-77'"],
        "RunId": [f"= '{this_run}'", f"STARTS_WITH '{run[:8]}-{run[8:10]}'", f"> '{this_run}'"],
        "WorkflowType": ["= 'Type0'", "= 'Retired'", "= 'Type9'", "= 'None'", "STARTS_WITH 'Type1'",
                         "!= 'Type0'", "IN ('Retired', 'Type9')"],
        "TaskQueue": ["= 'queue-3'", "= 'none'", "STARTS_WITH 'queue'"],
        "StartTime": [f"> {time_of(late)}", f"< {time_of(100)}", f"< {time_of(middle)}",
                      f"BETWEEN {time_of(middle)} AND {time_of(middle + 1_000)}"],
        "ExecutionTime": [f"> {time_of(late)}", f"< {time_of(100)}"],
        "CloseTime": [f"> {time_of(late)}", f"< {time_of(1_000)}", "IS NULL", "IS NOT NULL",
                      f"BETWEEN {time_of(middle)} AND {time_of(middle + 1_000)}"],
        "HistoryLength": ["= 8", "> 60", "> 10_000".replace("_", ""), "BETWEEN 20 AND 30"],
        "ExecutionDuration": ["> '1h'", "> '100h'", "BETWEEN '1s' AND '2s'"],
        "StateTransitionCount": ["= 5", "> 40", "> 10000"],
        "HistorySizeBytes": ["= 2000", "> 10000", "< 700"],
        "ParentWorkflowId": [f"= '{parent}'", "IS NULL", "IS NOT NULL", "STARTS_WITH 'order-77'"],
        "ParentRunId": [f"= '{this_run}'", "= 'none'"],
        "RootWorkflowId": [f"= '{parent}'", "STARTS_WITH 'order-77'", "STARTS_WITH 'order'"],
        "RootRunId": [f"= '{this_run}'", "= 'none'"],
        "Region": ["= 'north'", "= 'none'", "IN ('north', 'south')", "STARTS_WITH 'n'"],
        "Customer": ["= 'customer-77'", "= 'none'", "STARTS_WITH 'customer-77'", "IS NOT NULL"],
        "Amount": ["= 77", "> 999000", "< 500000", "BETWEEN 77000 AND 77100", "= -1"],
        "Due": [f"< {time_of(1_000)}", f"> {time_of(middle)}",
                f"BETWEEN {time_of(middle)} AND {time_of(middle + 100)}"],
        "Urgent": ["= true", "= false"],
    }  # fmt: skip


def asked(count: int) -> list[tuple[str, str]]:
    """(attribute, query) of everything whose first page is read."""
    statuses = ("", " AND ExecutionStatus = 'Failed'", " AND ExecutionStatus = 'Running'")
    return [
        (attribute, f"{attribute} {condition}{status}{order}")
        for attribute, conditions in filters(count).items()
        for condition in conditions
        for status in statuses
        for order in ("", " ORDER BY StartTime DESC")
    ]


async def timed(
    call: Callable[[], Awaitable[int]], times: int = TIMES
) -> tuple[float, float, float, float, int]:
    """Best, median and worst of some times in ms, the CPU, and what was found."""
    taken: list[float] = []
    used: list[float] = []
    found = 0
    for _ in range(times):
        began, began_cpu = time.perf_counter(), time.process_time()
        found = await call()
        taken.append((time.perf_counter() - began) * 1_000)
        used.append((time.process_time() - began_cpu) * 1_000)
    return min(taken), statistics.median(taken), max(taken), statistics.median(used), found


async def first_page(store: Store, query: Query) -> int:
    """How many runs the first page of a query has."""
    return len((await store.list_executions(NAMESPACE, None, PAGE, (), query)).runs)


async def measure_pages(store: Store, count: int, advance: Callable[[], None]) -> list[Timing]:
    """First pages of everything."""
    timings = []
    for attribute, text in asked(count):
        query = understand(text, ATTRIBUTES)
        times = await timed(lambda query=query: first_page(store, query))  # type: ignore[misc]
        timings.append(Timing(attribute, text, *times))
        advance()
    return timings


async def measure_deep(store: Store, advance: Callable[[], None]) -> list[Timing]:
    """Pages far down, one after another."""
    timings = []
    for text in ("", "WorkflowType = 'Type0'", "Region = 'north'", "ORDER BY StartTime DESC",
                 "Region = 'north' ORDER BY StartTime"):  # fmt: skip
        query = understand(text, ATTRIBUTES)
        after: VisibilityCursor | None = None
        taken: list[float] = []
        used: list[float] = []
        for _ in range(DEEP_PAGES):
            began, began_cpu = time.perf_counter(), time.process_time()
            page = await store.list_executions(NAMESPACE, after, PAGE, (), query)
            taken.append((time.perf_counter() - began) * 1_000)
            used.append((time.process_time() - began_cpu) * 1_000)
            after = page.next
            if after is None:
                break
        last = taken[-DEEP_PAGES // 3 :]
        timings.append(
            Timing(
                "",
                text or "(all)",
                min(last),
                statistics.median(last),
                max(last),
                statistics.median(used[-DEEP_PAGES // 3 :]),
                len(taken) * PAGE,
            )
        )
        advance()
    return timings


async def measure_counts(store: Store, advance: Callable[[], None]) -> list[Timing]:
    """Counts by status."""
    timings = []
    for text in COUNTS:
        query = understand(text, ATTRIBUTES, is_count=True)

        async def counted(query: Query = query) -> int:
            return sum((await store.count_executions(NAMESPACE, query)).values())

        timings.append(Timing("", text or "(all)", *await timed(counted)))
        advance()
    return timings


async def measure_commits(
    store: Store, fence: Fence, count: int, advance: Callable[[], None]
) -> CommitTimes:
    """Commits alone and beside queries, in turns, so that both meet the same machine."""
    queries = [understand(text, ATTRIBUTES) for _, text in asked(count)]
    counts = [understand(text, ATTRIBUTES, is_count=True) for text in COUNTS]
    head = seal(b"h" * 380)
    number = (await store.last_numbers())[0] + 1
    taken: dict[bool, list[float]] = {False: [], True: []}

    async def ask_on() -> None:
        while True:
            for query in queries:
                await first_page(store, query)
            for query in counts:
                await store.count_executions(NAMESPACE, query)

    for turn in range(2 * SLICES):
        beside = turn % 2 == 1
        asking = asyncio.ensure_future(ask_on()) if beside else None
        for _ in range(COMMITS):
            made = execution(number, count)
            for write in (start_of, close_of):
                if write is close_of and made.closed is None:
                    continue
                began = time.perf_counter()
                result = await store.commit(Commit(fence, [write(number, made, head)]))
                assert not result.poisoned, result.poisoned
                taken[beside].append((time.perf_counter() - began) * 1_000)
            number += 1
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        advance()
    alone, beside_queries = (statistics.quantiles(taken[key], n=100)[98] for key in (False, True))
    return CommitTimes(alone, beside_queries)


def goals(
    pages: Sequence[Timing], counts: Sequence[Timing], commits: CommitTimes | None
) -> list[Goal]:
    """What was wanted, and what the slowest of each was."""
    return [
        Goal(
            "first page of any indexed filter",
            PAGE_GOAL_MS,
            "ms",
            max((timing.median_ms for timing in pages), default=None),
        ),
        Goal(
            "count by status",
            COUNT_GOAL_MS,
            "ms",
            max((timing.median_ms for timing in counts), default=None),
        ),
        Goal(
            "rise of a commit's p99 meanwhile",
            COMMIT_GOAL_MS,
            "ms",
            None if commits is None else commits.rise_ms,
        ),
    ]


def print_timings(console: Console, title: str, timings: Sequence[Timing]) -> None:
    """A table of queries."""
    table = Table(title=title, title_justify="left")
    for column in ("query", "found", "best ms", "median ms", "worst ms", "CPU ms"):
        table.add_column(column, justify="left" if column == "query" else "right")
    for timing in timings:
        table.add_row(
            timing.query,
            f"{timing.found:,}",
            f"{timing.best_ms:,.1f}",
            f"{timing.median_ms:,.1f}",
            f"{timing.worst_ms:,.1f}",
            f"{timing.cpu_ms:,.1f}",
        )
    console.print(table)


def print_attributes(console: Console, pages: Sequence[Timing]) -> None:
    """For each attribute how many of its queries were asked, and the slowest."""
    table = Table(title=f"First pages of {PAGE} (median of {TIMES})", title_justify="left")
    for column in ("attribute", "queries", "median ms", "slowest ms", "CPU ms", "slowest query"):
        table.add_column(column, justify="right" if "ms" in column else "left")
    for attribute in dict.fromkeys(timing.attribute for timing in pages):
        own = [timing for timing in pages if timing.attribute == attribute]
        slowest = max(own, key=lambda timing: timing.median_ms)
        median = statistics.median(timing.median_ms for timing in own)
        table.add_row(
            attribute,
            str(len(own)),
            f"{median:.1f}",
            f"{slowest.median_ms:.1f}",
            f"{max(timing.cpu_ms for timing in own):.1f}",
            slowest.query,
        )
    console.print(table)


async def measure(arguments: argparse.Namespace, console: Console, folder: Path) -> None:
    """Fill, measure, print."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    count: int = arguments.executions
    path = folder / "visibility.db"
    with ProgressBars(*columns, TimeElapsedColumn(), console=console) as bars:

        def bar(title: str, total: int) -> Callable[[], None]:
            task = bars.add_task(title, total=total)
            return lambda: bars.advance(task)

        began = time.perf_counter()
        if not path.exists():
            await _fill(path, count, bars)
        filled_seconds = time.perf_counter() - began
        sys.setswitchinterval(SWITCH_SECONDS)
        store = open_sqlite(path)
        fence = await store.acquire(SHARD)
        pages = await measure_pages(store, count, bar("first pages", len(asked(count))))
        deep = await measure_deep(store, bar("pages far down", 5))
        counts = await measure_counts(store, bar("counts", len(COUNTS)))
        commits = await measure_commits(store, fence, count, bar("commits", 2 * SLICES))
        await store.close()
    console.print(
        f"{count:,} executions, {path.stat().st_size / 1e6:,.0f} MB,"
        f" filled in {filled_seconds:.0f} s"
    )
    print_attributes(console, pages)
    slow = sorted(pages, key=lambda timing: -timing.median_ms)[:15]
    print_timings(console, "The slowest of them", slow)
    print_timings(console, f"Pages {DEEP_PAGES * 2 // 3} to {DEEP_PAGES}", deep)
    print_timings(console, "Counts", counts)
    console.print(
        f"p99 of commits: {commits.alone_ms:.2f} ms alone,"
        f" {commits.beside_queries_ms:.2f} ms beside queries"
    )
    console.print(
        f"CPU of the dearest page: {max(timing.cpu_ms for timing in pages):.1f} ms, of the dearest"
        f" count: {max(timing.cpu_ms for timing in counts):.1f} ms"
    )
    every = goals(pages, counts, commits)
    for goal in every:
        shown = "" if goal.measured is None else f"{goal.measured:.1f}"
        console.print(f"{goal.title}: {shown} {goal.unit}, at most {goal.limit:g}: {goal.verdict}")
    if arguments.json is not None:
        parts = {"pages": pages, "deep": deep, "counts": counts, "goals": every}
        found = {name: [asdict(one) for one in values] for name, values in parts.items()}  # type: ignore[attr-defined]
        arguments.json.write_text(json.dumps(found | {"commits": asdict(commits)}, indent=1))


async def _fill(path: Path, count: int, bars: ProgressBars) -> None:
    """Without waiting for the disk: what is measured comes later."""
    store = open_sqlite(path, settings=SqliteSettings(synchronous="OFF"))
    fence = await store.acquire(SHARD)
    task = bars.add_task("filling", total=count)
    async for done in fill(store, fence, count):
        bars.update(task, completed=done)
    await store.close()


def main() -> None:
    """Measure in a folder that is deleted afterwards, or kept when it was named."""
    parser = argparse.ArgumentParser(prog="python -m bench.visibility", description=__doc__)
    parser.add_argument("--executions", type=int, default=EXECUTIONS, metavar="N")
    parser.add_argument("--directory", type=Path, help="keep the database here, and use it again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers here")
    arguments = parser.parse_args()
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    if arguments.directory is not None:
        arguments.directory.mkdir(parents=True, exist_ok=True)
        asyncio.run(measure(arguments, console, arguments.directory))
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        asyncio.run(measure(arguments, console, Path(folder)))


if __name__ == "__main__":
    main()
