"""Rule: a worker outlives its server, and goes on when another takes its place."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import pytest

from perdure.client import Client
from perdure.worker import Worker
from tests.crash.server_process import ServerProcess, dev_command, fixed_port
from tests.sdk import worker_programs as programs
from tests.sdk.looking import until_activity_runs, until_event
from tests.sdk.test_worker_workflows import TASK_COMPLETED


@pytest.mark.crash
async def test_a_worker_goes_on_when_its_server_was_killed_and_came_back(
    tmp_path: Path, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "perdure.worker")
    port = fixed_port()
    command = dev_command(port, tmp_path / "server.db")
    waiting = asyncio.Event()
    programs.Gate.opened, programs.Gate.passed = waiting, 0
    with ServerProcess(command) as server:
        await asyncio.to_thread(server.wait_ready)
        client = await Client.connect(f"127.0.0.1:{port}")
        worker = Worker(
            client,
            task_queue=queue,
            workflows=[programs.Collects, programs.Calls],
            activities=[programs.pass_gate],
        )
        async with worker:
            signalled = await client.start_workflow(
                programs.Collects.run, 2, id=queue, task_queue=queue
            )
            await signalled.signal(programs.Collects.add, "before")
            await until_event(signalled, TASK_COMPLETED)
            calling = await client.start_workflow(
                programs.Calls.run, args=["pass_gate", []], id=f"{queue} 2", task_queue=queue
            )
            await until_activity_runs(calling)
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            # The outcome of the activity is ready while nobody can take it.
            waiting.set()
            with ServerProcess(command) as again:
                await asyncio.to_thread(again.wait_ready)
                await signalled.signal(programs.Collects.add, "after")
                assert await signalled.result() == ["before", "after"]
                assert await calling.result() == "passed"
                assert programs.Gate.passed == 1
                await worker.shutdown()
                await client.service_client.close()
