"""Who asks for workers what makes no sense: it finds none, or is refused, as by the real server."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.worker.v1 import WorkerHeartbeat
from temporalio.api.workflowservice.v1 import (
    CountWorkersRequest,
    CountWorkersResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    RecordWorkerHeartbeatRequest,
    RecordWorkerHeartbeatResponse,
)

from perdure.server.frontend.services import Services
from perdure.server.frontend.workers import WORKERS_AT_ONCE
from perdure.transport import Code
from tests.frontend.client import Client


async def listed(client: Client, query: str = "", token: bytes = b"") -> list[str]:
    """The keys of those that are found."""
    request = ListWorkersRequest(namespace="default", query=query, next_page_token=token)
    response = await client.call(request, ListWorkersResponse)
    return [info.worker_heartbeat.worker_instance_key for info in response.workers_info]


async def test_a_number_that_no_time_has_finds_nobody(client: Client) -> None:
    heartbeat = RecordWorkerHeartbeatRequest(
        namespace="default", worker_heartbeat=[WorkerHeartbeat(worker_instance_key="key")]
    )
    await client.call(heartbeat, RecordWorkerHeartbeatResponse)
    for digits in (20, 5000):
        assert await listed(client, f"StartTime > {'9' * digits}") == []
    assert await listed(client, token=b"{}") == ["key"]


async def test_times_outside_of_a_range_are_found(client: Client) -> None:
    heartbeats = [
        WorkerHeartbeat(worker_instance_key=f"{second}", start_time=Timestamp(seconds=second))
        for second in (1, 2, 3)
    ]
    heartbeats.append(WorkerHeartbeat(worker_instance_key="who says no time"))
    request = RecordWorkerHeartbeatRequest(namespace="default", worker_heartbeat=heartbeats)
    await client.call(request, RecordWorkerHeartbeatResponse)
    between = "BETWEEN '1970-01-01T00:00:02Z' AND '1970-01-01T00:00:03Z'"
    assert await listed(client, f"StartTime {between}") == ["2", "3"]
    assert await listed(client, f"StartTime NOT {between}") == ["1"]


async def test_the_number_of_workers_is_not_limited_in_a_query(client: Client) -> None:
    query = "TaskQueue = 'q' LIMIT 1"
    refusal = await client.refusal(ListWorkersRequest(namespace="default", query=query))
    text = "operation is not supported: 'limit' clause"
    assert (refusal.code, refusal.message) == (Code.INVALID_ARGUMENT, text)


@pytest.mark.parametrize("token", [b"x", b"1", b"[]", b'{"l":1}', b"[" * 100_000, b"\xff"])
async def test_a_page_token_that_is_none_is_refused(client: Client, token: bytes) -> None:
    request = ListWorkersRequest(namespace="default", next_page_token=token)
    refusal = await client.refusal(request)
    assert (refusal.code, refusal.message) == (Code.INVALID_ARGUMENT, "invalid next_page_token")


async def test_others_have_their_turn_while_many_workers_are_counted(
    client: Client, services: Services
) -> None:
    many = 10 * WORKERS_AT_ONCE
    heartbeats = [WorkerHeartbeat(worker_instance_key=f"{number}") for number in range(many)]
    services.workers.record(
        services.bind("default").number, heartbeats, now_ns=services.clock.now_ns()
    )
    counting = asyncio.create_task(
        client.call(CountWorkersRequest(namespace="default"), CountWorkersResponse)
    )
    turns = 0
    while not counting.done():
        await asyncio.sleep(0)
        turns += 1
    assert (await counting).count == many
    assert turns >= 10
