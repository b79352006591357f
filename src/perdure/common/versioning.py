"""Which versions of a worker deployment may run a workflow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum

from temporalio.api.deployment.v1 import WorkerDeploymentVersion as VersionMessage
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.workflow.v1 import VersioningOverride as OverrideMessage


class VersioningBehavior(IntEnum):
    """Whether a workflow moves to another version of its deployment."""

    UNSPECIFIED = workflow_pb2.VERSIONING_BEHAVIOR_UNSPECIFIED
    PINNED = workflow_pb2.VERSIONING_BEHAVIOR_PINNED
    AUTO_UPGRADE = workflow_pb2.VERSIONING_BEHAVIOR_AUTO_UPGRADE


@dataclass(frozen=True)
class WorkerDeploymentVersion:
    """One build of a deployment. The deployment's name contains no dot."""

    deployment_name: str
    build_id: str

    def to_canonical_string(self) -> str:
        """`deployment.build`."""
        return f"{self.deployment_name}.{self.build_id}"

    @staticmethod
    def from_canonical_string(canonical: str) -> WorkerDeploymentVersion:
        """The version written as `deployment.build`. Raises ValueError when there is no dot."""
        deployment_name, dot, build_id = canonical.partition(".")
        if not dot:
            raise ValueError(f"not of the form <deployment_name>.<build_id>: {canonical}")
        return WorkerDeploymentVersion(deployment_name, build_id)

    def to_proto(self) -> VersionMessage:
        """This version as a message."""
        return VersionMessage(deployment_name=self.deployment_name, build_id=self.build_id)


class VersioningOverride(ABC):
    """Overrides, for one execution, how its workers' versions are chosen."""

    @abstractmethod
    def to_proto(self) -> OverrideMessage:
        """This override as a message."""


@dataclass(frozen=True)
class PinnedVersioningOverride(VersioningOverride):
    """The execution stays on one version."""

    version: WorkerDeploymentVersion

    def to_proto(self) -> OverrideMessage:
        """This override as a message. Servers before 1.29 read the two older fields."""
        return OverrideMessage(
            behavior=workflow_pb2.VERSIONING_BEHAVIOR_PINNED,
            pinned_version=self.version.to_canonical_string(),
            pinned=OverrideMessage.PinnedOverride(
                version=self.version.to_proto(),
                behavior=OverrideMessage.PINNED_OVERRIDE_BEHAVIOR_PINNED,
            ),
        )


@dataclass(frozen=True)
class AutoUpgradeVersioningOverride(VersioningOverride):
    """The execution moves to the current version with its next workflow task."""

    def to_proto(self) -> OverrideMessage:
        """This override as a message. Servers before 1.29 read the older field."""
        return OverrideMessage(
            behavior=workflow_pb2.VERSIONING_BEHAVIOR_AUTO_UPGRADE, auto_upgrade=True
        )


@dataclass(frozen=True)
class OneTimeVersioningOverride(VersioningOverride):
    """Tasks go to one version until it has completed one; then the override is gone."""

    target_version: WorkerDeploymentVersion

    def to_proto(self) -> OverrideMessage:
        """This override as a message."""
        return OverrideMessage(
            one_time=OverrideMessage.OneTimeOverride(
                target_deployment_version=self.target_version.to_proto()
            )
        )
