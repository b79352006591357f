"""`perdure worker deployment`: the versions of a deployment, and where new work goes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.calling import Target
from perdure.cli.confirming import YesOption, confirm
from perdure.cli.parameters import DEFAULT_ADDRESS, AddressOption, JsonOption, NamespaceOption
from perdure.cli.saying import say

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp
    from temporalio.api.deployment.v1 import RoutingConfig, WorkerDeploymentVersion

deployments = typer.Typer(
    name="deployment",
    help="Look at worker deployments, and say which of their versions gets new work.",
    no_args_is_help=True,
)
managers = typer.Typer(
    name="manager-identity",
    help="Say who alone may change a deployment.",
    no_args_is_help=True,
)
deployments.add_typer(managers)

UNVERSIONED = "unversioned"

NameOption = Annotated[
    str, typer.Option("--deployment-name", "--name", "-d", help="Which deployment.")
]
BuildOption = Annotated[str, typer.Option("--build-id", help="Which version of it.")]
AnyBuildOption = Annotated[
    str, typer.Option("--build-id", help="Which version of it.", show_default=False)
]
UnversionedOption = Annotated[
    bool, typer.Option("--unversioned", help="Workers without a version, instead of a version.")
]
MissingOption = Annotated[
    bool,
    typer.Option(
        "--ignore-missing-task-queues",
        help="Even if the version has no workers for some queues of the one before.",
    ),
]
NoPollersOption = Annotated[
    bool, typer.Option("--allow-no-pollers", help="Even if no worker of it has ever been there.")
]


@deployments.command("list")
def list_all(
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """List all deployments. JSON is one a line."""
    from temporalio.api.workflowservice.v1 import (
        ListWorkerDeploymentsRequest,
        ListWorkerDeploymentsResponse,
    )

    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_rows
    from perdure.cli.terminal import print_json

    request = ListWorkerDeploymentsRequest(namespace=namespace)
    found = []
    while True:
        response = asking.ask(Target(address, namespace), request, ListWorkerDeploymentsResponse)
        found += list(response.worker_deployments)
        request.next_page_token = response.next_page_token
        if not response.next_page_token:
            break
    if as_json:
        for one in found:
            print_json(asking.as_json(one))
        return
    print_rows(
        ("NAME", "CURRENT", "RAMPING", "CREATED"),
        [(one.name, *_routing(one.routing_config), _time(one.create_time)) for one in found],
    )


@deployments.command("describe")
def describe(
    name: NameOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell the versions of a deployment, and where new work goes."""
    from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus
    from temporalio.api.workflowservice.v1 import (
        DescribeWorkerDeploymentRequest,
        DescribeWorkerDeploymentResponse,
    )

    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_pairs, print_rows
    from perdure.cli.terminal import print_json

    request = DescribeWorkerDeploymentRequest(namespace=namespace, deployment_name=name)
    found = asking.ask(Target(address, namespace), request, DescribeWorkerDeploymentResponse)
    info = found.worker_deployment_info
    if as_json:
        print_json(asking.as_json(info))
        return
    current, ramping = _routing(info.routing_config)
    print_pairs(
        [
            ("name", info.name),
            ("created", _time(info.create_time)),
            ("current", current),
            ("ramping", ramping),
            ("changed last by", info.last_modifier_identity),
            ("manager", info.manager_identity),
        ]
    )
    if info.version_summaries:
        say("")
        prefix = "WORKER_DEPLOYMENT_VERSION_STATUS_"
        print_rows(
            ("BUILD ID", "STATUS", "CREATED"),
            [
                (
                    one.deployment_version.build_id,
                    WorkerDeploymentVersionStatus.Name(one.status).removeprefix(prefix).lower(),
                    _time(one.create_time),
                )
                for one in info.version_summaries
            ],
        )


