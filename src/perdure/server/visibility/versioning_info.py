"""On which version of a worker deployment a run is, as it is shown."""

from __future__ import annotations

import msgspec
from temporalio.api.common.v1 import SearchAttributes
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionVersioningInfo

from perdure.server.machines.deployment.names import UNVERSIONED, VersionName
from perdure.server.machines.workflow.state import Run, Versioning
from perdure.server.machines.workflow.versioning import (
    AUTO_UPGRADE,
    NOTHING,
    NOTHING_PENDING,
    PINNED,
    override_message,
    revision_of,
    version_message,
)

BEHAVIORS: dict[int, str] = {PINNED: "Pinned", AUTO_UPGRADE: "AutoUpgrade"}
"""How search attributes call them."""


def versioning_info(run: Run) -> WorkflowExecutionVersioningInfo | None:
    """What describe shows; None of a run that has never had to do with versions, though its worker
    may be of a deployment."""
    if run.recorded.versioning is None and run.pending.versioning is None:
        return None
    versioning = run.recorded.versioning or NOTHING
    pending = run.pending.versioning or NOTHING_PENDING
    info = WorkflowExecutionVersioningInfo(
        behavior=versioning.behavior,  # type: ignore[arg-type]
        revision_number=revision_of(run),
        continue_as_new_initial_versioning_behavior=versioning.initial_behavior,  # type: ignore[arg-type]
    )
    if versioning.version is not None:
        info.version = versioning.version.old_text
        info.deployment_version.CopyFrom(version_message(versioning.version))
    if versioning.override is not None:
        info.versioning_override.CopyFrom(with_old_fields(override_message(versioning.override)))
    if pending.is_in_transition:
        transition = info.version_transition
        transition.version = _old_text(pending.transition)
        if pending.transition is not None:
            transition.deployment_version.CopyFrom(version_message(pending.transition))
    has_had_some = versioning.used or run.pending.versioning is not None
    return info if has_had_some or info.ByteSize() else None


def with_old_fields(override: VersioningOverride) -> VersioningOverride:
    """An override with what older clients know it by."""
    if override.HasField("pinned"):
        override.behavior = PINNED
        version = override.pinned.version
        override.pinned_version = VersionName(version.deployment_name, version.build_id).old_text
    elif override.HasField("auto_upgrade"):
        override.behavior = AUTO_UPGRADE
    return override


def add_search_attributes(attributes: SearchAttributes, run: Run) -> None:
    """Those by which runs of a version are found."""
    versioning = run.recorded.versioning
    if versioning is None:
        return
    version = _shown_version(versioning)
    deployment = versioning.deployment if version is None else version.deployment
    behavior = BEHAVIORS.get(_shown_behavior(versioning), "")
    if versioning.used:
        used = [one.text for one in versioning.used]
        set_keywords(attributes, "TemporalUsedWorkerDeploymentVersions", used)
    for name, value in (
        ("TemporalWorkerDeployment", deployment),
        ("TemporalWorkerDeploymentVersion", "" if version is None else version.text),
        ("TemporalWorkflowVersioningBehavior", behavior),
    ):
        if value:
            _set_keyword(attributes, name, value)


def leading_build_ids(run: Run) -> list[str]:
    """What stands first among the build ids of a run."""
    versioning = run.recorded.versioning or NOTHING
    behavior, version = _shown_behavior(versioning), _shown_version(versioning)
    if behavior == PINNED and version is not None:
        return [f"pinned:{version.text}"]
    return [] if behavior else ["unversioned"]


def stamp_of(run: Run) -> str:
    """The build that the worker of the newest task has named in the old way."""
    versioning = run.recorded.versioning
    if versioning is not None and versioning.completed_by is not None:
        return versioning.stamp
    return run.recorded.build_id


def set_keywords(attributes: SearchAttributes, name: str, values: list[str]) -> None:
    """Set an attribute that is a list of keywords."""
    _set(attributes, name, "KeywordList", msgspec.json.encode(values))


def _set_keyword(attributes: SearchAttributes, name: str, value: str) -> None:
    _set(attributes, name, "Keyword", msgspec.json.encode(value))


def _set(attributes: SearchAttributes, name: str, kind: str, data: bytes) -> None:
    field = attributes.indexed_fields[name]
    field.metadata["encoding"] = b"json/plain"
    field.metadata["type"] = kind.encode()
    field.data = data


def _shown_behavior(versioning: Versioning) -> int:
    return versioning.behavior if versioning.override is None else versioning.override.behavior


def _shown_version(versioning: Versioning) -> VersionName | None:
    override = versioning.override
    if override is not None and override.version is not None:
        return override.version
    return versioning.version


def _old_text(version: VersionName | None) -> str:
    return UNVERSIONED if version is None else version.old_text
