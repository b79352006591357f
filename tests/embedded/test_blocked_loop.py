"""A program blocks its loop for 15 s: work that was done in time has not timed out."""

from __future__ import annotations

import time

import pytest

import perdure
from tests.embedded import programs
from tests.embedded.running import activity_attempts, events_of, timeouts, worker

BLOCKED_SECONDS = 15.0
LIMIT_SECONDS = 4.0
"""Of activities that need half a second."""

THREADED = pytest.mark.parametrize("thread", [False, True], ids=["this loop", "own thread"])


@pytest.mark.crash  # slow: real time, since the claim is about the machine's clocks
@THREADED
async def test_work_that_was_done_while_the_loop_was_blocked_has_not_timed_out(
    thread: bool,
) -> None:
    async with perdure.embedded(thread=thread) as client, worker(client):
        programs.Work.began.clear()
        programs.Work.blocks_seconds = BLOCKED_SECONDS
        began = time.monotonic()
        handle = await client.start_workflow(
            programs.Working.run, LIMIT_SECONDS, id="working", task_queue=programs.QUEUE
        )
        assert await handle.result() == ["worked, attempt 1"] * 2
        assert time.monotonic() - began > BLOCKED_SECONDS
        events = await events_of(handle)
        assert timeouts(events) == []
        assert activity_attempts(events) == [1, 1]


@THREADED
async def test_work_that_is_not_done_times_out(thread: bool) -> None:
    async with perdure.embedded(thread=thread) as client, worker(client):
        handle = await client.start_workflow(
            programs.Late.run, id="late", task_queue=programs.QUEUE
        )
        assert await handle.result() == "START_TO_CLOSE"