@deployments.command("describe-version")
def describe_version(
    name: NameOption,
    build_id: BuildOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell what is known of a version: its queues, whether it is drained, its metadata."""
    from temporalio.api.enums.v1 import TaskQueueType, VersionDrainageStatus
    from temporalio.api.workflowservice.v1 import (
        DescribeWorkerDeploymentVersionRequest,
        DescribeWorkerDeploymentVersionResponse,
    )

    from perdure.cli import asking
    from perdure.cli.rendering.tables import print_pairs
    from perdure.cli.terminal import print_json

    request = DescribeWorkerDeploymentVersionRequest(
        namespace=namespace, deployment_version=_version(name, build_id)
    )
    target = Target(address, namespace)
    found = asking.ask(target, request, DescribeWorkerDeploymentVersionResponse)
    info = found.worker_deployment_version_info
    if as_json:
        print_json(asking.as_json(info))
        return
    drained = VersionDrainageStatus.Name(info.drainage_info.status)
    pairs: list[tuple[str, object]] = [
        ("deployment", info.deployment_version.deployment_name),
        ("build id", info.deployment_version.build_id),
        ("created", _time(info.create_time)),
        ("current since", _time(info.current_since_time)),
        ("ramping since", _time(info.ramping_since_time)),
        ("drainage", drained.removeprefix("VERSION_DRAINAGE_STATUS_").lower()),
    ]
    for queue in info.task_queue_infos:
        kind = TaskQueueType.Name(queue.type).removeprefix("TASK_QUEUE_TYPE_").lower()
        pairs.append((f"{kind} queue", queue.name))
    for key, payload in sorted(info.metadata.entries.items()):
        pairs.append((f"metadata {key}", payload.data.decode(errors="replace")))
    print_pairs(pairs)


@deployments.command("set-current-version")
def set_current_version(
    name: NameOption,
    build_id: AnyBuildOption = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    unversioned: UnversionedOption = False,
    ignore_missing_task_queues: MissingOption = False,
    allow_no_pollers: NoPollersOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send new workflows, and those that upgrade by themselves, to a version."""
    from temporalio.api.workflowservice.v1 import (
        SetWorkerDeploymentCurrentVersionRequest,
        SetWorkerDeploymentCurrentVersionResponse,
    )

    from perdure.cli.asking import ask, identity

    _one_of(build_id, unversioned=unversioned)
    shown = build_id or UNVERSIONED
    confirm(f"Make {shown} the current version of {name}?", yes=yes)
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=namespace,
        deployment_name=name,
        build_id=build_id,
        identity=identity(),
        ignore_missing_task_queues=ignore_missing_task_queues,
        allow_no_pollers=allow_no_pollers,
    )
    ask(Target(address, namespace), request, SetWorkerDeploymentCurrentVersionResponse)
    _tell(name, f"{shown} is the current version of {name}", as_json=as_json)


