"""`perdure workflow describe`: how a workflow stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from perdure.cli.calling import Target, call
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
    from perdure.client import Client, WorkflowExecutionDescription


def describe(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell how a workflow stands, with the activities that are under way."""
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)

    async def fetch(client: Client) -> WorkflowExecutionDescription:
        return await client.get_workflow_handle(chosen_id, run_id=run_id).describe()

    described = call(Target(address, namespace), fetch)
    from perdure.cli.rendering.executions import description_json, print_description
    from perdure.cli.terminal import output, print_json

    if as_json:
        print_json(description_json(described))
    else:
        print_description(output(), described, datetime.now(UTC))
