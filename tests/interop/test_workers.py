"""The worker registry: what workers tell, who asks for it, and how the real server answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import workflow
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import (
    PluginInfo,
    StorageDriverInfo,
    WorkerHeartbeat,
    WorkerHostInfo,
)
from temporalio.api.workflowservice.v1 import (
    CountWorkersRequest,
    DescribeWorkerRequest,
    ListWorkersRequest,
    RecordWorkerHeartbeatRequest,
    ShutdownWorkerRequest,
)
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError
from temporalio.worker import Worker

from tests.interop.servers import NAMESPACE, server

pytestmark = pytest.mark.interop

START_SECONDS = 1_700_000_000
QUERIES = [
    "",
    " ",
    "WorkerInstanceKey='a'",
    "WorkerIdentity='id-a'",
    "HostName='host-b'",
    "TaskQueue='q-a'",
    'TaskQueue="q-a"',
    "`TaskQueue`='q-a'",
    "taskqueue='q-a'",
    "TaskQueue!='q-a'",
    "not TaskQueue='q-a'",
    "TaskQueue in ('q-a','q-c')",
    "TaskQueue starts_with 'q'",
    "TaskQueue not starts_with 'q-a'",
    "TaskQueue like 'q%'",
    "TaskQueue > 'q-a'",
    "TaskQueue is null",
    "HostName is null",
    "SdkName is null",
    "WorkerIdentity is null",
    "BuildId is null",
    "DeploymentName='dep'",
    "DeploymentName is null",
    "DeploymentName is not null",
    "DeploymentName=''",
    "BuildId='b1'",
    "BuildId=''",
    "BuildId!='b1'",
    "BuildId!=''",
    "HostName=''",
    "HostName!=''",
    "HostName!='host-a'",
    "DeploymentName!='dep'",
    "DeploymentName starts_with ''",
    "DeploymentName not starts_with 'd'",
    "SdkName starts_with ''",
    "SdkName='temporal-go'",
    "SdkVersion='1.2.3'",
    "Status='Running'",
    "Status='ShuttingDown'",
    "Status='running'",
    "Status='Unspecified'",
    "Status starts_with 'Run'",
    "Status is null",
    "Status=1",
    "WorkerStatus='Running'",
    "StartTime='2023-11-14T22:13:20Z'",
    "StartTime!='2023-11-14T22:13:20Z'",
    "StartTime > '2020-01-01T00:00:00Z'",
    "StartTime >= '2023-11-14T22:13:20Z'",
    "StartTime < '2020-01-01T00:00:00Z'",
    "StartTime <= '2023-11-14T22:13:20Z'",
    "StartTime between '2020-01-01T00:00:00Z' and '2030-01-01T00:00:00Z'",
    "StartTime not between '2020-01-01T00:00:00Z' and '2030-01-01T00:00:00Z'",
    "StartTime = 'zz'",
    "StartTime > 5",
    "StartTime = 1700000000000000000",
    "StartTime is null",
    "StartTime starts_with '2023'",
    "HeartbeatTime > '2020-01-01T00:00:00Z'",
    "LastHeartbeatTime > '2020-01-01T00:00:00Z'",
    "Foo='x'",
    "foo",
    "TaskQueue='q-a' or TaskQueue='q-b'",
    "TaskQueue='q-a' or Foo='x'",
    "Foo='x' or TaskQueue='q-a'",
    "TaskQueue='q-a' and Foo='x'",
    "TaskQueue='q-z' and Foo='x'",
    "(TaskQueue='q-a' and HostName='host-a') or SdkName='temporal-go'",
    "TaskQueue='q-a' order by TaskQueue",
    "order by TaskQueue",
    "TaskQueue='q-a' group by Status",
    "limit 1",
    "1=1",
    "TaskQueue='a' and",
    "TaskQueue=HostName",
    "TaskQueue=5",
]


def heartbeat(key: str, **fields: Any) -> WorkerHeartbeat:
    """What a worker might tell."""
    told = WorkerHeartbeat(
        worker_instance_key=key,
        worker_identity=f"id-{key}",
        task_queue=f"q-{key}",
        sdk_name="temporal-python",
        sdk_version="1.2.3",
        status=WorkerStatus.WORKER_STATUS_RUNNING,
        host_info=WorkerHostInfo(
            host_name=f"host-{key}", process_id="77", current_host_cpu_usage=0.5
        ),
        deployment_version=WorkerDeploymentVersion(deployment_name="dep", build_id="b1"),
        plugins=[PluginInfo(name="plugin", version="1")],
        drivers=[StorageDriverInfo(type="store")],
        elapsed_since_last_heartbeat=Duration(seconds=60),
        start_time=Timestamp(seconds=START_SECONDS),
        heartbeat_time=Timestamp(seconds=START_SECONDS + 60),
    )
    told.MergeFrom(WorkerHeartbeat(**fields))
    return told


class _Asked:
    """One server, and what it answered."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.service = client.workflow_service
        self.answers: list[str] = []

    async def note(self, what: str, call: Coroutine[Any, Any, Any]) -> None:
        """Asks for something."""
        try:
            answer = json_format.MessageToDict(await call)
            for rows in answer.values():
                if isinstance(rows, list):  # only pages have an order
                    rows.sort(key=lambda row: json.dumps(row, sort_keys=True))
            self.answers.append(f"{what}: {json.dumps(answer, sort_keys=True)}")
        except RPCError as error:
            self.answers.append(f"{what}: {error.status.name} {error.message}")

    async def record(self, *told: WorkerHeartbeat, namespace: str = NAMESPACE) -> None:
        """Has workers tell of themselves."""
        request = RecordWorkerHeartbeatRequest(namespace=namespace, worker_heartbeat=told)
        await self.note("record", self.service.record_worker_heartbeat(request))

    async def list(self, what: str, **fields: Any) -> None:
        """Asks for a list."""
        request = ListWorkersRequest(**{"namespace": NAMESPACE, **fields})
        await self.note(what, self.service.list_workers(request))

    async def count(self, what: str, **fields: Any) -> None:
        """Asks for a number."""
        request = CountWorkersRequest(**{"namespace": NAMESPACE, **fields})
        await self.note(what, self.service.count_workers(request))

    async def describe(self, key: str, namespace: str = NAMESPACE) -> None:
        """Asks about one."""
        request = DescribeWorkerRequest(namespace=namespace, worker_instance_key=key)
        await self.note(f"describe {key}", self.service.describe_worker(request))

    async def shut_down(self, key: str, told: WorkerHeartbeat | None) -> None:
        """A worker goes."""
        request = ShutdownWorkerRequest(
            namespace=NAMESPACE, worker_instance_key=key, worker_heartbeat=told
        )
        await self.note(f"shut down {key}", self.service.shutdown_worker(request))


