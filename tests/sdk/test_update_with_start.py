"""Updates that start their workflow if need be, in every home."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from perdure.client import (
    Client,
    RPCError,
    RPCStatusCode,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from perdure.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from perdure.exceptions import WorkflowAlreadyStartedError
from perdure.worker import Worker
from tests.sdk.test_updates import Account, double

USE_EXISTING = WorkflowIDConflictPolicy.USE_EXISTING
FAIL = WorkflowIDConflictPolicy.FAIL


def worker(client: Client, queue: str) -> Worker:
    return Worker(client, task_queue=queue, workflows=[Account], activities=[double])


def starting(
    queue: str, policy: WorkflowIDConflictPolicy = USE_EXISTING, **options: Any
) -> WithStartWorkflowOperation[Any, int]:
    return WithStartWorkflowOperation(
        Account.run, id=queue, task_queue=queue, id_conflict_policy=policy, **options
    )


async def test_the_workflow_is_started_once_and_updated_each_time(
    client: Client, queue: str
) -> None:
    async with worker(client, queue):
        first, second = starting(queue), starting(queue)
        update = client.execute_update_with_start_workflow
        assert await update(Account.add, 5, start_workflow_operation=first) == 5
        assert await update(Account.add_doubled, 1, start_workflow_operation=second) == 2
        handle, same = await first.workflow_handle(), await second.workflow_handle()
        assert handle.result_run_id == same.result_run_id
        assert handle.first_execution_run_id == handle.result_run_id
        await handle.signal(Account.close)
        assert await handle.result() == 7


async def test_an_update_may_be_waited_for_in_parts(client: Client, queue: str) -> None:
    async with worker(client, queue):
        operation = starting(queue)
        sent = await client.start_update_with_start_workflow(
            Account.add_later,
            3,
            id="later",
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            start_workflow_operation=operation,
        )
        handle = await operation.workflow_handle()
        assert (sent.id, sent.workflow_id, sent.workflow_run_id) == (
            "later",
            queue,
            handle.result_run_id,
        )
        await handle.signal(Account.go_on)
        assert await sent.result() == 3


async def test_a_refused_update_has_started_its_workflow(client: Client, queue: str) -> None:
    async with worker(client, queue):
        operation = starting(queue)
        with pytest.raises(WorkflowUpdateFailedError):
            await client.execute_update_with_start_workflow(
                Account.add, -1, start_workflow_operation=operation
            )
        handle = await operation.workflow_handle()
        await handle.signal(Account.close)
        assert await handle.result() == 0


async def test_a_start_that_is_not_allowed_sends_no_update(client: Client, queue: str) -> None:
    async with worker(client, queue):
        handle = await client.start_workflow(Account.run, id=queue, task_queue=queue)
        operation = starting(queue, FAIL)
        with pytest.raises(WorkflowAlreadyStartedError) as refused:
            await client.execute_update_with_start_workflow(
                Account.add, 1, start_workflow_operation=operation
            )
        assert refused.value.workflow_id == queue
        assert refused.value.run_id == handle.result_run_id
        with pytest.raises(WorkflowAlreadyStartedError):
            await operation.workflow_handle()
        await handle.signal(Account.close)
        assert await handle.result() == 0
        closed = starting(queue, id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE)
        with pytest.raises(WorkflowAlreadyStartedError):
            await client.execute_update_with_start_workflow(
                Account.add, 1, start_workflow_operation=closed
            )


async def test_what_is_wrong_with_one_part_is_told(client: Client, queue: str) -> None:
    operation = starting("x" * 2000)
    with pytest.raises(RPCError) as refused:
        await client.execute_update_with_start_workflow(
            Account.add, 1, start_workflow_operation=operation
        )
    assert refused.value.status is RPCStatusCode.INVALID_ARGUMENT
    with pytest.raises(RPCError):
        await operation.workflow_handle()


async def test_a_caller_may_give_up(client: Client, queue: str) -> None:
    """Without a worker nobody accepts the update."""
    operation = starting(queue)
    with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
        await client.execute_update_with_start_workflow(
            Account.add,
            1,
            start_workflow_operation=operation,
            rpc_timeout=timedelta(milliseconds=200),
        )
    cancelled = starting(queue)
    waiting = asyncio.create_task(
        client.execute_update_with_start_workflow(
            Account.add, 1, start_workflow_operation=cancelled
        )
    )
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
        await waiting


async def test_an_operation_is_used_once(client: Client, queue: str) -> None:
    with pytest.raises(ValueError, match="WorkflowIDConflictPolicy is required"):
        starting(queue, WorkflowIDConflictPolicy.UNSPECIFIED)
    async with worker(client, queue):
        operation = starting(queue)
        update = client.execute_update_with_start_workflow
        await update(Account.add, 1, start_workflow_operation=operation)
        with pytest.raises(RuntimeError, match="cannot be reused"):
            await update(Account.add, 1, start_workflow_operation=operation)
