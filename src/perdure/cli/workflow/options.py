"""`perdure workflow update-options`: changing how a workflow goes on."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.calling import Target
from perdure.cli.parameters import (
    DEFAULT_ADDRESS,
    AddressOption,
    JsonOption,
    NamespaceOption,
    RunIdOption,
    WorkflowIdArgument,
    WorkflowIdOption,
    the_workflow_id,
)

if TYPE_CHECKING:
    from temporalio.api.workflow.v1 import VersioningOverride
    from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionOptionsRequest


class OverrideBehavior(StrEnum):
    """What is to decide which version of its workers a workflow goes on with."""

    PINNED = "pinned"
    AUTO_UPGRADE = "auto_upgrade"
    ONE_TIME = "one_time"
    UNSPECIFIED = "unspecified"


def update_options(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    priority_key: Annotated[
        int | None, typer.Option("--priority-key", min=1, max=5, help="1 comes first.")
    ] = None,
    fairness_key: Annotated[str | None, typer.Option("--fairness-key")] = None,
    fairness_weight: Annotated[float | None, typer.Option("--fairness-weight", min=0)] = None,
    behavior: Annotated[
        OverrideBehavior | None,
        typer.Option(
            "--versioning-override-behavior",
            help="Which workers it goes on with, whatever its code says: those of one version, of "
            "the current one, of one version for a single workflow task; `unspecified` ends that.",
        ),
    ] = None,
    deployment_name: Annotated[
        str | None,
        typer.Option("--versioning-override-deployment-name", help="With `pinned` and `one_time`."),
    ] = None,
    build_id: Annotated[
        str | None,
        typer.Option("--versioning-override-build-id", help="With `pinned` and `one_time`."),
    ] = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Change how a workflow goes on: the priority of what it does, the version of its workers.

    Tells what holds then.
    """
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.workflowservice.v1 import (
        UpdateWorkflowExecutionOptionsRequest,
        UpdateWorkflowExecutionOptionsResponse,
    )

    from perdure.cli import asking
    from perdure.cli.terminal import print_json

    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    wanted = {
        "priority_key": priority_key,
        "fairness_key": fairness_key,
        "fairness_weight": fairness_weight,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given and behavior is None:
        raise typer.BadParameter("give at least one option", param_hint="--priority-key")
    request = UpdateWorkflowExecutionOptionsRequest(
        namespace=namespace,
        workflow_execution=WorkflowExecution(workflow_id=chosen_id, run_id=run_id or ""),
        identity=asking.identity(),
    )
    for name, value in given.items():
        setattr(request.workflow_execution_options.priority, name, value)
        request.update_mask.paths.append(f"priority.{name}")
    _set_override(request, behavior, deployment_name, build_id)
    found = asking.ask(Target(address, namespace), request, UpdateWorkflowExecutionOptionsResponse)
    told = asking.as_json(found).get("workflowExecutionOptions", {})
    if as_json:
        print_json({"workflowId": chosen_id, "options": told})
        return
    from perdure.cli.rendering.tables import print_pairs

    print_pairs(sorted(told.get("priority", {}).items()))
    print_pairs(_shown_override(told.get("versioningOverride", {})))


def _shown_override(told: dict[str, Any]) -> list[tuple[str, object]]:
    if told.get("autoUpgrade"):
        return [("version", "the current one")]
    pinned = told.get("pinned", {}).get("version")
    once = told.get("oneTime", {}).get("targetDeploymentVersion")
    version = pinned or once
    if not version:
        return []
    named = f"{version['deploymentName']} {version['buildId']}"
    return [("version", named if pinned else f"{named}, for one workflow task")]


def _set_override(
    request: UpdateWorkflowExecutionOptionsRequest,
    behavior: OverrideBehavior | None,
    deployment_name: str | None,
    build_id: str | None,
) -> None:
    if behavior is not None:
        override = _override(behavior, deployment_name, build_id)
        request.workflow_execution_options.SetInParent()
        if override is not None:
            request.workflow_execution_options.versioning_override.CopyFrom(override)
        request.update_mask.paths.append("versioning_override")
    elif deployment_name or build_id:
        raise typer.BadParameter(
            "say how the version is meant", param_hint="--versioning-override-behavior"
        )


def _override(
    behavior: OverrideBehavior, deployment_name: str | None, build_id: str | None
) -> VersioningOverride | None:
    """What is meant; None takes an override away. Ends the command when names are missing or too
    many."""
    from temporalio.api.deployment.v1 import WorkerDeploymentVersion
    from temporalio.api.workflow.v1 import VersioningOverride

    names_a_version = behavior in (OverrideBehavior.PINNED, OverrideBehavior.ONE_TIME)
    if [bool(deployment_name), bool(build_id)] != [names_a_version] * 2:
        raise typer.BadParameter(
            "`pinned` and `one_time` need a version, --versioning-override-deployment-name and "
            "--versioning-override-build-id; the others have none",
            param_hint="--versioning-override-behavior",
        )
    version = WorkerDeploymentVersion(
        deployment_name=deployment_name or "", build_id=build_id or ""
    )
    match behavior:
        case OverrideBehavior.PINNED:
            return VersioningOverride(
                pinned=VersioningOverride.PinnedOverride(
                    behavior=VersioningOverride.PINNED_OVERRIDE_BEHAVIOR_PINNED, version=version
                )
            )
        case OverrideBehavior.ONE_TIME:
            return VersioningOverride(
                one_time=VersioningOverride.OneTimeOverride(target_deployment_version=version)
            )
        case OverrideBehavior.AUTO_UPGRADE:
            return VersioningOverride(auto_upgrade=True)
        case OverrideBehavior.UNSPECIFIED:
            return None
