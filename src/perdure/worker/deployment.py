"""To which version of a worker deployment a worker belongs."""

from __future__ import annotations

from dataclasses import dataclass

from temporalio.api.deployment.v1 import WorkerDeploymentOptions
from temporalio.api.enums.v1 import deployment_pb2

from perdure.common import VersioningBehavior, WorkerDeploymentVersion


@dataclass
class WorkerDeploymentConfig:
    """A version, and whether the service is to send the worker tasks by it.

    With `use_worker_versioning`, each workflow needs a versioning behaviour: by
    `@workflow.defn(versioning_behavior=...)`, or this default.
    """

    version: WorkerDeploymentVersion
    use_worker_versioning: bool
    default_versioning_behavior: VersioningBehavior = VersioningBehavior.UNSPECIFIED


def options_of(config: WorkerDeploymentConfig | None) -> WorkerDeploymentOptions | None:
    """What polls and answers tell of it."""
    if config is None:
        return None
    mode = (
        deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED
        if config.use_worker_versioning
        else deployment_pb2.WORKER_VERSIONING_MODE_UNVERSIONED
    )
    return WorkerDeploymentOptions(
        deployment_name=config.version.deployment_name,
        build_id=config.version.build_id,
        worker_versioning_mode=mode,
    )


def default_behavior_of(config: WorkerDeploymentConfig | None) -> int | None:
    """How workflows behave that do not say it; None when none may say it, since the worker is not
    versioned."""
    if config is None or not config.use_worker_versioning:
        return None
    return int(config.default_versioning_behavior)
