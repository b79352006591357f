"""`perdure workflow update-options`: changing how a workflow goes on."""

from __future__ import annotations

from typing import Annotated

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


def update_options(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    priority_key: Annotated[
        int | None, typer.Option("--priority-key", min=1, max=5, help="1 comes first.")
    ] = None,
    fairness_key: Annotated[str | None, typer.Option("--fairness-key")] = None,
    fairness_weight: Annotated[float | None, typer.Option("--fairness-weight", min=0)] = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Change the priority of what a workflow does from now on, and tell what holds."""
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
    if not given:
        raise typer.BadParameter("give at least one option", param_hint="--priority-key")
    request = UpdateWorkflowExecutionOptionsRequest(
        namespace=namespace,
        workflow_execution=WorkflowExecution(workflow_id=chosen_id, run_id=run_id or ""),
        identity=asking.identity(),
    )
    for name, value in given.items():
        setattr(request.workflow_execution_options.priority, name, value)
        request.update_mask.paths.append(f"priority.{name}")
    found = asking.ask(Target(address, namespace), request, UpdateWorkflowExecutionOptionsResponse)
    told = asking.as_json(found).get("workflowExecutionOptions", {})
    if as_json:
        print_json({"workflowId": chosen_id, "options": told})
        return
    from perdure.cli.rendering.tables import print_pairs

    print_pairs(sorted(told.get("priority", {}).items()))
