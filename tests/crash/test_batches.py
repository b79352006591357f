"""A batch operation under kill -9: it goes on, and does nothing twice."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from temporalio.api.batch.v1 import BatchOperationSignal
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import BatchOperationState, EventType
from temporalio.api.workflowservice.v1 import (
    DescribeBatchOperationRequest,
    DescribeBatchOperationResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    StartBatchOperationRequest,
    StartBatchOperationResponse,
    StartWorkflowExecutionResponse,
)

from tests.crash.connection import Connection
from tests.crash.server_process import ServerProcess, dev_command
from tests.frontend.client import NAMESPACE, start_request

pytestmark = pytest.mark.crash

WORKFLOWS = 250
RATE = 400.0
PATIENCE_SECONDS = 60


async def described(connection: Connection) -> DescribeBatchOperationResponse:
    """How far the job has come."""
    request = DescribeBatchOperationRequest(namespace=NAMESPACE, job_id="job")
    return await connection.call(request, DescribeBatchOperationResponse)


async def until(connection: Connection, complete: int) -> DescribeBatchOperationResponse:
    """Wait until the job has come so far."""
    while True:
        job = await described(connection)
        if job.complete_operation_count >= complete:
            return job
        await asyncio.sleep(0.02)


async def signals(connection: Connection, workflow_id: str) -> int:
    """How many signals a workflow has."""
    request = GetWorkflowExecutionHistoryRequest(
        namespace=NAMESPACE, execution=WorkflowExecution(workflow_id=workflow_id)
    )
    page = await connection.call(request, GetWorkflowExecutionHistoryResponse)
    signaled = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    return sum(event.event_type == signaled for event in page.history.events)


async def test_a_job_goes_on_after_a_kill_and_signals_each_workflow_once(tmp_path: Path) -> None:
    command = dev_command(0, tmp_path / "perdure.db")
    names = [f"w{number}" for number in range(WORKFLOWS)]
    with ServerProcess(command) as server:
        await asyncio.to_thread(server.wait_ready)
        connection = Connection(server.port)
        starts = [
            connection.call(start_request(workflow_id=name), StartWorkflowExecutionResponse)
            for name in names
        ]
        await asyncio.gather(*starts)
        request = StartBatchOperationRequest(
            namespace=NAMESPACE,
            job_id="job",
            reason="because",
            visibility_query="WorkflowId STARTS_WITH 'w'",
            max_operations_per_second=RATE,
            signal_operation=BatchOperationSignal(signal="go"),
        )
        await connection.call(request, StartBatchOperationResponse)
        # A page and a half: what is stored of the job is behind what was done.
        await until(connection, WORKFLOWS * 3 // 5)
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await connection.close()
    with ServerProcess(command) as server:
        await asyncio.to_thread(server.wait_ready)
        connection = Connection(server.port)
        async with asyncio.timeout(PATIENCE_SECONDS):
            job = await until(connection, WORKFLOWS)
            while job.state == BatchOperationState.BATCH_OPERATION_STATE_RUNNING:
                job = await described(connection)
        assert job.state == BatchOperationState.BATCH_OPERATION_STATE_COMPLETED
        assert (job.total_operation_count, job.complete_operation_count) == (WORKFLOWS, WORKFLOWS)
        counts = await asyncio.gather(*(signals(connection, name) for name in names))
        assert set(counts) == {1}
        await connection.close()
