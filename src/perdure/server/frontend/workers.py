"""ShutdownWorker and RecordWorkerHeartbeat: what workers tell of themselves."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    RecordWorkerHeartbeatRequest,
    RecordWorkerHeartbeatResponse,
    ShutdownWorkerRequest,
    ShutdownWorkerResponse,
)

from perdure.server.frontend.services import Services
from perdure.transport import Caller


async def shutdown_worker(
    services: Services, request: ShutdownWorkerRequest, caller: Caller
) -> bytes:
    """A worker goes: its polls are answered with nothing, and its sticky queue gets no more
    tasks."""
    namespace = services.bind(request.namespace)
    services.engine.cancel_polls(namespace, request.worker_instance_key, request.sticky_task_queue)
    return ShutdownWorkerResponse().SerializeToString()


async def record_worker_heartbeat(
    services: Services, request: RecordWorkerHeartbeatRequest, caller: Caller
) -> bytes:
    """Workers are alive. Nothing shows them yet, so nothing is kept."""
    services.bind(request.namespace)
    return RecordWorkerHeartbeatResponse().SerializeToString()
