"""A disk that lies about one workflow: that one is lost, loudly, and no other one suffers."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest
from temporalio.api.workflowservice.v1 import RespondWorkflowTaskCompletedRequest

from perdure.server.engine.history import TAIL_BYTES_MAX, HistoryTail
from perdure.server.machines.workflow import inputs
from perdure.server.store.memory import MemoryStore
from tests.engine.house import House, simulated
from tests.machines.neighbours import signal

SIGNALED = "WORKFLOW_EXECUTION_SIGNALED"


def stored(house: House) -> MemoryStore:
    """What is on the disk."""
    assert isinstance(house.faults.inner, MemoryStore)
    return house.faults.inner


def flipped(blob: bytes) -> bytes:
    """A blob whose checksum does not hold any more."""
    return blob[:-1] + bytes([blob[-1] ^ 1])


def corrupt(house: House, workflow_id: str) -> None:
    """Nobody can read this workflow any more."""
    for run in stored(house)._runs.values():
        if run.identity.workflow_id == workflow_id:
            run.head = flipped(run.head)


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> None:
    """It is as loud as it should be, and nobody reads it here."""
    caplog.set_level(logging.CRITICAL + 1, logger="perdure.server.engine")


@simulated
async def test_the_wake_ups_of_all_others_go_on(house: House) -> None:
    for name, timer in (("bad", "timer t 5s"), ("good", "timer t 6s")):
        await house.start(name)
        await house.complete(await house.take(), timer)
    corrupt(house, "bad")
    await house.crash()
    task = await house.take()
    assert task.task.token.workflow_id == "good"
    assert "TIMER_FIRED" in await house.types("good")


@simulated
async def test_a_poll_that_met_its_task_gets_the_next_one(house: House) -> None:
    await house.start("bad")
    await asyncio.sleep(1)
    await house.start("good")
    corrupt(house, "bad")
    await house.crash()
    task = await house.take()
    assert task.task.token.workflow_id == "good"


@simulated
async def test_messages_of_all_others_are_delivered(house: House) -> None:
    for target in ("one", "two"):
        await house.start(target)
        await house.complete(await house.take(), "marker m")
    await house.start("source")
    task = await house.take()
    house.wire.hold()
    completing = asyncio.ensure_future(
        house.submit("source", signal_both(task.task.token)),
    )
    await asyncio.sleep(0.1)
    # The turn becomes durable, and the process dies before anything is delivered.
    await stored(house).commit(house.wire.commits[-1])
    completing.cancel()
    store = stored(house)
    first = min(store._outbox)
    store._outbox[first] = msgspec.structs.replace(
        store._outbox[first], blob=flipped(store._outbox[first].blob)
    )
    await house.crash()
    await asyncio.sleep(2)
    assert SIGNALED not in await house.types("one")
    assert SIGNALED in await house.types("two")
    assert first in store._outbox, "kept for whoever can read it"


def signal_both(token: inputs.TaskToken) -> inputs.CompleteWorkflowTask:
    """The source signals both."""
    request = RespondWorkflowTaskCompletedRequest(
        identity="worker", commands=[signal("one"), signal("two")]
    )
    return inputs.CompleteWorkflowTask(token, request)


def test_no_batch_fills_the_memory_of_a_cached_workflow() -> None:
    tail = HistoryTail()
    tail.append(1, 1, b"x" * (TAIL_BYTES_MAX + 1))
    assert tail.read(1, 1) is None, "it is read from the store"
    tail.append(2, 2, b"\x0a\x01y")
    assert tail.read(2, 2) == b"\x0a\x01y"
