"""Rule: a stock worker of the official SDK has nothing to complain about, start to shutdown."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterator

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.worker import Worker

from tests.interop.servers import server
from tests.interop.stock import Bug, Hello, compose

pytestmark = pytest.mark.interop

CORE = logging.getLogger("interop.core")


@pytest.fixture(params=["real", "ours"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    with server(request.param) as address:
        yield address


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All records from warnings up, whoever writes them, in their order."""
    with caplog.at_level(logging.WARNING):
        yield caplog


async def _connect(address: str) -> Client:
    """A client whose core hands its warnings to Python's logging."""
    runtime = Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(
                filter=TelemetryFilter(core_level="WARN", other_level="WARN"),
                forwarding=LogForwardingConfig(logger=CORE),
            )
        )
    )
    return await Client.connect(address, runtime=runtime)


async def _greet(client: Client) -> str:
    """One greeting by a worker with all defaults: sandbox, sticky cache, its heartbeats."""
    queue = f"quiet-{uuid.uuid4()}"
    async with Worker(client, task_queue=queue, workflows=[Hello], activities=[compose]):
        result: str = await client.execute_workflow(Hello.run, "World", id=queue, task_queue=queue)
    return result


async def _provoke(client: Client) -> None:
    """Makes the core warn, by a workflow with a bug."""
    queue = f"loud-{uuid.uuid4()}"
    async with Worker(client, task_queue=queue, workflows=[Bug]):
        handle = await client.start_workflow(Bug.run, id=queue, task_queue=queue)
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                break
        await handle.terminate()


def _of_core(heard: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in heard.records if record.name.startswith(CORE.name)]


async def _first_of_core(heard: pytest.LogCaptureFixture) -> str:
    """The core hands its records over from a thread of its own, in order."""
    for _ in range(500):
        if messages := _of_core(heard):
            return messages[0]
        await asyncio.sleep(0.02)
    raise AssertionError("the core says nothing")


def test_a_stock_worker_logs_no_warning(address: str, heard: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        client = await _connect(address)
        assert await _greet(client) == "Hello, World!"
        assert [record.getMessage() for record in heard.records] == []
        # The first warning of the core is the one that is provoked now: had there been one before,
        # this would fail, and were the core's log not heard at all, this would too.
        await _provoke(client)
        assert "Failing workflow task" in await _first_of_core(heard)

    asyncio.run(scenario())
