"""Nexus on one server: its endpoints."""

from __future__ import annotations

from perdure.server.engine.clock import Clock
from perdure.server.engine.nexus import calls
from perdure.server.engine.nexus.endpoints import Endpoints
from perdure.server.machines.ports import Ids
from perdure.server.store.ports import Store


class Nexus:
    """What a server knows of Nexus."""

    def __init__(self, store: Store, ids: Ids, clock: Clock) -> None:
        self.endpoints = Endpoints(store, ids, clock)

    async def recover(self) -> None:
        """Know the endpoints again."""
        await self.endpoints.recover()

    def find(self, endpoint: str) -> calls.Endpoint | None:
        """The endpoint of a name, if there is one."""
        found = self.endpoints.by_name(endpoint)
        return None if found is None else calls.Endpoint(found.id, found.spec.name)
