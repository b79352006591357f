"""Versioning overrides that clients ask for: which versions there are, and that they are needed."""

from __future__ import annotations

from temporalio.api.workflow.v1 import VersioningOverride

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend.services import Services
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.errors import FailedPrecondition
from perdure.server.machines.workflow.versioning import override_of


async def check_version(
    services: Services, namespace: NamespaceRef, queue: str, override: VersioningOverride
) -> None:
    """The version that an override names must have workers on the queue of workflow tasks. Raises
    FailedPrecondition."""
    version = _target_of(override)
    if version is None or services.engine.deployments.has(namespace, queue, version):
        return
    raise FailedPrecondition(
        f"Pinned version '{version.text}' is not present in task queue '{queue}' of type 'Workflow'"
    )


async def reactivate(
    services: Services, namespace: NamespaceRef, override: VersioningOverride
) -> None:
    """A version that nothing needed any more is needed again."""
    version = _target_of(override)
    if version is not None:
        await services.engine.deployments.reactivate(namespace, version)


def _target_of(override: VersioningOverride) -> VersionName | None:
    found = override_of(override)
    return None if found is None else found.version
