"""How the server would start workers of a version: refused, since no provider can be used in this
server, as in Temporal's stock one, and in its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from temporalio.api.compute.v1 import ComputeConfigScalingGroup
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.workflowservice.v1 import (
    UpdateWorkerDeploymentVersionComputeConfigRequest,
    UpdateWorkerDeploymentVersionComputeConfigResponse,
    ValidateWorkerDeploymentVersionComputeConfigRequest,
)

from perdure.server.frontend.services import Services
from perdure.server.machines.deployment import names
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.transport import Caller

PROVIDERS = frozenset(("aws-ecs", "aws-lambda", "gcp-cloud-run", "k8s", "subprocess"))
"""What there might be; none can be used without its credentials."""
NO_GROUPS = "spec must have at least one entry"
NO_CONFIG = (
    "No prior compute config found, which means nothing can be removed and something needs to be"
    " added to be valid"
)
NO_ID = "scaling groups without an ID are not supported"


async def update_worker_deployment_version_compute_config(
    services: Services, request: UpdateWorkerDeploymentVersionComputeConfigRequest, caller: Caller
) -> bytes:
    """Have the server start workers in another way; to forget a way that there is not is done at
    once."""
    namespace = services.bind(request.namespace)
    version = request.deployment_version
    if not version.deployment_name:
        raise InvalidArgument("deployment name cannot be empty")
    if not version.build_id:
        raise InvalidArgument("build ID cannot be empty")
    names.check_deployment(version.deployment_name, services.limits.id_length_max)
    names.check_build_id(version.build_id, services.limits.id_length_max)
    deployment = await services.engine.deployments.find(namespace, version.deployment_name)
    if deployment is None or version.build_id not in deployment.versions:
        raise NotFound(
            f"build ID '{version.build_id}' not found in Worker Deployment"
            f" '{version.deployment_name}'"
        )
    groups = _kept(request)
    if groups or not request.remove_compute_config_scaling_groups:
        refuse(groups)
    return UpdateWorkerDeploymentVersionComputeConfigResponse().SerializeToString()


async def validate_worker_deployment_version_compute_config(
    services: Services,
    request: ValidateWorkerDeploymentVersionComputeConfigRequest,
    caller: Caller,
) -> bytes:
    """What is wrong with a way to start workers. Raises InvalidArgument: there is always
    something."""
    services.bind(request.namespace)
    groups = _kept(request)
    if not groups:
        raise InvalidArgument(NO_CONFIG)
    refuse(groups)


def refuse(groups: Mapping[str, ComputeConfigScalingGroup]) -> NoReturn:
    """Say what is wrong with groups of workers. Raises InvalidArgument."""
    if not groups:
        raise InvalidArgument(NO_GROUPS)
    if "" in groups:
        raise InvalidArgument(NO_ID)
    known: set[int] = set()
    for name, group in sorted(groups.items()):
        if group.provider.type not in PROVIDERS:
            raise InvalidArgument(
                f"entry {name}: invalid compute provider type '{group.provider.type}'"
            )
        if group.scaler.type:
            raise InvalidArgument(
                f"entry {name}: invalid scaling algorithm type '{group.scaler.type}'"
            )
        for kind in group.task_queue_types:
            if kind in known:
                raise InvalidArgument(
                    f"entry {name}: task type {_type_name(kind)} appears in more than one entry"
                )
            known.add(kind)
    first = min(groups)
    raise InvalidArgument(
        f"{first}: Could not instantiate compute provider with type '{groups[first].provider.type}'"
    )


def _kept(
    request: (
        UpdateWorkerDeploymentVersionComputeConfigRequest
        | ValidateWorkerDeploymentVersionComputeConfigRequest
    ),
) -> dict[str, ComputeConfigScalingGroup]:
    """The groups that a request brings and does not remove again."""
    removed = set(request.remove_compute_config_scaling_groups)
    return {
        name: update.scaling_group
        for name, update in request.compute_config_scaling_groups.items()
        if name not in removed
    }


def _type_name(kind: int) -> str:
    known = TaskQueueType.DESCRIPTOR.values_by_number.get(kind)
    return str(kind) if known is None else known.name.removeprefix("TASK_QUEUE_TYPE_").title()
