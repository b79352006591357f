"""Nexus endpoints: names that callers know, and where they lead. They belong to no namespace.

All are in memory, written through. A change is made of what it found, and is durable before anybody
sees it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio.api.nexus.v1 import Endpoint, EndpointSpec

from perdure.server.engine.api import EngineUnavailable
from perdure.server.engine.clock import Clock
from perdure.server.machines.errors import AlreadyExists, FailedPrecondition, NotFound
from perdure.server.machines.ports import Ids
from perdure.server.machines.wire import timestamp
from perdure.server.store.codec import seal, unseal
from perdure.server.store.ports import NamedKind, NamedRow, Store, StoreUnavailable

KIND = NamedKind.NEXUS_ENDPOINT
NO_NAMESPACE = 0
"""Namespaces are numbered from 1."""

_Result = TypeVar("_Result")


class Endpoints:
    """The endpoints of a server. What is found is for reading only."""

    def __init__(self, store: Store, ids: Ids, clock: Clock) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._by_id: dict[str, Endpoint] = {}
        self._by_name: dict[str, Endpoint] = {}
        # One change after the other, since each is made of the one before, which must be durable.
        self._turn = asyncio.Lock()
        self._changing: set[asyncio.Task[Any]] = set()

    async def recover(self) -> None:
        """Know them again."""
        for row in await self._store.named(KIND):
            self._remember(Endpoint.FromString(unseal(row.blob)))

    def by_id(self, endpoint_id: str) -> Endpoint | None:
        """One by its id."""
        return self._by_id.get(endpoint_id)

    def by_name(self, name: str) -> Endpoint | None:
        """One by its name."""
        return self._by_name.get(name)

    def page(self, after: str, limit: int) -> list[Endpoint]:
        """Those whose ids follow one, in order."""
        following = sorted(found for found in self._by_id if found > after)
        return [self._by_id[found] for found in following[:limit]]

    async def create(self, spec: EndpointSpec) -> Endpoint:
        """A new endpoint, durable when this returns. Raises AlreadyExists, EngineUnavailable."""
        return await self._to_its_end(self._create(spec))

    async def _create(self, spec: EndpointSpec) -> Endpoint:
        async with self._turn:
            if spec.name in self._by_name:
                raise AlreadyExists(
                    "error creating Nexus endpoint."
                    f" Endpoint with name {spec.name} already registered"
                )
            endpoint_id = self._ids.uuid()
            endpoint = Endpoint(
                version=1,
                id=endpoint_id,
                spec=spec,
                created_time=timestamp(self._clock.now_ns()),
                url_prefix=f"/nexus/endpoints/{endpoint_id}/services",
            )
            await self._store_it(endpoint)
            return endpoint

    async def update(self, endpoint_id: str, version: int, spec: EndpointSpec) -> Endpoint:
        """Change what an endpoint is, if it is of that version; durable when this returns. Raises
        NotFound, FailedPrecondition, AlreadyExists, EngineUnavailable."""
        return await self._to_its_end(self._update(endpoint_id, version, spec))

    async def _update(self, endpoint_id: str, version: int, spec: EndpointSpec) -> Endpoint:
        async with self._turn:
            before = self._by_id.get(endpoint_id)
            if before is None:
                raise NotFound(
                    f"error updating Nexus endpoint. endpoint ID {endpoint_id} not found"
                )
            if before.version != version:
                raise FailedPrecondition(
                    "nexus endpoint version mismatch."
                    f" received: {version} expected {before.version}"
                )
            namesake = self._by_name.get(spec.name)
            if namesake is not None and namesake.id != endpoint_id:
                # A name that stood for two would lead callers to either.
                raise AlreadyExists(
                    "error updating Nexus endpoint."
                    f" Endpoint with name {spec.name} already registered"
                )
            endpoint = Endpoint()
            endpoint.CopyFrom(before)
            endpoint.version += 1
            endpoint.spec.CopyFrom(spec)
            endpoint.last_modified_time.CopyFrom(timestamp(self._clock.now_ns()))
            await self._store_it(endpoint)
            return endpoint

    async def delete(self, endpoint_id: str) -> None:
        """Forget an endpoint, durably. Raises NotFound, EngineUnavailable."""
        await self._to_its_end(self._delete(endpoint_id))

    async def _delete(self, endpoint_id: str) -> None:
        async with self._turn:
            before = self._by_id.get(endpoint_id)
            if before is None:
                raise NotFound(f"error deleting nexus endpoint with ID: {endpoint_id}")
            try:
                await self._store.delete_named(KIND, NO_NAMESPACE, endpoint_id)
            except StoreUnavailable as error:
                raise EngineUnavailable(str(error)) from error
            del self._by_id[endpoint_id]
            del self._by_name[before.spec.name]

    async def _to_its_end(self, change: Coroutine[Any, Any, _Result]) -> _Result:
        """What comes of a change. Whoever asked for it may go away: what is stored all the same has
        to be known."""
        task = asyncio.ensure_future(change)
        self._changing.add(task)
        task.add_done_callback(self._changed)
        return await asyncio.shield(task)

    def _changed(self, task: asyncio.Task[Any]) -> None:
        self._changing.discard(task)
        if not task.cancelled():
            task.exception()  # Perhaps nobody is left to be told of it.

    async def _store_it(self, endpoint: Endpoint) -> None:
        blob = seal(endpoint.SerializeToString(deterministic=True))
        try:
            await self._store.put_named(NamedRow(KIND, NO_NAMESPACE, endpoint.id, blob))
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error
        before = self._by_id.get(endpoint.id)
        if before is not None:
            del self._by_name[before.spec.name]
        self._remember(endpoint)

    def _remember(self, endpoint: Endpoint) -> None:
        self._by_id[endpoint.id] = endpoint
        self._by_name[endpoint.spec.name] = endpoint
