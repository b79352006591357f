"""Lists and counts: queries, orders, pages, and the old calls with filters of their own."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.filter.v1 import (
    StartTimeFilter,
    StatusFilter,
    WorkflowExecutionFilter,
    WorkflowTypeFilter,
)
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    ListArchivedWorkflowExecutionsRequest,
    ListClosedWorkflowExecutionsRequest,
    ListClosedWorkflowExecutionsResponse,
    ListOpenWorkflowExecutionsRequest,
    ListOpenWorkflowExecutionsResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    ScanWorkflowExecutionsRequest,
    ScanWorkflowExecutionsResponse,
)

from perdure.server.app import Service
from perdure.server.config import Settings
from perdure.transport import Code
from tests.frontend.client import Client

Listed = (
    ListWorkflowExecutionsResponse
    | ListOpenWorkflowExecutionsResponse
    | ListClosedWorkflowExecutionsResponse
    | ScanWorkflowExecutionsResponse
)
TERMINATED = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING


def names(response: Listed) -> list[str]:
    return [info.execution.workflow_id for info in response.executions]


async def listed(client: Client, query: str, size: int = 0, token: bytes = b"") -> Listed:
    request = ListWorkflowExecutionsRequest(
        namespace="default", query=query, page_size=size, next_page_token=token
    )
    return await client.call(request, ListWorkflowExecutionsResponse)


async def three(client: Client) -> None:
    """Runs a, b and c, of which b is terminated."""
    for name in ("a", "b", "c"):
        await client.start(name)
    await client.terminate("b")


async def test_a_list_shows_what_was_just_written(client: Client) -> None:
    await client.start("a")
    assert names(await listed(client, "ExecutionStatus = 'Running'")) == ["a"]
    await client.terminate("a")
    assert names(await listed(client, "ExecutionStatus = 'Running'")) == []
    assert names(await listed(client, "ExecutionStatus = 'Terminated'")) == ["a"]


async def test_pages_follow_the_order_that_is_asked_for(client: Client) -> None:
    await three(client)
    for query, expected in (
        ("ORDER BY WorkflowId", ["a", "b", "c"]),
        ("ORDER BY WorkflowId DESC", ["c", "b", "a"]),
        ("ORDER BY ExecutionStatus DESC, WorkflowId", ["b", "a", "c"]),
        ("ORDER BY CloseTime, WorkflowId DESC", ["c", "a", "b"]),
    ):
        found: list[str] = []
        page = await listed(client, query, 1)
        while True:
            found += names(page)
            if not page.next_page_token:
                break
            page = await listed(client, query, 1, page.next_page_token)
        assert found == expected


async def test_a_token_of_another_order_is_refused(client: Client) -> None:
    await three(client)
    token = (await listed(client, "ORDER BY WorkflowId", 1)).next_page_token
    number = msgspec.msgpack.encode([0, 0, 0, [5]])
    for query, other in (
        ("", token),
        ("ORDER BY StartTime", token),
        ("ORDER BY WorkflowId, RunId", token),
        ("ORDER BY WorkflowId", number),
    ):
        failure = await client.refusal(
            ListWorkflowExecutionsRequest(namespace="default", query=query, next_page_token=other)
        )
        assert (failure.code, failure.message) == (
            Code.INVALID_ARGUMENT,
            "Invalid NextPageToken.",
        )


async def test_a_scan_is_a_list(client: Client) -> None:
    await three(client)
    request = ScanWorkflowExecutionsRequest(namespace="default", query="WorkflowId > 'a'")
    assert names(await client.call(request, ScanWorkflowExecutionsResponse)) == ["c", "b"]


async def test_runs_are_counted(client: Client) -> None:
    await three(client)
    request = CountWorkflowExecutionsRequest(namespace="default", query="WorkflowId != 'a'")
    response = await client.call(request, CountWorkflowExecutionsResponse)
    assert (response.count, len(response.groups)) == (2, 0)


@pytest.mark.parametrize(
    "kind",
    [
        ListWorkflowExecutionsRequest,
        ScanWorkflowExecutionsRequest,
        CountWorkflowExecutionsRequest,
    ],
)
async def test_a_bad_query_is_refused_everywhere(client: Client, kind: type[Message]) -> None:
    failure = await client.refusal(kind(namespace="default", query="Foo = 'x'"))
    assert (failure.code, failure.message) == (
        Code.INVALID_ARGUMENT,
        "invalid query: invalid search attribute: Foo",
    )
    failure = await client.refusal(kind(namespace="nope", query="Foo = 'x'"))
    assert failure.code is Code.NOT_FOUND


async def test_open_and_closed_runs_are_listed_by_the_old_calls(client: Client) -> None:
    await three(client)
    opened = ListOpenWorkflowExecutionsRequest(namespace="default")
    assert names(await client.call(opened, ListOpenWorkflowExecutionsResponse)) == ["c", "a"]
    opened.execution_filter.CopyFrom(WorkflowExecutionFilter(workflow_id="a"))
    assert names(await client.call(opened, ListOpenWorkflowExecutionsResponse)) == ["a"]
    opened.start_time_filter.CopyFrom(StartTimeFilter(latest_time=Timestamp(seconds=1)))
    assert names(await client.call(opened, ListOpenWorkflowExecutionsResponse)) == []
    closed = ListClosedWorkflowExecutionsRequest(namespace="default")
    assert names(await client.call(closed, ListClosedWorkflowExecutionsResponse)) == ["b"]
    closed.type_filter.CopyFrom(WorkflowTypeFilter(name="Other"))
    assert names(await client.call(closed, ListClosedWorkflowExecutionsResponse)) == []
    closed.status_filter.CopyFrom(StatusFilter(status=TERMINATED))
    assert names(await client.call(closed, ListClosedWorkflowExecutionsResponse)) == ["b"]


async def test_filters_of_the_old_calls_that_make_no_sense_are_refused(client: Client) -> None:
    backwards = StartTimeFilter(
        earliest_time=Timestamp(seconds=2), latest_time=Timestamp(seconds=1)
    )
    failure = await client.refusal(
        ListOpenWorkflowExecutionsRequest(namespace="default", start_time_filter=backwards)
    )
    assert failure.message == (
        "EarliestTime in StartTimeFilter should not be larger than LatestTime."
    )
    failure = await client.refusal(
        ListClosedWorkflowExecutionsRequest(
            namespace="default", status_filter=StatusFilter(status=RUNNING)
        )
    )
    assert failure.message == "StatusFilter must be specified and must be not Running."


async def test_there_is_no_archive(client: Client) -> None:
    failure = await client.refusal(ListArchivedWorkflowExecutionsRequest(namespace="default"))
    assert failure.message == "Cluster is not configured for visibility archival."


async def test_times_beyond_all_years_find_what_they_bound(tmp_path: Path) -> None:
    settings = Settings(database=str(tmp_path / "perdure.db"))
    service = await Service.open(settings, on_lease_lost=lambda: None)
    client = Client(service.handlers)
    await three(client)
    opened = ListOpenWorkflowExecutionsRequest(namespace="default")
    opened.start_time_filter.CopyFrom(
        StartTimeFilter(
            earliest_time=Timestamp(seconds=-(2**62)), latest_time=Timestamp(seconds=2**62)
        )
    )
    assert names(await client.call(opened, ListOpenWorkflowExecutionsResponse)) == ["c", "a"]
    await service.close()


async def test_an_unknown_status_is_refused(client: Client) -> None:
    request = ListClosedWorkflowExecutionsRequest(
        namespace="default",
        status_filter=StatusFilter(status=99),  # type: ignore[arg-type]
    )
    failure = await client.refusal(request)
    assert failure.code is Code.INVALID_ARGUMENT
    assert failure.message.endswith("invalid ExecutionStatus value '99'")


@pytest.mark.parametrize(
    "query",
    [
        "WorkflowId = '" + "x" * 1024 * 1024 + "'",
        "WorkflowId IN (" + ",".join(["'a'"] * 60_000) + ")",
        "ORDER BY " + ", ".join(["StartTime"] * 3_000),
    ],
    ids=["long", "many words", "many orders"],
)
async def test_a_query_that_is_too_much_is_refused(client: Client, query: str) -> None:
    request = ListWorkflowExecutionsRequest(namespace="default", query=query)
    failure = await client.refusal(request)
    assert failure.code is Code.INVALID_ARGUMENT
