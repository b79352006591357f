"""What a deployment is asked to decide on, and the answers."""

from __future__ import annotations

import msgspec

from perdure.server.machines.deployment.state import TaskQueue
from perdure.server.machines.ports import DEFAULT_LIMITS, Limits


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes the routing, and what must hold for it."""

    identity: str
    token: bytes = b""
    """That of the state which it was decided on; b"" for any."""
    ignores_missing_queues: bool = False
    allows_no_pollers: bool = False
    """The version need not exist yet."""
    busy_queues: frozenset[TaskQueue] = frozenset()
    """Those on which something goes on for the current version."""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A worker of a version polls a queue."""

    build_id: str
    queue: TaskQueue
    deletable: frozenset[str] = frozenset()
    """Builds that nobody polls: one may have to make room."""


class PreviousVersion(msgspec.Struct, frozen=True):
    """What a change of the routing replaced, and the new token."""

    build_id: str
    token: bytes
    percentage: float = 0.0


class PreviousManager(msgspec.Struct, frozen=True):
    """Whom a change of the manager replaced, and the new token."""

    identity: str
    token: bytes


class DeploymentLimits(msgspec.Struct, frozen=True):
    """Bounds: those of `Limits` that are about deployments."""

    deployments_max: int = DEFAULT_LIMITS.deployments_max
    versions_max: int = DEFAULT_LIMITS.deployment_versions_max
    queues_max: int = DEFAULT_LIMITS.deployment_queues_max


def deployment_limits(limits: Limits) -> DeploymentLimits:
    """The bounds of deployments among all."""
    return DeploymentLimits(
        deployments_max=limits.deployments_max,
        versions_max=limits.deployment_versions_max,
        queues_max=limits.deployment_queues_max,
    )
