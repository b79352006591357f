"""kill -9 in the middle of load, again and again: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.crash.audit import file_problems, served_problems
from tests.crash.load import Load
from tests.crash.server_process import ServerProcess, dev_command, fixed_port

KILLS = 25
LOAD_MILLISECONDS = (50, 600)
START_MILLISECONDS_MAX = 300
"""Every fifth server is killed while it starts."""


@pytest.mark.crash
async def test_25_kills_in_the_middle_of_load_lose_nothing(tmp_path: Path) -> None:
    dice = random.Random(25)
    database, port = tmp_path / "perdure.db", fixed_port()
    command = dev_command(port, database)
    async with Load(port, dice) as load:
        for kill in range(KILLS):
            with ServerProcess(command) as server:
                if kill % 5 == 4:
                    await asyncio.sleep(dice.randrange(START_MILLISECONDS_MAX) / 1000)
                else:
                    await asyncio.to_thread(server.wait_ready)
                    await load.until_acknowledged(1)
                    await asyncio.sleep(dice.randint(*LOAD_MILLISECONDS) / 1000)
                server.kill()
                load.check_alive()
                assert server.complaints() == []
        with ServerProcess(command) as server:
            await asyncio.to_thread(server.wait_ready)
            await load.finish()
            assert await served_problems(load.connection, load.ledger) == []
            assert await asyncio.to_thread(server.stop) == 0
            assert server.complaints() == []
        assert load.problems == []
        assert load.connection.times_away > KILLS
    assert load.workflows_done > KILLS
    assert await file_problems(database, load.ledger, is_final=True) == []
