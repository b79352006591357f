"""GetSystemInfo, GetClusterInfo: what this server is and what it can do."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    GetClusterInfoRequest,
    GetClusterInfoResponse,
    GetSystemInfoRequest,
    GetSystemInfoResponse,
)

from perdure.server.frontend import versions
from perdure.server.frontend.services import Services
from perdure.server.namespaces.registry import CLUSTER_NAME
from perdure.transport import Caller

CAPABILITIES = GetSystemInfoResponse.Capabilities(
    signal_and_query_header=True,
    internal_error_differentiation=True,
    activity_failure_include_heartbeat=True,
    supports_schedules=True,
    encoded_failure_attributes=True,
    upsert_memo=True,
    eager_workflow_start=True,
    sdk_metadata=True,
    count_group_by_execution_status=True,
    nexus=True,
    # Without it workers do not say which build they are, which histories record. A worker that asks
    # to be versioned is refused.
    build_id_based_versioning=True,
    # As on the stock server, no provider of workers can be used.
    server_scaled_deployments=True,
)
"""SDKs key their behaviour off these: exactly what is honoured, and nothing else."""


async def get_system_info(
    services: Services, request: GetSystemInfoRequest, caller: Caller
) -> bytes:
    """Capabilities. Every SDK asks for them first, so this is where versions are compared."""
    versions.check_client(caller)
    return GetSystemInfoResponse(
        server_version=versions.TEMPORAL_VERSION, capabilities=CAPABILITIES
    ).SerializeToString()


async def get_cluster_info(
    services: Services, request: GetClusterInfoRequest, caller: Caller
) -> bytes:
    """Which installation this is: its id is that of its first namespace."""
    versions.check_client(caller)
    first = next(iter(services.namespaces.all()), None)
    return GetClusterInfoResponse(
        supported_clients=versions.SUPPORTED_CLIENTS,
        server_version=versions.TEMPORAL_VERSION,
        cluster_id=first.id if first else "",
        cluster_name=CLUSTER_NAME,
        history_shard_count=1,
        persistence_store=services.store_name,
        visibility_store=services.store_name,
        initial_failover_version=1,
        failover_version_increment=10,
    ).SerializeToString()
