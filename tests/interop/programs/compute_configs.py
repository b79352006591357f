"""Workers that the server would start: the stock server has no provider that it can use."""

from __future__ import annotations

from typing import Any

from temporalio.api.compute.v1 import (
    ComputeConfig,
    ComputeConfigScalingGroup,
    ComputeConfigScalingGroupUpdate,
    ComputeProvider,
    ComputeScaler,
)
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import (
    CreateWorkerDeploymentRequest,
    CreateWorkerDeploymentVersionRequest,
    UpdateWorkerDeploymentVersionComputeConfigRequest,
    ValidateWorkerDeploymentVersionComputeConfigRequest,
)

from tests.interop.stage import CLIENT_IDENTITY, Stage

WORKFLOW = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW


def group(provider: str = "aws-lambda", **fields: Any) -> ComputeConfigScalingGroup:
    """Workers that are started by a provider."""
    return ComputeConfigScalingGroup(
        provider=ComputeProvider(type=provider), task_queue_types=[WORKFLOW], **fields
    )


CONFIGS: dict[str, dict[str, ComputeConfigScalingGroup]] = {
    "lambda": {"g": group()},
    "unknown": {"g": group("docker")},
    "no name": {"": group()},
    "scaler": {"g": group(scaler=ComputeScaler(type="x"))},
    "nothing said": {"g": ComputeConfigScalingGroup()},
}


async def refused_compute_configs(stage: Stage) -> None:
    """None can be used."""
    service, name = stage.service, stage.workflow_id("deployment")

    def version(build_id: str, deployment: str = name) -> WorkerDeploymentVersion:
        return WorkerDeploymentVersion(deployment_name=deployment, build_id=build_id)

    async def create(label: str, of: WorkerDeploymentVersion, **fields: Any) -> None:
        request = CreateWorkerDeploymentVersionRequest(
            namespace=stage.namespace,
            deployment_version=of,
            identity=CLIENT_IDENTITY,
            request_id=f"{label} {stage.nonce}",
            **fields,
        )
        await stage.outcome(label, service.create_worker_deployment_version(request))

    async def update(label: str, of: WorkerDeploymentVersion, **fields: Any) -> None:
        request = UpdateWorkerDeploymentVersionComputeConfigRequest(
            namespace=stage.namespace, deployment_version=of, identity=CLIENT_IDENTITY, **fields
        )
        rpc = service.update_worker_deployment_version_compute_config
        await stage.outcome(label, rpc(request))

    await create("no deployment", version("a"), compute_config=ComputeConfig(scaling_groups={}))
    await service.create_worker_deployment(
        CreateWorkerDeploymentRequest(
            namespace=stage.namespace, deployment_name=name, identity=CLIENT_IDENTITY
        )
    )
    for label, groups in CONFIGS.items():
        config = ComputeConfig(scaling_groups=groups)
        await create(f"create {label}", version("a"), compute_config=config)
    await create("create", version("a"))
    exists = ComputeConfig(scaling_groups=CONFIGS["lambda"])
    await create("create what there is", version("a"), compute_config=exists)
    one = {"g": ComputeConfigScalingGroupUpdate(scaling_group=group("x"))}
    await update("update", version("a"), compute_config_scaling_groups=one)
    await update("remove", version("a"), remove_compute_config_scaling_groups=["g"])
    await update("update no version", version("b"), compute_config_scaling_groups=one)
    await update("update no build id", version(""))
    await update("update no deployment", version("a", "none"), compute_config_scaling_groups=one)
    await stage.outcome(
        "validate nothing",
        service.validate_worker_deployment_version_compute_config(
            ValidateWorkerDeploymentVersionComputeConfigRequest(
                namespace=stage.namespace, deployment_version=version("b")
            )
        ),
    )
