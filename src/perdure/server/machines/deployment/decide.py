"""Decisions on a deployment. Each changes the copy that it is given, or raises Rejected, in which
case that copy is of no use any more. The order of the checks and the texts are the real server's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from temporalio.api.common.v1 import Payload
from temporalio.api.deployment.v1 import VersionMetadata

from perdure.server.machines.deployment.inputs import (
    Change,
    DeploymentLimits,
    PreviousManager,
    PreviousVersion,
    Registration,
)
from perdure.server.machines.deployment.names import (
    UNVERSIONED,
    VERSION_WORKFLOW_ID_PREFIX,
    VersionName,
)
from perdure.server.machines.deployment.state import (
    Deployment,
    Drainage,
    Routing,
    Status,
    TaskQueue,
    Version,
)
from perdure.server.machines.errors import (
    AlreadyExists,
    DeploymentLimitReached,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from perdure.server.machines.ports import SECOND_NS

METADATA_BYTES_MAX = 2 * 1024 * 1024
"""Of one version, serialised."""

YEAR_ONE_SECONDS = 62_135_596_800
"""From the year 1, which the real server's times count from, to 1970."""


def token_of(deployment: Deployment) -> bytes:
    """What shows that a caller knows the deployment as it is."""
    seconds, nanos = divmod(deployment.token_ns, SECOND_NS)
    return struct.pack(">BqiH", 1, seconds + YEAR_ONE_SECONDS, nanos, 0xFFFF)


def new_deployment(name: str, now_ns: int, *, request_id: str, identity: str) -> Deployment:
    """One without versions, which sends work to unversioned workers."""
    return Deployment(
        name=name,
        create_time_ns=now_ns,
        token_ns=now_ns,
        routing=Routing(),
        create_request_id=request_id,
        last_modifier=identity,
        modified_ns=now_ns,
    )


def register(
    deployment: Deployment, registration: Registration, now_ns: int, limits: DeploymentLimits
) -> None:
    """A worker of a version polls a queue: both are known from now on."""
    build_id, queue = registration.build_id, registration.queue
    version = deployment.versions.get(build_id)
    if version is None:
        version = _add_version(deployment, build_id, now_ns, limits, registration.deletable)
    if queue in version.queues:
        return
    if len({known.name for known in version.queues}) >= limits.queues_max:
        raise DeploymentLimitReached(
            f"cannot add task queue {queue.name} since maximum number of task queues"
            f" ({limits.queues_max}) have been registered in deployment"
        )
    version.queues = tuple(sorted((*version.queues, queue)))
    if version.status == Status.CREATED:
        version.status = Status.INACTIVE


def create_version(
    deployment: Deployment,
    build_id: str,
    now_ns: int,
    limits: DeploymentLimits,
    *,
    request_id: str,
    identity: str,
    deletable: frozenset[str],
) -> None:
    """Make a version known before its workers are there."""
    version = deployment.versions.get(build_id)
    if version is not None:
        if version.create_request_id == request_id:
            return
        text = VersionName(deployment.name, build_id).old_text
        raise AlreadyExists(f'Worker Deployment Version "{text}" already exists')
    version = _add_version(deployment, build_id, now_ns, limits, deletable)
    version.status = Status.CREATED
    version.create_request_id = request_id
    version.last_modifier = identity


