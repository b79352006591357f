"""The RPCs of worker deployments."""

from __future__ import annotations

from functools import partial
from typing import NoReturn

from temporalio.api.deployment.v1 import VersionMetadata, WorkerDeploymentVersion
from temporalio.api.workflowservice.v1 import (
    CreateWorkerDeploymentRequest,
    CreateWorkerDeploymentResponse,
    CreateWorkerDeploymentVersionRequest,
    CreateWorkerDeploymentVersionResponse,
    DeleteWorkerDeploymentRequest,
    DeleteWorkerDeploymentResponse,
    DeleteWorkerDeploymentVersionRequest,
    DeleteWorkerDeploymentVersionResponse,
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
    DescribeWorkerDeploymentVersionRequest,
    DescribeWorkerDeploymentVersionResponse,
    ListWorkerDeploymentsRequest,
    ListWorkerDeploymentsResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentCurrentVersionResponse,
    SetWorkerDeploymentManagerRequest,
    SetWorkerDeploymentManagerResponse,
    SetWorkerDeploymentRampingVersionRequest,
    SetWorkerDeploymentRampingVersionResponse,
    UpdateWorkerDeploymentVersionMetadataRequest,
    UpdateWorkerDeploymentVersionMetadataResponse,
)

from perdure.server.engine.api import NamespaceRef
from perdure.server.frontend import compute_configs
from perdure.server.frontend import deployment_views as views
from perdure.server.frontend.draining import looked_at
from perdure.server.frontend.services import Services
from perdure.server.frontend.task_queues import stats_of
from perdure.server.machines.deployment import decide, names
from perdure.server.machines.deployment.inputs import Change, PreviousVersion
from perdure.server.machines.deployment.names import UNVERSIONED, VersionName
from perdure.server.machines.errors import AlreadyExists, InvalidArgument, NotFound
from perdure.transport import Caller

GONE = "workflow not found for ID: "
PERCENTAGE_MAX = 100


async def describe_worker_deployment(
    services: Services, request: DescribeWorkerDeploymentRequest, caller: Caller
) -> bytes:
    """A deployment: its versions and its routing."""
    namespace = services.bind(request.namespace)
    name = request.deployment_name
    names.check_deployment(name, services.limits.id_length_max)
    deployment = await looked_at(services, namespace, name)
    if deployment is None:
        _no_deployment(name)
    return DescribeWorkerDeploymentResponse(
        worker_deployment_info=views.deployment_info(deployment),
        conflict_token=decide.token_of(deployment),
    ).SerializeToString()


async def describe_worker_deployment_version(
    services: Services, request: DescribeWorkerDeploymentVersionRequest, caller: Caller
) -> bytes:
    """A version, and its task queues."""
    namespace = services.bind(request.namespace)
    if not request.version and not request.HasField("deployment_version"):
        raise InvalidArgument("deployment version cannot be empty")
    name = _version(request.version or _old_text(request.deployment_version))
    _check_version(services, name)
    deployment = await looked_at(services, namespace, name.deployment)
    version = None if deployment is None else deployment.versions.get(name.build_id)
    if version is None:
        raise NotFound("Worker Deployment Version not found")
    response = DescribeWorkerDeploymentVersionResponse(
        worker_deployment_version_info=views.version_info(name.deployment, version)
    )
    for queue in version.queues:
        part = response.version_task_queues.add(name=queue.name, type=queue.kind)
        if request.report_task_queue_stats:
            view = await services.engine.describe_queue(
                namespace, queue.name, queue.kind, name.text
            )
            part.stats.CopyFrom(stats_of(view.statistics.values()))
            for priority, statistics in view.statistics.items():
                part.stats_by_priority_key[priority].CopyFrom(stats_of([statistics]))
    return response.SerializeToString()


async def list_worker_deployments(
    services: Services, request: ListWorkerDeploymentsRequest, caller: Caller
) -> bytes:
    """A page of a namespace's deployments, the one that was changed last first."""
    namespace = services.bind(request.namespace)
    size_max = services.limits.list_page_max
    size = request.page_size if 0 < request.page_size <= size_max else size_max
    found = sorted(await services.engine.deployments.all(namespace), key=views.place_of)
    if request.next_page_token:
        after = views.decode_page_token(request.next_page_token)
        found = [deployment for deployment in found if views.place_of(deployment) > after]
    page = [await looked_at(services, namespace, deployment.name) for deployment in found[:size]]
    response = ListWorkerDeploymentsResponse(
        worker_deployments=[views.summary_of(one) for one in page if one is not None]
    )
    if len(found) > size:
        response.next_page_token = views.encode_page_token(found[size - 1])
    return response.SerializeToString()


