"""`perdure workflow show`: what happened, event by event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

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
from perdure.cli.saying import say

if TYPE_CHECKING:
    from perdure.client import Client, WorkflowExecutionDescription, WorkflowHistory


def show(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the events between what happened.")
    ] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Print a history as a timeline. JSON is the one that replayers read."""
    chosen_id = the_workflow_id(workflow_id, workflow_id_option)

    async def fetch(client: Client) -> tuple[WorkflowExecutionDescription, WorkflowHistory]:
        described = await client.get_workflow_handle(chosen_id, run_id=run_id).describe()
        handle = client.get_workflow_handle(chosen_id, run_id=described.run_id)
        return described, await handle.fetch_history()

    described, history = call(Target(address, namespace), fetch)
    if as_json:
        say(history.to_json())
        return
    from perdure.cli.rendering.executions import heading
    from perdure.cli.rendering.timeline import print_timeline
    from perdure.cli.terminal import output

    console = output()
    now = datetime.now(UTC)
    console.print(heading(described, now), soft_wrap=True)
    console.print()
    print_timeline(
        console, history.events, described.raw_description, everything=everything, now=now
    )
