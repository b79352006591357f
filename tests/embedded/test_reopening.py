"""A program dies by SIGKILL with tasks in its hands; the next one opens its file.

All timeouts are an hour: whatever goes on does so because the engine knows that its workers died
with it.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType

import perdure
from tests.crash.server_process import ServerProcess
from tests.embedded.running import (
    SOON_SECONDS,
    activity_attempts,
    child_command,
    events_of,
    timeouts,
    worker,
    workflow_task_attempts,
)


def kill_while_it_holds_tasks(database: Path) -> None:
    """Returns when a process was killed that held two activities and a workflow task."""
    with ServerProcess(child_command(str(database))) as program:
        assert program.read_line() == "holds\n"
        assert program.read_line() == "thinking\n"
        program.kill()


@pytest.mark.crash
@pytest.mark.parametrize("thread", [False, True], ids=["this loop", "own thread"])
async def test_what_a_dead_program_held_goes_on_at_once(tmp_path: Path, thread: bool) -> None:
    database = tmp_path / "app.db"
    await asyncio.to_thread(kill_while_it_holds_tasks, database)
    began = time.monotonic()
    async with perdure.embedded(database, thread=thread) as client, worker(client):
        thinking, retried, once = (
            client.get_workflow_handle(name, result_type=str)
            for name in ("thinking", "retried", "once")
        )
        assert await thinking.result() == "thought"
        assert await retried.result() == "attempt 2 after ['half way']"
        assert await once.result() == "TimeoutError"
        assert time.monotonic() - began < SOON_SECONDS

        thought = await events_of(thinking)
        assert timeouts(thought) == []
        assert workflow_task_attempts(thought) == {1}

        went_on = await events_of(retried)
        assert timeouts(went_on) == []
        assert activity_attempts(went_on) == [2]
        assert workflow_task_attempts(went_on) == {1}

        ended = await events_of(once)
        assert timeouts(ended) == ["EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT"]
        assert activity_attempts(ended) == [1]

        asleep = await events_of(client.get_workflow_handle("sleeping"))
        assert asleep[-1].event_type == EventType.EVENT_TYPE_TIMER_STARTED


@pytest.mark.crash
async def test_a_file_that_is_opened_again_without_a_worker_keeps_the_tasks_for_the_next(
    tmp_path: Path,
) -> None:
    database = tmp_path / "app.db"
    await asyncio.to_thread(kill_while_it_holds_tasks, database)
    for _ in range(2):
        async with perdure.embedded(database) as client:
            held = (await client.get_workflow_handle("retried").describe()).raw_description
            assert [pending.attempt for pending in held.pending_activities] == [2]
    async with perdure.embedded(database) as client, worker(client):
        retried = client.get_workflow_handle("retried", result_type=str)
        assert await retried.result() == "attempt 2 after ['half way']"
