"""ListClusters and RemoveRemoteCluster: there is one cluster."""

from __future__ import annotations

from temporalio.api.operatorservice.v1 import (
    ClusterMetadata,
    ListClustersRequest,
    ListClustersResponse,
    RemoveRemoteClusterRequest,
)

from perdure.server.frontend.services import Services
from perdure.server.machines.errors import FailedPrecondition, NotFound
from perdure.server.namespaces.registry import CLUSTER_NAME
from perdure.transport import Caller


async def list_clusters(services: Services, request: ListClustersRequest, caller: Caller) -> bytes:
    """The one cluster. Its id is that of the first namespace; it knows no address of its own."""
    cluster = ClusterMetadata(
        cluster_name=CLUSTER_NAME,
        cluster_id=services.namespaces.all()[0].id,
        initial_failover_version=1,
        history_shard_count=1,
        is_connection_enabled=True,
    )
    return ListClustersResponse(clusters=[cluster]).SerializeToString()


async def remove_remote_cluster(
    services: Services, request: RemoveRemoteClusterRequest, caller: Caller
) -> bytes:
    """Refused: there is no other."""
    if request.cluster_name == CLUSTER_NAME:
        raise FailedPrecondition("Cannot delete current cluster metadata.")
    raise NotFound("The cluster to be deleted cannot be found in clusters cache.")
