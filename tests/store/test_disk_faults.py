"""A disk that fails at any write or sync: the acknowledged stays, the refused stays away."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from perdure.server.store.ports import (
    Commit,
    CommitResult,
    CommitUnknown,
    Fence,
    StoreUnavailable,
)
from perdure.server.store.sqlite import SqliteSettings, SqliteStore, open_sqlite
from tests.store.powerloss import Disk
from tests.store.rows import SHARD, batch, change, group, run_id, shown, start, task

EAGER_CHECKPOINTS = SqliteSettings(checkpoint_bytes=1)
ONLY_LOOKING = SqliteSettings(synchronous="OFF")
NO_CHECKPOINTS = SqliteSettings(checkpoint_bytes=2**40)

WRITE_FAULTS = {
    "full": apsw.SQLITE_FULL,
    "write": apsw.SQLITE_IOERR_WRITE,
}
FAILING_STEPS_MIN = 3
"""A commit has at least this many writes and syncs; else the loops below would prove nothing."""


def _first(fence: Fence) -> Commit:
    return group(fence, start(1, history=[batch(1, 1, 9000)], visibility=shown(1)))


def _second(fence: Fence) -> Commit:
    """Touches every kind of page: a new run, an old one, history, records, dispatch."""
    return group(
        fence,
        change(1, history=[batch(2, 2)], visibility=shown(1, 2), dispatch_put=[task(1, 2)]),
        *(start(run, wake_at_ns=run, head=bytes(3000)) for run in range(2, 8)),
    )


async def _is_whole(store: SqliteStore, *, second: bool) -> None:
    """The first commit is there, and the second wholly or not at all."""
    versions = await store.run_versions(range(1, 10))
    assert set(versions) == (set(range(1, 8)) if second else {1})
    assert versions[1] == ((2, 1002) if second else (1, 1))
    events = [one.first_event_id for one in await store.read_history(1, 1, 99, 2**40)]
    assert events == ([1, 2] if second else [1])
    loaded = await store.load_run(1, "workflow-1", run_id(1))
    assert loaded is not None
    assert len(await store.queues_with_backlog()) == (1 if second else 0)
    # The second commit is the first to use numbers above the marks that the first one left.
    assert (await store.last_numbers())[1] >= (1002 if second else 1)


async def _found(folder: Path) -> bool:
    """Whether the second commit is in the files that a crash left behind."""
    store = open_sqlite(folder / "perdure.db", settings=ONLY_LOOKING)
    try:
        second = len(await store.run_versions(range(1, 10))) > 1
        await _is_whole(store, second=second)
    finally:
        await store.close()
    return second


async def _at_every_step(
    tmp_path: Path,
    settings: SqliteSettings,
    fail: Callable[[Disk, int], None],
) -> list[str]:
    """Commit with a fault at the n-th step, for each n that is reached; what each was told."""
    told: list[str] = []
    begin = tmp_path / "begin"
    begin.mkdir()
    await _begin(begin)
    for step in itertools.count():
        folder = shutil.copytree(begin, tmp_path / f"step-{step}")
        with Disk() as disk:
            store = open_sqlite(folder / "perdure.db", vfs=disk.name, settings=settings)
            fence = await store.acquire(SHARD)
            fail(disk, step)
            outcome = await _outcome(store, fence)
            with suppress(StoreUnavailable):
                # Answered by the thread that writes, so after the checkpoint that follows a commit.
                await store.run_versions([])
            disk.found_after(folder / "killed", None)
            disk.found_after(folder / "unplugged", random.Random(step))
            failed = disk.repair()
            await _judge(store, fence, folder, outcome)
            await store.close()
        assert await _found(folder)
        if not failed:
            assert outcome == "acknowledged"
            return told
        told.append(outcome)
    raise AssertionError("unreachable")


async def _begin(folder: Path) -> None:
    """Make the files with the first commit, once: that takes longer than the steps."""
    store = open_sqlite(folder / "perdure.db", settings=ONLY_LOOKING)
    await store.commit(_first(await store.acquire(SHARD)))
    await store.close()


async def _outcome(store: SqliteStore, fence: Fence) -> str:
    try:
        assert await store.commit(_second(fence)) == CommitResult({})
    except StoreUnavailable:
        return "unavailable"
    except CommitUnknown:
        return "unknown"
    return "acknowledged"


async def _judge(store: SqliteStore, fence: Fence, folder: Path, outcome: str) -> None:
    """Was what the commit was told true, in this process and in those after a crash?"""
    if outcome == "acknowledged":
        assert await _found(folder / "killed")
        assert await _found(folder / "unplugged")
        await _is_whole(store, second=True)
        return
    killed, unplugged = await _found(folder / "killed"), await _found(folder / "unplugged")
    if outcome == "unavailable":
        assert not killed
        assert not unplugged
    # The disk is repaired: now it can be said, and the same commit can be made.
    await _is_whole(store, second=False)
    assert await store.commit(_second(fence)) == CommitResult({})
    await _is_whole(store, second=True)


@pytest.mark.parametrize("error", WRITE_FAULTS)
@pytest.mark.parametrize("times", [1, None], ids=["once", "until repaired"])
async def test_a_failing_write_fails_the_commit_and_nothing_else(
    tmp_path: Path, error: str, times: int | None
) -> None:
    told = await _at_every_step(
        tmp_path,
        NO_CHECKPOINTS,
        lambda disk, step: disk.fail(WRITE_FAULTS[error], on="writes", after=step, times=times),
    )
    assert len(told) >= FAILING_STEPS_MIN
    # A full disk is certain; so is one that works again at once. Another one may have anything.
    certain = times == 1 or error == "full"
    assert set(told) == {"unavailable" if certain else "unknown"}


async def test_a_failing_sync_that_lasts_leaves_the_commit_unknown(tmp_path: Path) -> None:
    told = await _at_every_step(
        tmp_path,
        NO_CHECKPOINTS,
        lambda disk, step: disk.fail(apsw.SQLITE_IOERR_FSYNC, after=step, on="syncs"),
    )
    assert told
    assert set(told) == {"unknown"}


async def test_a_sync_that_fails_once_is_settled_at_once(tmp_path: Path) -> None:
    told = await _at_every_step(
        tmp_path,
        NO_CHECKPOINTS,
        lambda disk, step: disk.fail(apsw.SQLITE_IOERR_FSYNC, after=step, times=1, on="syncs"),
    )
    assert told
    assert set(told) == {"unavailable"}


@pytest.mark.parametrize("error", [apsw.SQLITE_FULL, apsw.SQLITE_IOERR_WRITE])
async def test_a_checkpoint_that_fails_costs_nobody_anything(tmp_path: Path, error: int) -> None:
    told = await _at_every_step(
        tmp_path,
        EAGER_CHECKPOINTS,
        lambda disk, step: disk.fail(error, on="writes", after=step),
    )
    assert told[0] != "acknowledged"
    assert told[-1] == "acknowledged"


async def test_nothing_is_told_about_an_unknown_commit_until_it_is_settled(tmp_path: Path) -> None:
    with Disk() as disk:
        store = open_sqlite(tmp_path / "perdure.db", vfs=disk.name, settings=NO_CHECKPOINTS)
        fence = await store.acquire(SHARD)
        await store.commit(_first(fence))
        disk.die_at_sync()
        with pytest.raises(CommitUnknown):
            await store.commit(_second(fence))
        # The log holds the whole commit: a process that starts now would find it.
        disk.found_after(tmp_path / "killed", None)
        assert await _found(tmp_path / "killed")
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.run_versions([1])
            with pytest.raises(StoreUnavailable):
                await store.commit(_second(fence))
        disk.repair()
        assert await store.run_versions([1, 2]) == {1: (1, 1)}
        # It was told that the commit is gone, so it must be gone for whoever starts now.
        disk.found_after(tmp_path / "later", None)
        assert not await _found(tmp_path / "later")
        assert await store.commit(_second(fence)) == CommitResult({})
        await store.close()
    assert await _found(tmp_path)


@pytest.mark.parametrize("error", [apsw.SQLITE_FULL, apsw.SQLITE_IOERR])
async def test_a_database_that_cannot_be_created_is_unavailable(tmp_path: Path, error: int) -> None:
    with Disk() as disk:
        disk.fail(error)
        with pytest.raises(StoreUnavailable):
            open_sqlite(tmp_path / "perdure.db", vfs=disk.name)
        disk.repair()
        store = open_sqlite(tmp_path / "perdure.db", vfs=disk.name)
        await store.commit(_first(await store.acquire(SHARD)))
        await store.close()
