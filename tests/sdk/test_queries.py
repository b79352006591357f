"""Queries of our SDK, in every home."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from perdure import workflow
from perdure.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError
from perdure.common import QueryRejectCondition, RawValue
from perdure.service import RPCError, RPCStatusCode
from perdure.worker import Worker


@workflow.defn
class Counter:
    """Counts until it is told to stop."""

    def __init__(self) -> None:
        self.count = 0
        self.is_over = False

    @workflow.run
    async def run(self) -> int:
        """The count."""
        workflow.set_query_handler("negative", lambda: -self.count)
        await workflow.wait_condition(lambda: self.is_over)
        return self.count

    @workflow.signal
    def add(self, amount: int) -> None:
        """Count."""
        self.count += amount

    @workflow.signal
    def stop(self) -> None:
        """End."""
        self.is_over = True

    @workflow.query
    def total(self) -> int:
        """How many there are."""
        return self.count

    @workflow.query
    def divided(self, by: int) -> float:
        """A share."""
        return self.count / by

    @workflow.query(dynamic=True)
    def anything(self, name: str, args: Sequence[RawValue]) -> str:
        """Whatever else."""
        return f"{name} {len(args)}"


def worker(client: Client, queue: str, **options: Any) -> Worker:
    return Worker(client, task_queue=queue, workflows=[Counter], **options)


@pytest.mark.parametrize("cached", [1000, 0], ids=["in memory", "replayed"])
async def test_an_answer_shows_every_signal_before_it(
    client: Client, queue: str, cached: int
) -> None:
    async with worker(client, queue, max_cached_workflows=cached):
        handle = await client.start_workflow(Counter.run, id=queue, task_queue=queue)
        for number in range(1, 11):
            await handle.signal(Counter.add, 1)
            assert await handle.query(Counter.total) == number
        before = await handle.fetch_history()
        assert await handle.query("negative") == -10
        assert await handle.query(Counter.divided, 4) == 2.5
        assert await handle.query("whatever", args=[1, 2]) == "whatever 2"
        with pytest.raises(WorkflowQueryFailedError, match="division by zero"):
            await handle.query(Counter.divided, 0)
        assert "in run" in await handle.query("__stack_trace")
        assert await handle.fetch_history() == before, "a query leaves no trace"
        await handle.signal(Counter.stop)
        assert await handle.result() == 10
        assert await handle.query(Counter.total) == 10


async def test_a_query_may_be_rejected(client: Client, queue: str) -> None:
    async with worker(client, queue):
        handle = await client.start_workflow(Counter.run, id=queue, task_queue=queue)
        condition = QueryRejectCondition.NOT_OPEN
        assert await handle.query(Counter.total, reject_condition=condition) == 0
        await handle.terminate()
        for rejecting in (condition, QueryRejectCondition.NOT_COMPLETED_CLEANLY):
            with pytest.raises(WorkflowQueryRejectedError) as rejected:
                await handle.query(Counter.total, reject_condition=rejecting)
            assert rejected.value.status is not None
            assert rejected.value.status.name == "TERMINATED"
        assert await handle.query(Counter.total) == 0


async def test_queries_and_signals_at_once_see_what_they_must(client: Client, queue: str) -> None:
    """Many callers, each of which knows how many signals of its own were acknowledged."""
    async with worker(client, queue):
        handle = await client.start_workflow(Counter.run, id=queue, task_queue=queue)

        async def caller() -> None:
            for acknowledged in range(1, 6):
                await handle.signal(Counter.add, 1)
                assert await _patiently(handle) >= acknowledged

        await asyncio.gather(*(caller() for _ in range(4)))
        assert await handle.query(Counter.total) == 20


async def _patiently(handle: Any) -> int:
    """Ask again while another question waits for the workflow."""
    while True:
        try:
            total: int = await handle.query(Counter.total)
            return total
        except RPCError as error:
            if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
                raise
