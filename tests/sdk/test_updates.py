"""Updates of our SDK, in every home."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType

from perdure import activity, workflow
from perdure.client import (
    Client,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from perdure.converter import DataConverter, PayloadCodec
from perdure.exceptions import ApplicationError
from perdure.service import RPCError, RPCStatusCode
from perdure.worker import Worker

LIMIT = timedelta(seconds=20)
TASK_STARTED = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
ACCEPTED = WorkflowUpdateStage.ACCEPTED


@activity.defn
async def double(number: int) -> int:
    """Twice as much."""
    return 2 * number


@workflow.defn
class Account:
    """An amount that is changed until it is closed."""

    def __init__(self) -> None:
        self.amount = 0
        self.is_open = True
        self.may_go_on = False
        self.validated: list[int] = []

    @workflow.run
    async def run(self) -> int:
        """The amount in the end."""
        await workflow.wait_condition(lambda: not self.is_open and workflow.all_handlers_finished())
        return self.amount

    @workflow.update
    def add(self, amount: int) -> int:
        """Add at once."""
        self.amount += amount
        return self.amount

    @add.validator
    def check_add(self, amount: int) -> None:
        """Nothing is taken away."""
        if amount < 0:
            raise ApplicationError("negative", amount, type="Negative")

    @workflow.update
    async def add_doubled(self, amount: int) -> int:
        """Add what an activity says."""
        doubled = await workflow.execute_activity(double, amount, start_to_close_timeout=LIMIT)
        self.amount += doubled
        return doubled

    @workflow.update
    async def add_later(self, amount: int) -> int:
        """Add when told to."""
        await workflow.wait_condition(lambda: self.may_go_on)
        self.amount += amount
        return self.amount

    @workflow.update
    async def fail(self) -> None:
        """Fail after a while."""
        await workflow.sleep(0.01)
        raise ApplicationError("no luck", type="Luckless")

    @workflow.query
    def total(self) -> int:
        """How much there is."""
        return self.amount

    @workflow.signal
    def go_on(self) -> None:
        """Let those who wait go on."""
        self.may_go_on = True

    @workflow.signal
    def close(self) -> None:
        """End."""
        self.is_open = False


def worker(client: Client, queue: str, **options: Any) -> Worker:
    return Worker(client, task_queue=queue, workflows=[Account], activities=[double], **options)


@pytest.mark.parametrize("cached", [1000, 0], ids=["in memory", "replayed"])
async def test_updates_change_the_workflow_and_answer(
    client: Client, queue: str, cached: int
) -> None:
    async with worker(client, queue, max_cached_workflows=cached):
        handle = await client.start_workflow(Account.run, id=queue, task_queue=queue)
        assert await handle.execute_update(Account.add, 5, id="one") == 5
        assert await handle.execute_update(Account.add, 5, id="one") == 5, "the same update"
        assert await handle.execute_update(Account.add_doubled, 4) == 8
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await handle.execute_update(Account.fail)
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.type == "Luckless"
        later = await handle.start_update(Account.add_later, 1, wait_for_stage=ACCEPTED)
        assert await handle.execute_update("add", 2) == 15
        assert await handle.query(Account.total) == 15
        await handle.signal(Account.go_on)
        assert await later.result() == 16
        await handle.signal(Account.close)
        assert await handle.result() == 16
        assert await handle.get_update_handle_for(Account.add, "one").result() == 5


async def test_refused_updates_leave_no_trace(client: Client, queue: str) -> None:
    """And the run stays in memory: no task of it is lost, and no history is read again."""
    async with worker(client, queue):
        handle = await client.start_workflow(Account.run, id=queue, task_queue=queue)
        assert await handle.execute_update(Account.add, 1) == 1
        before = await handle.fetch_history()
        for number in range(3):
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await handle.execute_update(Account.add, -1 - number)
            cause = refused.value.cause
            assert isinstance(cause, ApplicationError)
            assert (cause.type, cause.details) == ("Negative", (-1 - number,))
        assert await handle.fetch_history() == before
        with pytest.raises(WorkflowUpdateFailedError) as unknown:
            await handle.execute_update("unknown")
        assert "known updates: [add add_doubled add_later fail]" in str(unknown.value.cause)
        assert await handle.execute_update(Account.add, 1) == 2
        await handle.signal(Account.close)
        assert await handle.result() == 2


async def test_many_updates_at_once_are_handled_one_after_another(
    client: Client, queue: str
) -> None:
    async with worker(client, queue):
        handle = await client.start_workflow(Account.run, id=queue, task_queue=queue)
        totals = await asyncio.gather(*(handle.execute_update(Account.add, 1) for _ in range(8)))
        assert sorted(totals) == list(range(1, 9))
        await handle.signal(Account.close)
        assert await handle.result() == 8


async def test_a_caller_may_stop_waiting_and_come_back(client: Client, queue: str) -> None:
    async with worker(client, queue):
        handle = await client.start_workflow(Account.run, id=queue, task_queue=queue)
        later = await handle.start_update(Account.add_later, 3, id="later", wait_for_stage=ACCEPTED)
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await later.result(rpc_timeout=timedelta(milliseconds=50))
        waiting = asyncio.create_task(later.result())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await waiting
        sending = asyncio.create_task(handle.execute_update(Account.add_later, 1, id="another"))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
            await sending
        await handle.signal(Account.go_on)
        assert await handle.get_update_handle("later", result_type=int).result() in (3, 4)


async def test_a_workflow_that_is_over_takes_no_update(client: Client, queue: str) -> None:
    async with worker(client, queue):
        handle = await client.start_workflow(Account.run, id=queue, task_queue=queue)
        await handle.signal(Account.close)
        await handle.result()
        with pytest.raises(RPCError) as refused:
            await handle.execute_update(Account.add, 1)
        assert refused.value.status is RPCStatusCode.NOT_FOUND


class Base64Codec(PayloadCodec):
    """Text that nobody can read by mistake."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload(
                metadata={"encoding": b"base64"}, data=base64.b64encode(one.SerializeToString())
            )
            for one in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload.FromString(base64.b64decode(one.data))
            if one.metadata.get("encoding") == b"base64"
            else one
            for one in payloads
        ]


@pytest.mark.parametrize("cached", [1000, 0], ids=["in memory", "replayed"])
async def test_a_codec_sees_every_value_of_an_update(
    client: Client, queue: str, cached: int
) -> None:
    config = client.config()
    config["data_converter"] = replace(DataConverter.default, payload_codec=Base64Codec())
    coded = Client(**config)
    async with worker(coded, queue, max_cached_workflows=cached):
        handle = await coded.start_workflow(Account.run, id=queue, task_queue=queue)
        assert await handle.execute_update(Account.add_doubled, 5) == 10
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(Account.add, -1)
        assert isinstance(refused.value.cause, ApplicationError)
        assert refused.value.cause.details == (-1,)
        await handle.signal(Account.close)
        assert await handle.result() == 10
    for event in (await handle.fetch_history()).events:
        for message in (
            event.workflow_execution_update_accepted_event_attributes.accepted_request.input.args,
            event.workflow_execution_update_completed_event_attributes.outcome.success,
        ):
            for payload in message.payloads:
                assert payload.metadata["encoding"] == b"base64"
