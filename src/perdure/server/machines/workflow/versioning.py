"""On which version of a worker deployment a run is: what its events make of it, and what it means
for its tasks.

A worker of a version says with each completed workflow task how its workflow behaves: *pinned*, it
stays on that version; *auto-upgrade*, each task goes where the deployment sends new work. An
override that an operator sets counts more. Runs of unversioned workers have none of this, and pay
for none of it. How a run gets from one version to another is in `transitions.py`.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from temporalio.api.deployment.v1 import InheritedAutoUpgradeInfo, WorkerDeploymentVersion
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.history.v1 import (
    WorkflowExecutionOptionsUpdatedEventAttributes,
    WorkflowExecutionStartedEventAttributes,
    WorkflowTaskCompletedEventAttributes,
)
from temporalio.api.workflow.v1 import VersioningOverride

from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.queue.routing import Directive, encode
from perdure.server.machines.workflow.messages import Inherited
from perdure.server.machines.workflow.state import (
    Override,
    PendingVersioning,
    Run,
    Target,
    Versioning,
)

UNSPECIFIED = workflow_pb2.VERSIONING_BEHAVIOR_UNSPECIFIED
PINNED = workflow_pb2.VERSIONING_BEHAVIOR_PINNED
AUTO_UPGRADE = workflow_pb2.VERSIONING_BEHAVIOR_AUTO_UPGRADE
USE_RAMPING = workflow_pb2.CONTINUE_AS_NEW_VERSIONING_BEHAVIOR_USE_RAMPING_VERSION
ItemT = TypeVar("ItemT")
NOTHING = Versioning()
NOTHING_PENDING = PendingVersioning()


# ---- what holds now


def is_versioned(run: Run) -> bool:
    """Whether a run has ever had to do with versions."""
    return run.recorded.versioning is not None or run.pending.versioning is not None


def behavior_of(run: Run) -> int:
    """How the run behaves: in transition, by its override, or as its worker has said."""
    pending = run.pending.versioning
    if pending is not None and pending.is_in_transition:
        return AUTO_UPGRADE
    versioning = run.recorded.versioning
    if versioning is None:
        return UNSPECIFIED
    return versioning.behavior if versioning.override is None else versioning.override.behavior


def version_of(run: Run) -> VersionName | None:
    """The version whose workers get the run's tasks as it stands; None for workers of none."""
    pending = run.pending.versioning
    if pending is not None and pending.is_in_transition:
        return pending.transition
    versioning = run.recorded.versioning
    if versioning is None:
        return None
    if versioning.override is not None and versioning.override.version is not None:
        return versioning.override.version
    return None if behavior_of(run) == UNSPECIFIED else versioning.version


def version_text(run: Run) -> str:
    """The same, as parts of task queues are called; "" for workers of none."""
    if not is_versioned(run):
        return ""
    version = version_of(run)
    return "" if version is None else version.text


def is_in_transition(run: Run) -> bool:
    """Whether its activities have to wait until a worker of another version has completed a
    task."""
    pending = run.pending.versioning
    return pending is not None and pending.is_in_transition


def revision_of(run: Run) -> int:
    """Of the routing by which the run got to its version."""
    if run.pending.versioning is not None and run.pending.versioning.revision:
        return run.pending.versioning.revision
    return 0 if run.recorded.versioning is None else run.recorded.versioning.revision


def directive_of(run: Run) -> bytes:
    """What a task of the run keeps on its way to a worker."""
    if not is_versioned(run):
        return b""
    behavior = behavior_of(run)
    if behavior == UNSPECIFIED:
        return b""
    versioning = run.recorded.versioning or NOTHING
    uses_ramping = (
        versioning.initial_behavior == USE_RAMPING
        and not run.recorded.completed_task_started_event_id
    )
    return encode(Directive(behavior, version_of(run), uses_ramping))


def has_target_changed(run: Run) -> bool:
    """Whether a started task tells its workflow that new work goes to another version."""
    pending = run.pending.versioning
    return pending is not None and pending.notified is not None and behavior_of(run) == PINNED


def has_override(run: Run) -> bool:
    """Whether an operator has said where it goes."""
    return run.recorded.versioning is not None and run.recorded.versioning.override is not None


# ---- what events make of it


