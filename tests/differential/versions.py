"""The words in which programs name versions of their deployment, and overrides.

An override is "pinned BUILD", "once BUILD", "auto", or "none", which takes it away.
"""

from __future__ import annotations

from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.workflow.v1 import VersioningOverride
from temporalio.common import AutoUpgradeVersioningOverride, PinnedVersioningOverride
from temporalio.common import VersioningOverride as ChildOverride
from temporalio.common import WorkerDeploymentVersion as ChildVersion


def deployment_of(nonce: str) -> str:
    """The name of a program's deployment."""
    return f"deployment-{nonce}"


def version(nonce: str, build: str) -> WorkerDeploymentVersion:
    """One of its versions."""
    return WorkerDeploymentVersion(deployment_name=deployment_of(nonce), build_id=build)


def override_of(nonce: str, text: str) -> VersioningOverride | None:
    """An override as requests have it."""
    kind, _, build = text.partition(" ")
    match kind:
        case "pinned":
            pinned = VersioningOverride.PinnedOverride(
                version=version(nonce, build),
                behavior=VersioningOverride.PINNED_OVERRIDE_BEHAVIOR_PINNED,
            )
            return VersioningOverride(pinned=pinned)
        case "once":
            target = version(nonce, build)
            return VersioningOverride(
                one_time=VersioningOverride.OneTimeOverride(target_deployment_version=target)
            )
        case "auto":
            return VersioningOverride(auto_upgrade=True)
    return None


def override_of_child(nonce: str, text: str) -> ChildOverride | None:
    """An override as workflow code has it; never "once"."""
    kind, _, build = text.partition(" ")
    if not kind:
        return None
    if kind == "auto":
        return AutoUpgradeVersioningOverride()
    return PinnedVersioningOverride(ChildVersion(deployment_of(nonce), build))