def set_current(
    deployment: Deployment, build_id: str, change: Change, now_ns: int, limits: DeploymentLimits
) -> PreviousVersion:
    """Send new work to a version, or to unversioned workers."""
    routing, previous = deployment.routing, deployment.routing.current
    if previous == build_id and deployment.last_modifier == change.identity:
        return PreviousVersion(build_id, token_of(deployment))
    _check_token(deployment, change.token)
    _check_known(deployment, build_id, change)
    _check_manager(deployment, change.identity)
    _add_missing(deployment, build_id, change, now_ns, limits)
    if not change.ignores_missing_queues:
        _check_queues(deployment, build_id, change, "current")
    if previous != build_id:
        routing.current, routing.current_changed_ns = build_id, now_ns
        routing.revision += 1
        if routing.ramping == build_id:
            routing.ramping, routing.percentage = "", 0.0
            routing.ramping_changed_ns = routing.percentage_changed_ns = now_ns
        version = deployment.versions.get(build_id)
        if version is not None:
            _activate(version, Status.CURRENT, now_ns)
            version.current_since_ns = version.last_current_ns = now_ns
            version.ramping_since_ns, version.ramp_percentage = 0, 0.0
            # The real server shows when it stopped to ask.
            version.drainage_changed_ns = version.drainage_checked_ns = now_ns
        _deactivate(deployment, previous, now_ns)
    _changed(deployment, change.identity, now_ns)
    return PreviousVersion(previous, token_of(deployment))


def set_ramping(
    deployment: Deployment,
    build_id: str,
    percentage: float,
    change: Change,
    now_ns: int,
    limits: DeploymentLimits,
) -> PreviousVersion:
    """Send a part of the new work to a version, or to unversioned workers; "" ends that."""
    routing = deployment.routing
    previous, previous_percentage = routing.ramping, routing.percentage
    is_same = (build_id, percentage) == (previous, previous_percentage)
    if is_same and change.identity == deployment.last_modifier:
        return PreviousVersion(build_id, token_of(deployment), percentage)
    _check_token(deployment, change.token)
    if build_id == routing.current and not (build_id == UNVERSIONED and percentage == 0):
        raise FailedPrecondition(
            f"requested ramping version {_old_text(deployment, build_id)} is already current"
        )
    _check_known(deployment, build_id, change)
    _check_manager(deployment, change.identity)
    _add_missing(deployment, build_id, change, now_ns, limits)
    if not is_same:
        if build_id != previous and build_id and not change.ignores_missing_queues:
            _check_queues(deployment, build_id, change, "ramping")
        _ramp(deployment, build_id, percentage, now_ns)
    _changed(deployment, change.identity, now_ns)
    return PreviousVersion(previous, token_of(deployment), previous_percentage)


def delete_version(
    deployment: Deployment,
    build_id: str,
    now_ns: int,
    *,
    identity: str,
    skip_drainage: bool,
    has_pollers: bool,
) -> None:
    """Forget a version that nothing needs. One that is not there is forgotten already."""
    version = deployment.versions.get(build_id)
    if version is None:
        return
    text = VersionName(deployment.name, build_id).text
    if build_id in (deployment.routing.current, deployment.routing.ramping):
        raise FailedPrecondition(
            f"version '{text}' cannot be deleted since it is current or ramping"
        )
    _check_manager(deployment, identity)
    if not skip_drainage and version.drainage == Drainage.DRAINING:
        raise FailedPrecondition(f"version '{text}' cannot be deleted since it is draining")
    if has_pollers:
        raise FailedPrecondition(f"version '{text}' cannot be deleted since it has active pollers")
    del deployment.versions[build_id]
    deployment.last_modifier = identity
    deployment.modified_ns = now_ns


def check_deletion(deployment: Deployment) -> None:
    """Raises FailedPrecondition while a deployment has versions."""
    if deployment.versions:
        raise FailedPrecondition("deployment has versions, can't be deleted")


def set_manager(
    deployment: Deployment, manager: str, *, identity: str, token: bytes, now_ns: int
) -> PreviousManager:
    """Let nobody but one identity change the routing; "" lets everybody."""
    previous = deployment.manager
    if (previous, deployment.last_modifier) == (manager, identity):
        return PreviousManager(manager, token_of(deployment))
    _check_token(deployment, token)
    deployment.manager = manager
    _changed(deployment, identity, now_ns)
    return PreviousManager(previous, token_of(deployment))


