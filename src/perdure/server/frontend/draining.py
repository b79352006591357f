"""Whether the versions that get no new work are still needed: by open workflows that are pinned to
them. It is looked at when somebody asks, and not more often than the real server looks."""

from __future__ import annotations

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.services import Services
from perdure.server.machines.deployment import decide
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.deployment.state import Deployment
from perdure.server.machines.workflow.state import Status
from perdure.server.visibility.query.binding import system_attribute
from perdure.server.visibility.query.tree import And, Compare, Comparison, OneOf, Query

_STATUS, _VERSION, _BEHAVIOR = (
    system_attribute(name)
    for name in (
        "ExecutionStatus",
        "TemporalWorkerDeploymentVersion",
        "TemporalWorkflowVersioningBehavior",
    )
)


async def looked_at(services: Services, namespace: NamespaceRef, name: str) -> Deployment | None:
    """A deployment, once the versions whose time has come were looked at: read it, never change
    it."""
    deployment = await services.engine.deployments.find(namespace, name)
    if deployment is None:
        return None
    now_ns, limits = services.clock.now_ns(), services.limits
    for build_id, version in deployment.versions.items():
        due_ns = decide.drainage_due_ns(
            version, grace_ns=limits.drainage_grace_ns, refresh_ns=limits.drainage_refresh_ns
        )
        if due_ns is not None and due_ns <= now_ns:
            await _look_at(services, namespace, VersionName(name, build_id))
    return await services.engine.deployments.find(namespace, name)


async def _look_at(services: Services, namespace: NamespaceRef, name: VersionName) -> None:
    counts = await services.store.count_executions(namespace.number, _pinned_to(name))
    is_drained = sum(counts.values()) == 0
    await services.engine.deployments.change(
        namespace,
        name.deployment,
        lambda deployment, now_ns: decide.note_drainage(
            deployment, name.build_id, now_ns, is_drained=is_drained
        ),
        missing=lambda: decide.new_deployment(name.deployment, 0, request_id="", identity=""),
    )


def _pinned_to(name: VersionName) -> Query:
    """The open workflows that are pinned to a version."""
    return Query(
        And(
            (
                OneOf(_STATUS, (Status.RUNNING, Status.PAUSED)),
                Compare(_VERSION, Comparison.EQUAL, name.text),
                Compare(_BEHAVIOR, Comparison.EQUAL, "Pinned"),
            )
        )
    )
