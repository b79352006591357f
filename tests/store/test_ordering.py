"""Pages that are sorted by an attribute: what they cost, where many runs pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.server.machines.search_attributes import BOOL, INT, KEYWORD, CustomAttribute
from perdure.server.store.ports import VisibilityCursor, VisibilityRow
from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from perdure.server.store.sqlite.connections import open_reader
from perdure.server.store.sqlite.statements import statements
from perdure.server.store.sqlite.visibility import VisibilityReader
from perdure.server.visibility.query.binding import understand
from tests.store.rows import NAMESPACE, SHARD, group, start

RUNS = 1_500
PAGE = 10
STEPS_MAX = 40_000
"""Of SQLite's machine; reading and sorting all runs takes some hundred thousand."""
CUSTOM = {
    "Amount": CustomAttribute("Int01", INT),
    "Customer": CustomAttribute("Keyword01", KEYWORD),
    "Urgent": CustomAttribute("Bool01", BOOL),
}
Pages = Callable[[str], tuple[list[list[int]], int]]


def row(number: int) -> VisibilityRow:
    """A run: half of them are open, and one of ten is urgent."""
    is_open = number % 2 == 0
    return VisibilityRow(
        f"Type{number % 50}",
        1 if is_open else 2,
        number,
        0 if is_open else 10_000 + (number * 7) % RUNS,
        attributes=(
            ("Int01", (number * 11) % RUNS),
            ("Keyword01", f"c{(number * 13) % RUNS:05}"),
            *([("Bool01", 1)] if number % 10 == 0 else []),
        ),
    )


async def _write(path: Path) -> None:
    store = open_sqlite(path, settings=SqliteSettings(synchronous="OFF"))
    starts = [start(number, visibility=row(number)) for number in range(1, RUNS + 1)]
    assert not (await store.commit(group(await store.acquire(SHARD), *starts))).poisoned
    await store.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """The first three pages of a query, and the steps that the dearest of them took."""
    path = tmp_path_factory.mktemp("ordering") / "perdure.db"
    asyncio.run(_write(path))
    settings = SqliteSettings(sorted_runs_max=30, sorted_entries_max=30)

    def read(text: str) -> tuple[list[list[int]], int]:
        connection = open_reader(str(path), settings)
        reader = VisibilityReader(statements(), settings, NAMESPACE, understand(text, CUSTOM))
        found, dearest, after = [], 0, None
        for _ in range(3):
            steps = [0]

            def count(steps: list[int] = steps) -> bool:
                steps[0] += 1
                return False

            connection.set_progress_handler(count, 10)
            rows: list[Any] = reader.page(connection, after, PAGE)
            dearest = max(dearest, steps[0] * 10)
            found.append([one[2] for one in rows])
            close, began, number, *_ = rows[-1]
            after = VisibilityCursor(close, began, number, tuple(rows[-1][7:]))
        connection.set_progress_handler(None)
        connection.close()
        return found, dearest

    return read


QUERIES: dict[str, Callable[[int], tuple[Any, ...] | None]] = {
    "ORDER BY Amount DESC": lambda number: (-((number * 11) % RUNS),),
    "ORDER BY Customer DESC": lambda number: (-((number * 13) % RUNS),),
    "ORDER BY CloseTime DESC": lambda number: (-((number * 7) % RUNS),) if number % 2 else None,
    "ExecutionStatus = 'Completed' ORDER BY CloseTime": lambda number: (
        ((number * 7) % RUNS,) if number % 2 else None
    ),
    "ExecutionStatus = 'Running' ORDER BY Amount DESC": lambda number: (
        None if number % 2 else (-((number * 11) % RUNS),)
    ),
    "StartTime > 100 ORDER BY Amount DESC".replace("100", "'1970-01-01T00:00:00.0000001Z'"): (
        lambda number: (-((number * 11) % RUNS),) if number > 100 else None
    ),
    "ORDER BY WorkflowType DESC, Amount": lambda number: (
        tuple(-ord(one) for one in f"Type{number % 50}".ljust(6, "\0")),
        (number * 11) % RUNS,
    ),
    "ORDER BY WorkflowType, Amount DESC": lambda number: (
        f"Type{number % 50}",
        -((number * 11) % RUNS),
    ),
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_page_of_many_is_sorted_without_the_rest(pages: Pages, query: str) -> None:
    keys = {number: QUERIES[query](number) for number in range(1, RUNS + 1)}
    passing = [(key, -number) for number, key in keys.items() if key is not None]
    expected = [-number for _, number in sorted(passing)]
    found, steps = pages(query)
    assert found == [expected[begin : begin + PAGE] for begin in (0, PAGE, 2 * PAGE)]
    assert steps < STEPS_MAX


def test_those_without_the_attribute_are_not_forgotten(pages: Pages) -> None:
    found, steps = pages("ORDER BY Urgent")
    expected = [number for number in range(RUNS, 0, -1) if number % 10]
    assert found == [expected[begin : begin + PAGE] for begin in (0, PAGE, 2 * PAGE)]
    assert steps > STEPS_MAX, "all are sorted, and so it is worth the trouble elsewhere"