def after_start(attributes: WorkflowExecutionStartedEventAttributes) -> Versioning | None:
    """What a run begins with."""
    override = None
    if attributes.HasField("versioning_override"):
        override = override_of(attributes.versioning_override)
    if attributes.HasField("inherited_pinned_version"):
        version = name_of(attributes.inherited_pinned_version)
        deployment = version.deployment
        if override is not None and override.version is not None:
            deployment = override.version.deployment
        return Versioning(
            behavior=PINNED, version=version, override=override, deployment=deployment
        )
    if attributes.HasField("inherited_auto_upgrade_info"):
        info = attributes.inherited_auto_upgrade_info
        version = name_of(info.source_deployment_version)
        return Versioning(
            behavior=AUTO_UPGRADE,
            version=version,
            override=override,
            deployment=version.deployment,
            revision=info.source_deployment_revision_number,
            initial_behavior=info.continue_as_new_initial_versioning_behavior,
        )
    if override is None:
        return None
    deployment = "" if override.version is None else override.version.deployment
    return Versioning(override=override, deployment=deployment)


def after_completion(
    versioning: Versioning | None, attributes: WorkflowTaskCompletedEventAttributes
) -> Versioning | None:
    """What a completed task makes of it."""
    behavior, deployment = attributes.versioning_behavior, attributes.worker_deployment_name
    if versioning is None and not behavior and not deployment:
        return None
    completed_by = None
    if attributes.HasField("deployment_version"):
        completed_by = name_of(attributes.deployment_version)
    before, stamp = versioning or NOTHING, attributes.worker_version.build_id
    override = before.override
    if override is not None and override.is_one_time and override.version == completed_by:
        override = None
    return msgspec.structs.replace(
        before,
        behavior=behavior,
        version=completed_by if behavior else None,
        override=override,
        deployment=deployment,
        completed_by=completed_by,
        used=_with(before.used, completed_by),
        stamps=before.stamps if completed_by is None else _with(before.stamps, stamp or None),
        stamp=stamp if completed_by is not None else "",
    )


def _with(known: tuple[ItemT, ...], item: ItemT | None) -> tuple[ItemT, ...]:
    return known if item is None or item in known else (*known, item)


def after_options(
    versioning: Versioning | None, attributes: WorkflowExecutionOptionsUpdatedEventAttributes
) -> Versioning | None:
    """What a change of the options makes of it."""
    if attributes.unset_versioning_override:
        return versioning and msgspec.structs.replace(
            versioning, override=None, deployment=_deployment_of(versioning.version)
        )
    if not attributes.HasField("versioning_override"):
        return versioning
    override = override_of(attributes.versioning_override)
    before = versioning or NOTHING
    target = None if override is None else override.version
    deployment = before.deployment if target is None else target.deployment
    return msgspec.structs.replace(before, override=override, deployment=deployment)


def _deployment_of(version: VersionName | None) -> str:
    return "" if version is None else version.deployment


def override_of(message: VersioningOverride) -> Override | None:
    """An override, of any age."""
    match message.WhichOneof("override"):
        case "pinned":
            return Override(PINNED, name_of(message.pinned.version))
        case "one_time":
            target = name_of(message.one_time.target_deployment_version)
            return Override(PINNED, target, is_one_time=True)
        case "auto_upgrade":
            return Override(AUTO_UPGRADE)
        case _:
            return None


def override_message(override: Override) -> VersioningOverride:
    """An override, as it is recorded."""
    message = VersioningOverride()
    if override.version is None:
        message.auto_upgrade = True
    elif override.is_one_time:
        message.one_time.target_deployment_version.CopyFrom(version_message(override.version))
    else:
        message.pinned.behavior = (
            VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED
        )
        message.pinned.version.CopyFrom(version_message(override.version))
    return message


def name_of(message: WorkerDeploymentVersion) -> VersionName:
    """The version that a message names."""
    return VersionName(message.deployment_name, message.build_id)


def version_message(version: VersionName) -> WorkerDeploymentVersion:
    """The message that names a version."""
    return WorkerDeploymentVersion(deployment_name=version.deployment, build_id=version.build_id)


def inherit(
    attributes: WorkflowExecutionStartedEventAttributes,
    previous: Run,
    initial_behavior: int,
    served: frozenset[VersionName],
) -> None:
    """What the successor of a run that continues as new begins with: a pinned one stays on its
    version, unless it asks not to; others remember where they come from. `served`: the versions
    whose workers poll its queue, where that is another."""
    keeps_queue = attributes.task_queue.name == previous.recorded.task_queue
    versioning = previous.recorded.versioning
    if versioning is None and not is_versioned(previous):
        return
    behavior, version = behavior_of(previous), version_of(previous)
    is_pinned = behavior == PINNED and not initial_behavior
    is_served = keeps_queue or (version is not None and version in served)
    if is_pinned and version is not None and is_served:
        attributes.inherited_pinned_version.CopyFrom(version_message(version))
        _decline(attributes, previous)
    if is_served:
        _pass_override(attributes, versioning)
    revision = revision_of(previous)
    if behavior != UNSPECIFIED and not is_pinned and version is not None and revision and is_served:
        _pass_upgrade(attributes, version, revision, initial_behavior)


