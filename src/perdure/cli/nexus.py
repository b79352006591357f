"""`perdure nexus`: the endpoints by which callers name where operations are, and operations without
a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target
from perdure.cli.confirming import YesOption, confirm
from perdure.cli.exits import MISUSED, fail
from perdure.cli.nexus_operations import operations
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption
from perdure.cli.saying import say

if TYPE_CHECKING:
    from temporalio.api.nexus.v1 import Endpoint, EndpointTarget

nexus = typer.Typer(name="nexus", help="Look after Nexus.", no_args_is_help=True)
endpoints = typer.Typer(
    name="endpoint", help="Create, change, list and delete endpoints.", no_args_is_help=True
)
nexus.add_typer(endpoints)
nexus.add_typer(operations)

PAGE = 100

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Which endpoint.")]
NamespaceOption = Annotated[
    str, typer.Option("--target-namespace", help="Where the workers that answer are.")
]
QueueOption = Annotated[
    str, typer.Option("--target-task-queue", help="The task queue that they poll.")
]
UrlOption = Annotated[
    str, typer.Option("--target-url", help="In place of both: the address of a server elsewhere.")
]
DescriptionOption = Annotated[
    str | None, typer.Option("--description", help="What it is for, in Markdown; '' for nothing.")
]


@endpoints.command("create")
def create(
    name: NameArgument,
    target_namespace: NamespaceOption = "",
    target_task_queue: QueueOption = "",
    target_url: UrlOption = "",
    description: DescriptionOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    *,
    as_json: JsonOption = False,
) -> None:
    """Make an endpoint."""
    from temporalio.api.nexus.v1 import EndpointSpec
    from temporalio.api.operatorservice.v1 import (
        CreateNexusEndpointRequest,
        CreateNexusEndpointResponse,
    )

    from perdure.cli.asking import ask, payloads_of

    target = _target(target_namespace, target_task_queue, target_url)
    if target is None:
        fail(
            "say with --target-namespace and --target-task-queue, or with --target-url, where it "
            "leads",
            MISUSED,
        )
    spec = EndpointSpec(name=name, target=target)
    if description:
        spec.description.CopyFrom(payloads_of([description]).payloads[0])
    request = CreateNexusEndpointRequest(spec=spec)
    made = ask(Target(address, "default"), request, CreateNexusEndpointResponse)
    _show(made.endpoint, "created", as_json=as_json)


@endpoints.command("update")
def update(
    name: NameArgument,
    target_namespace: NamespaceOption = "",
    target_task_queue: QueueOption = "",
    target_url: UrlOption = "",
    description: DescriptionOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    *,
    as_json: JsonOption = False,
) -> None:
    """Change where an endpoint leads, or what it is for; the rest stays."""
    from temporalio.api.operatorservice.v1 import (
        UpdateNexusEndpointRequest,
        UpdateNexusEndpointResponse,
    )

    from perdure.cli.asking import ask, payloads_of

    found = _find(address, name)
    spec = found.spec
    worker = spec.target.worker
    target = _target(
        target_namespace or (worker.namespace if target_task_queue else ""),
        target_task_queue or (worker.task_queue if target_namespace else ""),
        target_url,
    )
    if target is not None:
        spec.target.CopyFrom(target)
    if description is not None:
        spec.ClearField("description")
    if description:
        spec.description.CopyFrom(payloads_of([description]).payloads[0])
    request = UpdateNexusEndpointRequest(id=found.id, version=found.version, spec=spec)
    changed = ask(Target(address, "default"), request, UpdateNexusEndpointResponse)
    _show(changed.endpoint, "updated", as_json=as_json)


@endpoints.command("get")
def get(
    name: NameArgument, address: AddressOption = DEFAULT_ADDRESS, *, as_json: JsonOption = False
) -> None:
    """Show an endpoint."""
    _show(_find(address, name), "", as_json=as_json)


@endpoints.command("list")
def list_all(address: AddressOption = DEFAULT_ADDRESS, *, as_json: JsonOption = False) -> None:
    """List all endpoints."""
    found = _all(address)
    if as_json:
        from perdure.cli import asking
        from perdure.cli.terminal import print_json

        print_json([asking.as_json(endpoint) for endpoint in found])
        return
    from perdure.cli.rendering.tables import print_rows

    rows = [(one.spec.name, _leads_to(one), one.id) for one in found]
    print_rows(("NAME", "LEADS TO", "ID"), rows)


@endpoints.command("delete")
def delete(
    name: NameArgument,
    address: AddressOption = DEFAULT_ADDRESS,
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete an endpoint: operations that are called by it fail from then on."""
    from temporalio.api.operatorservice.v1 import (
        DeleteNexusEndpointRequest,
        DeleteNexusEndpointResponse,
    )

    from perdure.cli.asking import ask

    found = _find(address, name)
    confirm(f"Delete endpoint {name}?", yes=yes)
    request = DeleteNexusEndpointRequest(id=found.id, version=found.version)
    ask(Target(address, "default"), request, DeleteNexusEndpointResponse)
    _show(found, "deleted", as_json=as_json)


