"""The frontend of one incarnation of the engine: its RPCs, for what is decided there rather than in
the engine (worker deployments, batch operations)."""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import NamespaceState
from temporalio.api.namespace.v1 import NamespaceConfig, NamespaceInfo
from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse

from perdure.server.engine.clock import Clock
from perdure.server.engine.engine import Engine
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.services import Services
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS, Ids
from perdure.server.machines.wire import duration
from perdure.server.namespaces import aliases
from perdure.server.namespaces.registry import (
    SYSTEM_NAMESPACE,
    NamespaceRegistry,
    RetentionPeriod,
    StoredNamespace,
)
from perdure.server.store.codec import seal
from perdure.server.store.ports import Store
from perdure.transport import InProcessTransport, Transport
from sim.disk import run_now
from sim.namespace import NAMESPACE

LIMITS = msgspec.structs.replace(
    DEFAULT_LIMITS, drainage_grace_ns=SECOND_NS, drainage_refresh_ns=SECOND_NS, batches_max=2
)
BATCH_PAGE = 2
"""Small, so that batch operations have several pages."""
RETENTION_NS = 24 * 3_600 * SECOND_NS


def register_namespace(platter: Store) -> None:
    """Write the world's namespace, and the one that every server has, before the world begins."""
    for name, namespace_id in (
        (NAMESPACE.name, NAMESPACE.id),
        (SYSTEM_NAMESPACE, "00000000-0000-4000-8000-000000000002"),
    ):
        described = DescribeNamespaceResponse(
            namespace_info=NamespaceInfo(
                name=name, id=namespace_id, state=NamespaceState.NAMESPACE_STATE_REGISTERED
            ),
            config=NamespaceConfig(workflow_execution_retention_ttl=duration(RETENTION_NS)),
        )
        types = {name: custom.type for name, custom in NAMESPACE.search_attributes.items()}
        aliases.add(described.config, types)
        periods = (RetentionPeriod(0, RETENTION_NS),)
        stored = StoredNamespace(described.SerializeToString(), periods)
        run_now(platter.put_namespace(name, seal(msgspec.msgpack.encode(stored))))


async def open_office(
    store: Store, engine: Engine, clock: Clock, ids: Ids, batch_rate: int
) -> Transport:
    """Begin to answer RPCs, and go on with the batch operations that are under way; it works in the
    process of whoever opens it. Raises StoreUnavailable."""
    namespaces = NamespaceRegistry(store, ids, clock.now_ns)
    await namespaces.load(())
    services = Services(
        engine=engine,
        store=store,
        namespaces=namespaces,
        ids=ids,
        clock=clock,
        limits=msgspec.structs.replace(LIMITS, batch_rate_per_second=batch_rate),
        store_name="memory",
    )
    services.batches.page_executions = BATCH_PAGE
    handlers = handlers_of(services)
    await services.batches.load({NAMESPACE.number})
    return InProcessTransport(handlers)
