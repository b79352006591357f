"""A real engine on a store in memory, and a client that speaks to it through the in-process
transport."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from perdure.server.engine.api import NamespaceRef
from perdure.server.engine.clock import SystemClock
from perdure.server.engine.engine import Engine
from perdure.server.engine.ids import RandomIds
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.services import Services
from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.machines.workflow.state import Run
from perdure.server.namespaces.registry import NamespaceRegistry
from perdure.server.store.memory import MemoryStore
from perdure.server.store.ports import VisibilityRow
from tests.frontend.client import Client


def _visibility_row(namespace: NamespaceRef, workflow_id: str, run: Run) -> VisibilityRow:
    recorded = run.recorded
    return VisibilityRow(
        workflow_type=recorded.workflow_type,
        status=recorded.status,
        start_time_ns=recorded.start_time_ns,
        close_time_ns=recorded.close_time_ns,
    )


@pytest_asyncio.fixture
async def services() -> AsyncIterator[Services]:
    """The dependencies of the RPCs: all real."""
    store = MemoryStore()
    clock = SystemClock()
    ids = RandomIds(clock)
    namespaces = NamespaceRegistry(store, ids)
    await namespaces.load(["default"])

    def namespace_of(number: int) -> NamespaceRef:
        namespace = namespaces.by_number(number)
        return NamespaceRef(number, namespace.id, namespace.name, namespace.retention_ns)

    engine = await Engine.open(
        store,
        shard=1,
        clock=clock,
        ids=ids,
        limits=DEFAULT_LIMITS,
        project=_visibility_row,
        namespace_of=namespace_of,
        on_lease_lost=lambda: None,
    )
    yield Services(engine=engine, store=store, namespaces=namespaces, ids=ids)
    await engine.close()
    await store.close()


@pytest_asyncio.fixture
async def client(services: Services) -> Client:
    """A client of the whole service."""
    return Client(handlers_of(services))
