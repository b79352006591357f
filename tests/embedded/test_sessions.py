"""Our worker and our server, each a process of its own, and what a session between them is for."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from perdure.client import Client
from perdure.server.frontend.sessions import ACTIVITY_GRACE_SECONDS
from perdure.transport.per_loop import PerLoopTransport
from tests.crash.server_process import ServerProcess, dev_command, fixed_port
from tests.embedded import programs
from tests.embedded.running import (
    SOON_SECONDS,
    activity_attempts,
    child_command,
    events_of,
    greet,
    greet_with_worker,
    timeouts,
    worker,
    workflow_task_attempts,
)
from tests.interop.servers import real_server


def has_session(client: Client) -> bool:
    """Whether the calls of a client travel over a session."""
    transport = client.service_client.transport
    assert isinstance(transport, PerLoopTransport)
    return transport.has_session


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Client]:
    """A client, closed at the end."""
    client = await Client.connect(address)
    try:
        yield client
    finally:
        await client.service_client.close()


@asynccontextmanager
async def serving(command: list[str]) -> AsyncIterator[str]:
    """The address of a server of ours."""
    with ServerProcess(command) as server:
        await asyncio.to_thread(server.wait_ready)
        yield f"127.0.0.1:{server.port}"
        assert await asyncio.to_thread(server.stop) == 0
        assert server.complaints() == []


async def test_our_worker_and_client_talk_over_a_session(tmp_path: Path) -> None:
    async with (
        serving(dev_command(0, tmp_path / "server.db")) as address,
        connected(address) as client,
    ):
        assert await greet_with_worker(client, "greeting") == "Hello, world!"
        assert has_session(client)


@pytest.mark.interop
async def test_against_the_real_server_they_talk_the_ordinary_way() -> None:
    server = real_server()
    address = await asyncio.to_thread(server.__enter__)
    try:
        async with connected(address) as client:
            assert await greet_with_worker(client, "greeting") == "Hello, world!"
            assert not has_session(client)
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


@pytest.mark.crash
async def test_what_a_killed_worker_held_goes_on_with_another(tmp_path: Path) -> None:
    async with (
        serving(dev_command(0, tmp_path / "server.db")) as address,
        connected(address) as client,
    ):
        with ServerProcess(child_command(address)) as first:
            assert await asyncio.to_thread(first.read_line) == "holds\n"
            assert await asyncio.to_thread(first.read_line) == "thinking\n"
            async with worker(client):
                first.kill()
                killed = time.monotonic()
                thinking = client.get_workflow_handle("thinking", result_type=str)
                assert await thinking.result() == "thought"
                assert time.monotonic() - killed < SOON_SECONDS
                retried = client.get_workflow_handle("retried", result_type=str)
                assert await retried.result() == "attempt 2 after ['half way']"
                assert time.monotonic() - killed < ACTIVITY_GRACE_SECONDS + SOON_SECONDS
                for handle, attempts in ((thinking, []), (retried, [2])):
                    events = await events_of(handle)
                    assert timeouts(events) == []
                    assert workflow_task_attempts(events) == {1}
                    assert activity_attempts(events) == attempts


@pytest.mark.crash
async def test_what_a_killed_worker_had_cached_goes_on_with_another(tmp_path: Path) -> None:
    async with (
        serving(dev_command(0, tmp_path / "server.db")) as address,
        connected(address) as client,
    ):
        with ServerProcess(child_command(address, "works")) as first:
            assert await asyncio.to_thread(first.read_line) == "works\n"
            waiting = await client.start_workflow(
                programs.Waiting.run, id="waiting", task_queue=programs.QUEUE
            )
            assert await greet(client, "greeting") == "Hello, world!"  # so the first has both
            async with worker(client):
                first.kill()
                killed = time.monotonic()
                await waiting.signal(programs.Waiting.open)
                assert await waiting.result() == "Hello, again!"
                assert time.monotonic() - killed < SOON_SECONDS
            assert timeouts(await events_of(waiting)) == []


@pytest.mark.crash
async def test_a_worker_opens_its_session_again_when_its_server_was_restarted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "perdure.worker")
    command = dev_command(fixed_port(), tmp_path / "server.db")
    with ServerProcess(command) as server:
        await asyncio.to_thread(server.wait_ready)
        async with connected(f"127.0.0.1:{server.port}") as client, worker(client):
            waiting = await client.start_workflow(
                programs.Waiting.run, id="waiting", task_queue=programs.QUEUE
            )
            assert await greet(client, "before") == "Hello, world!"
            assert await asyncio.to_thread(server.stop, signal.SIGTERM) == 0
            with ServerProcess(command) as again:
                await asyncio.to_thread(again.wait_ready)
                await waiting.signal(programs.Waiting.open)
                assert await waiting.result() == "Hello, again!"
                assert await greet(client, "after") == "Hello, world!"
                assert has_session(client)
                await client.service_client.close()
                assert await asyncio.to_thread(again.stop) == 0
