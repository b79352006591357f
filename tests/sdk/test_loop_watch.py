"""An activity that keeps the event loop to itself is told of, and costs no other its heartbeats."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import PollActivityTaskQueueResponse

import perdure
from perdure import activity, workflow
from perdure.client import Client
from perdure.common import RetryPolicy
from perdure.worker import Worker
from perdure.worker.activity_attempt import ActivityAttempt, AttemptOptions
from perdure.worker.loop_watch import LOOKS_IN_VAIN, LoopWatch
from tests.interop.servers import our_server

PATIENCE_SECONDS = 60.0


class Meeting:
    """Where the threads of one test wait for each other."""

    def __init__(self) -> None:
        self.lives = threading.Event()
        self.blocks = threading.Event()
        self.may_end = threading.Event()
        self.seen: list[str] = []

    @activity.defn
    async def block(self) -> bool:
        """Keeps the loop to itself until it may end."""
        await asyncio.to_thread(self.lives.wait, PATIENCE_SECONDS)
        self.blocks.set()
        return self.may_end.wait(PATIENCE_SECONDS)  # here it blocks

    @activity.defn
    def live(self) -> str:
        """Says that it lives, once the loop is blocked."""
        self.lives.set()
        if not self.blocks.wait(PATIENCE_SECONDS):
            return "nobody blocks"
        while not self.may_end.wait(0.01):
            activity.heartbeat("alive")
        return "lived"


@workflow.defn
class Both:
    """An activity that lives beside one that blocks."""

    @workflow.run
    async def run(self) -> list[Any]:
        """What became of them."""
        limit, once = timedelta(seconds=PATIENCE_SECONDS), RetryPolicy(maximum_attempts=1)
        results: tuple[Any, ...] = await asyncio.gather(
            workflow.execute_activity_method(
                Meeting.block, start_to_close_timeout=limit, retry_policy=once
            ),
            workflow.execute_activity_method(
                Meeting.live,
                start_to_close_timeout=limit,
                heartbeat_timeout=timedelta(seconds=30),
                retry_policy=once,
            ),
        )
        return list(results)


@pytest.fixture
def address() -> Iterator[str]:
    """Where a server of ours is, in a process of its own."""
    with our_server() as address:
        yield address


def wait_for_a_heartbeat(address: str, meeting: Meeting) -> None:
    """Lets the activities end when the server has heard of one."""

    async def look() -> None:
        client = await Client.connect(address)
        described = client.get_workflow_handle("both")
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end and not meeting.seen:
            description = await described.describe()
            for pending in description.raw_description.pending_activities:
                if pending.heartbeat_details.payloads:
                    meeting.seen.append(pending.activity_type.name)
            await asyncio.sleep(0.05)
        await client.service_client.close()

    try:
        assert meeting.blocks.wait(PATIENCE_SECONDS)
        asyncio.run(look())
    finally:
        meeting.may_end.set()


async def test_activities_in_threads_are_heard_of_while_another_blocks_the_loop(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    meeting = Meeting()
    client = await Client.connect(address)
    watcher = threading.Thread(target=wait_for_a_heartbeat, args=(address, meeting))
    watcher.start()
    async with Worker(
        client, task_queue="q", workflows=[Both], activities=[meeting.block, meeting.live]
    ):
        result = await client.execute_workflow(Both.run, id="both", task_queue="q")
    await asyncio.to_thread(watcher.join)
    await client.service_client.close()
    assert result == [True, "lived"]
    assert meeting.seen == ["live"]
    told = [record.getMessage() for record in caplog.records if "blocked" in record.getMessage()]
    assert told[0].startswith("Activity block has blocked the event loop")
    assert "# here it blocks" in told[0]


async def test_a_loop_that_goes_on_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Asked(dict[object, object]):
        """Attempts of which somebody has asked often enough."""

        count = 0

        def __len__(self) -> int:
            Asked.count += 1
            if Asked.count == 4 * LOOKS_IN_VAIN:
                loop.call_soon_threadsafe(asked.set)
            return 1

    async def close() -> None:
        raise AssertionError("nothing was opened")

    watch = LoopWatch(Asked(), send=None, close=close, look_seconds=0.001)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "perdure.worker"):
        await asked.wait()
        watch.stop()
    assert caplog.records == []


def test_a_watch_that_nobody_stops_ends_with_its_loop(caplog: pytest.LogCaptureFixture) -> None:
    before = set(threading.enumerate())

    async def close() -> None:
        raise AssertionError("nothing was opened")

    async def leave() -> None:
        LoopWatch({asyncio.current_task(): None}, send=None, close=close, look_seconds=0.001)  # type: ignore[dict-item]

    with caplog.at_level(logging.WARNING, "perdure.worker"):
        asyncio.run(leave())
        [thread] = set(threading.enumerate()) - before
        thread.join()
    assert caplog.records == []


async def test_a_heartbeat_is_sent_late_once_and_not_too_often() -> None:
    async with perdure.embedded() as client:
        options = AttemptOptions(
            source=None,  # type: ignore[arg-type]
            client=client,
            task_queue="q",
            heartbeat_interval=timedelta(seconds=30),
            heartbeat_interval_max=timedelta(seconds=60),
            worker_shutdown=activity._Flag(),
        )
        task = PollActivityTaskQueueResponse()
        task.heartbeat_timeout.FromSeconds(10)
        attempt = ActivityAttempt(task, options)
        assert not attempt.take_late_heartbeat(0.0)
        attempt.done = True  # what is recorded on the loop goes no further
        await asyncio.to_thread(attempt.heartbeat, ["recorded"])
        await asyncio.sleep(0)
        attempt.done = False
        assert not attempt.take_late_heartbeat(0.0)
        thread = threading.Thread(target=attempt.heartbeat, args=(["first"],))
        thread.start()
        thread.join()
        assert attempt.take_late_heartbeat(1.0)
        assert not attempt.take_late_heartbeat(100.0)
        thread = threading.Thread(target=attempt.heartbeat, args=(["second"],))
        thread.start()
        thread.join()
        assert not attempt.take_late_heartbeat(8.9)
        assert attempt.take_late_heartbeat(9.0)
        attempt.done = True
