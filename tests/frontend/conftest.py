"""A real engine on a store in memory, and a client that speaks to it through the in-process
transport."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from perdure.server.engine.clock import SystemClock
from perdure.server.engine.engine import Engine
from perdure.server.engine.ids import RandomIds
from perdure.server.engine.posting import HttpPoster
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.services import Services, UsableNamespaces, namespace_ref
from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.namespaces.registry import NamespaceRegistry
from perdure.server.store.memory import MemoryStore
from perdure.server.visibility.projection import visibility_row
from tests.frontend.client import Client


@pytest_asyncio.fixture
async def services() -> AsyncIterator[Services]:
    """The dependencies of the RPCs: all real."""
    store = MemoryStore()
    clock = SystemClock()
    ids = RandomIds(clock)
    namespaces = NamespaceRegistry(store, ids, clock.now_ns)
    await namespaces.load(["default"])

    poster = HttpPoster()
    engine = await Engine.open(
        store,
        shard=1,
        clock=clock,
        ids=ids,
        limits=DEFAULT_LIMITS,
        project=lambda namespace, _, run: visibility_row(
            run, namespaces.by_number(namespace.number).search_attributes
        ),
        namespace_of=lambda number: namespace_ref(namespaces.by_number(number)),
        on_lease_lost=lambda: None,
        find_namespace=UsableNamespaces(namespaces),
        post=poster.post,
    )
    yield Services(engine=engine, store=store, namespaces=namespaces, ids=ids, clock=clock)
    await engine.close()
    poster.close()
    await store.close()


@pytest_asyncio.fixture
async def client(services: Services) -> Client:
    """A client of the whole service."""
    return Client(handlers_of(services))
