"""Namespaces: the RPCs, and the registry that keeps them across restarts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.common.v1 import WorkflowType
from temporalio.api.enums.v1 import ArchivalState, NamespaceState, ReplicationState
from temporalio.api.errordetails.v1 import (
    NamespaceAlreadyExistsFailure,
    NamespaceInvalidStateFailure,
)
from temporalio.api.namespace.v1 import (
    BadBinaries,
    BadBinaryInfo,
    NamespaceConfig,
    NamespaceFilter,
    UpdateNamespaceInfo,
)
from temporalio.api.operatorservice.v1 import DeleteNamespaceRequest, DeleteNamespaceResponse
from temporalio.api.replication.v1 import ClusterReplicationConfig, NamespaceReplicationConfig
from temporalio.api.schedule.v1 import IntervalSpec, Schedule, ScheduleAction, ScheduleSpec
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import NewWorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    CreateScheduleRequest,
    CreateScheduleResponse,
    DeprecateNamespaceRequest,
    DeprecateNamespaceResponse,
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    ListNamespacesRequest,
    ListNamespacesResponse,
    RegisterNamespaceRequest,
    RegisterNamespaceResponse,
    UpdateNamespaceRequest,
    UpdateNamespaceResponse,
)

from perdure.server.app import Service
from perdure.server.config import Settings
from perdure.server.frontend.services import Services
from perdure.server.machines.ports import Kind
from perdure.server.namespaces.registry import NamespaceRegistry
from perdure.server.store.codec import seal
from perdure.transport import Code
from tests.frontend.client import Client, detail_of, start_request

DAY = Duration(seconds=86400)

REFUSALS: list[tuple[dict[str, object], str]] = [
    ({"namespace": ""}, "Namespace not set on request."),
    ({"namespace": "x" * 1001}, "Namespace length exceeds limit."),
    ({"is_global_namespace": True}, "Cannot register global namespace when not enabled"),
    ({"active_cluster_name": "other"}, "Invalid cluster name: other"),
    (
        {"clusters": [ClusterReplicationConfig(cluster_name=one) for one in ("active", "b")]},
        "Invalid cluster name: b",
    ),
    (
        {"workflow_execution_retention_period": None},
        "A valid retention period is not set on request.",
    ),
    (
        {"workflow_execution_retention_period": Duration(seconds=60)},
        "A valid retention period is not set on request.",
    ),
]


@pytest.mark.parametrize(("fields", "text"), REFUSALS)
async def test_a_wrong_registration_is_refused(
    client: Client, fields: dict[str, object], text: str
) -> None:
    usual: dict[str, object] = {"namespace": "n", "workflow_execution_retention_period": DAY}
    failure = await client.refusal(
        RegisterNamespaceRequest(**{**usual, **fields})  # type: ignore[arg-type]
    )
    assert (failure.code, failure.message) == (Code.INVALID_ARGUMENT, text)


async def register(client: Client, name: str) -> None:
    """Make a namespace."""
    request = RegisterNamespaceRequest(
        namespace=name,
        workflow_execution_retention_period=DAY,
        description="what for",
        owner_email="who@example.com",
        data={"key": "value"},
    )
    await client.call(request, RegisterNamespaceResponse)


async def test_a_registered_namespace_can_be_used_and_described_at_once(client: Client) -> None:
    await register(client, "new")
    await client.start(namespace="new")
    by_name = await client.call(
        DescribeNamespaceRequest(namespace="new"), DescribeNamespaceResponse
    )
    info = by_name.namespace_info
    assert info.state == NamespaceState.NAMESPACE_STATE_REGISTERED
    assert (info.description, info.owner_email) == ("what for", "who@example.com")
    assert info.data == {"key": "value"}
    assert info.capabilities.eager_workflow_start
    assert info.capabilities.sync_update
    assert info.capabilities.standalone_activities
    assert info.limits.blob_size_limit_error == 2 * 1024 * 1024
    assert by_name.config.workflow_execution_retention_ttl == DAY
    by_id = await client.call(DescribeNamespaceRequest(id=info.id), DescribeNamespaceResponse)
    assert by_id == by_name


async def test_the_namespace_of_the_system_says_so(client: Client) -> None:
    request = DescribeNamespaceRequest(namespace="temporal-system")
    described = await client.call(request, DescribeNamespaceResponse)
    info = described.namespace_info
    assert (info.description, info.owner_email) == (
        "Temporal internal system namespace",
        "temporal-core@temporal.io",
    )
    assert described.config.workflow_execution_retention_ttl == Duration(seconds=7 * 86400)


async def test_a_name_is_registered_once(client: Client) -> None:
    failure = await client.refusal(
        RegisterNamespaceRequest(namespace="default", workflow_execution_retention_period=DAY)
    )
    assert failure.code is Code.ALREADY_EXISTS
    assert failure.message == 'Namespace "default" already exists'
    assert detail_of(failure) == NamespaceAlreadyExistsFailure()


async def test_describing_needs_a_name_or_an_id(client: Client) -> None:
    neither = await client.refusal(DescribeNamespaceRequest())
    both = await client.refusal(DescribeNamespaceRequest(namespace="default", id="x"))
    unknown = await client.refusal(DescribeNamespaceRequest(id="x"))
    assert neither.message == "Namespace not set on request."
    assert both.message == (
        "GetNamespace operation failed.  Both ID and Name specified in request."
    )
    assert (unknown.code, unknown.message) == (Code.NOT_FOUND, "Namespace x is not found.")


async def test_namespaces_are_listed_in_pages(client: Client) -> None:
    await register(client, "second")
    await register(client, "third")
    names: list[str] = []
    token = b""
    while True:
        request = ListNamespacesRequest(page_size=2, next_page_token=token)
        page = await client.call(request, ListNamespacesResponse)
        names += [described.namespace_info.name for described in page.namespaces]
        token = page.next_page_token
        if not token:
            break
    assert names == ["temporal-system", "default", "second", "third"]


async def test_namespaces_survive_a_restart_with_their_numbers_and_ids(
    client: Client, services: Services
) -> None:
    await register(client, "kept")
    again = NamespaceRegistry(services.store, services.ids, time.time_ns)
    await again.load(["default", "kept", "added"])
    for name in ("default", "kept"):
        assert again.by_name(name) == services.namespaces.by_name(name)
    assert again.by_name("added").number not in {
        namespace.number for namespace in services.namespaces.all()
    }


async def _updated(client: Client, **fields: object) -> UpdateNamespaceResponse:
    request = UpdateNamespaceRequest(**{"namespace": "n", **fields})  # type: ignore[arg-type]
    return await client.call(request, UpdateNamespaceResponse)


async def test_an_update_changes_what_it_names(client: Client, services: Services) -> None:
    await client.call(
        RegisterNamespaceRequest(
            namespace="n",
            workflow_execution_retention_period=DAY,
            description="d",
            owner_email="e",
            data={"a": "1", "b": "2"},
        ),
        RegisterNamespaceResponse,
    )
    before = services.bind("n")
    info = UpdateNamespaceInfo(description="new", data={"a": "9", "c": "3"})
    updated = (await _updated(client, update_info=info)).namespace_info
    assert (updated.description, updated.owner_email) == ("new", "e")
    assert dict(updated.data) == {"a": "9", "b": "2", "c": "3"}
    two_days = NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=2 * 86400))
    assert (await _updated(client, config=two_days)).config == two_days_of(two_days)
    assert services.bind("n").retention_ns == 2 * before.retention_ns
    none = {"Foo": "x", "Keyword" + "1" * 5_000: "y", "Keyword00": "z"}
    aliases = NamespaceConfig(custom_search_attribute_aliases={"Keyword07": "K", **none})
    config = (await _updated(client, config=aliases)).config
    assert dict(config.custom_search_attribute_aliases) == {"Keyword07": "K"}
    assert services.bind("n").search_attributes["K"].field == "Keyword07"
    assert (await _updated(client, config=aliases)).config == config, "as it was read"
    unset = NamespaceConfig(custom_search_attribute_aliases={"Keyword07": ""})
    config = (await _updated(client, config=unset)).config
    assert not config.custom_search_attribute_aliases


def two_days_of(config: NamespaceConfig) -> NamespaceConfig:
    """What a namespace has besides its retention."""
    whole = NamespaceConfig(
        bad_binaries=BadBinaries(),
        history_archival_state=ArchivalState.ARCHIVAL_STATE_DISABLED,
        visibility_archival_state=ArchivalState.ARCHIVAL_STATE_DISABLED,
    )
    whole.MergeFrom(config)
    return whole


async def test_a_deprecated_namespace_stays_so(client: Client) -> None:
    await client.call(DeprecateNamespaceRequest(namespace="default"), DeprecateNamespaceResponse)
    request = DescribeNamespaceRequest(namespace="default")
    described = await client.call(request, DescribeNamespaceResponse)
    assert described.namespace_info.state == NamespaceState.NAMESPACE_STATE_DEPRECATED
    back = UpdateNamespaceInfo(state=NamespaceState.NAMESPACE_STATE_REGISTERED)
    failure = await client.refusal(UpdateNamespaceRequest(namespace="default", update_info=back))
    assert failure.message == "Invalid namespace state update."


UPDATES: list[tuple[dict[str, object], str]] = [
    ({"namespace": ""}, "Namespace not set on request."),
    ({"namespace": "nope"}, "Namespace nope is not found."),
    (
        {"config": NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=1))},
        "A valid retention period is not set on request.",
    ),
    (
        {"config": NamespaceConfig(custom_search_attribute_aliases={"Keyword01": "WorkflowId"})},
        "Search attribute WorkflowId is reserved by system.",
    ),
    (
        {
            "config": NamespaceConfig(
                custom_search_attribute_aliases={"Keyword01": "K", "Keyword02": "K"}
            )
        },
        "Search attribute K already exists.",
    ),
    ({"delete_bad_binary": "x"}, "Bad binary checksum x doesn't exists."),
    (
        {
            "config": NamespaceConfig(
                bad_binaries=BadBinaries(binaries={"x": BadBinaryInfo(reason="bad")})
            )
        },
        "bad binaries are not supported: pin workflows to a worker version",
    ),
    (
        {
            "replication_config": NamespaceReplicationConfig(
                state=ReplicationState.REPLICATION_STATE_HANDOVER
            )
        },
        "Handover can only be set for global namespace",
    ),
    (
        {"replication_config": NamespaceReplicationConfig(active_cluster_name="other")},
        "Invalid cluster name: other",
    ),
    (
        {"promote_namespace": True},
        (
            "global namespace is not enabled on this cluster, cannot update global namespace or"
            " promote local namespace: default"
        ),
    ),
]


@pytest.mark.parametrize(("fields", "text"), UPDATES)
async def test_a_wrong_update_is_refused_and_changes_nothing(
    client: Client, services: Services, fields: dict[str, object], text: str
) -> None:
    before = services.namespaces.by_name("default").settings
    request: dict[str, object] = {
        "namespace": "default",
        "update_info": UpdateNamespaceInfo(description="new"),
        **fields,
    }
    failure = await client.refusal(UpdateNamespaceRequest(**request))  # type: ignore[arg-type]
    assert failure.message == text
    assert services.namespaces.by_name("default").settings == before


async def deleted(client: Client, **fields: object) -> str:
    """Delete a namespace; its new name."""
    request = DeleteNamespaceRequest(**fields)  # type: ignore[arg-type]
    return (await client.call(request, DeleteNamespaceResponse)).deleted_namespace


DELETIONS: list[tuple[dict[str, object], Code, str]] = [
    ({}, Code.INVALID_ARGUMENT, "Namespace not set on request."),
    (
        {"namespace": "default", "namespace_id": "x"},
        Code.INVALID_ARGUMENT,
        "Only one of namespace name or Id should be set on request.",
    ),
    ({"namespace": "nope"}, Code.NOT_FOUND, "Namespace nope is not found."),
    ({"namespace_id": "nope"}, Code.NOT_FOUND, "Namespace nope is not found."),
    (
        {"namespace": "temporal-system"},
        Code.FAILED_PRECONDITION,
        "unable to delete system namespace",
    ),
]


@pytest.mark.parametrize(("fields", "code", "text"), DELETIONS)
async def test_a_wrong_deletion_is_refused(
    client: Client, fields: dict[str, object], code: Code, text: str
) -> None:
    failure = await client.refusal(DeleteNamespaceRequest(**fields))  # type: ignore[arg-type]
    assert (failure.code, failure.message) == (code, text)


async def names(client: Client, *, include_deleted: bool = False) -> list[str]:
    """Those that are listed."""
    request = ListNamespacesRequest(
        namespace_filter=NamespaceFilter(include_deleted=include_deleted)
    )
    page = await client.call(request, ListNamespacesResponse)
    return [described.namespace_info.name for described in page.namespaces]


async def test_a_deleted_namespace_is_renamed_at_once_and_takes_no_calls(
    client: Client, services: Services
) -> None:
    await register(client, "n")
    namespace_id = services.namespaces.by_name("n").id
    await client.start(namespace="n")
    name = await deleted(client, namespace="n", namespace_delete_delay=DAY)
    assert name == f"n-deleted-{namespace_id[:5]}"
    assert await deleted(client, namespace=name) == name
    described = await client.call(
        DescribeNamespaceRequest(id=namespace_id), DescribeNamespaceResponse
    )
    assert described.namespace_info.name == name
    assert described.namespace_info.state == NamespaceState.NAMESPACE_STATE_DELETED
    assert described.namespace_info.data["workflows-left"] == "1"
    assert name not in await names(client)
    assert name in await names(client, include_deleted=True)
    unknown = await client.refusal(start_request(namespace="n"))
    assert unknown.message == "Namespace n is not found."
    for request, text in (
        (start_request(namespace=name), "Must be Registered."),
        (CountWorkflowExecutionsRequest(namespace=name), "Must be Registered or Deprecated."),
        (UpdateNamespaceRequest(namespace=name), "Must be Registered or Deprecated."),
    ):
        failure = await client.refusal(request)
        assert failure.code == Code.FAILED_PRECONDITION
        assert failure.message == f"Namespace has invalid state: Deleted. {text}"
        detail = detail_of(failure)
        assert isinstance(detail, NamespaceInvalidStateFailure)
        assert detail.state == NamespaceState.NAMESPACE_STATE_DELETED


async def test_no_workflow_begins_in_a_deprecated_namespace(client: Client) -> None:
    await register(client, "n")
    await client.start(namespace="n")
    await client.call(DeprecateNamespaceRequest(namespace="n"), DeprecateNamespaceResponse)
    failure = await client.refusal(start_request(namespace="n", workflow_id="other"))
    assert failure.message == "Namespace has invalid state: Deprecated. Must be Registered."
    counted = await client.call(
        CountWorkflowExecutionsRequest(namespace="n"), CountWorkflowExecutionsResponse
    )
    assert counted.count == 1


async def test_a_deleted_namespace_goes_with_its_runs_and_its_name_is_free(
    client: Client, services: Services
) -> None:
    await register(client, "n")
    number = services.namespaces.by_name("n").number
    for workflow in range(120):
        await client.start(f"w{workflow}", namespace="n")
    await client.start("kept")
    before = services.namespaces.by_name("n")
    await deleted(client, namespace_id=before.id)
    await register(client, "n")
    async with asyncio.timeout(20):
        await asyncio.gather(*services.background())
    assert sum((await services.store.count_executions(number)).values()) == 0
    gone = await client.refusal(DescribeNamespaceRequest(id=before.id))
    assert gone.code == Code.NOT_FOUND
    counted = await client.call(
        CountWorkflowExecutionsRequest(namespace="n"), CountWorkflowExecutionsResponse
    )
    assert counted.count == 0
    assert services.namespaces.by_name("n").number != number
    await client.start("kept", namespace="n")


async def test_a_deletion_goes_on_after_a_restart(tmp_path: Path) -> None:
    settings = Settings(database=str(tmp_path / "p.db"))
    service = await Service.open(settings, on_lease_lost=lambda: None)
    client = Client(service.handlers)
    await register(client, "n")
    await client.start(namespace="n")
    name = await deleted(client, namespace="n", namespace_delete_delay=DAY)
    await service.close()
    service = await Service.open(settings, on_lease_lost=lambda: None)
    try:
        client = Client(service.handlers)
        assert name in await names(client, include_deleted=True)
        registry = service.namespaces
        rushed = msgspec.structs.replace(registry.by_name(name), reclaim_at_ns=0)
        await service.reclaim(rushed)
        assert await names(client, include_deleted=True) == ["temporal-system", "default"]
    finally:
        await service.close()


async def test_settings_of_older_versions_are_read(services: Services) -> None:
    known = services.namespaces.by_name("default")
    await services.store.put_namespace("default", seal(known.settings))
    again = NamespaceRegistry(services.store, services.ids, time.time_ns)
    await again.load(())
    assert again.by_name("default") == known


async def test_schedules_go_with_their_namespace(client: Client, services: Services) -> None:
    await register(client, "n")
    number = services.namespaces.by_name("n").number
    schedule = Schedule(
        spec=ScheduleSpec(interval=[IntervalSpec(interval=DAY)]),
        action=ScheduleAction(
            start_workflow=NewWorkflowExecutionInfo(
                workflow_id="w",
                workflow_type=WorkflowType(name="T"),
                task_queue=TaskQueue(name="q"),
            )
        ),
    )
    for name in ("a", "b"):
        create = CreateScheduleRequest(
            namespace="n", schedule_id=name, schedule=schedule, request_id=name
        )
        await client.call(create, CreateScheduleResponse)
    await deleted(client, namespace="n")
    async with asyncio.timeout(20):
        await asyncio.gather(*services.background())
    left = await services.store.list_executions(number, None, 9, kind=Kind.SCHEDULE)
    assert left.runs == []