@deployments.command("set-ramping-version")
def set_ramping_version(
    name: NameOption,
    build_id: AnyBuildOption = "",
    percentage: Annotated[
        float, typer.Option(min=0, max=100, help="How much of the new work goes to it.")
    ] = 0,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Ramp no more.")] = False,
    unversioned: UnversionedOption = False,
    ignore_missing_task_queues: MissingOption = False,
    allow_no_pollers: NoPollersOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send a part of the new work to a version."""
    from temporalio.api.workflowservice.v1 import (
        SetWorkerDeploymentRampingVersionRequest,
        SetWorkerDeploymentRampingVersionResponse,
    )

    from perdure.cli.asking import ask, identity

    if not delete:
        _one_of(build_id, unversioned=unversioned)
    shown = build_id or UNVERSIONED
    asks = f"Ramp {name} no more?" if delete else f"Ramp {name} to {shown} by {percentage:g}%?"
    confirm(asks, yes=yes)
    request = SetWorkerDeploymentRampingVersionRequest(
        namespace=namespace,
        deployment_name=name,
        build_id="" if delete else build_id,
        percentage=0 if delete else percentage,
        identity=identity(),
        ignore_missing_task_queues=ignore_missing_task_queues,
        allow_no_pollers=allow_no_pollers,
    )
    ask(Target(address, namespace), request, SetWorkerDeploymentRampingVersionResponse)
    said = f"{name} ramps no more" if delete else f"{percentage:g}% of {name} goes to {shown}"
    _tell(name, said, as_json=as_json)


@deployments.command("create")
def create(
    name: NameOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a deployment before any worker of it has been there."""
    from temporalio.api.workflowservice.v1 import (
        CreateWorkerDeploymentRequest,
        CreateWorkerDeploymentResponse,
    )

    from perdure.cli.asking import ask, identity

    request = CreateWorkerDeploymentRequest(
        namespace=namespace,
        deployment_name=name,
        identity=identity(),
        request_id=str(uuid.uuid4()),
    )
    ask(Target(address, namespace), request, CreateWorkerDeploymentResponse)
    _tell(name, f"{name} is created", as_json=as_json)


@deployments.command("create-version")
def create_version(
    name: NameOption,
    build_id: BuildOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Make a version of a deployment before any worker of it has been there."""
    from temporalio.api.deployment.v1 import WorkerDeploymentVersion
    from temporalio.api.workflowservice.v1 import (
        CreateWorkerDeploymentVersionRequest,
        CreateWorkerDeploymentVersionResponse,
    )

    from perdure.cli.asking import ask, identity

    request = CreateWorkerDeploymentVersionRequest(
        namespace=namespace,
        deployment_version=WorkerDeploymentVersion(deployment_name=name, build_id=build_id),
        identity=identity(),
        request_id=str(uuid.uuid4()),
    )
    ask(Target(address, namespace), request, CreateWorkerDeploymentVersionResponse)
    _tell(name, f"version {build_id} of {name} is created", as_json=as_json)


@deployments.command("delete")
def delete(
    name: NameOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a deployment, which may have no versions any more."""
    from temporalio.api.workflowservice.v1 import (
        DeleteWorkerDeploymentRequest,
        DeleteWorkerDeploymentResponse,
    )

    from perdure.cli.asking import ask, identity

    confirm(f"Delete {name}?", yes=yes)
    request = DeleteWorkerDeploymentRequest(
        namespace=namespace, deployment_name=name, identity=identity()
    )
    ask(Target(address, namespace), request, DeleteWorkerDeploymentResponse)
    _tell(name, f"{name} is deleted", as_json=as_json)


@deployments.command("delete-version")
def delete_version(
    name: NameOption,
    build_id: BuildOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    skip_drainage: Annotated[
        bool, typer.Option("--skip-drainage", help="Even if workflows may be left on it.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a version that gets no work and has no workers."""
    from temporalio.api.workflowservice.v1 import (
        DeleteWorkerDeploymentVersionRequest,
        DeleteWorkerDeploymentVersionResponse,
    )

    from perdure.cli.asking import ask, identity

    confirm(f"Delete version {build_id} of {name}?", yes=yes)
    request = DeleteWorkerDeploymentVersionRequest(
        namespace=namespace,
        deployment_version=_version(name, build_id),
        skip_drainage=skip_drainage,
        identity=identity(),
    )
    ask(Target(address, namespace), request, DeleteWorkerDeploymentVersionResponse)
    _tell(name, f"version {build_id} of {name} is deleted", as_json=as_json)


@deployments.command("update-version-metadata")
def update_version_metadata(
    name: NameOption,
    build_id: BuildOption,
    metadata: Annotated[
        list[str],
        typer.Option("--metadata", metavar="KEY=JSON", help="To be set (may be repeated)."),
    ] = [],  # noqa: B006 -- typer copies it
    remove_entries: Annotated[
        list[str], typer.Option("--remove-entries", help="Keys to be removed (may be repeated).")
    ] = [],  # noqa: B006 -- typer copies it
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    as_json: JsonOption = False,
) -> None:
    """Note something on a version."""
    from temporalio.api.workflowservice.v1 import (
        UpdateWorkerDeploymentVersionMetadataRequest,
        UpdateWorkerDeploymentVersionMetadataResponse,
    )

    from perdure.cli.asking import ask, identity, payloads_of
    from perdure.cli.parameters import memo_from

    request = UpdateWorkerDeploymentVersionMetadataRequest(
        namespace=namespace,
        deployment_version=_version(name, build_id),
        remove_entries=remove_entries,
        identity=identity(),
    )
    for key, value in memo_from(metadata).items():
        request.upsert_entries[key].CopyFrom(payloads_of([value]).payloads[0])
    ask(Target(address, namespace), request, UpdateWorkerDeploymentVersionMetadataResponse)
    _tell(name, f"the metadata of version {build_id} of {name} is changed", as_json=as_json)


@managers.command("set")
def set_manager(
    name: NameOption,
    manager: Annotated[
        str, typer.Option("--manager-identity", help="Who.", show_default=False)
    ] = "",
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    myself: Annotated[bool, typer.Option("--self", help="Whoever runs this command.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let only one identity change a deployment."""
    if myself == bool(manager):
        raise typer.BadParameter("give --manager-identity or --self", param_hint="--self")
    confirm(f"Change who manages {name}?", yes=yes)
    _set_manager(Target(address, namespace), name, manager, myself=myself)
    _tell(name, f"{name} has a manager", as_json=as_json)


@managers.command("unset")
def unset_manager(
    name: NameOption,
    address: AddressOption = DEFAULT_ADDRESS,
    namespace: NamespaceOption = "default",
    *,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let anybody change a deployment."""
    confirm(f"Change who manages {name}?", yes=yes)
    _set_manager(Target(address, namespace), name, "", myself=False)
    _tell(name, f"{name} has no manager", as_json=as_json)


def _set_manager(target: Target, name: str, manager: str, *, myself: bool) -> None:
    from temporalio.api.workflowservice.v1 import (
        SetWorkerDeploymentManagerRequest,
        SetWorkerDeploymentManagerResponse,
    )

    from perdure.cli.asking import ask, identity

    request = SetWorkerDeploymentManagerRequest(
        namespace=target.namespace, deployment_name=name, identity=identity()
    )
    if myself:
        request.self = True
    else:
        request.manager_identity = manager
    ask(target, request, SetWorkerDeploymentManagerResponse)


def _one_of(build_id: str, *, unversioned: bool) -> None:
    if unversioned == bool(build_id):
        raise typer.BadParameter("give --build-id or --unversioned", param_hint="--build-id")


def _version(name: str, build_id: str) -> WorkerDeploymentVersion:
    from temporalio.api.deployment.v1 import WorkerDeploymentVersion

    return WorkerDeploymentVersion(deployment_name=name, build_id=build_id)


def _routing(routing: RoutingConfig) -> tuple[str, str]:
    current = routing.current_deployment_version.build_id or UNVERSIONED
    ramping = routing.ramping_deployment_version.build_id
    if not ramping and routing.ramping_version_percentage:
        ramping = UNVERSIONED
    share = f"{ramping} ({routing.ramping_version_percentage:g}%)" if ramping else ""
    return current, share


def _tell(name: str, text: str, *, as_json: bool) -> None:
    from perdure.cli.terminal import print_json

    if as_json:
        print_json({"deployment": name, "done": text})
    else:
        say(text)


def _time(time: Timestamp) -> str:
    from perdure.cli.rendering.times import local

    return local(datetime.fromtimestamp(time.seconds, UTC)) if time.seconds else ""
