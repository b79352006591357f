"""`perdure workflow delete`: forgetting a workflow."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli import many
from perdure.cli.batch import operation_of
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
from perdure.cli.saying import say


def delete(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    query: many.QueryOption = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, with a query.")] = "",
    rps: many.RpsOption = 0,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: many.YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Forget a workflow with its history. One that is open is terminated first."""
    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.workflowservice.v1 import (
        DeleteWorkflowExecutionRequest,
        DeleteWorkflowExecutionResponse,
    )

    from perdure.cli.asking import ask

    if many.is_for(query, (workflow_id, workflow_id_option, run_id)):
        target, fields = Target(address, namespace), operation_of("delete")
        many.begin(
            target, "delete", query, fields, reason=reason, rps=rps, yes=yes, as_json=as_json
        )
        return
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    request = DeleteWorkflowExecutionRequest(
        namespace=namespace,
        workflow_execution=WorkflowExecution(workflow_id=chosen_id, run_id=run_id or ""),
    )
    ask(Target(address, namespace), request, DeleteWorkflowExecutionResponse)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"workflowId": chosen_id, "done": "deleted"})
    else:
        say(f"{chosen_id} is deleted")
