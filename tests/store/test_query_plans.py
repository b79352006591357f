"""By which indexes lists and counts are read: no filter that has an index looks at all runs, and no
list that an index has in order is sorted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure.server.machines.search_attributes import (
    BOOL,
    DATETIME,
    INT,
    KEYWORD,
    SYSTEM_ATTRIBUTES,
    CustomAttribute,
)
from perdure.server.store.ports import VisibilityCursor, VisibilityRow
from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from perdure.server.store.sqlite.connections import open_reader
from perdure.server.store.sqlite.statements import statements
from perdure.server.store.sqlite.visibility import VisibilityReader
from perdure.server.visibility.query.binding import understand
from perdure.server.visibility.query.sql import LISTS
from tests.store.rows import NAMESPACE, SHARD, group, start

CUSTOM = {
    "Region": CustomAttribute("Keyword01", KEYWORD),
    "Amount": CustomAttribute("Int01", INT),
    "Due": CustomAttribute("Datetime01", DATETIME),
    "Urgent": CustomAttribute("Bool01", BOOL),
}
TIME = "'2026-01-02T03:04:05Z'"
RUN_ID = "'01a20f00-8572-7000-8bd8-728e9e7d1727'"
VALUES = {
    "ExecutionStatus": "'Failed'",
    "ExecutionDuration": "'1h'",
    "RunId": RUN_ID,
    "ParentRunId": RUN_ID,
    "RootRunId": RUN_ID,
}
OF_TYPE: dict[int, str] = {KEYWORD: "'x'", INT: "7", DATETIME: TIME, BOOL: "true"}
TYPES: dict[str, int] = {name: kind for name, kind in SYSTEM_ATTRIBUTES.items() if kind in OF_TYPE}
TYPES |= {name: attribute.type for name, attribute in CUSTOM.items()}

Explain = Callable[[str, bool], list[str]]


def conditions() -> list[str]:
    """Each attribute, compared in each way that its type has."""
    found = []
    for name, kind in TYPES.items():
        value = VALUES.get(name, OF_TYPE[kind])
        found += [f"{name} = {value}", f"{name} IN ({value}, {value})"]
        if kind != BOOL and name != "ExecutionStatus":
            found += [f"{name} > {value}", f"{name} BETWEEN {value} AND {value}"]
        if kind == KEYWORD and name != "ExecutionStatus":
            found.append(f"{name} STARTS_WITH {value}")
    return found


async def _write(path: Path) -> None:
    store = open_sqlite(path)
    row = VisibilityRow("Hello", 1, 1, 0, attributes=(("Keyword01", "x"),))
    await store.commit(group(await store.acquire(SHARD), start(1, visibility=row)))
    await store.close()


@pytest.fixture(scope="module")
def explain(tmp_path_factory: pytest.TempPathFactory) -> Explain:
    """The plans of the statements that a page (or a count) is made of."""
    path = tmp_path_factory.mktemp("plans") / "perdure.db"
    asyncio.run(_write(path))

    def explained(text: str, is_few: bool) -> list[str]:
        limit = 5_000 if is_few else -1
        settings = SqliteSettings(sorted_runs_max=limit, sorted_entries_max=limit)
        connection = open_reader(str(path), settings)
        plans: list[str] = []

        def trace(_cursor: apsw.Cursor, sql: str, bindings: Any) -> bool:
            if not sql.startswith("EXPLAIN"):
                rows = connection.cursor().execute(f"EXPLAIN QUERY PLAN {sql}", bindings)
                plans.extend(str(row[3]) for row in rows)
            return True

        is_count = "GROUP BY" in text or text.startswith("COUNT ")
        query = understand(text.removeprefix("COUNT "), CUSTOM, is_count=is_count)
        reader = VisibilityReader(statements(), settings, NAMESPACE, query)
        connection.exec_trace = trace
        if is_count:
            reader.count(connection, 100)
        else:
            reader.page(connection, None, 10)
            reader.page(connection, VisibilityCursor(0, 5, 5, (5,) * len(query.order)), 10)
            reader.page(connection, VisibilityCursor(9, 5, 5, (5,) * len(query.order)), 10)
        connection.exec_trace = None
        connection.close()
        return plans

    return explained


def looks_at_all(plans: list[str]) -> list[str]:
    """The steps that read a whole table or index of what is stored."""
    return [
        step
        for step in plans
        if step.startswith(("SCAN r", "SCAN a", "SCAN perdure")) and "VIRTUAL" not in step
    ]


@pytest.mark.parametrize("condition", conditions())
def test_no_filter_on_an_indexed_attribute_looks_at_all_runs(
    explain: Explain, condition: str
) -> None:
    for status in ("", " AND ExecutionStatus = 'Failed'"):
        for order in ("", " ORDER BY StartTime DESC", " ORDER BY StartTime"):
            plans = explain(f"{condition}{status}{order}", True)
            assert plans
            assert not looks_at_all(plans), condition


@pytest.mark.parametrize(
    "query",
    [
        "",
        "ExecutionStatus = 'Failed'",
        "WorkflowType = 'x'",
        "WorkflowType = 'x' AND ExecutionStatus = 'Failed'",
        "TaskQueue = 'x'",
        "Region = 'x' AND ExecutionStatus = 'Running'",
        "Amount = 7",
        "Due = '2026-01-02T03:04:05Z'",
        "Urgent = true",
        "Amount > 7 AND HistoryLength > 10",
        "WorkflowType IN ('x', 'y')",
        "Region IN ('x', 'y', 'z') AND StartTime < '2026-01-02T03:04:05Z'",
        "ORDER BY StartTime DESC",
        "Region = 'x' ORDER BY StartTime DESC",
        "Amount > 7 ORDER BY StartTime DESC",
    ],
)
def test_what_many_runs_pass_is_read_in_order_and_not_sorted(explain: Explain, query: str) -> None:
    plans = explain(query, False)
    assert not looks_at_all(plans)
    assert not [step for step in plans if "TEMP B-TREE" in step]


@pytest.mark.parametrize(
    "query", ["COUNT ", "COUNT ExecutionStatus = 'Failed'", "GROUP BY ExecutionStatus"]
)
def test_runs_are_counted_by_status_in_an_index(explain: Explain, query: str) -> None:
    plans = explain(query, True)
    assert any("COVERING INDEX perdure_run_listed" in step for step in plans)
    assert not looks_at_all(plans)


@pytest.mark.parametrize("order", ["", " ORDER BY StartTime DESC", " ORDER BY Amount"])
def test_what_only_closed_workflows_have_is_not_looked_for_among_open_ones(
    explain: Explain, order: str
) -> None:
    plans = explain(f"HistoryLength > 7 AND ExecutionStatus = 'Running'{order}", True)
    assert not [step for step in plans if "perdure_run_length" in step]


def test_lists_are_the_only_attributes_without_an_index() -> None:
    assert set(LISTS) == {"BuildIds"}
