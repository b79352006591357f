"""Power loss: whatever was acknowledged is there afterwards; with weaker settings it is not."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Literal

import apsw
import pytest

from perdure.server.store.ports import Fence, StoreUnavailable
from perdure.server.store.sqlite import SqliteSettings, SqliteStore, open_sqlite
from tests.store.powerloss import Disk
from tests.store.rows import SHARD, batch, change, group, start

WORKFLOWS = 6


class Ledger:
    """Commits many versions of a few workflows, and keeps the newest acknowledged one of each."""

    def __init__(self, store: SqliteStore, fence: Fence) -> None:
        self._store = store
        self._fence = fence
        self.acknowledged: dict[int, int] = {}
        self.handed_over: dict[int, int] = {}

    async def write(self, run: int) -> None:
        """The next version of a run, with a batch of history for it."""
        version = self.handed_over.get(run, 0) + 1
        self.handed_over[run] = version
        events = batch(version, version)
        write = (
            start(run, history=[events])
            if version == 1
            else change(run, version, history=[events], wake_at_ns=version)
        )
        result = await self._store.commit(group(self._fence, write))
        assert result.poisoned == {}
        self.acknowledged[run] = version


async def _problems(
    path: Path, acknowledged: dict[int, int], handed_over: dict[int, int]
) -> list[str]:
    """What is wrong with a file that was found: versions are missing, or only partly there."""
    try:
        # Only to look at it: nothing is written that would have to survive.
        store = open_sqlite(path, settings=SqliteSettings(synchronous="OFF"))
    except (StoreUnavailable, apsw.Error) as error:
        return [str(error)]
    problems: list[str] = []
    try:
        versions = await store.run_versions(list(handed_over))
        due = {run: wake for wake, run in await store.due(SHARD, 2**40, 100)}
        for run, newest in handed_over.items():
            version, _ = versions.get(run, (0, 0))
            if not acknowledged.get(run, 0) <= version <= newest:
                problems.append(f"run {run} has version {version}")
            found = await store.read_history(run, 1, 2**40, 2**40)
            if found != [batch(event, event) for event in range(1, version + 1)]:
                problems.append(f"run {run} of version {version} has {len(found)} batches")
            if due.get(run) != (version if version > 1 else None):
                problems.append(f"run {run} of version {version} is due at {due.get(run)}")
    except (StoreUnavailable, apsw.Error) as error:
        problems.append(str(error))
    finally:
        await store.close()
    connection = apsw.Connection(str(path))
    try:
        if (integrity := connection.pragma("integrity_check")) != "ok":
            problems.append(str(integrity))
    except apsw.Error as error:
        problems.append(str(error))
    finally:
        connection.close()
    return problems


async def _lose_power_often(
    tmp_path: Path, dice: random.Random, synchronous: Literal["FULL", "NORMAL", "OFF"]
) -> list[str]:
    """What was found to be wrong after many power losses in the middle of load."""
    problems: list[str] = []
    settings = SqliteSettings(synchronous=synchronous, checkpoint_bytes=100_000)
    with Disk() as disk:
        store = open_sqlite(tmp_path / "perdure.db", vfs=disk.name, settings=settings)
        ledger = Ledger(store, await store.acquire(SHARD))
        for cut in range(12):
            writing = [
                asyncio.create_task(ledger.write(dice.randint(1, WORKFLOWS)))
                for _ in range(dice.randint(1, 40))
            ]
            await writing[dice.randrange(len(writing))]
            acknowledged = dict(ledger.acknowledged)
            folder = tmp_path / f"after-{cut}"
            disk.found_after(folder, dice)
            problems += await _problems(
                folder / "perdure.db", acknowledged, dict(ledger.handed_over)
            )
            await asyncio.gather(*writing)
        await store.close()
    # Whatever the settings: the same load without a power loss leaves nothing to find.
    assert await _problems(tmp_path / "perdure.db", ledger.acknowledged, ledger.handed_over) == []
    return problems


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_acknowledged_survives_power_loss(tmp_path: Path, seed: int) -> None:
    assert await _lose_power_often(tmp_path, random.Random(seed), "FULL") == []


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
async def test_weaker_settings_lose_commits_and_the_test_notices(
    tmp_path: Path, synchronous: Literal["NORMAL", "OFF"]
) -> None:
    assert await _lose_power_often(tmp_path, random.Random(1), synchronous) != []
