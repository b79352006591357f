"""`perdure workflow list`: the runs there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target, call
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, NamespaceOption
from perdure.cli.saying import say

if TYPE_CHECKING:
    from perdure.client import Client, WorkflowExecution

PAGE_SIZE = 200


def list_runs(
    limit: Annotated[int, typer.Option(min=0, help="How many at most; 0 for all.")] = 50,
    query: Annotated[
        str, typer.Option("--query", "-q", help="Which ones, if the server has the query language.")
    ] = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """List runs: open ones first, then closed ones, the newest first. JSON is one run a line."""

    async def fetch(client: Client) -> list[WorkflowExecution]:
        # One more than wanted tells whether there are more.
        wanted = limit + 1 if limit else None
        runs = client.list_workflows(
            query or None, limit=wanted, page_size=min(wanted or PAGE_SIZE, PAGE_SIZE)
        )
        return [run async for run in runs]

    runs = call(Target(address, namespace), fetch)
    shown = runs[:limit] if limit else runs
    if as_json:
        _print_lines(shown)
    elif shown:
        _print_table(shown)
    else:
        say(f"there are no workflows in namespace {namespace!r}", err=True)
    if len(shown) < len(runs):
        say(f"there are more than {limit}: see more with --limit, all with --limit 0", err=True)


def _print_lines(runs: list[WorkflowExecution]) -> None:
    from perdure.cli.rendering.executions import execution_json
    from perdure.cli.terminal import print_json

    for run in runs:
        print_json(execution_json(run))


def _print_table(runs: list[WorkflowExecution]) -> None:
    from perdure.cli.rendering.executions import print_list
    from perdure.cli.terminal import output

    print_list(output(), runs, datetime.now(UTC))
