"""The composition root of a server: what is wired to what, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from perdure.server.config import Settings
from perdure.server.engine.api import NamespaceRef
from perdure.server.engine.clock import SystemClock
from perdure.server.engine.engine import Engine
from perdure.server.engine.ids import RandomIds
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.services import Services
from perdure.server.machines.workflow.state import Run
from perdure.server.namespaces.registry import NamespaceRegistry
from perdure.server.store.codec import seal
from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import Store, VisibilityRow
from perdure.server.store.sqlite import open_sqlite
from perdure.server.visibility.execution_info import execution_info
from perdure.transport.grpc_server import GrpcServer

SHARD = 1
IN_MEMORY = ":memory:"


class Server:
    """A running server: started by `start`, ended by `stop`."""

    def __init__(
        self, settings: Settings, store: Store, engine: Engine, transport: GrpcServer
    ) -> None:
        self._settings = settings
        self._store = store
        self.engine = engine
        self._transport = transport
        self.port = 0

    @classmethod
    async def start(cls, settings: Settings, on_lease_lost: Callable[[], None]) -> Server:
        """Open the store, recover, and listen. Raises StoreInUse, SchemaTooNew, StoreUnavailable,
        BindFailed."""
        store = open_store(settings.database)
        try:
            clock = SystemClock()
            ids = RandomIds(clock)
            namespaces = NamespaceRegistry(store, ids)
            await namespaces.load(settings.namespaces)
            engine = await Engine.open(
                store,
                shard=SHARD,
                clock=clock,
                ids=ids,
                limits=settings.limits,
                project=visibility_row,
                namespace_of=lambda number: namespace_ref(namespaces, number),
                on_lease_lost=on_lease_lost,
            )
            services = Services(
                engine=engine,
                store=store,
                namespaces=namespaces,
                ids=ids,
                limits=settings.limits,
                store_name="memory" if settings.database == IN_MEMORY else "sqlite",
            )
            transport = GrpcServer(handlers_of(services), host=settings.host, port=settings.port)
            server = cls(settings, store, engine, transport)
            server.port = await transport.start()
        except BaseException:
            await store.close()
            raise
        return server

    async def stop(self) -> None:
        """Answer what can be answered, write what was decided, and let go of the store."""
        closing = asyncio.get_running_loop().create_task(self.engine.close())
        await self._transport.stop(self._settings.stop_grace_seconds)
        await closing
        await self._store.close()


def open_store(database: str) -> Store:
    """The store of a path, or one in memory."""
    if database == IN_MEMORY:
        return MemoryStore()
    return open_sqlite(database)


def namespace_ref(namespaces: NamespaceRegistry, number: int) -> NamespaceRef:
    """A namespace as the engine knows it."""
    namespace = namespaces.by_number(number)
    return NamespaceRef(number, namespace.id, namespace.name, namespace.retention_ns)


def visibility_row(namespace: NamespaceRef, workflow_id: str, run: Run) -> VisibilityRow:
    """What lists show of a run."""
    recorded = run.recorded
    return VisibilityRow(
        workflow_type=recorded.workflow_type,
        status=recorded.status,
        start_time_ns=recorded.start_time_ns,
        close_time_ns=recorded.close_time_ns,
        info=seal(execution_info(run, workflow_id)),
    )
