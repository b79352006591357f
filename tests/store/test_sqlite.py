"""What only the SQLite store has: a file, a lock, a schema, a log, threads."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import pytest

from perdure.server.store.codec import seal
from perdure.server.store.ports import (
    CommitResult,
    Fence,
    HistoryBatch,
    Record,
    SchemaTooNew,
    StoreInUse,
    StoreUnavailable,
    VisibilityRow,
    WorkflowWrite,
)
from perdure.server.store.sqlite import SqliteSettings, SqliteStore, open_sqlite
from perdure.server.store.sqlite.connections import migrate, open_writer
from perdure.server.store.sqlite.readers import ReaderPool
from perdure.server.store.sqlite.statements import migrations
from perdure.server.visibility.query.binding import understand
from tests.store.powerloss import Disk
from tests.store.rows import NAMESPACE, SHARD, batch, change, group, later, start

HOLD_AND_WAIT = """
import sys
from perdure.server.store.sqlite import open_sqlite
store = open_sqlite(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""
ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_another_process_is_kept_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_WAIT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreInUse, match=rf"process {holder.pid};"):
            open_sqlite(path)
        holder.send_signal(signal.SIGKILL)
    # However it ended, the lock went with it.
    asyncio.run(open_sqlite(path).close())


async def test_a_store_that_is_open_cannot_be_opened_again_until_it_is_closed(
    tmp_path: Path,
) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "perdure.db")
    for name in ("perdure.db", "link.db"):
        with pytest.raises(StoreInUse):
            open_sqlite(tmp_path / name)
    await store.close()
    await open_sqlite(tmp_path / "perdure.db").close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    await open_sqlite(path).close()
    newest = migrations()[-1][0]
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE perdure_schema SET version = version + 1")
    for _ in range(2):
        with pytest.raises(SchemaTooNew, match=f"version {newest + 1}.*up to {newest}"):
            open_sqlite(path)
    assert connection.execute("SELECT version FROM perdure_schema").get == newest + 1
    # A file that is refused is not locked.
    connection.execute("UPDATE perdure_schema SET version = version - 1")
    connection.close()
    await open_sqlite(path).close()


def test_migrations_are_carried_out_once_in_order_from_where_a_file_is(tmp_path: Path) -> None:
    connection = open_writer(str(tmp_path / "perdure.db"), SqliteSettings())
    scripts = [
        (1, "CREATE TABLE log (line TEXT); INSERT INTO log VALUES ('one')"),
        (2, "INSERT INTO log VALUES ('two')"),
        (3, "INSERT INTO log VALUES ('three'); INSERT INTO log VALUES ('and more')"),
    ]
    for known in (1, 1, 3, 3):
        migrate(connection, "perdure.db", scripts[:known])
    lines = connection.execute("SELECT line FROM log").fetchall()
    assert lines == [("one",), ("two",), ("three",), ("and more",)]
    with pytest.raises(SchemaTooNew):
        migrate(connection, "perdure.db", scripts[:2])
    connection.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    connection = open_writer(str(tmp_path / "perdure.db"), SqliteSettings())
    good = [(1, "CREATE TABLE log (line TEXT)")]
    migrate(connection, "perdure.db", good)
    with pytest.raises(apsw.SQLError):
        migrate(connection, "perdure.db", [*good, (2, "INSERT INTO log VALUES ('x'); NONSENSE")])
    assert connection.execute("SELECT count(*) FROM log").get == 0
    migrate(connection, "perdure.db", [*good, (2, "INSERT INTO log VALUES ('y')")])
    assert connection.execute("SELECT line FROM log").fetchall() == [("y",)]
    connection.close()


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize("content", [b"this is no database, only some text" * 100])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_sqlite(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE orders (number INTEGER)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="another program"):
        open_sqlite(path)
    assert path.read_bytes() == content


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="missing"):
        open_sqlite(tmp_path / "missing" / "perdure.db")