def inherit_on_retry(
    attributes: WorkflowExecutionStartedEventAttributes,
    previous: Run,
    begun: WorkflowExecutionStartedEventAttributes,
    *,
    is_retry: bool,
) -> None:
    """What a run that the server begins anew has of the one before: the override it is pinned by;
    and on a retry the version, if that one had inherited it too. `begun`: how that one began."""
    versioning = previous.recorded.versioning
    if versioning is None and not is_versioned(previous):
        return
    _pass_override(attributes, versioning)
    if not is_retry:
        return
    behavior, version, revision = behavior_of(previous), version_of(previous), revision_of(previous)
    if begun.HasField("declined_target_version_upgrade"):
        attributes.declined_target_version_upgrade.CopyFrom(begun.declined_target_version_upgrade)
    if version is None:
        return
    if behavior == PINNED and begun.HasField("inherited_pinned_version"):
        attributes.inherited_pinned_version.CopyFrom(version_message(version))
    elif behavior == AUTO_UPGRADE and revision:
        initial = NOTHING if versioning is None else versioning
        _pass_upgrade(attributes, version, revision, initial.initial_behavior)


def passed_to_child(run: Run) -> Inherited | None:
    """What a child of a run inherits."""
    if not is_versioned(run):
        return None
    behavior, version = behavior_of(run), version_of(run)
    if version is None or behavior == UNSPECIFIED:
        return None
    is_pinned = behavior == PINNED
    override = None if run.recorded.versioning is None else run.recorded.versioning.override
    return Inherited(
        queue=run.recorded.task_queue,
        version=version,
        is_pinned=is_pinned,
        revision=0 if is_pinned else revision_of(run),
        override=override if override is not None and override.version is not None else None,
    )


def inherit_from_parent(
    attributes: WorkflowExecutionStartedEventAttributes, inherited: Inherited
) -> None:
    """What a child begins with, unless its parent has said whereto."""
    if attributes.HasField("versioning_override"):
        return
    if inherited.is_pinned:
        attributes.inherited_pinned_version.CopyFrom(version_message(inherited.version))
    elif inherited.revision:
        _pass_upgrade(attributes, inherited.version, inherited.revision, 0)
    if inherited.override is not None:
        attributes.versioning_override.CopyFrom(override_message(inherited.override))


def _pass_override(
    attributes: WorkflowExecutionStartedEventAttributes, versioning: Versioning | None
) -> None:
    override = None if versioning is None else versioning.override
    if override is not None and override.behavior == PINNED and not override.is_one_time:
        attributes.versioning_override.CopyFrom(override_message(override))


def _pass_upgrade(
    attributes: WorkflowExecutionStartedEventAttributes,
    version: VersionName,
    revision: int,
    initial_behavior: int,
) -> None:
    attributes.inherited_auto_upgrade_info.CopyFrom(
        InheritedAutoUpgradeInfo(
            source_deployment_version=version_message(version),
            source_deployment_revision_number=revision,
            continue_as_new_initial_versioning_behavior=initial_behavior,  # type: ignore[arg-type]
        )
    )


def _decline(attributes: WorkflowExecutionStartedEventAttributes, previous: Run) -> None:
    """Who stays on its version although it knows of another shall not be told again."""
    pending = previous.pending.versioning or NOTHING_PENDING
    declined = pending.notified or pending.declined
    if declined is None:
        return
    upgrade = attributes.declined_target_version_upgrade
    upgrade.SetInParent()
    if declined.version is not None:
        upgrade.deployment_version.CopyFrom(version_message(declined.version))
    upgrade.revision_number = declined.revision


def declined_by(attributes: WorkflowExecutionStartedEventAttributes) -> Target | None:
    """What the run before has declined."""
    if not attributes.HasField("declined_target_version_upgrade"):
        return None
    upgrade = attributes.declined_target_version_upgrade
    version = (
        name_of(upgrade.deployment_version) if upgrade.HasField("deployment_version") else None
    )
    return Target(version, upgrade.revision_number)
