"""A whole server in the process of the test, on a store that the test has prepared."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from perdure.server.app import Server
from perdure.server.config import Settings
from perdure.server.store.ports import Store


@contextlib.asynccontextmanager
async def serving(store: Store) -> AsyncIterator[Server]:
    """A server on a free port. The store is closed with it."""

    def lost() -> None:
        raise AssertionError("the lease is lost")

    server = await Server.start(Settings(port=0, stop_grace_seconds=0.2), lost, store)
    try:
        yield server
    finally:
        await server.stop()