def _target(namespace: str, queue: str, url: str) -> EndpointTarget | None:
    """Where it leads; None when nothing says so."""
    from temporalio.api.nexus.v1 import EndpointTarget

    is_elsewhere = bool(url)
    if bool(namespace) != bool(queue) or (is_elsewhere and namespace):
        fail("an endpoint leads either to a namespace and a task queue, or to an address", MISUSED)
    if is_elsewhere:
        return EndpointTarget(external=EndpointTarget.External(url=url))
    if not namespace:
        return None
    return EndpointTarget(worker=EndpointTarget.Worker(namespace=namespace, task_queue=queue))


def _find(address: str, name: str) -> Endpoint:
    from temporalio.api.operatorservice.v1 import (
        ListNexusEndpointsRequest,
        ListNexusEndpointsResponse,
    )

    from perdure.cli.asking import ask

    request = ListNexusEndpointsRequest(name=name)
    found = ask(Target(address, "default"), request, ListNexusEndpointsResponse)
    if not found.endpoints:
        fail(f"there is no endpoint {name!r} (`perdure nexus endpoint list` shows what there is)")
    return found.endpoints[0]


def _all(address: str) -> list[Endpoint]:
    from temporalio.api.operatorservice.v1 import (
        ListNexusEndpointsRequest,
        ListNexusEndpointsResponse,
    )

    from perdure.cli.asking import ask

    request = ListNexusEndpointsRequest(page_size=PAGE)
    found: list[Endpoint] = []
    while True:
        page = ask(Target(address, "default"), request, ListNexusEndpointsResponse)
        found += page.endpoints
        if not page.next_page_token:
            return sorted(found, key=lambda endpoint: endpoint.spec.name)
        request.next_page_token = page.next_page_token


def _leads_to(endpoint: Endpoint) -> str:
    target = endpoint.spec.target
    if target.HasField("external"):
        return target.external.url
    return f"{target.worker.task_queue} in {target.worker.namespace}"


def _show(endpoint: Endpoint, done: str, *, as_json: bool) -> None:
    if as_json:
        from perdure.cli import asking
        from perdure.cli.terminal import print_json

        told = asking.as_json(endpoint)
        print_json({**told, "done": done} if done else told)
        return
    if done:
        say(f"endpoint {endpoint.spec.name}: {done}")
        return
    from perdure.cli.rendering.payloads import brief
    from perdure.cli.rendering.tables import print_pairs

    spec = endpoint.spec
    print_pairs(
        [
            ("name", spec.name),
            ("id", endpoint.id),
            ("version", endpoint.version),
            ("leads to", _leads_to(endpoint)),
            ("description", brief(spec.description) if spec.HasField("description") else ""),
            ("address", f"{endpoint.url_prefix}/SERVICE/OPERATION"),
        ]
    )
