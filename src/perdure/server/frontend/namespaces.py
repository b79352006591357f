"""RegisterNamespace, UpdateNamespace, DeprecateNamespace, DescribeNamespace, ListNamespaces."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import NamespaceState, ReplicationState
from temporalio.api.namespace.v1 import NamespaceInfo
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest, DeleteNamespaceResponse
from temporalio.api.replication.v1 import ClusterReplicationConfig
from temporalio.api.workflowservice.v1 import (
    DeprecateNamespaceRequest,
    DeprecateNamespaceResponse,
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    ListNamespacesRequest,
    ListNamespacesResponse,
    RegisterNamespaceRequest,
    RegisterNamespaceResponse,
    UpdateNamespaceRequest,
    UpdateNamespaceResponse,
)

from perdure.server.frontend.errors import Unimplemented
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import is_too_long
from perdure.server.machines import durations
from perdure.server.machines.errors import FailedPrecondition, InvalidArgument
from perdure.server.machines.ports import Limits
from perdure.server.machines.wire import SECOND_NS, duration_ns
from perdure.server.namespaces import aliases
from perdure.server.namespaces.registry import CLUSTER_NAME, SYSTEM_NAMESPACE, Namespace
from perdure.server.visibility.query.tree import Query
from perdure.transport import Caller

RETENTION_NS_MIN = 60 * 60 * SECOND_NS  # system.namespaceMinRetentionLocal
PAGE_SIZE = 100
TASK_COMPLETION_BYTES_MAX = 40 * 1024 * 1024  # history.workflowTaskCompletionBufferSizeLimit

WORKFLOWS_LEFT = "workflows-left"
"""In the data of a deleted namespace: how far its deletion has come."""

CAPABILITIES = NamespaceInfo.Capabilities(
    eager_workflow_start=True,
    worker_heartbeats=True,
    reported_problems_search_attribute=True,
    poller_autoscaling=True,
    sync_update=True,
    async_update=True,
    standalone_activities=True,
    standalone_activity_start_delay=True,
    standalone_activity_operator_commands=True,
    standalone_activity_batch_operations=True,
)
"""Exactly what is honoured in every namespace."""


async def register_namespace(
    services: Services, request: RegisterNamespaceRequest, caller: Caller
) -> bytes:
    """Make a namespace; it can be used as soon as this is answered."""
    name = request.namespace
    if not name:
        raise InvalidArgument("Namespace not set on request.")
    if is_too_long(name, services.limits.id_length_max):
        raise InvalidArgument("Namespace length exceeds limit.")
    if request.is_global_namespace:
        raise InvalidArgument("Cannot register global namespace when not enabled")
    retention = request.workflow_execution_retention_period
    _check_retention(retention)
    _check_clusters(request.active_cluster_name, request.clusters)
    await services.namespaces.register(
        name,
        retention,
        description=request.description,
        owner_email=request.owner_email,
        data=dict(request.data),
    )
    return RegisterNamespaceResponse().SerializeToString()


async def update_namespace(
    services: Services, request: UpdateNamespaceRequest, caller: Caller
) -> bytes:
    """Change what a request names of a namespace; it holds as soon as this is answered."""
    if not request.namespace:
        raise InvalidArgument("Namespace not set on request.")
    namespace = await services.update_namespace(
        request.namespace, lambda described: _update(described, request)
    )
    described = _described(namespace, services.limits)
    return UpdateNamespaceResponse(
        namespace_info=described.namespace_info,
        config=described.config,
        replication_config=described.replication_config,
    ).SerializeToString()


def _update(described: DescribeNamespaceResponse, request: UpdateNamespaceRequest) -> None:
    """Carry out an update. Raises InvalidArgument."""
    info, wanted = described.namespace_info, request.update_info
    if wanted.state and wanted.state != info.state:
        if wanted.state != NamespaceState.NAMESPACE_STATE_DEPRECATED:
            raise InvalidArgument("Invalid namespace state update.")
        info.state = wanted.state
    info.description = wanted.description or info.description
    info.owner_email = wanted.owner_email or info.owner_email
    info.data.update(wanted.data)
    if request.config.HasField("workflow_execution_retention_ttl"):
        retention = request.config.workflow_execution_retention_ttl
        _check_retention(retention)
        described.config.workflow_execution_retention_ttl.CopyFrom(retention)
    aliases.rename(described.config, request.config.custom_search_attribute_aliases)
    if request.promote_namespace:
        raise InvalidArgument(
            "global namespace is not enabled on this cluster, cannot update global namespace or"
            f" promote local namespace: {request.namespace}"
        )
    replication = request.replication_config
    _check_clusters(replication.active_cluster_name, replication.clusters)
    if replication.state == ReplicationState.REPLICATION_STATE_HANDOVER:
        raise InvalidArgument("Handover can only be set for global namespace")
    if request.config.bad_binaries.binaries:
        raise Unimplemented("bad binaries are not supported: pin workflows to a worker version")
    if request.delete_bad_binary:
        raise InvalidArgument(f"Bad binary checksum {request.delete_bad_binary} doesn't exists.")


async def deprecate_namespace(
    services: Services, request: DeprecateNamespaceRequest, caller: Caller
) -> bytes:
    """Mark a namespace as one not to be used any more."""
    if not request.namespace:
        raise InvalidArgument("Namespace not set on request.")

    def deprecate(described: DescribeNamespaceResponse) -> None:
        described.namespace_info.state = NamespaceState.NAMESPACE_STATE_DEPRECATED

    await services.update_namespace(request.namespace, deprecate)
    return DeprecateNamespaceResponse().SerializeToString()


async def delete_namespace(
    services: Services, request: DeleteNamespaceRequest, caller: Caller
) -> bytes:
    """Give a namespace another name, and have all that is in it deleted in the background."""
    if request.namespace and request.namespace_id:
        raise InvalidArgument("Only one of namespace name or Id should be set on request.")
    if not request.namespace and not request.namespace_id:
        raise InvalidArgument("Namespace not set on request.")
    known = services.namespaces
    name = request.namespace or known.by_id(request.namespace_id).name
    if name == SYSTEM_NAMESPACE:
        raise FailedPrecondition("unable to delete system namespace")
    delay = request.namespace_delete_delay
    if durations.problem_of(delay):
        raise InvalidArgument("A valid delay is not set on request.")
    durations.cap(delay)
    namespace = await services.delete_namespace(name, max(0, duration_ns(delay)))
    return DeleteNamespaceResponse(deleted_namespace=namespace.name).SerializeToString()


async def describe_namespace(
    services: Services, request: DescribeNamespaceRequest, caller: Caller
) -> bytes:
    """Settings, capabilities and limits of a namespace, by name or by id."""
    if request.namespace and request.id:
        raise InvalidArgument(
            "GetNamespace operation failed.  Both ID and Name specified in request."
        )
    if not request.namespace and not request.id:
        raise InvalidArgument("Namespace not set on request.")
    known = services.namespaces
    namespace = known.by_id(request.id) if request.id else known.by_name(request.namespace)
    described = _described(namespace, services.limits)
    if namespace.is_deleted:
        counts = await services.store.count_executions(namespace.number, Query())
        described.namespace_info.data[WORKFLOWS_LEFT] = str(sum(counts.values()))
    return described.SerializeToString()


async def list_namespaces(
    services: Services, request: ListNamespacesRequest, caller: Caller
) -> bytes:
    """Pages of namespaces, oldest first. The token is the id of the last one of a page."""
    found = services.namespaces.all()
    if not request.namespace_filter.include_deleted:
        found = [namespace for namespace in found if not namespace.is_deleted]
    if request.next_page_token:
        last = request.next_page_token.decode(errors="replace")
        places = [place for place, namespace in enumerate(found) if namespace.id == last]
        if not places:
            raise InvalidArgument("Invalid NextPageToken.")
        found = found[places[0] + 1 :]
    size = request.page_size if request.page_size > 0 else PAGE_SIZE
    page = found[:size]
    return ListNamespacesResponse(
        namespaces=[_described(namespace, services.limits) for namespace in page],
        next_page_token=page[-1].id.encode() if len(found) > size else b"",
    ).SerializeToString()


def _check_clusters(active: str, clusters: Iterable[ClusterReplicationConfig]) -> None:
    """There is one. Raises InvalidArgument."""
    for name in (active or CLUSTER_NAME, *(cluster.cluster_name for cluster in clusters)):
        if name != CLUSTER_NAME:
            raise InvalidArgument(f"Invalid cluster name: {name}")


def _check_retention(retention: Duration) -> None:
    if durations.problem_of(retention) or duration_ns(retention) < RETENTION_NS_MIN:
        raise InvalidArgument("A valid retention period is not set on request.")
    durations.cap(retention)


def _described(namespace: Namespace, limits: Limits) -> DescribeNamespaceResponse:
    described = DescribeNamespaceResponse.FromString(namespace.settings)
    aliases.hide_removed(described.config)
    described.namespace_info.capabilities.CopyFrom(CAPABILITIES)
    if limits.is_standalone_nexus_enabled:
        described.namespace_info.capabilities.standalone_nexus_operation = True
    described.namespace_info.supports_schedules = True
    described.namespace_info.capabilities.workflow_pause = limits.is_workflow_pause_enabled
    described.namespace_info.limits.CopyFrom(
        NamespaceInfo.Limits(
            blob_size_limit_error=limits.blob_size_bytes_max,
            memo_size_limit_error=limits.memo_size_bytes_max,
            workflow_task_completion_size_limit_error=TASK_COMPLETION_BYTES_MAX,
        )
    )
    return described
