"""`perdure workflow result`: wait for a workflow that runs, or has run."""

from __future__ import annotations

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


def result(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Wait for a workflow's end and print its result. Exits with 1 unless it completed."""
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    from perdure.cli.workflow.waiting import print_outcome, wait_for_outcome

    print_outcome(wait_for_outcome(Target(address, namespace), chosen_id, run_id), as_json=as_json)
