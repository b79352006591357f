"""A file of version 9 is found in like a new one once it is opened."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from perdure.server.machines.search_attributes import CustomAttribute
from perdure.server.store.ports import Store
from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from perdure.server.store.sqlite.connections import migrate, open_writer
from perdure.server.store.sqlite.statements import migrations
from perdure.server.visibility.query.binding import understand
from tests.store.rows import NAMESPACE, run_id
from tests.visibility.strategies import TYPES

INSERT = (
    "INSERT INTO perdure_run (run, shard, namespace, is_current, version, turn, workflow_hash,"
    " workflow_id, run_id, head, status, start_time_ns, close_time_ns, workflow_type, task_queue,"
    " history_length, build_ids, kind)"
    " VALUES (?, 1, 1, ?, 1, 1, ?, ?, ?, x'00', ?, ?, ?, 'Hello', 'queue', ?, ?, ?)"
)
BUILD_IDS = json.dumps(["unversioned", "unversioned:b"])
RUNS = [
    (1, 0, 77, "order-1", run_id(1), 2, 10, 90, 11, BUILD_IDS, 0),
    (2, 1, 77, "order-1", run_id(2), 1, 91, 0, None, None, 0),
    (3, 1, 78, "order-3", run_id(3), 3, 20, 80, 5, None, 0),
    (4, 1, 79, "nightly", run_id(4), 1, 30, None, None, None, 2),
]


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    """What was written by version 9."""
    path = str(tmp_path / "perdure.db")
    connection = open_writer(path, SqliteSettings())
    migrate(connection, path, migrations()[:9])
    connection.executemany(INSERT, RUNS)
    attributes = [(1, "Keyword01", "k", run) for run in (1, 2, 4)]
    connection.executemany("INSERT INTO perdure_attribute VALUES (?, ?, ?, ?)", attributes)
    connection.close()
    return open_sqlite(path)


async def test_runs_of_an_older_file_are_found(store: Store) -> None:
    custom = {name: CustomAttribute(name, kind) for name, kind in TYPES.items()}

    async def found(text: str) -> list[int]:
        query = understand(text, custom)
        page = await store.list_executions(NAMESPACE, None, 10, (), query)
        return [run.run for run in page.runs]

    try:
        assert await found("") == [2, 1, 3]
        assert await found("ExecutionStatus != 'Running' ORDER BY StartTime DESC") == [3, 1]
        assert await found("Keyword01 = 'k'") == [2, 1]
        assert await found("Keyword01 = 'k' AND ExecutionStatus = 'Completed'") == [1]
        assert await found("WorkflowId STARTS_WITH 'order-1'") == [2, 1]
        assert await found(f"RunId = '{uuid.UUID(bytes=run_id(3))}'") == [3]
        assert await found("HistoryLength > 5") == [1]
        assert await found("BuildIds = 'unversioned:b'") == [1]
        assert await store.count_executions(NAMESPACE) == {None: 3}
        current = await store.load_current(NAMESPACE, "order-1")
        assert current is not None
        assert current.run == 2
        earlier = await store.load_run(NAMESPACE, "order-1", run_id(1))
        assert earlier is not None
        assert [run.run for run in await store.closed_runs(1, 0, 100, 0, 9)] == [3, 1]
        other = understand("Keyword01 = 'k'", custom)
        schedules = await store.list_executions(NAMESPACE, None, 10, (), other, 2)
        assert [run.run for run in schedules.runs] == [4]
    finally:
        await store.close()
