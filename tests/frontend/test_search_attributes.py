"""Search attributes: added to a namespace, set by workflows, and asked for."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from temporalio.api.command.v1 import (
    Command,
    UpsertWorkflowSearchAttributesCommandAttributes,
)
from temporalio.api.common.v1 import Payload, SearchAttributes
from temporalio.api.enums.v1 import CommandType, IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    AddSearchAttributesResponse,
    ListSearchAttributesRequest,
    ListSearchAttributesResponse,
    RemoveSearchAttributesRequest,
    RemoveSearchAttributesResponse,
)
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    GetSearchAttributesRequest,
    GetSearchAttributesResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
)

from perdure.server.frontend.services import Services
from perdure.server.namespaces.aliases import ATTRIBUTES_MAX
from perdure.server.namespaces.registry import NamespaceRegistry
from perdure.transport import Code
from tests.frontend.client import Client, start_request

TYPES = {"K": 2, "I": 3, "D": 4, "B": 5, "DT": 6, "KL": 7, "TX": 1}


async def add(client: Client, **types: Any) -> None:
    request = AddSearchAttributesRequest(namespace="default", search_attributes=types)
    await client.call(request, AddSearchAttributesResponse)


async def custom(client: Client) -> dict[str, int]:
    request = ListSearchAttributesRequest(namespace="default")
    return dict((await client.call(request, ListSearchAttributesResponse)).custom_attributes)


def payload(value: object, kind: str = "") -> Payload:
    metadata = {"encoding": b"json/plain"} | ({"type": kind.encode()} if kind else {})
    return Payload(metadata=metadata, data=json.dumps(value).encode())


def attributes(**values: object) -> SearchAttributes:
    return SearchAttributes(
        indexed_fields={
            name: value if isinstance(value, Payload) else payload(value)
            for name, value in values.items()
        }
    )


async def found(client: Client, query: str) -> list[str]:
    request = ListWorkflowExecutionsRequest(namespace="default", query=query)
    page = await client.call(request, ListWorkflowExecutionsResponse)
    return [info.execution.workflow_id for info in page.executions]


async def test_added_attributes_are_listed_and_can_be_used_at_once(client: Client) -> None:
    await add(client, **TYPES)
    assert await custom(client) == TYPES
    await client.start("w", search_attributes=attributes(K="k", KL=["a", "b"]))
    assert await found(client, "K = 'k' AND KL = 'b'") == ["w"]


async def test_one_that_is_there_stays_as_it_is(client: Client) -> None:
    await add(client, K=2)
    await add(client, K=3, L=2)
    assert await custom(client) == {"K": 2, "L": 2}


async def test_attributes_outlive_the_server(client: Client, services: Services) -> None:
    await add(client, K=2)
    again = NamespaceRegistry(services.store, services.ids, time.time_ns)
    await again.load([])
    assert again.by_name("default").search_attributes["K"].type == 2


async def test_a_removed_attribute_is_gone_and_its_values_never_come_back(client: Client) -> None:
    await add(client, K=2)
    await client.start("w", search_attributes=attributes(K="k"))
    request = RemoveSearchAttributesRequest(namespace="default", search_attributes=["K", "none"])
    await client.call(request, RemoveSearchAttributesResponse)
    assert await custom(client) == {}
    refused = await client.refusal(
        ListWorkflowExecutionsRequest(namespace="default", query="K = 'k'")
    )
    assert refused.message == "invalid query: invalid search attribute: K"
    described = await client.call(
        DescribeNamespaceRequest(namespace="default"), DescribeNamespaceResponse
    )
    assert not described.config.custom_search_attribute_aliases
    await add(client, K=3)
    assert await found(client, "K IS NOT NULL") == []
    await client.terminate("w")
    assert await found(client, "K IS NOT NULL") == []


async def test_the_namespace_tells_which_fields_are_in_use(client: Client) -> None:
    await add(client, A=2, B=2, C=7)
    described = await client.call(
        DescribeNamespaceRequest(namespace="default"), DescribeNamespaceResponse
    )
    assert dict(described.config.custom_search_attribute_aliases) == {
        "Keyword01": "A",
        "Keyword02": "B",
        "KeywordList01": "C",
    }


async def test_the_attributes_of_the_system_are_listed(client: Client) -> None:
    request = ListSearchAttributesRequest(namespace="default")
    listed = await client.call(request, ListSearchAttributesResponse)
    assert len(listed.system_attributes) == 33
    assert listed.system_attributes["StartTime"] == IndexedValueType.INDEXED_VALUE_TYPE_DATETIME
    legacy = await client.call(GetSearchAttributesRequest(), GetSearchAttributesResponse)
    assert dict(legacy.keys) == dict(listed.system_attributes)


TOO_MANY = (
    "Unable to create search attributes: cannot have more than {} search attribute of type {}."
)

ADDED: list[tuple[dict[str, Any], Code, str]] = [
    ({}, Code.INVALID_ARGUMENT, "SearchAttributes are not set on request."),
    (
        {"WorkflowId": 2},
        Code.INVALID_ARGUMENT,
        "Search attribute WorkflowId is reserved by system.",
    ),
    ({"BuildIds": 7}, Code.INVALID_ARGUMENT, "Search attribute BuildIds is reserved by system."),
    (
        {"TemporalFoo": 2},
        Code.INVALID_ARGUMENT,
        "Search attribute TemporalFoo is reserved by system.",
    ),
    ({"X": 99}, Code.INVALID_ARGUMENT, "Unknown search attribute type: 99."),
    (
        {"X": 0},
        Code.INVALID_ARGUMENT,
        TOO_MANY.format(0, "Unspecified"),
    ),
    ({"": 2}, Code.INVALID_ARGUMENT, "Search attribute name is empty or too long."),
    ({"x" * 1001: 2}, Code.INVALID_ARGUMENT, "Search attribute name is empty or too long."),
    (
        {f"x{number}": 3 for number in range(ATTRIBUTES_MAX + 1)},
        Code.INVALID_ARGUMENT,
        TOO_MANY.format(ATTRIBUTES_MAX, "Int"),
    ),
]


@pytest.mark.parametrize(("types", "code", "message"), ADDED)
async def test_what_cannot_be_added_is_refused_and_nothing_is_added(
    client: Client, types: dict[str, Any], code: Code, message: str
) -> None:
    request = AddSearchAttributesRequest(namespace="default", search_attributes=types)
    failure = await client.refusal(request)
    assert (failure.code, failure.message) == (code, message)
    assert await custom(client) == {}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "SearchAttributes are not set on request."),
        (["BuildIds"], "Unable to remove non-custom search attributes: BuildIds."),
    ],
)
async def test_only_custom_ones_can_be_removed(
    client: Client, names: list[str], message: str
) -> None:
    request = RemoveSearchAttributesRequest(namespace="default", search_attributes=names)
    failure = await client.refusal(request)
    assert (failure.code, failure.message) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize(
    ("namespace", "code", "message"),
    [
        ("", Code.INVALID_ARGUMENT, "Namespace is not set on request."),
        ("nope", Code.NOT_FOUND, "Namespace nope is not found."),
    ],
)
async def test_attributes_belong_to_a_namespace(
    client: Client, namespace: str, code: Code, message: str
) -> None:
    add_request = AddSearchAttributesRequest(namespace=namespace, search_attributes={"X": 2})  # type: ignore[dict-item]
    for request in (
        add_request,
        RemoveSearchAttributesRequest(namespace=namespace, search_attributes=["X"]),
        ListSearchAttributesRequest(namespace=namespace),
    ):
        failure = await client.refusal(request)
        assert (failure.code, failure.message) == (code, message)


_WRONG = "invalid value for search attribute {} of type {}: {}"

VALUES: list[tuple[dict[str, object], str]] = [
    ({"KL": "d"}, _WRONG.format("KL", "KeywordList", "d")),
    ({"KL": ["5", 5]}, _WRONG.format("KL", "KeywordList", "[5 5]")),
    ({"K": ["a", "b"]}, _WRONG.format("K", "Keyword", "[a b]")),
    ({"K": 5}, _WRONG.format("K", "Keyword", "5")),
    ({"I": [8, 9]}, _WRONG.format("I", "Int", "[8 9]")),
    ({"I": 1.5}, _WRONG.format("I", "Int", "1.5")),
    ({"I": True}, _WRONG.format("I", "Int", "true")),
    ({"I": 2**63}, _WRONG.format("I", "Int", "9.223372036854776e+18")),
    ({"D": "x"}, _WRONG.format("D", "Double", "x")),
    ({"B": 1}, _WRONG.format("B", "Bool", "1")),
    ({"DT": "x"}, _WRONG.format("DT", "Datetime", "x")),
    ({"DT": 5}, _WRONG.format("DT", "Datetime", "5")),
    ({"TX": {"a": None}}, _WRONG.format("TX", "Text", "map[a:<nil>]")),
    ({"K": Payload()}, _WRONG.format("K", "Keyword", "value from <>")),
    (
        {"K": Payload(metadata={"encoding": b"json/plain"}, data=b"{")},
        _WRONG.format(
            "K", "Keyword", 'value from <metadata:{key:"encoding"  value:"json/plain"}  data:"{">'
        ),
    ),
    (
        {"K": Payload(metadata={"encoding": b"binary/plain"}, data=b"abc")},
        _WRONG.format("K", "Keyword", "[97 98 99]"),
    ),
    ({"K": "x" * 2049}, "search attribute K value size 2051 exceeds size limit 2048"),
    ({"Nope": 1}, "Namespace default has no mapping defined for search attribute Nope"),
    ({"Keyword01": 1}, "Namespace default has no mapping defined for search attribute Keyword01"),
    ({"WorkflowId": 1}, "WorkflowId attribute can't be set in SearchAttributes"),
]


@pytest.mark.parametrize(("values", "message"), VALUES)
async def test_a_value_of_another_type_is_refused(
    client: Client, values: dict[str, object], message: str
) -> None:
    await add(client, **TYPES)
    failure = await client.refusal(
        start_request(workflow_id="w", search_attributes=attributes(**values))
    )
    assert (failure.code, failure.message) == (Code.INVALID_ARGUMENT, message)
    await client.start("u")
    task = await client.poll_workflow_task()
    failure = await client.refusal(
        RespondWorkflowTaskCompletedRequest(
            namespace="default", task_token=task.task_token, commands=[upsert(**values)]
        )
    )
    assert failure.message == f"BadSearchAttributes: {message}"


def upsert(**values: object) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsert_workflow_search_attributes_command_attributes=(
            UpsertWorkflowSearchAttributesCommandAttributes(search_attributes=attributes(**values))
        ),
    )


async def test_each_value_says_its_type_unless_it_says_another(client: Client) -> None:
    await add(client, **TYPES)
    told = payload("x", "Odd")
    await client.start("w", search_attributes=attributes(K=told, I=5, KL=None))
    request = ListWorkflowExecutionsRequest(namespace="default")
    [info] = (await client.call(request, ListWorkflowExecutionsResponse)).executions
    fields = info.search_attributes.indexed_fields
    assert {name: fields[name].metadata["type"] for name in fields} == {"K": b"Odd", "I": b"Int"}


async def test_what_a_workflow_upserts_is_found_and_what_it_unsets_is_not(client: Client) -> None:
    await add(client, **TYPES)
    await client.start("w", search_attributes=attributes(K="old", I=5, TX="some words"))
    task = await client.poll_workflow_task()
    await client.call(
        RespondWorkflowTaskCompletedRequest(
            namespace="default",
            task_token=task.task_token,
            commands=[upsert(K="new", I=None, TX="other words")],
        ),
        RespondWorkflowTaskCompletedResponse,
    )
    assert await found(client, "K = 'new' AND I IS NULL AND TX = 'other'") == ["w"]
    assert await found(client, "K = 'old' OR I = 5 OR TX = 'some'") == []
    assert await found(client, "BuildIds = 'unversioned'") == ["w"]


async def test_times_beyond_those_that_can_be_counted_are_before_or_after_all_others(
    client: Client,
) -> None:
    await add(client, **TYPES)
    for name, moment in (
        ("first", "0001-01-01T00:00:00+05:00"),
        ("now", "2026-01-31T12:00:00Z"),
        ("never", "9999-12-31T23:59:59-05:00"),
    ):
        await client.start(name, search_attributes=attributes(DT=moment))
    assert await found(client, "DT > '2026-01-31T12:00:00Z'") == ["never"]
    assert await found(client, "DT < '2026-01-31T12:00:00Z'") == ["first"]
    begin, end = "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"
    for name in ("DT", "StartTime"):
        between = f"{name} BETWEEN '{begin}' AND '{end}'"
        assert sorted(await found(client, between)) == ["first", "never", "now"]
    assert await found(client, f"CloseTime < '{end}'") == []


async def test_runs_are_counted_by_any_keyword(client: Client) -> None:
    await add(client, K=2)
    for name, value in (("a", "x"), ("b", "x"), ("c", "y")):
        await client.start(name, search_attributes=attributes(K=value))
    await client.start("d")
    await client.terminate("a")
    request = CountWorkflowExecutionsRequest(namespace="default", query="GROUP BY K")
    counted = await client.call(request, CountWorkflowExecutionsResponse)
    groups = {json.loads(group.group_values[0].data): group.count for group in counted.groups}
    assert (counted.count, groups) == (4, {"x": 2, "y": 1, "": 1})
    request = CountWorkflowExecutionsRequest(namespace="default", query="GROUP BY ExecutionStatus")
    counted = await client.call(request, CountWorkflowExecutionsResponse)
    assert [(group.group_values[0].data, group.count) for group in counted.groups] == [
        (b'"Running"', 3),
        (b'"Terminated"', 1),
    ]