def update_metadata(
    deployment: Deployment,
    build_id: str,
    upsert: Mapping[str, Payload],
    remove: list[str],
    *,
    identity: str,
) -> bytes | None:
    """Change what users note of a version: all of it then, a serialised VersionMetadata; None when
    there has never been any."""
    version = deployment.versions.get(build_id)
    if version is None:
        raise version_not_found(VersionName(deployment.name, build_id))
    metadata = VersionMetadata.FromString(version.metadata)
    for key, payload in upsert.items():
        metadata.entries[key].CopyFrom(payload)
    for key in remove:
        metadata.entries.pop(key, None)
    if metadata.ByteSize() > METADATA_BYTES_MAX:
        raise InvalidArgument(
            f"the metadata of a version may have {METADATA_BYTES_MAX} bytes, not"
            f" {metadata.ByteSize()}"
        )
    version.metadata = metadata.SerializeToString(deterministic=True)
    version.has_metadata = version.has_metadata or bool(upsert)
    version.last_modifier = identity
    return version.metadata if version.has_metadata else None


def version_not_found(name: VersionName) -> NotFound:
    """What is said of a version whose metadata cannot be changed."""
    return NotFound(f"workflow not found for ID: {VERSION_WORKFLOW_ID_PREFIX}:{name.text}")


def needs_nothing(version: Version) -> bool:
    """Whether no work goes to a version, and none is known to be left there."""
    return version.status in (Status.DRAINED, Status.INACTIVE)


def reactivate(deployment: Deployment, build_id: str, now_ns: int) -> None:
    """Somebody pins a workflow to a version: one that needed nothing any more drains again."""
    version = deployment.versions.get(build_id)
    if version is not None and needs_nothing(version):
        version.status, version.drainage = Status.DRAINING, Drainage.DRAINING
        version.drainage_changed_ns = version.drainage_checked_ns = now_ns


def drainage_due_ns(version: Version, *, grace_ns: int, refresh_ns: int) -> int | None:
    """When a version is to be looked at that gets no new work; None when it need not be. The first
    time it gets a longer grace, as on the real server."""
    if version.drainage != Drainage.DRAINING:
        return None
    is_first = version.drainage_checked_ns == version.drainage_changed_ns
    return version.drainage_checked_ns + (grace_ns if is_first else refresh_ns)


def note_drainage(deployment: Deployment, build_id: str, now_ns: int, *, is_drained: bool) -> None:
    """A draining version was looked at: whether no open workflow is pinned to it any more."""
    version = deployment.versions.get(build_id)
    if version is None or version.drainage != Drainage.DRAINING:
        return
    version.drainage_checked_ns = now_ns
    if is_drained:
        version.status, version.drainage = Status.DRAINED, Drainage.DRAINED
        version.drainage_changed_ns = now_ns


# ---- the parts


def _ramp(deployment: Deployment, build_id: str, percentage: float, now_ns: int) -> None:
    routing = deployment.routing
    previous = routing.ramping
    if build_id != previous:
        routing.ramping_changed_ns = now_ns
    routing.ramping, routing.percentage = build_id, percentage
    routing.percentage_changed_ns = now_ns
    routing.revision += 1
    version = deployment.versions.get(build_id)
    if version is not None:
        _activate(version, Status.RAMPING, now_ns)
        version.ramping_since_ns = routing.ramping_changed_ns
        version.ramp_percentage = percentage
    elif (current := deployment.versions.get(routing.current)) is not None and UNVERSIONED in (
        build_id,
        previous,
    ):
        # Unversioned workers ramp, or do no longer: it is the current version that is told.
        _activate(current, Status.CURRENT, now_ns)
    if previous != build_id:
        _deactivate(deployment, previous, now_ns)


def _activate(version: Version, status: Status, now_ns: int) -> None:
    version.status = status
    version.routing_update_ns = now_ns
    version.first_activation_ns = version.first_activation_ns or now_ns
    version.last_deactivation_ns = 0
    version.drainage = Drainage.NONE
    version.drainage_changed_ns = version.drainage_checked_ns = 0