async def test_opening_starts_no_thread_and_closing_ends_all(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = open_sqlite(tmp_path / "perdure.db")
    assert set(threading.enumerate()) == before
    fence = await store.acquire(SHARD)
    await asyncio.gather(*(store.load_number(run) for run in range(20)))
    await store.commit(group(fence, start(1)))
    assert len(set(threading.enumerate()) - before) > 1
    await store.close()
    assert not [
        thread
        for thread in set(threading.enumerate()) - before
        if thread.name.startswith("perdure")
    ]


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    fence = await store.acquire(SHARD)
    await store.close()
    await store.close()
    for call in (store.commit(group(fence, start(1))), store.load_number(1), store.acquire(SHARD)):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call


async def test_closing_finishes_what_was_handed_over_and_leaves_one_file(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    fence = await store.acquire(SHARD)
    commits = [asyncio.create_task(store.commit(group(fence, start(run)))) for run in range(1, 20)]
    await asyncio.sleep(0)
    await store.close()
    assert [await commit for commit in commits] == [CommitResult({})] * 19
    assert sorted(os.listdir(tmp_path)) == ["perdure.db", "perdure.db.lock"]
    store = open_sqlite(tmp_path / "perdure.db")
    assert len(await store.run_versions(range(1, 20))) == 19
    await store.close()


async def test_a_read_that_takes_too_long_is_cancelled(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    pool = ReaderPool(str(tmp_path / "perdure.db"), SqliteSettings(read_seconds_max=0.01))
    with pytest.raises(StoreUnavailable, match=r"longer than 0\.01 s"):
        await pool.read(lambda connection: connection.execute(ENDLESS).get)
    # The thread and its connection serve the next one.
    assert await pool.read(lambda connection: connection.execute("SELECT 5").get) == 5
    await asyncio.to_thread(pool.close)
    await store.close()


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    pool = ReaderPool(str(tmp_path / "perdure.db"), SqliteSettings())
    with pytest.raises(StoreUnavailable, match="readonly"):
        await pool.read(lambda connection: connection.execute("DELETE FROM perdure_shard").get)
    await asyncio.to_thread(pool.close)
    await store.close()


async def _write_much(store: SqliteStore, fence: Fence, first: int, groups: int) -> None:
    for number in range(first, first + groups):
        await store.commit(
            group(fence, start(number, head=random.Random(number).randbytes(20_000)))
        )


async def test_the_log_is_copied_between_groups_and_used_again(tmp_path: Path) -> None:
    log = tmp_path / "perdure.db-wal"
    settings = SqliteSettings(checkpoint_bytes=200_000)
    store = open_sqlite(tmp_path / "perdure.db", settings=settings)
    fence = await store.acquire(SHARD)
    await _write_much(store, fence, 1, 100)
    assert log.stat().st_size < 400_000
    assert (tmp_path / "perdure.db").stat().st_size > 1_500_000
    await store.close()


async def test_a_log_that_a_reader_holds_is_used_again_when_it_lets_go(tmp_path: Path) -> None:
    log = tmp_path / "perdure.db-wal"
    settings = SqliteSettings(
        checkpoint_bytes=200_000, log_bytes_max=600_000, reader_wait_milliseconds=1
    )
    store = open_sqlite(tmp_path / "perdure.db", settings=settings)
    fence = await store.acquire(SHARD)
    reader = apsw.Connection(str(tmp_path / "perdure.db"), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM perdure_run").get == 0
    await _write_much(store, fence, 1, 100)
    held = log.stat().st_size
    assert held > 2_000_000
    reader.execute("COMMIT")
    await _write_much(store, fence, 101, 100)
    assert log.stat().st_size < held + 400_000
    reader.close()
    await store.close()
    assert not log.exists()


async def test_an_idle_store_copies_its_log_and_gives_space_back(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    store = open_sqlite(path, settings=SqliteSettings(idle_seconds=0.001))
    fence = await store.acquire(SHARD)
    large = [Record(1, b"%d" % place, bytes(50_000)) for place in range(40)]
    await store.commit(group(fence, start(1, records_put=large)))
    gone = [(record.kind, record.key) for record in large]
    await store.commit(group(fence, change(1, records_deleted=gone)))
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)

    def wait_until_small() -> None:
        deadline = time.monotonic() + 20
        while reader.pragma("page_count") > 50:
            assert time.monotonic() < deadline

    await asyncio.to_thread(wait_until_small)
    reader.close()
    await store.close()
    assert path.stat().st_size < 500_000


async def test_a_commit_handed_over_before_a_failure_was_known_fails_with_it(
    tmp_path: Path,
) -> None:
    with Disk() as disk:
        store = open_sqlite(tmp_path / "perdure.db", vfs=disk.name)
        fence = await store.acquire(SHARD)
        await store.commit(group(fence, start(1)))
        disk.fail(apsw.SQLITE_FULL, on="writes", times=1)
        outcomes = await asyncio.gather(
            *(store.commit(group(fence, change(1, version))) for version in (2, 3, 4)),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
        assert await store.run_versions([1]) == {1: (1, 1)}
        assert await store.commit(group(fence, change(1, 2))) == CommitResult({})
        await store.close()


async def test_writes_handed_over_before_a_poisoned_one_was_known_are_poisoned(
    tmp_path: Path,
) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    fence = await store.acquire(SHARD)
    await store.commit(group(fence, start(1), start(2)))
    poison = batch(1, 1)
    outcomes = await asyncio.gather(
        store.commit(group(fence, change(1, 2, history=[poison]), change(2, 2))),
        store.commit(group(fence, change(2, 3), change(1, 3))),
        store.commit(group(fence, change(1, 4))),
    )
    assert [list(outcome.poisoned) for outcome in outcomes] == [[0], [1], [0]]
    assert await store.run_versions([1, 2]) == {1: (1, 1), 2: (3, 2003)}
    assert await store.commit(group(fence, change(1, 2))) == CommitResult({})
    await store.close()


@pytest.mark.parametrize(
    "value", [2**63, -(2**63) - 1, "text", b"bytes"], ids=["large", "small", "text", "bytes"]
)
async def test_a_value_that_no_column_takes_poisons_its_write_only(
    tmp_path: Path, value: object
) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    fence = await store.acquire(SHARD)
    result = await store.commit(group(fence, start(1), start(2, wake_at_ns=value), start(3)))
    assert list(result.poisoned) == [1]
    assert set(await store.run_versions([1, 2, 3])) == {1, 3}
    await store.close()


async def test_a_text_that_cannot_be_encoded_poisons_its_write_only(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    fence = await store.acquire(SHARD)
    result = await store.commit(group(fence, start(1, "\ud800"), start(2)))
    assert list(result.poisoned) == [0]
    await store.close()


async def test_few_commits_write_the_marks_of_used_numbers(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    store = open_sqlite(path)
    fence = await store.acquire(SHARD)
    marks = set()
    for number in range(1, 2_102):
        await store.commit(group(fence, start(number, history=[])))
        if number % 100 == 1:
            marks.add((await store.last_numbers())[0])
    assert marks == {1_001, 2_002, 3_003}
    await store.close()


async def test_after_closing_nothing_is_certainly_absent(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "perdure.db")
    assert store.absent(NAMESPACE, "workflow-1")
    await store.close()
    assert not store.absent(NAMESPACE, "workflow-1")


BYTES_OF_A_HELLO_MAX = 2_200
"""On disk, after a clean close: the goal for a workflow of 11 events and 1.3 KB of history."""


async def test_a_small_workflow_stays_small_on_disk(tmp_path: Path) -> None:
    dice = random.Random(1)

    def blob(size: int) -> bytes:
        return seal(dice.randbytes(size))

    def turn(run: int, step: int) -> WorkflowWrite:
        started = 1_790_000_000_000_000_000 + run
        first, last, size = ((1, 2, 445), (3, 5, 325), (6, 8, 295), (9, 11, 215))[step]
        fields = {
            "history": [HistoryBatch(first, last, size, blob(size))],
            "head": blob((260, 300, 310, 295)[step]),
            "wake_at_ns": started + 10**10 if step < 3 else None,
            "visibility": (
                VisibilityRow(
                    "Hello",
                    status=1 + step // 3,
                    start_time_ns=started,
                    close_time_ns=(started + dice.randrange(10**9)) * (step > 0),
                    task_queue="hello",
                    history_length=11 * (step > 0),
                    history_size_bytes=1280 * (step > 0),
                    state_transitions=7 * (step > 0),
                    build_ids=("unversioned", f"unversioned:{'0' * 32}") if step else (),
                )
                if step in {0, 3}
                else None
            ),
        }
        workflow_id = f"hello-{run}-{dice.randbytes(6).hex()}"
        if step == 0:
            return start(run, workflow_id, **fields)
        return WorkflowWrite(NAMESPACE, workflow_id, [later(run, step + 1, **fields)])

    runs = 1500
    store = open_sqlite(tmp_path / "perdure.db")
    fence = await store.acquire(SHARD)
    for first in range(1, runs + 1, 50):
        for step in range(4):
            await store.commit(group(fence, *(turn(run, step) for run in range(first, first + 50))))
    await store.close()
    await open_sqlite(tmp_path / "empty.db").close()
    size = (tmp_path / "perdure.db").stat().st_size - (tmp_path / "empty.db").stat().st_size
    assert size / runs <= BYTES_OF_A_HELLO_MAX


async def test_the_search_attributes_of_a_deleted_run_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    store = open_sqlite(path)
    fence = await store.acquire(SHARD)
    row = VisibilityRow("Hello", 1, 1, 0, attributes=(("Keyword01", "k"), ("Int01", 5)))
    await store.commit(group(fence, start(1, visibility=row), start(2, visibility=row)))
    await store.commit(group(fence, WorkflowWrite(NAMESPACE, "workflow-1", [], runs_deleted=[1])))
    await store.close()
    connection = apsw.Connection(str(path))
    left = connection.execute("SELECT run, value FROM perdure_attribute ORDER BY value")
    assert left.fetchall() == [(2, 5), (2, "k")]
    connection.close()


async def test_lists_of_build_ids_have_numbers_until_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.server.store.sqlite.groups.BUILD_LISTS_MAX", 2)
    path = tmp_path / "perdure.db"
    for reopened in range(2):
        store = open_sqlite(path)
        fence = await store.acquire(SHARD)
        for number in range(1, 7):
            row = VisibilityRow("Hello", 1, number, 0, build_ids=("unversioned", f"b{number % 3}"))
            await store.commit(group(fence, start(number + 10 * reopened, visibility=row)))
        query = understand("BuildIds = 'b1'")
        found = await store.list_executions(NAMESPACE, None, 10, (), query)
        assert {run.run for run in found.runs} == {1, 4} | {11 * reopened or 1, 14 * reopened or 1}
        await store.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT count(*) FROM perdure_build_list").get == 2
    numbered = connection.execute("SELECT run FROM perdure_run WHERE build_list IS NOT NULL")
    assert [row[0] for row in numbered] == [4, 5, 12, 14, 15]
    connection.close()
