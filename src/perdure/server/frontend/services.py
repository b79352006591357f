"""What the RPCs work with, and how a request is bound to its namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from temporalio.api.enums.v1 import NamespaceState
from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse

from perdure.server.engine.api import EngineApi, NamespaceRef
from perdure.server.engine.clock import Clock
from perdure.server.engine.time_skipping import TimeSkipper
from perdure.server.frontend.tokens import QueryToken, decode_query_token, decode_task_token
from perdure.server.frontend.worker_registry import WorkerRegistry
from perdure.server.housekeeping.batches.batches import Batches
from perdure.server.housekeeping.reclaiming import reclaim
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import DEFAULT_LIMITS, Ids, Limits
from perdure.server.machines.workflow.inputs import TaskToken
from perdure.server.namespaces.registry import (
    Namespace,
    NamespaceInvalidState,
    NamespaceNotFound,
    NamespaceRegistry,
)
from perdure.server.store.ports import Store

USABLE_STATES = (
    NamespaceState.NAMESPACE_STATE_REGISTERED,
    NamespaceState.NAMESPACE_STATE_DEPRECATED,
)
"""What a namespace must be in to be used."""
STARTABLE_STATES = (NamespaceState.NAMESPACE_STATE_REGISTERED,)
"""What a namespace must be in for a workflow to begin."""


def namespace_ref(namespace: Namespace) -> NamespaceRef:
    """A namespace as the engine knows it."""
    return NamespaceRef(
        namespace.number,
        namespace.id,
        namespace.name,
        namespace.retention_ns,
        namespace.search_attributes,
    )


class UsableNamespaces:
    """The namespaces that can be used, as the engine looks for them: None where there is none."""

    def __init__(self, registry: NamespaceRegistry) -> None:
        self._registry = registry

    def named(self, name: str) -> NamespaceRef | None:
        """One by its name."""
        return self._usable(self._registry.by_name, name)

    def of_id(self, namespace_id: str) -> NamespaceRef | None:
        """One by its id."""
        return self._usable(self._registry.by_id, namespace_id)

    def _usable(self, find: Callable[[str], Namespace], key: str) -> NamespaceRef | None:
        try:
            found = find(key)
            found.require(*USABLE_STATES)
        except (NamespaceNotFound, NamespaceInvalidState):
            return None
        return namespace_ref(found)


class Services:
    """The dependencies of all RPCs."""

    def __init__(
        self,
        *,
        engine: EngineApi,
        store: Store,
        namespaces: NamespaceRegistry,
        ids: Ids,
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
        store_name: str = "sqlite",
        time_skipper: TimeSkipper | None = None,
    ) -> None:
        self.engine = engine
        self.store = store
        self.namespaces = namespaces
        self.ids = ids
        self.clock = clock
        self.batches = Batches(store, clock, rate_per_second=limits.batch_rate_per_second)
        self.workers = WorkerRegistry()
        self.limits = limits
        self.store_name = store_name
        self.time_skipper = time_skipper
        """Set where time can be skipped."""
        # Remembered anew when they change; those that are deleted are forgotten.
        self._by_name: dict[str, NamespaceRef] = {}
        self._by_id: dict[str, NamespaceRef] = {}
        self._background: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that no call waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def background(self) -> list[asyncio.Task[None]]:
        """What is being done."""
        return list(self._background)

    async def close(self) -> None:
        """Give up what is done in the background."""
        background = list(self._background)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await self.batches.close()

    def bind(self, name: str) -> NamespaceRef:
        """The namespace that a request names. Raises InvalidArgument, NamespaceNotFound."""
        return self._by_name.get(name) or self._find(name)

    def bind_for_start(self, name: str) -> NamespaceRef:
        """As `bind`; of a deprecated namespace no workflow begins. Raises NamespaceInvalidState
        too."""
        found = self._by_name.get(name) or self._find(name, STARTABLE_STATES)
        self.namespaces.by_id(found.id).require(*STARTABLE_STATES)
        return found

    def bind_token(self, task_token: bytes, name: str) -> tuple[NamespaceRef, TaskToken]:
        """A task token and its namespace, which must be the one that the request names, if any.

        Raises InvalidArgument, NamespaceNotFound.
        """
        token = decode_task_token(task_token)
        return self._bind_id(token.namespace_id, name), token

    def bind_query_token(self, task_token: bytes, name: str) -> tuple[NamespaceRef, QueryToken]:
        """The token of a query and its namespace, as `bind_token`."""
        token = decode_query_token(task_token)
        return self._bind_id(token.namespace_id, name), token

    def _bind_id(self, namespace_id: str, name: str) -> NamespaceRef:
        namespace = self._by_id.get(namespace_id)
        if namespace is None:
            namespace = self._remember(self.namespaces.by_id(namespace_id))
        if name and name != namespace.name and self.bind(name).id != namespace.id:
            raise InvalidArgument("Operation requested with a token from a different namespace.")
        return namespace

    async def update_namespace(
        self, name: str, change: Callable[[DescribeNamespaceResponse], None]
    ) -> Namespace:
        """Change the settings of a namespace; whoever binds it from now on sees them. Raises
        NamespaceNotFound, NamespaceInvalidState."""
        self.namespaces.by_name(name).require(*USABLE_STATES)
        namespace = await self.namespaces.update(name, change)
        self._remember(namespace)
        return namespace

    async def delete_namespace(self, name: str, delay_ns: int) -> Namespace:
        """Rename a namespace, and begin to take it apart after the delay. Raises
        NamespaceNotFound."""
        self._by_name.pop(name, None)
        namespace = await self.namespaces.delete(name, delay_ns)
        self._by_name.pop(name, None)
        self._by_id.pop(namespace.id, None)
        self.batches.forget_all(namespace.number)
        self.spawn(self.reclaim(namespace))
        return namespace

    async def reclaim(self, namespace: Namespace) -> None:
        """Take a deleted namespace apart."""
        await reclaim(
            self.store,
            self.engine,
            self.clock,
            self.namespaces,
            namespace,
            namespace_ref(namespace),
        )

    def _find(self, name: str, allowed: tuple[int, ...] = USABLE_STATES) -> NamespaceRef:
        if not name:
            raise InvalidArgument("Namespace is empty.")
        if len(name) > self.limits.id_length_max:
            raise InvalidArgument("Namespace length exceeds limit.")
        namespace = self.namespaces.by_name(name)
        namespace.require(*allowed)
        return self._remember(namespace)

    def _remember(self, namespace: Namespace) -> NamespaceRef:
        namespace.require(*USABLE_STATES)
        ref = namespace_ref(namespace)
        self._by_name[ref.name] = ref
        self._by_id[ref.id] = ref
        return ref
