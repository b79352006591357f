"""The worker deployments of a shard: held in memory, written through, and what they mean for each
task queue.

They are rows of their namespace rather than a machine with a history: a deployment is small, each
match of a task asks for its routing, and it changes seldom. A change is made on a copy; when that
is durable, it takes the place of what was there, and the queues that it sends elsewhere are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from perdure.server.machines.deployment import decide, state
from perdure.server.machines.deployment.inputs import DeploymentLimits, Registration
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.deployment.state import Deployment, TaskQueue
from perdure.server.machines.errors import DeploymentLimitReached
from perdure.server.machines.queue.routing import NO_ROUTING, QueueRouting, routing_of
from perdure.server.store.codec import seal, unseal
from perdure.server.store.ports import NamedKind, NamedRow, QueueKey, Store

KIND = NamedKind.WORKER_DEPLOYMENT

ReplyT = TypeVar("ReplyT")


class Deployments:
    """All of a shard. What is found is for reading only."""

    def __init__(self, store: Store, limits: DeploymentLimits) -> None:
        self._store = store
        self.limits = limits
        self._all: dict[int, dict[str, Deployment]] = {}
        """By namespace and name."""
        self._routings: dict[QueueKey, QueueRouting] = {}
        # One change after the other, since each is made of the one before, which must be durable.
        self._turn = asyncio.Lock()
        self.rerouted: Callable[[Iterable[QueueKey]], None] = lambda keys: None
        """Hears of queues whose work goes elsewhere from now on; set by whoever wires us."""

    async def recover(self) -> None:
        """Know them again."""
        for row in await self._store.named(KIND):
            deployment = state.decode(unseal(row.blob))
            self._all.setdefault(row.namespace, {})[row.name] = deployment
        for namespace, deployments in self._all.items():
            self._route(namespace, {queue for d in deployments.values() for queue in _queues(d)})

    def find(self, namespace: int, name: str) -> Deployment | None:
        """One by its name."""
        return self._all.get(namespace, {}).get(name)

    def all(self, namespace: int) -> list[Deployment]:
        """Those of a namespace."""
        return list(self._all.get(namespace, {}).values())

    @property
    def are_any(self) -> bool:
        """Whether any queue belongs to a deployment."""
        return bool(self._routings)

    def routing(self, key: QueueKey) -> QueueRouting:
        """Where work of a queue goes."""
        return self._routings.get(key, NO_ROUTING)

    def has(self, key: QueueKey, version: VersionName) -> bool:
        """Whether workers of a version are known to poll a queue."""
        routing = self._routings.get(key)
        return routing is not None and version in routing.versions

    async def register(
        self,
        key: QueueKey,
        version: VersionName,
        now_ns: int,
        *,
        deletable: Callable[[Deployment], frozenset[str]],
    ) -> None:
        """A worker polls: its version and this queue are known, durably, when this returns. Raises
        DeploymentLimitReached, StoreUnavailable."""
        if self.has(key, version):
            return

        def register(deployment: Deployment) -> None:
            registration = Registration(
                build_id=version.build_id,
                queue=TaskQueue(key.queue, key.kind),
                deletable=deletable(deployment),
            )
            decide.register(deployment, registration, now_ns, self.limits)

        def create() -> Deployment:
            deployment = decide.new_deployment(
                version.deployment, now_ns, request_id="", identity=""
            )
            deployment.is_created_by_poll = True
            return deployment

        await self.change(key.namespace, version.deployment, register, create)

    async def change(
        self,
        namespace: int,
        name: str,
        change: Callable[[Deployment], ReplyT],
        missing: Callable[[], Deployment],
    ) -> ReplyT:
        """Change a deployment, or the new one that `missing` makes. It is durable when this
        returns. Raises what the two do, DeploymentLimitReached and StoreUnavailable."""
        async with self._turn:
            before = self.find(namespace, name)
            if before is None:
                after = missing()
                self._check_room(namespace)
            else:
                after = state.decode(state.encode(before))
            reply = change(after)
            if before is None or after != before:
                row = NamedRow(KIND, namespace, name, seal(state.encode(after)))
                await self._store.put_named(row)
                self._all.setdefault(namespace, {})[name] = after
                self._route(namespace, {*_queues(before), *_queues(after)})
            return reply

    async def delete(self, namespace: int, name: str, check: Callable[[Deployment], None]) -> None:
        """Forget a deployment, if it is there and may be forgotten. Raises what `check` does,
        StoreUnavailable."""
        async with self._turn:
            before = self.find(namespace, name)
            if before is None:
                return
            check(before)
            await self._store.delete_named(KIND, namespace, name)
            del self._all[namespace][name]
            self._route(namespace, set(_queues(before)))

    def _check_room(self, namespace: int) -> None:
        if len(self._all.get(namespace, ())) >= self.limits.deployments_max:
            raise DeploymentLimitReached(
                f"reached maximum deployments in namespace ({self.limits.deployments_max})"
            )

    def _route(self, namespace: int, queues: set[TaskQueue]) -> None:
        deployments = self._all.get(namespace, {}).values()
        changed: list[QueueKey] = []
        for queue in sorted(queues):  # A set of texts has another order in each process.
            key = QueueKey(namespace, queue.name, queue.kind)
            routing = routing_of(queue, deployments)
            if routing == self._routings.get(key):
                continue
            changed.append(key)
            if routing is None:
                del self._routings[key]
            else:
                self._routings[key] = routing
        if changed:
            self.rerouted(changed)


def _queues(deployment: Deployment | None) -> Iterable[TaskQueue]:
    if deployment is None:
        return ()
    return (queue for version in deployment.versions.values() for queue in version.queues)