async def set_worker_deployment_current_version(
    services: Services, request: SetWorkerDeploymentCurrentVersionRequest, caller: Caller
) -> bytes:
    """Send new work to a version."""
    namespace = services.bind(request.namespace)
    name = request.deployment_name
    if not name:
        raise InvalidArgument("deployment name cannot be empty")
    text = request.version
    if not text:
        text = f"{name}.{request.build_id}" if request.build_id else UNVERSIONED
    build_id = _build_of(services, name, text)
    change = Change(
        identity=request.identity,
        token=request.conflict_token,
        ignores_missing_queues=request.ignore_missing_task_queues,
        allows_no_pollers=request.allow_no_pollers,
    )
    previous = await services.engine.deployments.set_current(namespace, name, build_id, change)
    response = SetWorkerDeploymentCurrentVersionResponse(
        conflict_token=previous.token, previous_version=_shown(name, previous)
    )
    if previous.build_id not in ("", UNVERSIONED):
        response.previous_deployment_version.CopyFrom(views.version(name, previous.build_id))
    return response.SerializeToString()


async def set_worker_deployment_ramping_version(
    services: Services, request: SetWorkerDeploymentRampingVersionRequest, caller: Caller
) -> bytes:
    """Send a part of the new work to a version."""
    namespace = services.bind(request.namespace)
    name, percentage = request.deployment_name, request.percentage
    text = request.version
    if not text and request.build_id:
        text = f"{name}.{request.build_id}"
    elif not text and percentage > 0:
        text = UNVERSIONED
    if text == UNVERSIONED and percentage == 0 and not request.build_id:
        text = ""  # Some SDKs end a ramp so.
    if not 0 <= percentage <= PERCENTAGE_MAX:
        raise InvalidArgument("Percentage must be between 0 and 100 (inclusive)")
    build_id = _build_of(services, name, text)
    change = Change(
        identity=request.identity,
        token=request.conflict_token,
        ignores_missing_queues=request.ignore_missing_task_queues,
        allows_no_pollers=request.allow_no_pollers,
    )
    previous = await services.engine.deployments.set_ramping(
        namespace, name, build_id, percentage, change
    )
    response = SetWorkerDeploymentRampingVersionResponse(
        conflict_token=previous.token,
        previous_version=_shown(name, previous),
        previous_percentage=previous.percentage,
    )
    if previous.build_id not in ("", UNVERSIONED):
        response.previous_deployment_version.CopyFrom(views.version(name, previous.build_id))
    return response.SerializeToString()


async def set_worker_deployment_manager(
    services: Services, request: SetWorkerDeploymentManagerRequest, caller: Caller
) -> bytes:
    """Say who may change the routing, and nobody else."""
    if not request.identity:
        raise InvalidArgument("Identity is required")
    namespace = services.bind(request.namespace)
    name = request.deployment_name
    names.check_deployment(name, services.limits.id_length_max)
    previous = await services.engine.deployments.change(
        namespace,
        name,
        lambda deployment, now_ns: decide.set_manager(
            deployment,
            request.identity if request.self else request.manager_identity,
            identity=request.identity,
            token=request.conflict_token,
            now_ns=now_ns,
        ),
        missing=partial(_no_workflow, name),
    )
    return SetWorkerDeploymentManagerResponse(
        conflict_token=previous.token, previous_manager_identity=previous.identity
    ).SerializeToString()


async def create_worker_deployment(
    services: Services, request: CreateWorkerDeploymentRequest, caller: Caller
) -> bytes:
    """Make a deployment known before its workers are there."""
    namespace = services.bind(request.namespace)
    name = request.deployment_name
    if not name:
        raise InvalidArgument("deployment name cannot be empty")
    names.check_deployment(name, services.limits.id_length_max)
    request_id = request.request_id or services.ids.uuid()
    deployment = await services.engine.deployments.create(
        namespace, name, request_id=request_id, identity=request.identity
    )
    if deployment.create_request_id != request_id:
        by_poll = " (auto-created from worker polls)" if deployment.is_created_by_poll else ""
        raise AlreadyExists(f'Worker Deployment with name "{name}" already exists{by_poll}')
    return CreateWorkerDeploymentResponse(
        conflict_token=decide.token_of(deployment)
    ).SerializeToString()


async def create_worker_deployment_version(
    services: Services, request: CreateWorkerDeploymentVersionRequest, caller: Caller
) -> bytes:
    """Make a version known before its workers are there."""
    namespace = services.bind(request.namespace)
    version = request.deployment_version
    if not version.deployment_name:
        raise InvalidArgument("deployment name cannot be empty")
    if not version.build_id:
        raise InvalidArgument("build ID cannot be empty")
    name = VersionName(version.deployment_name, version.build_id)
    _check_version(services, name)
    if request.HasField("compute_config"):
        await _refuse_config(services, namespace, name, request)
    await services.engine.deployments.create_version(
        namespace,
        name,
        request_id=request.request_id or services.ids.uuid(),
        identity=request.identity,
        missing=partial(_no_deployment, name.deployment),
    )
    return CreateWorkerDeploymentVersionResponse().SerializeToString()


