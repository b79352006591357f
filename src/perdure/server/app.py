"""The composition root of a server: what is wired to what, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from perdure.server.config import HttpAddress, Settings, TransportKind
from perdure.server.engine.clock import SkippingClock, SystemClock
from perdure.server.engine.engine import Engine
from perdure.server.engine.ids import RandomIds
from perdure.server.engine.posting import HttpPoster
from perdure.server.engine.time_skipping import TimeSkipper
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.nexus_http import NexusHttp
from perdure.server.frontend.services import Services, UsableNamespaces, namespace_ref
from perdure.server.frontend.sessions import HeldTasks
from perdure.server.frontend.system_operations import SystemOperations
from perdure.server.housekeeping.batches.batches import Batches
from perdure.server.housekeeping.retention import Retention
from perdure.server.http.listener import Answer, HttpListener
from perdure.server.http.metrics import Metrics
from perdure.server.namespaces.registry import (
    DEFAULT_RETENTION_SECONDS,
    SKIPPING_RETENTION_SECONDS,
    Namespace,
    NamespaceRegistry,
)
from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import Store
from perdure.server.store.sqlite import open_sqlite
from perdure.server.visibility.projection import visibility_row
from perdure.transport.listening import BindFailed
from perdure.transport.port import Handler

if TYPE_CHECKING:
    from perdure.transport.grpc_server import GrpcServer
    from perdure.transport.http2 import Http2Server

logger = logging.getLogger(__name__)

SHARD = 1
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SWITCH_INTERVAL_SECONDS = 0.0005
GARBAGE_THRESHOLDS = (50_000, 20, 100)
"""Cycles are rare here: nearly everything is freed when its last reference goes."""
IN_MEMORY = ":memory:"


def transport_of(kind: TransportKind) -> type[GrpcServer | Http2Server]:
    """How a server listens. Imported when it is wanted: a program with an engine of its own needs
    neither, and starts in two thirds of the time without."""
    if kind is TransportKind.GRPCIO:
        from perdure.transport.grpc_server import GrpcServer

        return GrpcServer
    from perdure.transport.http2 import Http2Server

    return Http2Server


class Service:
    """A store, its engine and the handlers of all RPCs: everything but a way to reach them."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        services: Services,
        handlers: dict[str, Handler],
        poster: HttpPoster,
    ) -> None:
        self.store = store
        self._poster = poster
        self._services = services
        self.engine = engine
        self.handlers = handlers
        self.nexus = NexusHttp(services)

    @classmethod
    async def open(
        cls,
        settings: Settings,
        on_lease_lost: Callable[[], None],
        store: Store | None = None,
        *,
        workers_are_dead: bool = False,
    ) -> Service:
        """Open the store (unless it is given one, which becomes its own) and recover.

        `workers_are_dead`: all workers lived and died with the last service on this store.
        Raises StoreInUse, SchemaTooNew, StoreUnavailable, InvalidArgument.
        """
        store = open_store(settings.database) if store is None else store
        try:
            clock = SkippingClock(SystemClock()) if settings.skips_time else SystemClock()
            ids = RandomIds(clock)
            namespaces = NamespaceRegistry(store, ids, clock.now_ns)
            await namespaces.load(
                settings.namespaces,
                SKIPPING_RETENTION_SECONDS if settings.skips_time else DEFAULT_RETENTION_SECONDS,
            )
            for name in settings.namespaces:
                await namespaces.add_search_attributes(name, settings.search_attributes)
            poster = HttpPoster()
            engine = await Engine.open(
                store,
                shard=SHARD,
                clock=clock,
                ids=ids,
                limits=settings.limits,
                project=lambda namespace, _, run: visibility_row(
                    run, namespaces.by_number(namespace.number).search_attributes
                ),
                namespace_of=lambda number: namespace_ref(namespaces.by_number(number)),
                on_lease_lost=on_lease_lost,
                workers_are_dead=workers_are_dead,
                post=poster.post,
                find_namespace=UsableNamespaces(namespaces),
            )
        except BaseException:
            await store.close()
            raise
        retention = Retention(store, engine, clock, namespaces.all, namespace_ref)
        if isinstance(clock, SkippingClock):
            engine.time_skipper = TimeSkipper(engine, clock, retention.sweep)
            engine.time_skipper.start()
        services = Services(
            engine=engine,
            store=store,
            namespaces=namespaces,
            ids=ids,
            clock=clock,
            limits=settings.limits,
            store_name="memory" if settings.database == IN_MEMORY else "sqlite",
            time_skipper=engine.time_skipper,
        )
        engine.operations.own_start = SystemOperations(services).start
        service = cls(store, engine, services, handlers_of(services), poster)
        try:
            await service._go_on(retention)
        except BaseException:
            await service.close()
            raise
        return service

    async def _go_on(self, retention: Retention) -> None:
        """With what is done in the background."""
        services, namespaces = self._services, self.namespaces.all()
        await services.batches.load({one.number for one in namespaces if not one.is_deleted})
        services.spawn(retention.run())
        for namespace in namespaces:
            if namespace.is_deleted:
                services.spawn(services.reclaim(namespace))

    def gauges(self) -> dict[str, float]:
        """What metrics show besides calls."""
        statistics = self.store.statistics()
        return {
            'total_namespaces{service_name="frontend"}': len(self.namespaces.all()),
            "perdure_store_groups": statistics.groups,
            "perdure_store_writes": statistics.writes,
            "perdure_store_busy_seconds": statistics.busy_seconds,
            "perdure_invariant_violations": self.engine.recorder.violations,
            "perdure_stalls": self.engine.wakeups.stalls,
            **self.engine.nexus.counts.rows(),
            **self.engine.ends.rows(),
        }

    def open_session(self) -> HeldTasks:
        """What is kept for the peer of a new session."""
        return HeldTasks(self._services)

    @property
    def namespaces(self) -> NamespaceRegistry:
        """Those of the store."""
        return self._services.namespaces

    @property
    def batches(self) -> Batches:
        """Batch operations under way, and those that are over."""
        return self._services.batches

    async def reclaim(self, namespace: Namespace) -> None:
        """Take a deleted namespace apart. Returns when it is gone."""
        await self._services.reclaim(namespace)

    async def close(self) -> None:
        """Write what was decided, and let go of the store."""
        await self._services.close()
        await self.engine.close()
        self._poster.close()
        await self.store.close()


