"""A disk that fails at any write or sync under a working server: requests fail as UNAVAILABLE,
nothing that was acknowledged is lost, and the server works again when the disk does."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from pathlib import Path
from typing import Literal

import apsw
import grpc
import pytest

from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from tests.crash.audit import file_problems, served_problems
from tests.crash.in_process import serving
from tests.crash.load import Load
from tests.store.powerloss import Disk

FAULTS: dict[str, tuple[int, Literal["writes", "syncs"]]] = {
    "full": (apsw.SQLITE_FULL, "writes"),
    "write": (apsw.SQLITE_IOERR_WRITE, "writes"),
    "sync": (apsw.SQLITE_IOERR_FSYNC, "syncs"),
}
CERTAIN = frozenset(("full",))
"""Faults after which it is known that nothing was written. The others leave it open while they
last: then a request is answered when it is known, or gives up first."""
STEPS = 24
"""The fault comes at the first write, the second, ..."""
CLIENTS = 6
OUTAGE_ANSWERS = 5
OUTAGE_SECONDS_MAX = 1.5
REQUEST_SECONDS_MAX = 1.0
WAIT_SECONDS_MAX = 30.0


async def _until_failed(disk: Disk, load: Load, answers: int) -> None:
    """Return when the disk has failed, and so many requests have. At times nobody requests
    anything, but waits for what a timer or a retry is to do: then the outage is over too."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not disk.failed:
            load.check_alive()
            await asyncio.sleep(0.005)
    wanted = load.connection.times_away + answers
    with suppress(TimeoutError):
        async with asyncio.timeout(OUTAGE_SECONDS_MAX):
            while load.connection.times_away < wanted:
                load.check_alive()
                await asyncio.sleep(0.005)


@pytest.mark.crash
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_disk_that_fails_for_a_while_costs_nothing_that_was_acknowledged(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    error, kind = FAULTS[fault]
    dice = random.Random(fault)
    database = tmp_path / "perdure.db"
    settings = SqliteSettings(checkpoint_bytes=100_000)
    with Disk() as disk:
        store = open_sqlite(database, vfs=disk.name, settings=settings)
        async with (
            serving(store) as server,
            Load(server.port, dice, clients=CLIENTS, timeout_seconds=REQUEST_SECONDS_MAX) as load,
        ):
            for step in range(STEPS):
                # It served again after the last outage, in the same process.
                await load.until_acknowledged(3)
                lasts = step % 4 == 0
                disk.fail(error, on=kind, after=step, times=None if lasts else 1)
                await _until_failed(disk, load, OUTAGE_ANSWERS if lasts else 0)
                disk.repair()
            await load.finish()
            assert await served_problems(load.connection, load.ledger) == []
            assert load.problems == []
            away = load.connection.away
            assert away[grpc.StatusCode.UNAVAILABLE] >= STEPS // 2
            if fault in CERTAIN:
                assert set(away) == {grpc.StatusCode.UNAVAILABLE}
    assert await file_problems(database, load.ledger, is_final=True) == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
