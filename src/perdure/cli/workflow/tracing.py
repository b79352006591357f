"""`perdure workflow trace`: a workflow and its children, as a tree that follows what happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

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
from perdure.cli.saying import harmless

if TYPE_CHECKING:
    from rich.tree import Tree

    from perdure.client import Client, WorkflowExecution

REFRESH_SECONDS = 0.5
SHOWN_MAX = 1_000
"""Workflows of a tree; a larger one is cut."""


def trace(
    workflow_id: WorkflowIdArgument = None,
    workflow_id_option: WorkflowIdOption = None,
    run_id: RunIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    once: Annotated[bool, typer.Option("--once", help="Print how it stands, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a workflow with its children as a tree, until it ends. Others print it once."""
    from perdure.cli.terminal import output, print_json

    chosen_id = the_workflow_id(workflow_id, workflow_id_option)
    target = Target(address, namespace)
    if as_json:
        print_json(call(target, lambda client: _json(client, chosen_id, run_id)))
        return
    console = output()
    if once or not console.is_terminal:
        tree, _ = call(target, lambda client: _tree(client, chosen_id, run_id))
        console.print(tree)
        return

    from rich.live import Live

    async def follow(client: Client) -> None:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                tree, is_open = await _tree(client, chosen_id, run_id)
                live.update(tree, refresh=True)
                if not is_open:
                    return
                await asyncio.sleep(REFRESH_SECONDS)

    call(target, follow)


async def _family(
    client: Client, workflow_id: str, run_id: str | None
) -> tuple[WorkflowExecution, dict[str | None, list[WorkflowExecution]]]:
    """A run, and the children of each run of its tree, by the run id of their parent."""
    described = await client.get_workflow_handle(workflow_id, run_id=run_id).describe()
    root = described.root_run_id or described.run_id
    query = f'RootRunId = "{root}"'
    children: dict[str | None, list[WorkflowExecution]] = {}
    async for run in client.list_workflows(query, limit=SHOWN_MAX):
        if run.parent_run_id:
            children.setdefault(run.parent_run_id, []).append(run)
    for runs in children.values():
        runs.sort(key=lambda run: run.start_time)
    return described, children


async def _tree(client: Client, workflow_id: str, run_id: str | None) -> tuple[Tree, bool]:
    from rich.tree import Tree

    described, children = await _family(client, workflow_id, run_id)
    top = Tree(_line(described))
    places = [(top, described)]
    while places:
        place, run = places.pop()
        places += [(place.add(_line(child)), child) for child in children.get(run.run_id, ())]
    return top, described.close_time is None


def _line(run: WorkflowExecution) -> Any:
    from datetime import UTC, datetime

    from rich.text import Text

    from perdure.cli.rendering.executions import status_of, status_text
    from perdure.cli.rendering.times import took

    end = run.close_time or datetime.now(UTC)
    length = took((end - run.start_time).total_seconds())
    # What is followed live does not go through what makes all else harmless.
    named = harmless(f" {run.workflow_type} {run.id} ({length})")
    return Text.assemble(status_text(status_of(run)), named)


async def _json(client: Client, workflow_id: str, run_id: str | None) -> dict[str, Any]:
    from perdure.cli.rendering.executions import execution_json

    described, children = await _family(client, workflow_id, run_id)
    top: dict[str, Any] = {**execution_json(described), "children": []}
    places = [(top, described)]
    while places:
        place, run = places.pop()
        for child in children.get(run.run_id, ()):
            found = {**execution_json(child), "children": []}
            place["children"].append(found)
            places.append((found, child))
    return top
