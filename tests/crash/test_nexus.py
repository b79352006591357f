"""kill -9 in the middle of Nexus operations: none is lost, none ends twice or with the result of
another, and each is carried out once."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from sim.ledger import Ledger
from tests.crash.audit import file_problems
from tests.crash.nexus_load import FINISH_SECONDS_MAX, OPERATIONS, NexusLoad, create_endpoint
from tests.crash.server_process import ServerProcess, dev_command, fixed_port
from tests.crash.standalone_load import StandaloneLoad

KILLS = 5
CALLERS_AT_ONCE = 6
ALIVE_MILLISECONDS = (100, 500)
PATIENT = [
    word
    for name in ("component.nexusoperations.request.timeout", "callback.request.timeout")
    for word in ("--dynamic-config-value", f'{name}="1h"')
]
"""A call that died with its server is made again by the next one, or not in the time of a test."""
OF_LEDGERS = ("K1:", "O1:", "O2:", "W2:")
"""What is said of a store beside a ledger, which this load does not keep."""


@pytest.mark.crash
async def test_kills_in_the_middle_of_nexus_operations_lose_none_and_end_none_twice(
    tmp_path: Path,
) -> None:
    dice = random.Random(5)
    database, port = tmp_path / "perdure.db", fixed_port()
    command = dev_command(port, database, *PATIENT)
    async with NexusLoad(port, dice) as load:
        starting: list[asyncio.Task[None]] = []
        for kill in range(KILLS):
            with ServerProcess(command) as server:
                await asyncio.to_thread(server.wait_ready)
                if kill == 0:
                    await create_endpoint(port)
                for number in range(CALLERS_AT_ONCE):
                    caller = load.start(kill * CALLERS_AT_ONCE + number)
                    starting.append(asyncio.create_task(caller))
                await asyncio.sleep(dice.randint(*ALIVE_MILLISECONDS) / 1000)
                server.kill()
                load.check_alive()
                assert server.complaints() == []
        with ServerProcess(command) as server:
            await asyncio.to_thread(server.wait_ready)
            await asyncio.gather(*starting)
            await load.finish()
            assert await load.problems() == []
            assert await asyncio.to_thread(server.stop) == 0
            assert server.complaints() == []
        assert len(load.callers) == KILLS * CALLERS_AT_ONCE
    problems = await file_problems(database, Ledger(), is_final=True)
    assert [problem for problem in problems if not problem.startswith(OF_LEDGERS)] == []


@pytest.mark.crash
async def test_kills_in_the_middle_of_operations_without_a_workflow_lose_none(
    tmp_path: Path,
) -> None:
    dice = random.Random(6)
    database, port = tmp_path / "perdure.db", fixed_port()
    switched_on = "nexusoperation.enableStandalone=true"
    command = dev_command(port, database, *PATIENT, "--dynamic-config-value", switched_on)
    async with NexusLoad(port, dice) as handlers:
        load = StandaloneLoad(handlers.connection)
        starting: list[asyncio.Task[None]] = []
        for kill in range(KILLS):
            with ServerProcess(command) as server:
                await asyncio.to_thread(server.wait_ready)
                if kill == 0:
                    await create_endpoint(port)
                for number in range(CALLERS_AT_ONCE):
                    start = load.start(kill * CALLERS_AT_ONCE + number)
                    starting.append(asyncio.create_task(start))
                await asyncio.sleep(dice.randint(*ALIVE_MILLISECONDS) / 1000)
                server.kill()
                handlers.check_alive()
                assert server.complaints() == []
        with ServerProcess(command) as server:
            await asyncio.to_thread(server.wait_ready)
            async with asyncio.timeout(FINISH_SECONDS_MAX):
                await asyncio.gather(*starting)
                assert await load.problems() == []
            assert await asyncio.to_thread(server.stop) == 0
            assert server.complaints() == []
    assert len(load.run_ids) == KILLS * CALLERS_AT_ONCE * len(OPERATIONS)
    problems = await file_problems(database, Ledger(), is_final=True)
    assert [problem for problem in problems if not problem.startswith(OF_LEDGERS)] == []