def _deactivate(deployment: Deployment, build_id: str, now_ns: int) -> None:
    version = deployment.versions.get(build_id)
    if version is None or build_id in (deployment.routing.current, deployment.routing.ramping):
        return
    version.status, version.drainage = Status.DRAINING, Drainage.DRAINING
    version.routing_update_ns = version.last_deactivation_ns = now_ns
    version.current_since_ns = version.ramping_since_ns = 0
    version.ramp_percentage = 0.0
    version.drainage_changed_ns = version.drainage_checked_ns = now_ns


def _changed(deployment: Deployment, identity: str, now_ns: int) -> None:
    deployment.token_ns = deployment.modified_ns = now_ns
    deployment.last_modifier = identity


def _check_token(deployment: Deployment, token: bytes) -> None:
    if token and token != token_of(deployment):
        raise FailedPrecondition("conflict token mismatch")


def _check_known(deployment: Deployment, build_id: str, change: Change) -> None:
    is_known = build_id in ("", UNVERSIONED) or build_id in deployment.versions
    if not is_known and not change.allows_no_pollers:
        raise NotFound(f"build ID '{build_id}' not found in Worker Deployment '{deployment.name}'")


def _check_manager(deployment: Deployment, identity: str) -> None:
    if deployment.manager and deployment.manager != identity:
        raise FailedPrecondition(
            f"ManagerIdentity '{deployment.manager}' is set and does not match user identity"
            f" '{identity}'; to proceed, set your own identity as the ManagerIdentity, remove the"
            " ManagerIdentity, or wait for the other client to do so"
        )


def _check_queues(deployment: Deployment, build_id: str, change: Change, what: str) -> None:
    """What the current version does on a queue must not fall to unversioned workers."""
    current = deployment.versions.get(deployment.routing.current)
    version = deployment.versions.get(build_id)
    if current is None or version is None:
        return
    if missing_queues(current, version) & change.busy_queues:
        text = VersionName(deployment.name, build_id).text
        raise FailedPrecondition(
            f"proposed {what} version '{text}' is missing active task queues from the current"
            f" version; these would become unversioned if it is set as the {what} version"
        )


def missing_queues(current: Version, version: Version) -> frozenset[TaskQueue]:
    """The queues of the current version that another has not."""
    return frozenset(current.queues) - frozenset(version.queues)


def _add_missing(
    deployment: Deployment, build_id: str, change: Change, now_ns: int, limits: DeploymentLimits
) -> None:
    if change.allows_no_pollers and build_id not in ("", UNVERSIONED, *deployment.versions):
        _add_version(deployment, build_id, now_ns, limits, frozenset())


def _add_version(
    deployment: Deployment,
    build_id: str,
    now_ns: int,
    limits: DeploymentLimits,
    deletable: frozenset[str],
) -> Version:
    if len(deployment.versions) >= limits.versions_max:
        _make_room(deployment, build_id, limits, deletable)
    version = deployment.versions[build_id] = Version(build_id, now_ns)
    deployment.modified_ns = now_ns
    return version


def _make_room(
    deployment: Deployment, build_id: str, limits: DeploymentLimits, deletable: frozenset[str]
) -> None:
    """Forget the oldest version that nothing needs."""
    in_use = (deployment.routing.current, deployment.routing.ramping)
    by_age = sorted(deployment.versions.values(), key=lambda version: version.create_time_ns)
    for version in by_age:
        is_free = version.build_id in deletable and version.build_id not in in_use
        if is_free and version.drainage != Drainage.DRAINING:
            del deployment.versions[version.build_id]
            return
    raise DeploymentLimitReached(
        f"cannot add version {VersionName(deployment.name, build_id).old_text} since maximum number"
        f" of versions ({limits.versions_max}) have been registered in the deployment"
    )


def _old_text(deployment: Deployment, build_id: str) -> str:
    name = deployment.version_name(build_id)
    return build_id if name is None else name.old_text
