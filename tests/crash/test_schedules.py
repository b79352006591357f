"""Schedules under kill -9: no action is lost or taken twice, and overlap policies hold."""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.enums.v1 import ScheduleOverlapPolicy
from temporalio.api.schedule.v1 import (
    IntervalSpec,
    Schedule,
    ScheduleAction,
    SchedulePatch,
    SchedulePolicies,
    ScheduleSpec,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    CreateScheduleResponse,
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    PatchScheduleRequest,
    PatchScheduleResponse,
)

from tests.crash.connection import Connection
from tests.crash.server_process import ServerProcess, dev_command
from tests.frontend.client import NAMESPACE

pytestmark = pytest.mark.crash

KILLS = 3
ACTIONS_BETWEEN = 1
PATIENCE_SECONDS = 60
OVERLAPS = {
    "all": ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
    "skip": ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_SKIP,
    "buffer": ScheduleOverlapPolicy.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE,
}


def every_second(schedule_id: str) -> CreateScheduleRequest:
    """A schedule whose workflows nobody works on, so that each goes on for ever."""
    workflow = NewWorkflowExecutionInfo(
        workflow_id=schedule_id,
        workflow_type=WorkflowType(name="Waits"),
        task_queue=TaskQueue(name="nobody"),
    )
    schedule = Schedule(
        spec=ScheduleSpec(interval=[IntervalSpec(interval=Duration(seconds=1))]),
        action=ScheduleAction(start_workflow=workflow),
        policies=SchedulePolicies(overlap_policy=OVERLAPS[schedule_id]),
    )
    return CreateScheduleRequest(
        namespace=NAMESPACE, schedule_id=schedule_id, schedule=schedule, request_id=schedule_id
    )


async def actions(connection: Connection, schedule_id: str) -> int:
    """How many actions the schedule says that it has taken."""
    request = DescribeScheduleRequest(namespace=NAMESPACE, schedule_id=schedule_id)
    described = await connection.call(request, DescribeScheduleResponse)
    return described.info.action_count


async def started(connection: Connection, schedule_id: str) -> list[str]:
    """The ids of all runs that the schedule started, in order."""
    query = f"TemporalScheduledById = '{schedule_id}'"
    request = ListWorkflowExecutionsRequest(namespace=NAMESPACE, query=query, page_size=1_000)
    listed = await connection.call(request, ListWorkflowExecutionsResponse)
    return sorted(info.execution.workflow_id for info in listed.executions)


async def until_taken(connection: Connection, more: int) -> None:
    """Wait until so many more actions have been taken without regard to others."""
    count = await actions(connection, "all") + more
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await actions(connection, "all") < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def all_started(connection: Connection) -> list[str]:
    """The ids of all runs without regard to others, once no more will come."""
    pause = SchedulePatch(pause="enough")
    request = PatchScheduleRequest(namespace=NAMESPACE, schedule_id="all", patch=pause)
    await connection.call(request, PatchScheduleResponse)
    count = await actions(connection, "all")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(names := await started(connection, "all")) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert len(names) == count
    return names


async def test_no_action_is_lost_or_taken_twice_and_policies_hold(tmp_path: Path) -> None:
    command = dev_command(0, tmp_path / "perdure.db")
    for life in range(KILLS):
        with ServerProcess(command) as server:
            await asyncio.to_thread(server.wait_ready)
            connection = Connection(server.port)
            if life == 0:
                for schedule_id in OVERLAPS:
                    await connection.call(every_second(schedule_id), CreateScheduleResponse)
            await until_taken(connection, ACTIONS_BETWEEN)
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            await connection.close()
    with ServerProcess(command) as server:
        await asyncio.to_thread(server.wait_ready)
        connection = Connection(server.port)
        await until_taken(connection, ACTIONS_BETWEEN)
        names = await all_started(connection)
        for schedule_id in ("skip", "buffer"):
            assert len(await started(connection, schedule_id)) == 1, schedule_id
        await connection.close()
    times = [datetime.fromisoformat(name.removeprefix("all-")) for name in names]
    assert times == [times[0] + timedelta(seconds=number) for number in range(len(times))]
    assert len(times) >= ACTIONS_BETWEEN * (KILLS + 1)
