"""What a versioning override has to say, and how it is said in its newest form."""

from __future__ import annotations

from collections.abc import Callable

from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.enums.v1 import VersioningBehavior, workflow_pb2
from temporalio.api.workflow.v1 import VersioningOverride

from perdure.server.machines.deployment import names
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.workflow.versioning import version_message

PINNED = workflow_pb2.VERSIONING_BEHAVIOR_PINNED
AUTO_UPGRADE = workflow_pb2.VERSIONING_BEHAVIOR_AUTO_UPGRADE
PINNED_OVERRIDE = VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED


def check_override(override: VersioningOverride) -> None:
    """An override must say whereto. Raises InvalidArgument, in the words of the real server."""
    kind = override.WhichOneof("override")
    if kind is None:
        return _check_old_form(override)
    return _CHECKS[kind](override)


def to_new_form(override: VersioningOverride) -> None:
    """Say in the newest way what an override says, in place."""
    if override.WhichOneof("override") is None:
        if override.behavior == AUTO_UPGRADE:
            override.auto_upgrade = True
        elif override.behavior == PINNED:
            override.pinned.behavior = PINNED_OVERRIDE
            override.pinned.version.CopyFrom(_version_of_old_form(override))
    override.ClearField("behavior")
    override.ClearField("deployment")
    override.ClearField("pinned_version")


def _check_pinned(override: VersioningOverride) -> None:
    if not override.pinned.HasField("version"):
        raise InvalidArgument("must provide version if override is pinned.")
    if not override.pinned.behavior:
        raise InvalidArgument("must specify pinned override behavior if override is pinned.")


def _check_one_time(override: VersioningOverride) -> None:
    if not override.one_time.HasField("target_deployment_version"):
        raise InvalidArgument("must provide target deployment version if override is one-time.")


def _check_auto_upgrade(override: VersioningOverride) -> None:
    if not override.auto_upgrade:
        raise InvalidArgument("auto-upgrade override must be true")


_CHECKS: dict[str, Callable[[VersioningOverride], None]] = {
    "pinned": _check_pinned,
    "one_time": _check_one_time,
    "auto_upgrade": _check_auto_upgrade,
}


def _check_old_form(override: VersioningOverride) -> None:
    behavior = override.behavior
    if behavior == PINNED:
        _check_old_pinned(override)
    elif behavior == AUTO_UPGRADE:
        if override.HasField("deployment"):
            raise InvalidArgument("only provide deployment if behavior is 'PINNED'")
        if override.pinned_version:
            raise InvalidArgument("only provide pinned version if behavior is 'PINNED'")
    elif not behavior:
        raise InvalidArgument("override behavior is required")
    else:
        known = behavior in VersioningBehavior.values()
        name = VersioningBehavior.Name(behavior) if known else str(behavior)
        raise InvalidArgument(f"override behavior {name} not recognized")


def _check_old_pinned(override: VersioningOverride) -> None:
    if override.HasField("deployment"):
        if not override.deployment.series_name:
            raise InvalidArgument("deployment name cannot be empty")
        if not override.deployment.build_id:
            raise InvalidArgument("build id cannot be empty")
        return
    if not override.pinned_version:
        raise InvalidArgument(
            "must provide deployment (deprecated) or pinned version if behavior is 'PINNED'"
        )
    try:
        names.parse(override.pinned_version)
    except ValueError:
        raise InvalidArgument(
            f'invalid version string "{override.pinned_version}", expected format is'
            ' "<deployment_name>.<build_id>"'
        ) from None


def _version_of_old_form(override: VersioningOverride) -> WorkerDeploymentVersion:
    if override.HasField("deployment"):
        deployment = override.deployment
        return version_message(VersionName(deployment.series_name, deployment.build_id))
    name = names.parse(override.pinned_version)
    return version_message(name or VersionName("", ""))
