"""Worker deployments as operators see and change them: what is decided on one, with what the queues
and the store know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import msgspec
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.server.engine.api import EngineUnavailable, NamespaceRef
from perdure.server.engine.clock import Clock
from perdure.server.machines.deployment import decide
from perdure.server.machines.deployment.inputs import Change, PreviousVersion
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.deployment.state import Deployment, TaskQueue
from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow.effects import TaskKind
from perdure.server.machines.workflow.messages import StartChild
from perdure.server.matching.queues import Queues
from perdure.server.store.ports import QueueKey, Store, StoreUnavailable

ReplyT = TypeVar("ReplyT")


class DeploymentOffice:
    """What the frontend asks of deployments. All that it answers is durable."""

    def __init__(self, store: Store, queues: Queues, clock: Clock) -> None:
        self._store = store
        self._queues = queues
        self._registry = queues.deployments
        self._clock = clock

    async def find(self, namespace: NamespaceRef, name: str) -> Deployment | None:
        """One by its name: read it, never change it."""
        return self._registry.find(namespace.number, name)

    async def all(self, namespace: NamespaceRef) -> list[Deployment]:
        """Those of a namespace: read them, never change them."""
        return self._registry.all(namespace.number)

    def has(self, namespace: NamespaceRef, queue: str, version: VersionName) -> bool:
        """Whether workers of a version poll a queue for workflow tasks."""
        return self._registry.has(QueueKey(namespace.number, queue, TaskKind.WORKFLOW), version)

    def versions_of(self, namespace: NamespaceRef, queue: str) -> frozenset[VersionName]:
        """The versions whose workers poll a queue for workflow tasks."""
        return self._registry.routing(QueueKey(namespace.number, queue, TaskKind.WORKFLOW)).versions

    async def reactivate(self, namespace: NamespaceRef, name: VersionName) -> None:
        """A workflow is pinned to a version: one that nothing needed any more drains again. Raises
        EngineUnavailable."""
        deployment = self._registry.find(namespace.number, name.deployment)
        version = None if deployment is None else deployment.versions.get(name.build_id)
        if deployment is None or version is None or not decide.needs_nothing(version):
            return
        await self.change(
            namespace,
            name.deployment,
            lambda deployment, now_ns: decide.reactivate(deployment, name.build_id, now_ns),
            missing=lambda: decide.new_deployment(name.deployment, 0, request_id="", identity=""),
        )

    def for_its_queue(self, namespace: int, message: Any) -> Any:
        """What a workflow is sent, without the versions that do not poll its queue: a child does
        not inherit those, and cannot be pinned to one."""
        if not isinstance(message, StartChild):
            return message
        inherited, pinned_to = message.parent.inherited, message.pinned_to
        if inherited is None and pinned_to is None:
            return message
        name = StartWorkflowExecutionRequest.FromString(message.request).task_queue.name
        queue = QueueKey(namespace, name, TaskKind.WORKFLOW)
        if pinned_to is not None and not self._registry.has(queue, pinned_to):
            return msgspec.structs.replace(message, is_version_absent=True)
        if (
            inherited is None
            or name == inherited.queue
            or self._registry.has(queue, inherited.version)
        ):
            return message
        parent = msgspec.structs.replace(message.parent, inherited=None)
        return msgspec.structs.replace(message, parent=parent)

    async def change(
        self,
        namespace: NamespaceRef,
        name: str,
        change: Callable[[Deployment, int], ReplyT],
        *,
        missing: Callable[[], Deployment],
    ) -> ReplyT:
        """Change a deployment, or the new one that `missing` makes. Raises what the two do, and
        EngineUnavailable."""
        now_ns = self._clock.now_ns()
        try:
            return await self._registry.change(
                namespace.number, name, lambda deployment: change(deployment, now_ns), missing
            )
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error

    async def create(
        self, namespace: NamespaceRef, name: str, *, request_id: str, identity: str
    ) -> Deployment:
        """A new deployment, or the one that has its name already. Raises DeploymentLimitReached,
        EngineUnavailable."""
        now_ns = self._clock.now_ns()
        return await self.change(
            namespace,
            name,
            lambda deployment, _: deployment,
            missing=lambda: decide.new_deployment(
                name, now_ns, request_id=request_id, identity=identity
            ),
        )

    async def create_version(
        self,
        namespace: NamespaceRef,
        name: VersionName,
        *,
        request_id: str,
        identity: str,
        missing: Callable[[], NoReturn],
    ) -> None:
        """Make a version known. Raises AlreadyExists, DeploymentLimitReached, what `missing` does,
        EngineUnavailable."""
        await self.change(
            namespace,
            name.deployment,
            lambda deployment, now_ns: decide.create_version(
                deployment,
                name.build_id,
                now_ns,
                self._registry.limits,
                request_id=request_id,
                identity=identity,
                deletable=self._queues.unpolled(namespace.number, deployment),
            ),
            missing=missing,
        )

    async def set_current(
        self, namespace: NamespaceRef, name: str, build_id: str, change: Change
    ) -> PreviousVersion:
        """Send new work to a version. Raises FailedPrecondition, NotFound, EngineUnavailable."""
        full = await self._with_busy_queues(namespace, name, build_id, change)
        return await self.change(
            namespace,
            name,
            lambda deployment, now_ns: decide.set_current(
                deployment, build_id, full, now_ns, self._registry.limits
            ),
            missing=lambda: self._missing(name, change),
        )

    async def set_ramping(
        self, namespace: NamespaceRef, name: str, build_id: str, percentage: float, change: Change
    ) -> PreviousVersion:
        """Send a part of the new work to a version. Raises as `set_current`."""
        full = await self._with_busy_queues(namespace, name, build_id, change)
        return await self.change(
            namespace,
            name,
            lambda deployment, now_ns: decide.set_ramping(
                deployment, build_id, percentage, full, now_ns, self._registry.limits
            ),
            missing=lambda: self._missing(name, change),
        )

    async def delete_version(
        self,
        namespace: NamespaceRef,
        name: VersionName,
        *,
        identity: str,
        skip_drainage: bool,
        missing: Callable[[], NoReturn],
    ) -> None:
        """Forget a version. Raises FailedPrecondition, what `missing` does, EngineUnavailable."""
        await self.change(
            namespace,
            name.deployment,
            lambda deployment, now_ns: decide.delete_version(
                deployment,
                name.build_id,
                now_ns,
                identity=identity,
                skip_drainage=skip_drainage,
                has_pollers=name.build_id
                not in self._queues.unpolled(namespace.number, deployment),
            ),
            missing=missing,
        )

    async def delete(self, namespace: NamespaceRef, name: str) -> None:
        """Forget a deployment, if it is there. Raises FailedPrecondition, EngineUnavailable."""
        try:
            await self._registry.delete(namespace.number, name, decide.check_deletion)
        except StoreUnavailable as error:
            raise EngineUnavailable(str(error)) from error

    def _missing(self, name: str, change: Change) -> Deployment:
        if not change.allows_no_pollers:
            raise NotFound(
                f"no Worker Deployment found with name '{name}';"
                " does your Worker Deployment have pollers?"
            )
        return decide.new_deployment(name, self._clock.now_ns(), request_id="", identity="")

    async def _with_busy_queues(
        self, namespace: NamespaceRef, name: str, build_id: str, change: Change
    ) -> Change:
        """The change, and on which of the queues that the version lacks something goes on."""
        deployment = self._registry.find(namespace.number, name)
        if deployment is None or change.ignores_missing_queues:
            return change
        current = deployment.versions.get(deployment.routing.current)
        version = deployment.versions.get(build_id)
        if current is None or version is None:
            return change
        current_name = VersionName(name, current.build_id)
        missing = decide.missing_queues(current, version)
        busy = await self._busy(namespace.number, current_name, missing)
        return Change(
            identity=change.identity,
            token=change.token,
            ignores_missing_queues=change.ignores_missing_queues,
            allows_no_pollers=change.allows_no_pollers,
            busy_queues=frozenset(busy),
        )

    async def _busy(
        self, namespace: int, version: VersionName, queues: Iterable[TaskQueue]
    ) -> set[TaskQueue]:
        busy: set[TaskQueue] = set()
        now_ns = self._clock.now_ns()
        for queue in queues:
            key = QueueKey(namespace, queue.name, queue.kind)
            if self._registry.routing(key).current != version:
                continue  # It has gone over to another deployment.
            hosted = self._queues.find(key.part(version.text))
            if hosted is not None and hosted.statistics.add_rate(now_ns) > 0:
                busy.add(queue)
                continue
            try:
                if await self._queues.backlog_of_part(key.part(version.text)):
                    busy.add(queue)
            except StoreUnavailable as error:
                raise EngineUnavailable(str(error)) from error
        return busy
