"""Worker deployments as they are shown."""

from __future__ import annotations

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.deployment.v1 import (
    RoutingConfig,
    VersionDrainageInfo,
    VersionMetadata,
    WorkerDeploymentInfo,
    WorkerDeploymentVersion,
    WorkerDeploymentVersionInfo,
)
from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.workflowservice.v1 import ListWorkerDeploymentsResponse

from perdure.server.machines.deployment.names import UNVERSIONED, VersionName
from perdure.server.machines.deployment.state import Deployment, Version
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.wire import timestamp

Summary = WorkerDeploymentInfo.WorkerDeploymentVersionSummary
ListSummary = ListWorkerDeploymentsResponse.WorkerDeploymentSummary
PROPAGATED = task_queue_pb2.ROUTING_CONFIG_UPDATE_STATE_COMPLETED
Place = tuple[int, str]

_place_decoder = msgspec.msgpack.Decoder(Place)


def version(deployment: str, build_id: str) -> WorkerDeploymentVersion:
    """The name of a version."""
    return WorkerDeploymentVersion(deployment_name=deployment, build_id=build_id)


def deployment_info(deployment: Deployment) -> WorkerDeploymentInfo:
    """A deployment, its newest version first."""
    newest_first = sorted(
        deployment.versions.values(), key=lambda version: version.create_time_ns, reverse=True
    )
    return WorkerDeploymentInfo(
        name=deployment.name,
        version_summaries=[_version_summary(deployment, version) for version in newest_first],
        create_time=timestamp(deployment.create_time_ns),
        routing_config=_routing(deployment),
        last_modifier_identity=deployment.last_modifier,
        manager_identity=deployment.manager,
        # Every queue knows of a change before it is answered.
        routing_config_update_state=PROPAGATED,
    )


def version_info(deployment: str, found: Version) -> WorkerDeploymentVersionInfo:
    """A version."""
    info = WorkerDeploymentVersionInfo(
        version=VersionName(deployment, found.build_id).old_text,
        status=found.status,  # type: ignore[arg-type]
        deployment_version=version(deployment, found.build_id),
        create_time=timestamp(found.create_time_ns),
        routing_changed_time=_time(found.routing_update_ns),
        current_since_time=_time(found.current_since_ns),
        ramping_since_time=_time(found.ramping_since_ns),
        ramp_percentage=found.ramp_percentage,
        last_modifier_identity=found.last_modifier,
    )
    for queue in found.queues:
        info.task_queue_infos.add(name=queue.name, type=queue.kind)
    if found.drainage:
        info.drainage_info.CopyFrom(_drainage(found))
    if found.metadata or found.has_metadata:
        info.metadata.CopyFrom(VersionMetadata.FromString(found.metadata))
    return info


def summary_of(deployment: Deployment) -> ListSummary:
    """A deployment on a list."""
    summary = ListSummary(
        name=deployment.name,
        create_time=timestamp(deployment.create_time_ns),
        routing_config=_routing(deployment),
    )
    versions = deployment.versions
    if versions:
        latest = max(versions.values(), key=lambda version: version.create_time_ns)
        summary.latest_version_summary.CopyFrom(_version_summary(deployment, latest))
    if (current := versions.get(deployment.routing.current)) is not None:
        summary.current_version_summary.CopyFrom(_version_summary(deployment, current))
    if (ramping := versions.get(deployment.routing.ramping)) is not None:
        summary.ramping_version_summary.CopyFrom(_version_summary(deployment, ramping))
    return summary


def place_of(deployment: Deployment) -> Place:
    """Where a deployment stands on a list: by the time of its last change, the newest first."""
    return -deployment.modified_ns, deployment.name


def encode_page_token(last: Deployment) -> bytes:
    """What a page is continued by."""
    token: bytes = msgspec.msgpack.encode(place_of(last))
    return token


def decode_page_token(token: bytes) -> Place:
    """The place that a token names. Raises InvalidArgument."""
    try:
        place: Place = _place_decoder.decode(token)
    except msgspec.MsgspecError as error:
        raise InvalidArgument("Invalid NextPageToken.") from error
    return place


def _version_summary(deployment: Deployment, found: Version) -> Summary:
    summary = Summary(
        version=VersionName(deployment.name, found.build_id).old_text,
        status=found.status,  # type: ignore[arg-type]
        deployment_version=version(deployment.name, found.build_id),
        create_time=timestamp(found.create_time_ns),
        drainage_status=found.drainage,  # type: ignore[arg-type]
        current_since_time=_time(found.current_since_ns),
        ramping_since_time=_time(found.ramping_since_ns),
        routing_update_time=_time(found.routing_update_ns),
        first_activation_time=_time(found.first_activation_ns),
        last_current_time=_time(found.last_current_ns),
        last_deactivation_time=_time(found.last_deactivation_ns),
    )
    if found.drainage_changed_ns:
        summary.drainage_info.CopyFrom(_drainage(found))
    return summary


def _routing(deployment: Deployment) -> RoutingConfig:
    routing = deployment.routing
    config = RoutingConfig(
        current_version=_text(deployment, routing.current),
        ramping_version=_text(deployment, routing.ramping),
        ramping_version_percentage=routing.percentage,
        current_version_changed_time=_time(routing.current_changed_ns),
        ramping_version_changed_time=_time(routing.ramping_changed_ns),
        ramping_version_percentage_changed_time=_time(routing.percentage_changed_ns),
        revision_number=routing.revision,
    )
    if (current := deployment.version_name(routing.current)) is not None:
        config.current_deployment_version.CopyFrom(version(deployment.name, current.build_id))
    if (ramping := deployment.version_name(routing.ramping)) is not None:
        config.ramping_deployment_version.CopyFrom(version(deployment.name, ramping.build_id))
    return config


def _text(deployment: Deployment, build_id: str) -> str:
    if build_id in ("", UNVERSIONED):
        return build_id
    return VersionName(deployment.name, build_id).old_text


def _drainage(found: Version) -> VersionDrainageInfo:
    return VersionDrainageInfo(
        status=found.drainage,  # type: ignore[arg-type]
        last_changed_time=timestamp(found.drainage_changed_ns),
        last_checked_time=timestamp(found.drainage_checked_ns),
    )


def _time(time_ns: int) -> Timestamp | None:
    return timestamp(time_ns) if time_ns else None
