"""What SQL finds is what the evaluator says, for any query and any runs."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import (
    Store,
    TooManyGroups,
    VisibilityCursor,
    VisibilityRow,
    WorkflowWrite,
)
from perdure.server.store.shown import ShownRun
from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from perdure.server.visibility.query.evaluate import evaluate
from perdure.server.visibility.query.normal import without_negations
from perdure.server.visibility.query.tree import And, Compare, Filter, Not, Or, Query
from tests.store.rows import NAMESPACE, SHARD, group, identity, later, new_run
from tests.visibility.strategies import SORTABLE, filters, orders, rows

KEYWORDS = [attribute for attribute in SORTABLE if attribute.type == 2]

Change = tuple[int, VisibilityRow]


async def numbers(store: Store, query: Query, size: int) -> list[int]:
    """All runs that a query finds, page by page."""
    found: list[int] = []
    after: VisibilityCursor | None = None
    while True:
        page = await store.list_executions(NAMESPACE, after, size, (), query)
        found += [listed.run for listed in page.runs]
        if page.next is None:
            return found
        after = page.next


async def is_counted(store: Store, query: Query, groups_max: int) -> bool:
    """Whether a query is counted when it may have so many groups."""
    try:
        await store.count_executions(NAMESPACE, query, groups_max)
    except TooManyGroups:
        return False
    return True


async def write(store: Store, shown: list[VisibilityRow], changes: list[Change]) -> None:
    """Runs numbered from 1, and then later rows of some; odd ones are of one workflow."""
    fence = await store.acquire(SHARD)
    names = {number: f"w{number % 2 or number}" for number in range(1, len(shown) + 1)}
    writes = [
        WorkflowWrite(
            NAMESPACE, names[number], [new_run(number, names[number], visibility=row)], number
        )
        for number, row in enumerate(shown, start=1)
    ]
    other = new_run(len(shown) + 1, "w1", NAMESPACE + 1, visibility=shown[0])
    writes.append(WorkflowWrite(NAMESPACE + 1, "w1", [other], len(shown) + 1))
    assert not (await store.commit(group(fence, *writes))).poisoned
    for number, row in changes:
        if number in names:
            changed = WorkflowWrite(NAMESPACE, names[number], [later(number, visibility=row)])
            assert not (await store.commit(group(fence, changed))).poisoned


@settings(max_examples=60, deadline=None)
@given(
    shown=st.lists(rows(), min_size=1, max_size=6),
    changes=st.lists(st.tuples(st.integers(1, 6), rows()), max_size=3),
    queries=st.lists(
        st.builds(Query, st.one_of(st.none(), filters), orders), min_size=1, max_size=6
    ),
    grouped=st.sampled_from(KEYWORDS),
    size=st.integers(1, 4),
    few=st.sampled_from([-1, 1, 2, 5_000]),
)
def test_a_database_finds_what_the_memory_store_finds(
    shown: list[VisibilityRow],
    changes: list[Change],
    queries: list[Query],
    grouped: Any,
    size: int,
    few: int,
) -> None:
    async def compare(path: Path) -> None:
        model = MemoryStore()
        settings = SqliteSettings(synchronous="OFF", sorted_runs_max=few, sorted_entries_max=few)
        sqlite = open_sqlite(path, settings=settings)
        try:
            await write(model, shown, changes)
            await write(sqlite, shown, changes)
            for query in queries:
                expected = await numbers(model, query, 100)
                assert await numbers(sqlite, query, 100) == expected
                assert await numbers(sqlite, query, size) == expected, "in pages"
                assert await numbers(model, query, size) == expected, "in pages"
                counted = Query(query.filter, group=grouped)
                groups = await model.count_executions(NAMESPACE, counted)
                assert await sqlite.count_executions(NAMESPACE, counted) == groups
                assert sum(groups.values()) == len(expected)
                for store in (model, sqlite):
                    assert await is_counted(store, counted, len(groups))
                    assert not groups or not await is_counted(store, counted, len(groups) - 1)
        finally:
            await sqlite.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(Path(folder) / "perdure.db"))


@given(part=filters, row=rows())
def test_a_filter_without_negations_is_true_of_the_same_runs(
    part: Filter, row: VisibilityRow
) -> None:
    run = ShownRun(identity(1, "w1"), row)
    normal = without_negations(part)
    assert (evaluate(normal, run) is True) == (evaluate(part, run) is True)
    assert _is_normal(normal)


@given(part=filters, row=rows())
def test_a_negated_filter_is_true_where_it_is_false_and_only_there(
    part: Filter, row: VisibilityRow
) -> None:
    run = ShownRun(identity(1, "w1"), row)
    opposites = {True: False, False: True, None: None}
    assert evaluate(Not(part), run) is opposites[evaluate(part, run)]


def _is_normal(part: Filter) -> bool:
    if isinstance(part, And | Or):
        return all(_is_normal(one) for one in part.parts)
    return not isinstance(part, Not) or not isinstance(part.part, And | Or | Not | Compare)