async def _refuse_config(
    services: Services,
    namespace: NamespaceRef,
    name: VersionName,
    request: CreateWorkerDeploymentVersionRequest,
) -> None:
    """What is wrong with a version that the server would start workers of."""
    deployment = await services.engine.deployments.find(namespace, name.deployment)
    if deployment is None:
        _no_deployment(name.deployment)
    if name.build_id not in deployment.versions:
        compute_configs.refuse(request.compute_config.scaling_groups)


async def delete_worker_deployment(
    services: Services, request: DeleteWorkerDeploymentRequest, caller: Caller
) -> bytes:
    """Forget a deployment that has no versions."""
    namespace = services.bind(request.namespace)
    names.check_deployment(request.deployment_name, services.limits.id_length_max)
    await services.engine.deployments.delete(namespace, request.deployment_name)
    return DeleteWorkerDeploymentResponse().SerializeToString()


async def delete_worker_deployment_version(
    services: Services, request: DeleteWorkerDeploymentVersionRequest, caller: Caller
) -> bytes:
    """Forget a version that nothing needs."""
    namespace = services.bind(request.namespace)
    text = request.version
    if request.HasField("deployment_version"):
        text = _old_text(request.deployment_version)
    name = _version(text)
    names.check_deployment(name.deployment, services.limits.id_length_max)
    await looked_at(services, namespace, name.deployment)
    await services.engine.deployments.delete_version(
        namespace,
        name,
        identity=request.identity or services.ids.uuid(),
        skip_drainage=request.skip_drainage,
        missing=partial(_no_workflow, name.deployment),
    )
    return DeleteWorkerDeploymentVersionResponse().SerializeToString()


async def update_worker_deployment_version_metadata(
    services: Services, request: UpdateWorkerDeploymentVersionMetadataRequest, caller: Caller
) -> bytes:
    """Change what users note of a version."""
    if not request.remove_entries and not request.upsert_entries:
        raise InvalidArgument("At least one of remove_entries or upsert_entries must be provided")
    namespace = services.bind(request.namespace)
    version = request.deployment_version
    name = VersionName(version.deployment_name, version.build_id)
    if not request.HasField("deployment_version"):
        name = _version(request.version)

    def missing() -> NoReturn:
        raise decide.version_not_found(name)

    metadata = await services.engine.deployments.change(
        namespace,
        name.deployment,
        lambda deployment, now_ns: decide.update_metadata(
            deployment,
            name.build_id,
            request.upsert_entries,
            list(request.remove_entries),
            identity=request.identity,
        ),
        missing=missing,
    )
    return UpdateWorkerDeploymentVersionMetadataResponse(
        metadata=None if metadata is None else VersionMetadata.FromString(metadata)
    ).SerializeToString()


# ---- what several of them check


def _version(text: str) -> VersionName:
    try:
        name = names.parse(text)
    except ValueError:
        name = None
    if name is None:
        raise InvalidArgument(
            f'invalid version string "{text}", expected format is "<deployment_name>.<build_id>"'
        )
    return name


def _build_of(services: Services, deployment: str, text: str) -> str:
    """The build that is to get work: "" for none, `UNVERSIONED` for workers of no version."""
    build_id = text
    if text not in ("", UNVERSIONED):
        try:
            name = names.parse(text)
        except ValueError as error:
            raise InvalidArgument(f"invalid version string: {error}") from error
        assert name is not None
        if name.deployment != deployment:
            raise InvalidArgument(
                f"invalid version string '{text}' does not match deployment name '{deployment}'"
            )
        build_id = name.build_id
    names.check_deployment(deployment, services.limits.id_length_max)
    return build_id


def _check_version(services: Services, name: VersionName) -> None:
    names.check_deployment(name.deployment, services.limits.id_length_max)
    names.check_build_id(name.build_id, services.limits.id_length_max)


def _old_text(version: WorkerDeploymentVersion) -> str:
    return f"{version.deployment_name}.{version.build_id}"


def _shown(deployment: str, previous: PreviousVersion) -> str:
    build_id = previous.build_id
    return build_id if build_id in ("", UNVERSIONED) else f"{deployment}.{build_id}"


def _no_deployment(name: str) -> NoReturn:
    raise NotFound(
        f"no Worker Deployment found with name '{name}'; does your Worker Deployment have pollers?"
    )


def _no_workflow(name: str) -> NoReturn:
    # The real server keeps each deployment in a workflow, and says so here.
    raise NotFound(f"{GONE}{names.WORKFLOW_ID_PREFIX}:{name}")
