"""Which workers a task is for: those of a version, or those of none.

A task keeps a directive: what its workflow asks for. Which version that is can only be said when it
meets a poll, since the deployments of its queue may send work elsewhere meanwhile. Nearly all tasks
have no directive, and nearly all queues no deployment: for these there is nothing to be found out.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from temporalio.api.enums.v1 import workflow_pb2

from perdure.server.machines.deployment.names import UNVERSIONED, VersionName
from perdure.server.machines.deployment.state import Deployment, TaskQueue
from perdure.server.machines.queue.fingerprint import fingerprint32

PINNED = workflow_pb2.VERSIONING_BEHAVIOR_PINNED
ACTIVITY_QUEUE = 2
HASHES = 2**32
MARK = b"\x93"
"""What a directive begins with: an array of three, in MessagePack."""


class Directive(msgspec.Struct, frozen=True, array_like=True):
    """What a workflow asks for: the behaviour that it has now, and on which version."""

    behavior: int
    version: VersionName | None = None
    uses_ramping: bool = False
    """It goes to the ramping version, if there is one, whatever the percentage."""


class QueueRouting(msgspec.Struct, frozen=True):
    """Where the deployments that a queue belongs to send new work. Versions are None for workers of
    no version."""

    current: VersionName | None = None
    current_revision: int = 0
    current_changed_ns: int = 0
    ramping: VersionName | None = None
    percentage: float = 0.0
    ramping_revision: int = 0
    ramping_changed_ns: int = 0
    versions: frozenset[VersionName] = frozenset()
    """All whose workers poll the queue."""

    @property
    def needs_workflow_id(self) -> bool:
        """Whether it depends on the workflow where its work goes."""
        return 0 < self.percentage < 100

    def target(
        self, workflow_id: str, *, uses_ramping: bool = False
    ) -> tuple[VersionName | None, int]:
        """Where work of a workflow goes that is not pinned, and since which revision: of one
        workflow always to the same, while the percentage is."""
        is_ramping = (uses_ramping and self.ramping is not None) or (
            self.percentage > 0
            and (self.percentage >= 100 or _place_of(workflow_id) <= self.percentage)
        )
        version = self.ramping if is_ramping else self.current
        if version is None:
            return None, 0
        return version, self.ramping_revision if is_ramping else self.current_revision


NO_ROUTING = QueueRouting()
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Directive)


def encode(directive: Directive) -> bytes:
    """A directive, as rows of tasks have it."""
    return _encoder.encode(directive)


def decode(content: bytes) -> Directive | None:
    """The directive of a row. Rows of a sticky queue have the name of the normal one instead, which
    begins with no such byte."""
    return _decoder.decode(content) if content[:1] == MARK else None


def version_of(
    directive: bytes, routing: QueueRouting, *, kind: int, workflow_id: str
) -> VersionName | None:
    """The version whose workers get a task; None for workers of no version."""
    asked = decode(directive)
    if asked is None:
        return routing.target(workflow_id)[0]
    version = asked.version if asked.behavior == PINNED else None
    # An activity on a queue that its workflow's version does not serve is independent of it.
    if version is not None and (kind != ACTIVITY_QUEUE or version in routing.versions):
        return version
    return routing.target(workflow_id, uses_ramping=asked.uses_ramping)[0]


def routing_of(queue: TaskQueue, deployments: Iterable[Deployment]) -> QueueRouting | None:
    """Where work of a queue goes; None when it belongs to no deployment. Of several deployments the
    one that was changed last counts, and any version more than none."""
    members = [
        (deployment, {build for build, v in deployment.versions.items() if queue in v.queues})
        for deployment in deployments
    ]
    members = [(deployment, builds) for deployment, builds in members if builds]
    if not members:
        return None
    currents: list[tuple[bool, int, Deployment]] = []
    rampings: list[tuple[bool, int, Deployment]] = []
    for deployment, builds in members:
        routing = deployment.routing
        if routing.current in (UNVERSIONED, *builds):
            is_versioned = routing.current in builds
            currents.append((is_versioned, routing.current_changed_ns, deployment))
        if routing.ramping in ("", UNVERSIONED, *builds):
            is_versioned = routing.ramping in builds
            rampings.append((is_versioned, routing.percentage_changed_ns, deployment))
    current, ramping = _newest(currents), _newest(rampings)
    return QueueRouting(
        current=current.version_name(current.routing.current) if current else None,
        current_revision=current.routing.revision if current else 0,
        current_changed_ns=current.routing.current_changed_ns if current else 0,
        ramping=ramping.version_name(ramping.routing.ramping) if ramping else None,
        percentage=ramping.routing.percentage if ramping else 0.0,
        ramping_revision=ramping.routing.revision if ramping else 0,
        ramping_changed_ns=ramping.routing.percentage_changed_ns if ramping else 0,
        versions=frozenset(
            VersionName(deployment.name, build)
            for deployment, builds in members
            for build in builds
        ),
    )


def _newest(found: list[tuple[bool, int, Deployment]]) -> Deployment | None:
    return max(found, key=lambda one: one[:2])[2] if found else None


def _place_of(workflow_id: str) -> float:
    """Where a workflow stands among all, in percent: it is among the first so many, or not."""
    return 100 * fingerprint32(workflow_id.encode()) / HASHES