class Server:
    """A service that listens: started by `start`, ended by `stop`."""

    def __init__(
        self, settings: Settings, service: Service, transport: GrpcServer | Http2Server
    ) -> None:
        self._settings = settings
        self._service = service
        self._transport = transport
        self.engine = service.engine
        self.port = 0
        self.http: list[HttpListener] = []

    @classmethod
    async def start(
        cls, settings: Settings, on_lease_lost: Callable[[], None], store: Store | None = None
    ) -> Server:
        """Open the service and listen. Raises what `Service.open` raises, and BindFailed."""
        service = await Service.open(settings, on_lease_lost, store)
        metrics = Metrics(service.gauges) if settings.http else None
        handlers = service.handlers if metrics is None else metrics.counted(service.handlers)
        transport = transport_of(settings.transport)(
            handlers,
            host=settings.host,
            port=settings.port,
            open_state=service.open_session,
        )
        server = cls(settings, service, transport)
        try:
            server.port = await transport.start()
            for address in settings.http:
                await server._speak_http(address, handlers, metrics)
        except BaseException:
            await server._stop_http()
            await service.close()
            raise
        _tune_interpreter()
        return server

    async def _speak_http(
        self, address: HttpAddress, handlers: dict[str, Handler], metrics: Metrics | None
    ) -> None:
        listener = HttpListener(
            address.host,
            address.port,
            lambda: _http_answer(address.host, handlers, metrics, self._service.nexus),
        )
        try:
            await listener.start()
        except BindFailed as error:
            if address.is_required:
                raise
            logger.warning("HTTP is not spoken: %s", error)
        else:
            self.http.append(listener)
            self._service.engine.nexus.completions_come_to(address.host, listener.port)

    async def _stop_http(self) -> None:
        for listener in self.http:
            await listener.stop()

    async def stop(self) -> None:
        """Answer what can be answered, and close the service."""
        await self._stop_http()
        closing = asyncio.get_running_loop().create_task(self._service.close())
        await self._transport.stop(self._settings.stop_grace_seconds)
        await closing


def _http_answer(
    host: str, handlers: dict[str, Handler], metrics: Metrics | None, nexus: NexusHttp
) -> Answer:
    # What it knows of messages takes longer to import than a server should to start.
    from perdure.server.http.api import Api

    return Api(handlers, metrics, is_local=host in LOOPBACK, nexus=nexus.answer).answer


@contextmanager
def shorten_switch_interval() -> Iterator[None]:
    """While an engine runs in somebody's program: a thread that computes would otherwise delay each
    commit by tens of milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_INTERVAL_SECONDS))
    try:
        yield
    finally:
        # Never down: another engine, that was opened earlier, may have closed before.
        sys.setswitchinterval(max(before, sys.getswitchinterval()))


def _tune_interpreter() -> None:
    """Settings of the whole process, for a server that has it to itself: threads give way soon, and
    what lives as long as the server is not looked at by each garbage collection."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def open_store(database: str) -> Store:
    """The store of a path, or one in memory."""
    if database == IN_MEMORY:
        return MemoryStore()
    return open_sqlite(database)
