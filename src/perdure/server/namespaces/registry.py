"""Which namespaces there are: by name, by id and by number, cached, and written through to the
store.

The store keeps of each its number, its name, its settings (a `DescribeNamespaceResponse` without
what the running version adds: capabilities and limits) and which retention it has had since when: a
closed run is kept as long as was set when it closed. Nothing here is asked of the store after
`load`.

A namespace that is deleted is renamed at once, so that its old name can be given again, and goes
when all its runs have gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

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
SYSTEM_DESCRIPTION = "Temporal internal system namespace"
SYSTEM_OWNER = "temporal-core@temporal.io"
SYSTEM_RETENTION_SECONDS = 7 * 24 * 60 * 60
CLUSTER_NAME = "active"
"""As the real server calls the one cluster of a fresh installation."""
DEFAULT_RETENTION_SECONDS = 24 * 60 * 60
"""Of the namespaces that the server makes itself."""
SKIPPING_RETENTION_SECONDS = 100 * 366 * 24 * 60 * 60
"""Of those where time is skipped: a test that sleeps for days still sees what it has run."""

DELETED_ID_LENGTH = 5
"""So much of its id does the name of a deleted namespace end in, or more if that name is taken."""
RETENTION_CHANGES_MAX = 20
"""Changes of a namespace's retention that are remembered; earlier ones are merged, with the longer
retention."""
STATE_NAMES: dict[int, str] = {
    NamespaceState.NAMESPACE_STATE_REGISTERED: "Registered",
    NamespaceState.NAMESPACE_STATE_DEPRECATED: "Deprecated",
    NamespaceState.NAMESPACE_STATE_DELETED: "Deleted",
}
FIRST_BYTE_OF_SETTINGS: Final = b"\x0a"
"""Of a blob that is settings and nothing else, as older versions wrote them."""


class NamespaceNotFound(Rejected):
    """There is no namespace of this name or id."""

    def __init__(self, namespace: str) -> None:
        super().__init__(f"Namespace {namespace} is not found.")
        self.namespace = namespace


class NamespaceInvalidState(Rejected):
    """The namespace is deprecated or deleted, and the call is for others."""

    def __init__(self, namespace: str, state: int, allowed: tuple[int, ...]) -> None:
        names = " or ".join(STATE_NAMES[one] for one in allowed)
        super().__init__(f"Namespace has invalid state: {STATE_NAMES[state]}. Must be {names}.")
        self.namespace, self.state, self.allowed = namespace, state, allowed


class NamespaceAlreadyExists(Rejected):
    """The name is taken."""

    def __init__(self, namespace: str) -> None:
        super().__init__(f'Namespace "{namespace}" already exists')


class RetentionPeriod(msgspec.Struct, frozen=True, array_like=True):
    """How long runs are kept that closed at a time or later, until the next period begins."""

    since_ns: int
    retention_ns: int


class StoredNamespace(msgspec.Struct, frozen=True, array_like=True):
    """The blob of a namespace."""

    settings: bytes
    retentions: tuple[RetentionPeriod, ...] = ()
    reclaim_at_ns: int = 0


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
    retentions: tuple[RetentionPeriod, ...] = ()
    """The earliest first; the last is what `retention_ns` says."""
    state: int = NamespaceState.NAMESPACE_STATE_REGISTERED
    reclaim_at_ns: int = 0
    """When the runs of a deleted one begin to go."""

    @property
    def is_deleted(self) -> bool:
        """Whether its runs are about to go, and then itself."""
        return self.state == NamespaceState.NAMESPACE_STATE_DELETED

    def require(self, *allowed: int) -> None:
        """Raises NamespaceInvalidState unless it is in one of these states."""
        if self.state not in allowed:
            raise NamespaceInvalidState(self.name, self.state, allowed)


class NamespaceRegistry:
    """All namespaces of a store."""

    def __init__(self, store: Store, ids: Ids, now_ns: Callable[[], int]) -> None:
        self._store = store
        self._ids = ids
        self._now_ns = now_ns
        self._by_name: dict[str, Namespace] = {}
        self._by_id: dict[str, Namespace] = {}
        self._by_number: dict[int, Namespace] = {}
        self._writing = asyncio.Lock()

    async def load(
        self, defaults: Iterable[str], retention_seconds: int = DEFAULT_RETENTION_SECONDS
    ) -> None:
        """Read what is stored, and register those of `defaults` that are missing."""
        for row in await self._store.namespaces():
            self._remember(row.number, row.name, _decode(unseal(row.blob)))
        for name in (SYSTEM_NAMESPACE, *defaults):
            if name not in self._by_name:
                # Temporal's server, too, says nothing of the replication of those it begins with.
                is_system = name == SYSTEM_NAMESPACE
                await self.register(
                    name,
                    Duration(seconds=SYSTEM_RETENTION_SECONDS if is_system else retention_seconds),
                    description=SYSTEM_DESCRIPTION if is_system else "",
                    owner_email=SYSTEM_OWNER if is_system else "",
                    replication=ReplicationState.REPLICATION_STATE_UNSPECIFIED,
                )

    async def register(
        self,
        name: str,
        retention: Duration,
        *,
        description: str = "",
        owner_email: str = "",
        data: dict[str, str] | None = None,
        replication: ReplicationState.ValueType = ReplicationState.REPLICATION_STATE_NORMAL,
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
                    state=replication,
                ),
            ).SerializeToString()
            stored = StoredNamespace(settings, _retentions((), settings, 0))
            row = await self._store.put_namespace(name, _encode(stored))
            return self._remember(row.number, name, stored)

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
            retentions = _retentions(known.retentions, settings, self._now_ns())
            stored = StoredNamespace(settings, retentions)
            row = await self._store.put_namespace(name, _encode(stored))
            return self._remember(row.number, name, stored)

    async def delete(self, name: str, delay_ns: int = 0) -> Namespace:
        """Mark a namespace as deleted, and give it another name; its data go after the delay.
        Raises NamespaceNotFound."""
        async with self._writing:
            known = self.by_name(name)
            if known.is_deleted:
                return known
            new_name = self._name_when_deleted(known)
            described = DescribeNamespaceResponse.FromString(known.settings)
            described.namespace_info.state = NamespaceState.NAMESPACE_STATE_DELETED
            described.namespace_info.name = new_name
            stored = StoredNamespace(
                described.SerializeToString(), known.retentions, self._now_ns() + delay_ns
            )
            await self._store.rename_namespace(known.number, new_name, _encode(stored))
            del self._by_name[name]
            return self._remember(known.number, new_name, stored)

    def _name_when_deleted(self, namespace: Namespace) -> str:
        length = DELETED_ID_LENGTH
        while (name := f"{namespace.name}-deleted-{namespace.id[:length]}") in self._by_name:
            if length == len(namespace.id):
                raise NamespaceAlreadyExists(name)
            length += 1
        return name

    async def drop(self, namespace: Namespace) -> None:
        """Forget a deleted namespace, of which no run is left."""
        async with self._writing:
            await self._store.drop_namespace(namespace.number)
            del self._by_name[namespace.name]
            del self._by_id[namespace.id]
            del self._by_number[namespace.number]

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
        """The namespace of this number, which comes from the store. Of one that was dropped there
        may still be messages, which find nobody: it has no name."""
        return self._by_number.get(number) or Namespace(
            number, "", "", b"", 0, state=NamespaceState.NAMESPACE_STATE_DELETED
        )

    def all(self) -> list[Namespace]:
        """Every namespace, oldest first."""
        return [self._by_number[number] for number in sorted(self._by_number)]

    def _remember(self, number: int, name: str, stored: StoredNamespace) -> Namespace:
        settings = stored.settings
        described = DescribeNamespaceResponse.FromString(settings)
        retention_ns = duration_ns(described.config.workflow_execution_retention_ttl)
        namespace = Namespace(
            number,
            described.namespace_info.id,
            name,
            settings,
            retention_ns,
            aliases.custom_attributes(described.config),
            stored.retentions,
            described.namespace_info.state,
            stored.reclaim_at_ns,
        )
        self._by_name[name] = namespace
        self._by_id[namespace.id] = namespace
        self._by_number[number] = namespace
        return namespace


def _encode(stored: StoredNamespace) -> bytes:
    return seal(msgspec.msgpack.encode(stored))


def _decode(content: bytes) -> StoredNamespace:
    if content.startswith(FIRST_BYTE_OF_SETTINGS):
        return StoredNamespace(content, _retentions((), content, 0))
    return msgspec.msgpack.decode(content, type=StoredNamespace)


def _retentions(
    before: tuple[RetentionPeriod, ...], settings: bytes, now_ns: int
) -> tuple[RetentionPeriod, ...]:
    """The periods, with a new one from now on if the settings say so."""
    described = DescribeNamespaceResponse.FromString(settings)
    retention_ns = duration_ns(described.config.workflow_execution_retention_ttl)
    if before and before[-1].retention_ns == retention_ns:
        return before
    periods = [*before, RetentionPeriod(now_ns, retention_ns)]
    while len(periods) > RETENTION_CHANGES_MAX:
        longer_ns = max(periods[0].retention_ns, periods[1].retention_ns)
        periods[:2] = [RetentionPeriod(periods[0].since_ns, longer_ns)]
    return tuple(periods)
