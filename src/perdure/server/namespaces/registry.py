"""Which namespaces there are: by name, by id and by number, cached, and written through to the
store.

The store keeps of each its number, its name and its settings (a `DescribeNamespaceResponse` without
what the running version adds: capabilities and limits). Nothing here is asked of the store after
`load`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import ArchivalState, NamespaceState, ReplicationState
from temporalio.api.namespace.v1 import BadBinaries, NamespaceConfig, NamespaceInfo
from temporalio.api.replication.v1 import ClusterReplicationConfig, NamespaceReplicationConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse

from perdure.server.machines.errors import Rejected
from perdure.server.machines.ports import Ids
from perdure.server.machines.search_attributes import CustomAttributes
from perdure.server.machines.wire import duration_ns
from perdure.server.namespaces import aliases
from perdure.server.store.codec import seal, unseal
from perdure.server.store.ports import Store

SYSTEM_NAMESPACE = "temporal-system"
"""Every Temporal server has it; its name is taken."""
CLUSTER_NAME = "active"
"""As the real server calls the one cluster of a fresh installation."""
DEFAULT_RETENTION_SECONDS = 24 * 60 * 60
"""Of the namespaces that the server makes itself."""


class NamespaceNotFound(Rejected):
    """There is no namespace of this name or id."""

    def __init__(self, namespace: str) -> None:
        super().__init__(f"Namespace {namespace} is not found.")
        self.namespace = namespace


class NamespaceAlreadyExists(Rejected):
    """The name is taken."""

    def __init__(self, namespace: str) -> None:
        super().__init__(f'Namespace "{namespace}" already exists')


class Namespace(msgspec.Struct, frozen=True):
    """One namespace; `settings` is a serialised DescribeNamespaceResponse."""

    number: int
    id: str
    name: str
    settings: bytes
    retention_ns: int
    """How long a closed run is kept."""
    search_attributes: CustomAttributes = msgspec.field(default_factory=dict)
    """The custom ones."""


class NamespaceRegistry:
    """All namespaces of a store."""

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids
        self._by_name: dict[str, Namespace] = {}
        self._by_id: dict[str, Namespace] = {}
        self._by_number: dict[int, Namespace] = {}
        self._writing = asyncio.Lock()

    async def load(self, defaults: Iterable[str]) -> None:
        """Read what is stored, and register those of `defaults` that are missing."""
        for row in await self._store.namespaces():
            self._remember(row.number, row.name, unseal(row.blob))
        for name in (SYSTEM_NAMESPACE, *defaults):
            if name not in self._by_name:
                await self.register(name, Duration(seconds=DEFAULT_RETENTION_SECONDS))

    async def register(
        self,
        name: str,
        retention: Duration,
        *,
        description: str = "",
        owner_email: str = "",
        data: dict[str, str] | None = None,
    ) -> Namespace:
        """Make a new namespace. Raises NamespaceAlreadyExists."""
        async with self._writing:
            if name in self._by_name:
                raise NamespaceAlreadyExists(name)
            settings = DescribeNamespaceResponse(
                namespace_info=NamespaceInfo(
                    name=name,
                    state=NamespaceState.NAMESPACE_STATE_REGISTERED,
                    description=description,
                    owner_email=owner_email,
                    data=data,
                    id=self._ids.uuid(),
                ),
                config=NamespaceConfig(
                    workflow_execution_retention_ttl=retention,
                    bad_binaries=BadBinaries(),
                    history_archival_state=ArchivalState.ARCHIVAL_STATE_DISABLED,
                    visibility_archival_state=ArchivalState.ARCHIVAL_STATE_DISABLED,
                ),
                replication_config=NamespaceReplicationConfig(
                    active_cluster_name=CLUSTER_NAME,
                    clusters=[ClusterReplicationConfig(cluster_name=CLUSTER_NAME)],
                    state=ReplicationState.REPLICATION_STATE_NORMAL,
                ),
            ).SerializeToString()
            row = await self._store.put_namespace(name, seal(settings))
            return self._remember(row.number, name, settings)

    async def update(
        self, name: str, change: Callable[[DescribeNamespaceResponse], None]
    ) -> Namespace:
        """Change the settings of a namespace. Raises NamespaceNotFound, and what `change` raises:
        then nothing has changed."""
        async with self._writing:
            known = self.by_name(name)
            described = DescribeNamespaceResponse.FromString(known.settings)
            change(described)
            settings = described.SerializeToString()
            if settings == known.settings:
                return known
            row = await self._store.put_namespace(name, seal(settings))
            return self._remember(row.number, name, settings)

    async def add_search_attributes(self, name: str, added: Mapping[str, int]) -> Namespace:
        """Add custom search attributes to a namespace. Raises NamespaceNotFound,
        InvalidArgument."""
        return await self.update(name, lambda described: aliases.add(described.config, added))

    def by_name(self, name: str) -> Namespace:
        """The namespace of this name. Raises NamespaceNotFound."""
        try:
            return self._by_name[name]
        except KeyError:
            raise NamespaceNotFound(name) from None

    def by_id(self, namespace_id: str) -> Namespace:
        """The namespace of this id. Raises NamespaceNotFound."""
        try:
            return self._by_id[namespace_id]
        except KeyError:
            raise NamespaceNotFound(namespace_id) from None

    def by_number(self, number: int) -> Namespace:
        """The namespace of this number, which comes from the store."""
        return self._by_number[number]

    def all(self) -> list[Namespace]:
        """Every namespace, oldest first."""
        return [self._by_number[number] for number in sorted(self._by_number)]

    def _remember(self, number: int, name: str, settings: bytes) -> Namespace:
        described = DescribeNamespaceResponse.FromString(settings)
        retention_ns = duration_ns(described.config.workflow_execution_retention_ttl)
        namespace = Namespace(
            number,
            described.namespace_info.id,
            name,
            settings,
            retention_ns,
            aliases.custom_attributes(described.config),
        )
        self._by_name[name] = namespace
        self._by_id[namespace.id] = namespace
        self._by_number[number] = namespace
        return namespace
