"""What the RPCs work with, and how a request is bound to its namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse

from perdure.server.engine.api import EngineApi, NamespaceRef
from perdure.server.frontend.tokens import QueryToken, decode_query_token, decode_task_token
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.ports import DEFAULT_LIMITS, Ids, Limits
from perdure.server.machines.workflow.inputs import TaskToken
from perdure.server.namespaces.registry import Namespace, NamespaceRegistry
from perdure.server.store.ports import Store


def namespace_ref(namespace: Namespace) -> NamespaceRef:
    """A namespace as the engine knows it."""
    return NamespaceRef(
        namespace.number,
        namespace.id,
        namespace.name,
        namespace.retention_ns,
        namespace.search_attributes,
    )


class Services:
    """The dependencies of all RPCs."""

    def __init__(
        self,
        *,
        engine: EngineApi,
        store: Store,
        namespaces: NamespaceRegistry,
        ids: Ids,
        limits: Limits = DEFAULT_LIMITS,
        store_name: str = "sqlite",
    ) -> None:
        self.engine = engine
        self.store = store
        self.namespaces = namespaces
        self.ids = ids
        self.limits = limits
        self.store_name = store_name
        # Namespaces are neither renamed nor deleted, and remembered anew when they change.
        self._by_name: dict[str, NamespaceRef] = {}
        self._by_id: dict[str, NamespaceRef] = {}
        self._background: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that no call waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Give up what is done in the background."""
        background = list(self._background)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)

    def bind(self, name: str) -> NamespaceRef:
        """The namespace that a request names. Raises InvalidArgument, NamespaceNotFound."""
        return self._by_name.get(name) or self._find(name)

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
        NamespaceNotFound."""
        namespace = await self.namespaces.update(name, change)
        self._remember(namespace)
        return namespace

    def _find(self, name: str) -> NamespaceRef:
        if not name:
            raise InvalidArgument("Namespace is empty.")
        if len(name) > self.limits.id_length_max:
            raise InvalidArgument("Namespace length exceeds limit.")
        return self._remember(self.namespaces.by_name(name))

    def _remember(self, namespace: Namespace) -> NamespaceRef:
        ref = namespace_ref(namespace)
        self._by_name[ref.name] = ref
        self._by_id[ref.id] = ref
        return ref
