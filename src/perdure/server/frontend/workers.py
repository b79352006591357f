"""The workers of a namespace: what they tell of themselves, and who asks about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from temporalio.api.worker.v1 import WorkerHeartbeat, WorkerInfo, WorkerListInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkersRequest,
    CountWorkersResponse,
    DescribeWorkerRequest,
    DescribeWorkerResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    RecordWorkerHeartbeatRequest,
    RecordWorkerHeartbeatResponse,
    ShutdownWorkerRequest,
    ShutdownWorkerResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.services import Services
from perdure.server.frontend.worker_queries import matcher
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.transport import Caller

PAGE_MAX = 1000
"""Workers; no page is longer, whatever is asked for."""
WORKERS_AT_ONCE = 500
"""Looked at in one turn of the event loop."""

_SYSTEM_TASK_QUEUE = "temporal-sys-per-ns-tq"
"""Of the workers by which the real server does some of its own work."""


async def shutdown_worker(
    services: Services, request: ShutdownWorkerRequest, caller: Caller
) -> bytes:
    """A worker goes: its polls are answered with nothing, and its sticky queue gets no more
    tasks."""
    namespace = services.bind(request.namespace)
    if request.HasField("worker_heartbeat"):
        services.workers.record(
            namespace.number, [request.worker_heartbeat], now_ns=services.clock.now_ns()
        )
    services.engine.cancel_polls(namespace, request.worker_instance_key, request.sticky_task_queue)
    return ShutdownWorkerResponse().SerializeToString()


async def record_worker_heartbeat(
    services: Services, request: RecordWorkerHeartbeatRequest, caller: Caller
) -> bytes:
    """Workers are alive."""
    namespace = services.bind(request.namespace)
    services.workers.record(
        namespace.number, request.worker_heartbeat, now_ns=services.clock.now_ns()
    )
    return RecordWorkerHeartbeatResponse().SerializeToString()


async def list_workers(services: Services, request: ListWorkersRequest, caller: Caller) -> bytes:
    """A page of the workers that a query is true of, by instance key."""
    namespace = services.bind(request.namespace)
    found = _matching(services, namespace, request, _last_of(request.next_page_token))
    size = request.page_size if 0 < request.page_size <= PAGE_MAX else PAGE_MAX
    page: list[WorkerHeartbeat] = []
    async for heartbeat in found:
        page.append(heartbeat)
        if len(page) > size:
            break
    response = ListWorkersResponse()
    for heartbeat in page[:size]:
        response.workers_info.add().worker_heartbeat.CopyFrom(heartbeat)
        response.workers.append(_in_list(heartbeat))
    if len(page) > size:
        last = page[size - 1].worker_instance_key
        response.next_page_token = json.dumps({"l": last}, separators=(",", ":")).encode()
    return response.SerializeToString()


async def count_workers(services: Services, request: CountWorkersRequest, caller: Caller) -> bytes:
    """How many workers a query is true of."""
    namespace = services.bind(request.namespace)
    count = 0
    async for _ in _matching(services, namespace, request, ""):
        count += 1
    return CountWorkersResponse(count=count).SerializeToString()


async def describe_worker(
    services: Services, request: DescribeWorkerRequest, caller: Caller
) -> bytes:
    """All that a worker tells of itself."""
    namespace = services.bind(request.namespace)
    key = request.worker_instance_key
    heartbeat = services.workers.find(namespace.number, key, now_ns=services.clock.now_ns())
    if heartbeat is None:
        raise NotFound(f"Worker {key} not found")
    info = WorkerInfo(worker_heartbeat=heartbeat)
    return DescribeWorkerResponse(worker_info=info).SerializeToString()


async def _matching(
    services: Services,
    namespace: NamespaceRef,
    request: ListWorkersRequest | CountWorkersRequest,
    after: str,
) -> AsyncIterator[WorkerHeartbeat]:
    matches = matcher(request.query)
    now_ns = services.clock.now_ns()
    workers = services.workers.workers(namespace.number, after=after, now_ns=now_ns)
    for number, heartbeat in enumerate(workers, 1):
        if number % WORKERS_AT_ONCE == 0:
            await asyncio.sleep(0)  # There may be a million: others have their turn meanwhile.
        if heartbeat.task_queue == _SYSTEM_TASK_QUEUE and not request.include_system_workers:
            continue
        if matches(heartbeat):
            yield heartbeat


def _last_of(token: bytes) -> str:
    """The instance key after which a page begins."""
    if not token:
        return ""
    try:
        last = json.loads(token).get("l", "")
    except (ValueError, AttributeError, RecursionError):
        last = None
    if not isinstance(last, str):
        raise InvalidArgument("invalid next_page_token")
    return last


def _in_list(heartbeat: WorkerHeartbeat) -> WorkerListInfo:
    """What of a worker does not change while it lives."""
    listed = WorkerListInfo(
        worker_instance_key=heartbeat.worker_instance_key,
        worker_identity=heartbeat.worker_identity,
        task_queue=heartbeat.task_queue,
        sdk_name=heartbeat.sdk_name,
        sdk_version=heartbeat.sdk_version,
        status=heartbeat.status,
        host_name=heartbeat.host_info.host_name,
        worker_grouping_key=heartbeat.host_info.worker_grouping_key,
        process_id=heartbeat.host_info.process_id,
        plugins=heartbeat.plugins,
        drivers=heartbeat.drivers,
    )
    if heartbeat.HasField("deployment_version"):
        listed.deployment_version.CopyFrom(heartbeat.deployment_version)
    if heartbeat.HasField("start_time"):
        listed.start_time.CopyFrom(heartbeat.start_time)
    return listed
