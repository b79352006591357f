"""`perdure workflow metadata`: what a workflow says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    from perdure.client import Client

QUERY = "__temporal_workflow_metadata"
"""What SDKs answer by themselves."""


def metadata(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Ask a workflow which signals, queries and updates it has, and what it is doing."""
    from temporalio.api.sdk.v1 import WorkflowMetadata

    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_pairs, print_rows
    from perdure.cli.terminal import print_json

    chosen_id = the_workflow_id(workflow_id, workflow_id_option)

    async def fetch(client: Client) -> WorkflowMetadata:
        handle = client.get_workflow_handle(chosen_id, run_id=run_id)
        found: Any = await handle.query(QUERY, result_type=WorkflowMetadata)
        assert isinstance(found, WorkflowMetadata)
        return found

    found = call(Target(address, namespace), fetch)
    if as_json:
        print_json(asking.as_json(found))
        return
    definition = found.definition
    print_pairs([("type", definition.type), ("now", found.current_details)])
    print_rows(
        ("KIND", "NAME", "DESCRIPTION"),
        [
            (kind, one.name, one.description)
            for kind, ones in (
                ("signal", definition.signal_definitions),
                ("query", definition.query_definitions),
                ("update", definition.update_definitions),
            )
            for one in ones
        ],
    )
