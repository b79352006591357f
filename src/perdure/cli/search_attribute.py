"""`perdure search-attribute`: what workflows of a namespace can be found by."""

from __future__ import annotations

from typing import Annotated

import typer

from perdure.cli.calling import Target
from perdure.cli.confirming import YesOption, confirm
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, NamespaceOption
from perdure.cli.saying import say

search_attributes = typer.Typer(
    name="search-attribute",
    help="Add, list and remove search attributes.",
    no_args_is_help=True,
)


@search_attributes.command("create")
def create(
    attributes: Annotated[
        list[str], typer.Argument(metavar="NAME=TYPE...", help="Such as customer=Keyword.")
    ],
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Add search attributes to a namespace."""
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.operatorservice.v1 import (
        AddSearchAttributesRequest,
        AddSearchAttributesResponse,
    )

    from perdure.cli.asking import ask
    from perdure.server.config import SettingsError, parse_search_attributes

    try:
        types = parse_search_attributes(attributes)
    except SettingsError as error:
        raise typer.BadParameter(str(error), param_hint="NAME=TYPE") from None
    request = AddSearchAttributesRequest(
        namespace=namespace,
        search_attributes={name: IndexedValueType.ValueType(kind) for name, kind in types.items()},
    )
    ask(Target(address, namespace), request, AddSearchAttributesResponse)
    _tell(list(types), "added", namespace, as_json=as_json)


@search_attributes.command("list")
def list_all(
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """List search attributes with their types: custom ones, and those that every workflow has."""
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.operatorservice.v1 import (
        ListSearchAttributesRequest,
        ListSearchAttributesResponse,
    )

    from perdure.cli.asking import ask

    request = ListSearchAttributesRequest(namespace=namespace)
    found = ask(Target(address, namespace), request, ListSearchAttributesResponse)

    def named(types: dict[str, IndexedValueType.ValueType]) -> dict[str, str]:
        return {name: _type_name(kind) for name, kind in sorted(types.items())}

    custom, system = named(dict(found.custom_attributes)), named(dict(found.system_attributes))
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"customAttributes": custom, "systemAttributes": system})
        return
    from perdure.cli.rendering.tables import print_rows

    rows = [(name, kind, "custom") for name, kind in custom.items()]
    rows += [(name, kind, "system") for name, kind in system.items()]
    print_rows(("NAME", "TYPE", "KIND"), rows)


@search_attributes.command("remove")
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Which ones.")],
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove custom search attributes with their values."""
    from temporalio.api.operatorservice.v1 import (
        RemoveSearchAttributesRequest,
        RemoveSearchAttributesResponse,
    )

    from perdure.cli.asking import ask

    confirm(f"Remove {', '.join(names)} from namespace {namespace}?", yes=yes)
    request = RemoveSearchAttributesRequest(namespace=namespace, search_attributes=names)
    ask(Target(address, namespace), request, RemoveSearchAttributesResponse)
    _tell(names, "removed", namespace, as_json=as_json)


def _type_name(kind: int) -> str:
    from perdure.server.machines.search_attributes import TYPE_NAMES

    return TYPE_NAMES.get(kind, str(kind))


def _tell(names: list[str], done: str, namespace: str, *, as_json: bool) -> None:
    if as_json:
        from perdure.cli.terminal import print_json

        print_json({"namespace": namespace, "searchAttributes": names, "done": done})
    else:
        say(f"{', '.join(names)}: {done}")
