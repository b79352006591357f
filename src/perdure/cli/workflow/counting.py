"""`perdure workflow count`: how many runs there are."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.calling import Target
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, NamespaceOption
from perdure.cli.saying import say


def count(
    query: Annotated[
        str, typer.Option("--query", "-q", help="Which ones; `GROUP BY` counts them in groups.")
    ] = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Count runs."""
    from temporalio.api.workflowservice.v1 import (
        CountWorkflowExecutionsRequest,
        CountWorkflowExecutionsResponse,
    )

    from perdure.cli.asking import ask
    from perdure.cli.rendering.payloads import json_value

    request = CountWorkflowExecutionsRequest(namespace=namespace, query=query)
    found = ask(Target(address, namespace), request, CountWorkflowExecutionsResponse)
    groups = [
        ([json_value(value) for value in group.group_values], group.count) for group in found.groups
    ]
    if as_json:
        from perdure.cli.terminal import print_json

        told = [{"values": values, "count": number} for values, number in groups]
        print_json({"count": found.count, "groups": told})
        return
    from perdure.cli.rendering.tables import print_rows

    say(f"{found.count} workflows")
    if groups:
        rows = [(", ".join(map(str, values)), number) for values, number in groups]
        print_rows(("GROUP", "COUNT"), rows)
