"""A server that stands still for 15 s: work that was done meanwhile has not timed out, and work
that nobody did has."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from tests.crash import stock_worker
from tests.crash.connection import Connection
from tests.crash.program import seconds
from tests.crash.reading import NAMESPACE, read_history
from tests.crash.server_process import ServerProcess, dev_command

STALL_SECONDS = 15.0
WAIT_SECONDS_MAX = 20.0
ACTIVITIES = ("silent", "beating")
COMPLETED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
TIMEOUTS = (
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
    EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
)


class Workers:
    """A worker of the official SDK that has everything in hand but one activity, which is carried
    out by hand since it heartbeats during the whole stall: the SDK would give it up by itself."""

    def __init__(self, connection: Connection, port: int, queue: str) -> None:
        self._connection = connection
        self._queue = queue
        self._by_hand = b""
        """The task token of the activity by hand."""
        self.process = ServerProcess(stock_worker.command(port, queue))

    async def take_activities_in_hand(self) -> None:
        """Return when it works on each activity."""
        assert await self._line() == "working"
        await self._start("Activities")
        begun = {await self._line() for _ in ACTIVITIES}
        assert begun == {f"began {name}" for name in ACTIVITIES}
        task = await self._connection.insist(
            PollActivityTaskQueueRequest(
                namespace=NAMESPACE,
                task_queue=TaskQueue(name=stock_worker.by_hand(self._queue)),
            ),
            PollActivityTaskQueueResponse,
        )
        self._by_hand = task.task_token

    async def take_workflow_task_in_hand(self) -> None:
        """Return when it works on a workflow task."""
        await self._start("Thinking")
        assert await self._line() == "began Thinking"

    async def finish(self) -> None:
        """Finish what was not to go on for longer."""
        self.process.tell("go")
        finished = {await self._line() for _ in range(3)}
        assert finished == {"finished silent", "finished beating", "finished Thinking"}

    async def beat(self) -> None:
        """Heartbeat for the activity by hand; answered when the server goes on."""
        await self._connection.call(
            RecordActivityTaskHeartbeatRequest(namespace=NAMESPACE, task_token=self._by_hand),
            RecordActivityTaskHeartbeatResponse,
            timeout_seconds=60.0,
        )

    async def finish_by_hand(self) -> None:
        """Complete the activity by hand."""
        await self._connection.call(
            RespondActivityTaskCompletedRequest(namespace=NAMESPACE, task_token=self._by_hand),
            RespondActivityTaskCompletedResponse,
        )

    async def history(self, workflow: str) -> list[HistoryEvent]:
        """The history of a workflow."""
        return await read_history(self._connection, self._workflow_id(workflow), "")

    async def until_event(self, workflow: str, kind: EventType.ValueType, count: int = 1) -> None:
        """Return when a history has so many events of a kind."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while True:
                events = await self.history(workflow)
                if sum(event.event_type == kind for event in events) >= count:
                    return
                await asyncio.sleep(0.05)

    def _workflow_id(self, workflow: str) -> str:
        return f"{workflow} on {self._queue}"

    async def _start(self, workflow: str) -> None:
        request = StartWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_id=self._workflow_id(workflow),
            workflow_type=WorkflowType(name=workflow),
            task_queue=TaskQueue(name=self._queue),
            workflow_task_timeout=seconds(stock_worker.TIMEOUT_SECONDS),
            request_id=workflow,
        )
        await self._connection.insist(request, StartWorkflowExecutionResponse)

    async def _line(self) -> str:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return (await asyncio.to_thread(self.process.read_line)).strip()


@pytest.mark.crash
async def test_work_done_during_a_stall_does_not_time_out_and_work_undone_does(
    tmp_path: Path,
) -> None:
    with ServerProcess(dev_command(0, tmp_path / "perdure.db")) as server:
        await asyncio.to_thread(server.wait_ready)
        connection = Connection(server.port)
        diligent = Workers(connection, server.port, "diligent")
        doomed = Workers(connection, server.port, "doomed")
        with diligent.process, doomed.process:
            await asyncio.gather(
                diligent.take_activities_in_hand(), doomed.take_activities_in_hand()
            )
            await asyncio.gather(
                diligent.take_workflow_task_in_hand(), doomed.take_workflow_task_in_hand()
            )
            server.send(signal.SIGSTOP)
            doomed.process.kill()
            await diligent.finish()
            beat = asyncio.create_task(diligent.beat())
            await asyncio.sleep(STALL_SECONDS)
            server.send(signal.SIGCONT)
            await beat
            await _check_diligent(diligent)
            await _check_doomed(doomed)
            assert server.complaints() == []
        await connection.close()
        assert await asyncio.to_thread(server.stop) == 0


async def _check_diligent(diligent: Workers) -> None:
    await diligent.until_event("Thinking", COMPLETED)
    activity_completed = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    await diligent.until_event("Activities", activity_completed, len(ACTIVITIES))
    await diligent.finish_by_hand()
    await diligent.until_event("Activities", COMPLETED)
    for workflow in ("Thinking", "Activities"):
        events = await diligent.history(workflow)
        assert [event for event in events if event.event_type in TIMEOUTS] == []


async def _check_doomed(doomed: Workers) -> None:
    activity_timeout, task_timeout = TIMEOUTS
    await doomed.until_event("Thinking", task_timeout)
    await doomed.until_event("Activities", activity_timeout, len(ACTIVITIES) + 1)
