"""Doing one thing to all workflows that a query finds: by a batch operation, which goes on by
itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

from perdure.cli.calling import Target
from perdure.cli.confirming import confirm
from perdure.cli.saying import say

PANEL: Final = "Many workflows"
QueryOption = Annotated[
    str,
    typer.Option(
        "--query",
        "-q",
        help="All that this query finds, instead of one: by a batch operation.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
RpsOption = Annotated[
    float,
    typer.Option(
        "--rps",
        min=0,
        help="How many a second; 0 for the usual.",
        show_default=False,
        rich_help_panel=PANEL,
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask first.", rich_help_panel=PANEL)
]
REASON: Final = "from the command line"


def is_for(query: str, named: Iterable[str | None]) -> bool:
    """Whether a command is for all that a query finds. Raises BadParameter when it also names
    one."""
    if query and any(named):
        raise typer.BadParameter("it is one workflow or what a query finds", param_hint="--query")
    return bool(query)


def begin(
    target: Target,
    doing: str,
    query: str,
    fields: dict[str, Any],
    *,
    reason: str = "",
    rps: float = 0,
    job_id: str = "",
    yes: bool = False,
    as_json: bool = False,
) -> None:
    """Start a batch operation, of which `fields` of the request say what it does, and say its
    name."""
    from temporalio.api.workflowservice.v1 import (
        CountWorkflowExecutionsRequest,
        CountWorkflowExecutionsResponse,
        StartBatchOperationRequest,
        StartBatchOperationResponse,
    )

    from perdure.cli.asking import ask

    count_request = CountWorkflowExecutionsRequest(namespace=target.namespace, query=query)
    count = ask(target, count_request, CountWorkflowExecutionsResponse).count
    confirm(f"{doing.capitalize()} what is found of {count} workflows?", yes=yes)
    chosen_id = job_id or str(uuid.uuid4())
    request = StartBatchOperationRequest(
        namespace=target.namespace,
        visibility_query=query,
        job_id=chosen_id,
        reason=reason or REASON,
        max_operations_per_second=rps,
        **fields,
    )
    ask(target, request, StartBatchOperationResponse)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"jobId": chosen_id, "done": "started"})
    else:
        say(f"started; see `perdure batch describe {chosen_id}`")
