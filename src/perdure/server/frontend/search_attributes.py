"""AddSearchAttributes, RemoveSearchAttributes, ListSearchAttributes, GetSearchAttributes."""

from __future__ import annotations

from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    AddSearchAttributesResponse,
    ListSearchAttributesRequest,
    ListSearchAttributesResponse,
    RemoveSearchAttributesRequest,
    RemoveSearchAttributesResponse,
)
from temporalio.api.workflowservice.v1 import (
    GetSearchAttributesRequest,
    GetSearchAttributesResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.services import Services
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.search_attributes import (
    PREDEFINED_ATTRIBUTES,
    SYSTEM_ATTRIBUTES,
)
from perdure.server.namespaces import aliases
from perdure.transport import Caller


async def add_search_attributes(
    services: Services, request: AddSearchAttributesRequest, caller: Caller
) -> bytes:
    """Add custom search attributes to a namespace; they can be used as soon as this is answered."""
    aliases.check_added(request.search_attributes)
    namespace = _bind(services, request.namespace)
    added = dict(request.search_attributes)
    await services.update_namespace(
        namespace.name, lambda described: aliases.add(described.config, added)
    )
    return AddSearchAttributesResponse().SerializeToString()


async def remove_search_attributes(
    services: Services, request: RemoveSearchAttributesRequest, caller: Caller
) -> bytes:
    """Take custom search attributes from a namespace: runs are no longer found by them."""
    namespace = _bind(services, request.namespace)
    removed = list(request.search_attributes)
    aliases.check_removed(removed, namespace.search_attributes)
    await services.update_namespace(
        namespace.name, lambda described: aliases.remove(described.config, removed)
    )
    return RemoveSearchAttributesResponse().SerializeToString()


async def list_search_attributes(
    services: Services, request: ListSearchAttributesRequest, caller: Caller
) -> bytes:
    """All search attributes of a namespace with their types."""
    namespace = _bind(services, request.namespace)
    custom = namespace.search_attributes
    return ListSearchAttributesResponse(
        custom_attributes={name: known.type for name, known in custom.items()},  # type: ignore[misc]
        system_attributes=SYSTEM_ATTRIBUTES | PREDEFINED_ATTRIBUTES,  # type: ignore[arg-type]
    ).SerializeToString()


async def get_search_attributes(
    services: Services, request: GetSearchAttributesRequest, caller: Caller
) -> bytes:
    """The search attributes that every namespace has: this old call does not name one."""
    return GetSearchAttributesResponse(
        keys=SYSTEM_ATTRIBUTES | PREDEFINED_ATTRIBUTES  # type: ignore[arg-type]
    ).SerializeToString()


def _bind(services: Services, name: str) -> NamespaceRef:
    if not name:
        raise InvalidArgument("Namespace is not set on request.")
    return services.bind(name)
