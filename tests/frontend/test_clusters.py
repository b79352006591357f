"""Clusters: there is one."""

from __future__ import annotations

from temporalio.api.operatorservice.v1 import (
    ListClustersRequest,
    ListClustersResponse,
    RemoveRemoteClusterRequest,
)

from perdure.transport import Code
from tests.frontend.client import Client


async def test_there_is_one_cluster(client: Client) -> None:
    found = await client.call(ListClustersRequest(), ListClustersResponse)
    [cluster] = found.clusters
    assert (cluster.cluster_name, cluster.is_connection_enabled) == ("active", True)
    assert cluster.cluster_id


async def test_no_cluster_is_removed(client: Client) -> None:
    other = await client.refusal(RemoveRemoteClusterRequest(cluster_name="other"))
    assert (other.code, other.message) == (
        Code.NOT_FOUND,
        "The cluster to be deleted cannot be found in clusters cache.",
    )
    own = await client.refusal(RemoveRemoteClusterRequest(cluster_name="active"))
    assert own.code == Code.FAILED_PRECONDITION