async def ask(address: str) -> list[str]:
    """Everything that is compared."""
    asked = _Asked(await Client.connect(address))
    await asked.list("nobody")
    going = WorkerStatus.WORKER_STATUS_SHUTTING_DOWN
    await asked.record(
        heartbeat("a"), heartbeat("b"), heartbeat("c", status=going, sdk_name="temporal-go")
    )
    await asked.record(WorkerHeartbeat(worker_instance_key="bare"))
    await asked.record()
    await asked.list("all")
    for query in QUERIES:
        await asked.count(f"count {query}", query=query)
    await asked.list("a query", query="SdkName='temporal-go'")
    await _ask_for_pages(asked)
    await _ask_for_nothing(asked)
    await asked.record(heartbeat("a", sdk_version="1.2.4"))
    await asked.describe("a")
    await asked.shut_down("b", heartbeat("b", status=going))
    await asked.describe("b")
    await asked.shut_down("c", None)
    await asked.describe("c")
    gone = WorkerStatus.WORKER_STATUS_SHUTDOWN
    await asked.shut_down("a", heartbeat("a", status=gone))
    await asked.describe("a")
    await asked.record(heartbeat("sys", task_queue="temporal-sys-per-ns-tq"))
    await asked.record(heartbeat(""))
    await asked.count("without the system's")
    await asked.list("in the end")
    return asked.answers


async def _ask_for_pages(asked: _Asked) -> None:
    await asked.list("a page", page_size=2)
    page = await asked.service.list_workers(ListWorkersRequest(namespace=NAMESPACE, page_size=2))
    await asked.list("the next page", page_size=2, next_page_token=page.next_page_token)
    await asked.list("a negative page", page_size=-2)
    await asked.list("a strange token", page_size=2, next_page_token=b"xx")


async def _ask_for_nothing(asked: _Asked) -> None:
    await asked.describe("zz")
    await asked.describe("")
    await asked.list("no such namespace", namespace="nope")
    await asked.count("no namespace", namespace="")
    await asked.record(heartbeat("a"), namespace="nope")
    await asked.describe("a", namespace="nope")


def test_workers_are_listed_counted_and_described_as_by_the_real_server() -> None:
    answers = []
    for target in ("real", "ours"):
        with server(target) as address:
            answers.append(asyncio.run(ask(address)))
    assert answers[0] == answers[1]


# ---- the stock worker


@workflow.defn(sandboxed=False)
class Never:
    """Is never started."""

    @workflow.run
    async def run(self) -> None:
        """Nothing."""


async def until_listed(client: Client, query: str) -> Any:
    """The first worker of a list, once there is one."""
    while True:
        request = ListWorkersRequest(namespace=NAMESPACE, query=query)
        response = await client.workflow_service.list_workers(request)
        if response.workers:
            return response
        await asyncio.sleep(0.05)


async def watch_a_worker(address: str) -> list[str]:
    """The fields that a stock worker's entry has while it runs and when it has gone."""
    runtime = Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=timedelta(seconds=1))
    client = await Client.connect(address, runtime=runtime, identity="watched")
    async with Worker(client, task_queue="watched", workflows=[Never]):
        async with asyncio.timeout(20):
            listed = await until_listed(client, "TaskQueue='watched' AND Status='Running'")
    fields = sorted(json_format.MessageToDict(listed.workers[0]))
    left: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while True:
                request = ListWorkersRequest(namespace=NAMESPACE, query="TaskQueue='watched'")
                response = await client.workflow_service.list_workers(request)
                left = [WorkerStatus.Name(one.status) for one in response.workers]
                if not left:
                    break
    return [*fields, *left]


def test_a_stock_worker_is_listed_while_it_runs_as_by_the_real_server() -> None:
    seen = []
    for target in ("real", "ours"):
        with server(target) as address:
            seen.append(asyncio.run(watch_a_worker(address)))
    assert seen[0] == seen[1]
    assert "workerInstanceKey" in seen[0]
