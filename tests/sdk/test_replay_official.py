"""What the official SDK does on the real server, ours does; each replays the other's histories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from tests.interop.servers import server
from tests.sdk.replay_check import differences, task_numbers
from tests.sdk.replay_loader import PROGRAMS
from tests.sdk.replay_raw_worker import raw_worker
from tests.sdk.replay_record import WORKFLOWS, record

pytestmark = pytest.mark.interop


@pytest.fixture
def address() -> Iterator[str]:
    """A fresh real server."""
    with server("real") as found:
        yield found


async def test_histories_that_the_official_sdk_writes_replay_here(address: str) -> None:
    """Recorded anew, so that the stored ones cannot go stale unnoticed."""
    histories = await record(address)
    found = {
        name: differences(PROGRAMS, events, evicted_before=evicted)
        for name, events in histories.items()
        for evicted in ((), task_numbers(events))
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


async def test_histories_that_ours_writes_replay_there(address: str) -> None:
    """A run may move from our SDK to the official one."""
    histories = await record(address, raw_worker)
    replayer = Replayer(workflows=WORKFLOWS, workflow_runner=UnsandboxedWorkflowRunner())
    failures = {}
    for name, events in histories.items():
        started = events[0].workflow_execution_started_event_attributes
        history = WorkflowHistory(started.workflow_id, events)
        replayed = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        failures[name] = replayed.replay_failure
    assert len(failures) >= len(WORKFLOWS)
    assert {name: failure for name, failure in failures.items() if failure} == {}
