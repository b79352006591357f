"""RegisterNamespace, DescribeNamespace, ListNamespaces."""

from __future__ import annotations

from temporalio.api.namespace.v1 import NamespaceInfo
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    ListNamespacesRequest,
    ListNamespacesResponse,
    RegisterNamespaceRequest,
    RegisterNamespaceResponse,
)

from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import is_too_long
from perdure.server.machines import durations
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import Limits
from perdure.server.machines.wire import SECOND_NS, duration_ns
from perdure.server.namespaces.registry import Namespace
from perdure.transport import Caller

RETENTION_NS_MIN = 60 * 60 * SECOND_NS  # system.namespaceMinRetentionLocal
PAGE_SIZE = 100
TASK_COMPLETION_BYTES_MAX = 40 * 1024 * 1024  # history.workflowTaskCompletionBufferSizeLimit

CAPABILITIES = NamespaceInfo.Capabilities(eager_workflow_start=True, worker_heartbeats=True)
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
    if durations.problem_of(retention) or duration_ns(retention) < RETENTION_NS_MIN:
        raise InvalidArgument("A valid retention period is not set on request.")
    durations.cap(retention)
    await services.namespaces.register(
        name,
        retention,
        description=request.description,
        owner_email=request.owner_email,
        data=dict(request.data),
    )
    return RegisterNamespaceResponse().SerializeToString()


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
    return _described(namespace, services.limits).SerializeToString()


async def list_namespaces(
    services: Services, request: ListNamespacesRequest, caller: Caller
) -> bytes:
    """Pages of namespaces, oldest first. The token is the id of the last one of a page."""
    found = services.namespaces.all()
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


def _described(namespace: Namespace, limits: Limits) -> DescribeNamespaceResponse:
    described = DescribeNamespaceResponse.FromString(namespace.settings)
    described.namespace_info.capabilities.CopyFrom(CAPABILITIES)
    described.namespace_info.limits.CopyFrom(
        NamespaceInfo.Limits(
            blob_size_limit_error=limits.blob_size_bytes_max,
            memo_size_limit_error=limits.memo_size_bytes_max,
            workflow_task_completion_size_limit_error=TASK_COMPLETION_BYTES_MAX,
        )
    )
    return described
