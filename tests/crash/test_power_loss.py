"""Power loss of a whole server: what was acknowledged is on the disk, or the disk was not asked."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from tests.crash import server_on_vfs
from tests.crash.audit import file_problems, served_problems
from tests.crash.load import Load
from tests.crash.server_process import ServerProcess, fixed_port

CUTS = 6
ACKNOWLEDGED_BEFORE_A_CUT = 60


async def _serve_and_cut(command: list[str], found: Path, load: Load, dice: random.Random) -> None:
    """Serve the load for a while, then lose power: the folder holds what is found afterwards."""
    with ServerProcess(command) as server:
        await asyncio.to_thread(server.wait_ready)
        await load.until_acknowledged(ACKNOWLEDGED_BEFORE_A_CUT)
        await asyncio.sleep(dice.random() / 10)
        server.tell(f"cut {dice.randrange(2**32)} {found}")
        await asyncio.to_thread(server.wait)
        load.check_alive()
        assert server.complaints() == []


async def _problems_found(found: Path, load: Load) -> list[str]:
    """What is wrong with a copy of what was found: looking at it changes it."""
    copied = found.with_name(f"{found.name}-copy")
    shutil.copytree(found, copied)
    return await file_problems(copied / "perdure.db", load.ledger, is_final=False)


@pytest.mark.crash
async def test_what_was_acknowledged_survives_power_loss(tmp_path: Path) -> None:
    dice = random.Random(6)
    folder, port = tmp_path, fixed_port()
    async with Load(port, dice) as load:
        for cut in range(CUTS):
            command = server_on_vfs.command(port, folder / "perdure.db", "FULL")
            folder = tmp_path / f"cut-{cut}"
            await _serve_and_cut(command, folder, load, dice)
            assert await _problems_found(folder, load) == []
        command = server_on_vfs.command(port, folder / "perdure.db", "FULL")
        with ServerProcess(command) as server:
            await asyncio.to_thread(server.wait_ready)
            await load.finish()
            assert await served_problems(load.connection, load.ledger) == []
            assert await asyncio.to_thread(server.stop) == 0
            assert server.complaints() == []
        assert load.problems == []
    assert await file_problems(folder / "perdure.db", load.ledger, is_final=True) == []


@pytest.mark.crash
async def test_without_syncs_the_same_power_loss_is_noticed(tmp_path: Path) -> None:
    dice = random.Random(6)
    port = fixed_port()
    async with Load(port, dice) as load:
        command = server_on_vfs.command(port, tmp_path / "perdure.db", "OFF")
        await _serve_and_cut(command, tmp_path / "cut", load, dice)
        assert await _problems_found(tmp_path / "cut", load) != []
