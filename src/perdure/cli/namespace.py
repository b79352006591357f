"""`perdure namespace`: what keeps the workflows of different users apart."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target
from perdure.cli.confirming import YesOption, confirm
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, duration_option
from perdure.cli.saying import say

if TYPE_CHECKING:
    from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse

namespaces = typer.Typer(
    name="namespace",
    help="Make namespaces, change them, delete them.",
    no_args_is_help=True,
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Which namespace.")]
Retention = Annotated[
    timedelta | None, duration_option("How long closed workflows are kept, such as 72h.")
]
Description = Annotated[str, typer.Option(help="What it is for.")]
Email = Annotated[str, typer.Option(help="Whom to ask about it.")]
Data = Annotated[
    list[str], typer.Option("--data", metavar="KEY=VALUE", help="Anything else (may be repeated).")
]
DEFAULT_RETENTION = timedelta(hours=72)


@namespaces.command("create")
def create(
    name: NameArgument,
    retention: Retention = DEFAULT_RETENTION,
    description: Description = "",
    email: Email = "",
    data: Data = [],  # noqa: B006 -- typer copies it
    address: AddressOption = DEFAULT_ADDRESS,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a namespace; it can be used at once."""
    from temporalio.api.workflowservice.v1 import (
        RegisterNamespaceRequest,
        RegisterNamespaceResponse,
    )

    from perdure.cli.asking import ask, to_duration

    request = RegisterNamespaceRequest(
        namespace=name,
        description=description,
        owner_email=email,
        data=_pairs(data),
        workflow_execution_retention_period=to_duration(retention or DEFAULT_RETENTION),
    )
    ask(Target(address, name), request, RegisterNamespaceResponse)
    _tell(name, f"namespace {name} is there", "created", as_json=as_json)


@namespaces.command("describe")
def describe(
    name: NameArgument, address: AddressOption = DEFAULT_ADDRESS, *, as_json: JsonOption = False
) -> None:
    """Tell what is set of a namespace."""
    from temporalio.api.workflowservice.v1 import (
        DescribeNamespaceRequest,
        DescribeNamespaceResponse,
    )

    from perdure.cli import asking

    request = DescribeNamespaceRequest(namespace=name)
    found = asking.ask(Target(address, name), request, DescribeNamespaceResponse)
    if as_json:
        from perdure.cli.terminal import print_json

        print_json(asking.as_json(found))
        return
    from perdure.cli.rendering.tables import print_pairs

    info = found.namespace_info
    pairs = [("name", info.name), ("id", info.id), ("state", _state(found))]
    pairs += [("retention", _retention(found)), ("description", info.description)]
    pairs += [("owner", info.owner_email)]
    pairs += [(f"data {key}", value) for key, value in sorted(info.data.items())]
    print_pairs(pairs)


@namespaces.command("list")
def list_all(address: AddressOption = DEFAULT_ADDRESS, *, as_json: JsonOption = False) -> None:
    """List all namespaces. JSON is one a line."""
    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_rows
    from perdure.cli.terminal import print_json

    found = _all(address)
    if as_json:
        for one in found:
            print_json(asking.as_json(one))
        return
    print_rows(
        ("NAME", "STATE", "RETENTION", "DESCRIPTION"),
        [
            (
                one.namespace_info.name,
                _state(one),
                _retention(one),
                one.namespace_info.description,
            )
            for one in found
        ],
    )


@namespaces.command("update")
def update(
    name: NameArgument,
    retention: Retention = None,
    description: Description = "",
    email: Email = "",
    data: Data = [],  # noqa: B006 -- typer copies it
    address: AddressOption = DEFAULT_ADDRESS,
    *,
    as_json: JsonOption = False,
) -> None:
    """Change a namespace. Another retention counts for workflows that close from then on."""
    from temporalio.api.namespace.v1 import UpdateNamespaceInfo
    from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest, UpdateNamespaceResponse

    from perdure.cli.asking import ask, to_duration

    request = UpdateNamespaceRequest(
        namespace=name,
        update_info=UpdateNamespaceInfo(
            description=description, owner_email=email, data=_pairs(data)
        ),
    )
    if retention is not None:
        request.config.workflow_execution_retention_ttl.CopyFrom(to_duration(retention))
    ask(Target(address, name), request, UpdateNamespaceResponse)
    _tell(name, f"namespace {name} is changed", "updated", as_json=as_json)


@namespaces.command("delete")
def delete(
    name: NameArgument,
    address: AddressOption = DEFAULT_ADDRESS,
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a namespace with all that is in it. Its name is free at once."""
    from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest, DeleteNamespaceResponse

    from perdure.cli.asking import ask

    confirm(f"Delete namespace {name} with all its workflows?", yes=yes)
    request = DeleteNamespaceRequest(namespace=name)
    renamed = ask(Target(address, name), request, DeleteNamespaceResponse).deleted_namespace
    text = f"namespace {name} is deleted; until all in it is gone, it is called {renamed}"
    _tell(name, text, "deleted", as_json=as_json)


def _all(address: str) -> list[DescribeNamespaceResponse]:
    from temporalio.api.workflowservice.v1 import ListNamespacesRequest, ListNamespacesResponse

    from perdure.cli.asking import ask

    found: list[DescribeNamespaceResponse] = []
    request = ListNamespacesRequest(page_size=100)
    while True:
        page = ask(Target(address, "default"), request, ListNamespacesResponse)
        found += page.namespaces
        request.next_page_token = page.next_page_token
        if not page.next_page_token:
            return found


def _state(described: DescribeNamespaceResponse) -> str:
    from temporalio.api.enums.v1 import NamespaceState

    name = NamespaceState.Name(described.namespace_info.state)
    return name.removeprefix("NAMESPACE_STATE_").lower()


def _retention(described: DescribeNamespaceResponse) -> str:
    from perdure.cli.rendering.times import took

    return took(described.config.workflow_execution_retention_ttl.ToTimedelta().total_seconds())


def _pairs(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--data")
        found[key] = value
    return found


def _tell(name: str, text: str, done: str, *, as_json: bool) -> None:
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"namespace": name, "done": done})
    else:
        say(text)
