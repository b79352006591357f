"""Retention of what is no workflow, on a database."""

from __future__ import annotations

import time
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import ActivityType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CountActivityExecutionsRequest,
    CountActivityExecutionsResponse,
    StartActivityExecutionRequest,
    StartActivityExecutionResponse,
    TerminateActivityExecutionRequest,
    TerminateActivityExecutionResponse,
)

from perdure.server.app import Service
from perdure.server.config import Settings
from perdure.server.frontend.services import namespace_ref
from perdure.server.housekeeping.retention import Retention
from perdure.server.machines.ports import SECOND_NS
from tests.frontend.client import NAMESPACE, Client

DAY_NS = 24 * 3600 * SECOND_NS


class Later:
    """A clock that is fast."""

    def __init__(self, by_ns: int) -> None:
        self._by_ns = by_ns

    def now_ns(self) -> int:
        """The time there."""
        return time.time_ns() + self._by_ns


async def counted(client: Client, query: str) -> int:
    """How many activities there are."""
    request = CountActivityExecutionsRequest(namespace=NAMESPACE, query=query)
    return (await client.call(request, CountActivityExecutionsResponse)).count


async def test_activities_that_ended_go_when_their_time_is_over(tmp_path: Path) -> None:
    settings = Settings(database=str(tmp_path / "p.db"))
    service = await Service.open(settings, on_lease_lost=lambda: None)
    try:
        client = Client(service.handlers)
        for name in ("open", "ended"):
            request = StartActivityExecutionRequest(
                namespace=NAMESPACE,
                activity_id=name,
                activity_type=ActivityType(name="a"),
                task_queue=TaskQueue(name="q"),
                start_to_close_timeout=Duration(seconds=60),
                request_id=name,
            )
            await client.call(request, StartActivityExecutionResponse)
        ending = TerminateActivityExecutionRequest(
            namespace=NAMESPACE, activity_id="ended", request_id="end"
        )
        await client.call(ending, TerminateActivityExecutionResponse)
        assert await counted(client, "CloseTime > '2020-01-01T00:00:00Z'") == 1
        assert await counted(client, "CloseTime IS NULL") == 1
        for by_ns, left in ((DAY_NS // 2, 2), (DAY_NS + SECOND_NS, 1)):
            retention = Retention(
                service.store,
                service.engine,
                Later(by_ns),
                service.namespaces.all,
                namespace_ref,
            )
            await retention.sweep()
            assert await counted(client, "") == left
        assert await counted(client, "CloseTime IS NULL") == 1
    finally:
        await service.close()
