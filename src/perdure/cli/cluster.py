"""`perdure cluster`: the server itself."""

from __future__ import annotations

import typer

from perdure.cli.calling import Target
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption
from perdure.cli.saying import say

clusters = typer.Typer(name="cluster", help="Look at the server itself.", no_args_is_help=True)


@clusters.command("health")
def health(address: AddressOption = DEFAULT_ADDRESS, *, as_json: JsonOption = False) -> None:
    """Tell whether a server answers."""
    from temporalio.api.workflowservice.v1 import GetSystemInfoRequest, GetSystemInfoResponse

    from perdure.cli.asking import ask

    ask(Target(address, "default"), GetSystemInfoRequest(), GetSystemInfoResponse)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"status": "SERVING"})
    else:
        say("SERVING")


@clusters.command("system")
def system(address: AddressOption = DEFAULT_ADDRESS, *, as_json: JsonOption = False) -> None:
    """Tell what the server can do."""
    from temporalio.api.workflowservice.v1 import GetSystemInfoRequest, GetSystemInfoResponse

    from perdure.cli import asking

    found = asking.ask(Target(address, "default"), GetSystemInfoRequest(), GetSystemInfoResponse)
    told = asking.as_json(found)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json(told)
        return
    from perdure.cli.rendering.tables import print_pairs

    capabilities = told.get("capabilities", {})
    print_pairs([("version", found.server_version), ("can", ", ".join(sorted(capabilities)))])


@clusters.command("describe")
def describe(address: AddressOption = DEFAULT_ADDRESS, *, as_json: JsonOption = False) -> None:
    """Tell which installation this is."""
    from temporalio.api.workflowservice.v1 import GetClusterInfoRequest, GetClusterInfoResponse

    from perdure.cli import asking

    found = asking.ask(Target(address, "default"), GetClusterInfoRequest(), GetClusterInfoResponse)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json(asking.as_json(found))
        return
    from perdure.cli.rendering.tables import print_pairs

    print_pairs(
        [
            ("cluster", found.cluster_name),
            ("id", found.cluster_id),
            ("version", found.server_version),
            ("store", found.persistence_store),
        ]
    )
