"""Histories: pages, waiting, the close event, what is not recorded yet, and the newest first."""

from __future__ import annotations

import asyncio

import pytest
from temporalio.api.command.v1 import Command, FailWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import RetryPolicy, WorkflowExecution
from temporalio.api.enums.v1 import CommandType, EventType, HistoryEventFilterType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
)

from perdure.server.engine.api import WorkflowTaskWithHistory
from perdure.server.frontend.responses import workflow_task
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import encode_task_token
from perdure.server.machines.workflow.inputs import StartedWorkflowTask, TaskToken
from perdure.transport import Code
from tests.frontend.client import WORKFLOW_ID, Client

CLOSE_EVENT = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
EXECUTION = WorkflowExecution(workflow_id=WORKFLOW_ID)


def ids_of(page: GetWorkflowExecutionHistoryResponse) -> list[int]:
    """The event ids of a page."""
    return [event.event_id for event in page.history.events]


async def parked(
    client: Client, waiting: asyncio.Task[GetWorkflowExecutionHistoryResponse]
) -> None:
    """Let a call get to where it waits; other calls that pass it by show that it does."""
    request = DescribeWorkflowExecutionRequest(namespace="default", execution=EXECUTION)
    for _ in range(20):
        await client.call(request, DescribeWorkflowExecutionResponse)
        await asyncio.sleep(0)
    assert not waiting.done()


async def test_pages_follow_each_other_without_gap_or_repetition(client: Client) -> None:
    await client.start()
    for number in range(5):
        await client.signal(f"signal {number}")
    seen: list[int] = []
    token = b""
    sizes = []
    while True:
        page = await client.history(maximum_page_size=2, next_page_token=token)
        seen += ids_of(page)
        sizes.append(len(ids_of(page)))
        token = page.next_page_token
        if not token:
            break
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert sizes == [2, 2, 2, 1]


async def test_a_page_token_stays_valid_while_events_are_written(client: Client) -> None:
    await client.start()
    first = await client.history(maximum_page_size=1)
    await client.signal("later")
    rest = await client.history(next_page_token=first.next_page_token)
    assert (ids_of(first), ids_of(rest)) == ([1], [2, 3])


async def test_without_waiting_the_last_page_has_no_token(client: Client) -> None:
    await client.start()
    assert not (await client.history()).next_page_token


async def test_a_reader_that_waits_gets_what_is_there_first(client: Client) -> None:
    await client.start()
    page = await client.history(wait_new_event=True)
    assert ids_of(page) == [1, 2]
    assert page.next_page_token


async def test_a_reader_that_has_seen_all_waits_for_the_next_event(client: Client) -> None:
    await client.start()
    first = await client.history(wait_new_event=True)
    waiting = asyncio.create_task(
        client.history(wait_new_event=True, next_page_token=first.next_page_token)
    )
    await parked(client, waiting)
    await client.signal("new")
    page = await waiting
    assert ids_of(page) == [3]
    assert page.next_page_token


async def test_a_reader_that_waits_is_done_when_the_run_closes(client: Client) -> None:
    await client.start()
    first = await client.history(wait_new_event=True)
    waiting = asyncio.create_task(
        client.history(wait_new_event=True, next_page_token=first.next_page_token)
    )
    await parked(client, waiting)
    await client.terminate()
    page = await waiting
    assert ids_of(page) == [3]
    assert not page.next_page_token


@pytest.mark.parametrize("is_asked", [True, False])
async def test_the_close_event_is_awaited_asked_or_not(client: Client, is_asked: bool) -> None:
    await client.start()
    waiting = asyncio.create_task(
        client.history(wait_new_event=is_asked, history_event_filter_type=CLOSE_EVENT)
    )
    await client.signal("no close")
    await parked(client, waiting)
    await client.terminate()
    page = await waiting
    assert [event.event_type for event in page.history.events] == [
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
    ]
    assert not page.next_page_token


async def test_a_slice_of_waiting_ends_with_a_token_and_no_event(client: Client) -> None:
    await client.start()
    request = GetWorkflowExecutionHistoryRequest(
        namespace="default",
        execution=EXECUTION,
        wait_new_event=True,
        history_event_filter_type=CLOSE_EVENT,
    )
    # Less than what a long poll keeps back for its answer: the slice is over at once.
    page = await client.call(request, GetWorkflowExecutionHistoryResponse, timeout_seconds=0.9)
    assert ids_of(page) == []
    assert page.HasField("history")
    assert page.next_page_token
    await client.terminate()
    request.next_page_token = page.next_page_token
    assert ids_of(await client.call(request, GetWorkflowExecutionHistoryResponse)) == [3]


async def test_an_open_run_has_no_close_event(client: Client) -> None:
    await client.start()
    request = GetWorkflowExecutionHistoryRequest(
        namespace="default", execution=EXECUTION, history_event_filter_type=CLOSE_EVENT
    )
    page = await client.call(request, GetWorkflowExecutionHistoryResponse, timeout_seconds=0.9)
    assert ids_of(page) == []
    assert page.HasField("history")
    assert not page.next_page_token


@pytest.mark.parametrize(
    ("token", "run_id", "text"),
    [
        (b"zz", "", "Invalid NextPageToken."),
        (
            None,
            "01a20bca-5c1b-7ab5-b66f-f70bafda835f",
            "RunId in the request does not match the NextPageToken.",
        ),
    ],
)
async def test_a_wrong_page_token_is_refused(
    client: Client, token: bytes | None, run_id: str, text: str
) -> None:
    await client.start()
    good = (await client.history(maximum_page_size=1)).next_page_token
    failure = await client.refusal(
        GetWorkflowExecutionHistoryRequest(
            namespace="default",
            execution=WorkflowExecution(workflow_id=WORKFLOW_ID, run_id=run_id),
            next_page_token=good if token is None else token,
        )
    )
    assert (failure.code, failure.message) == (Code.INVALID_ARGUMENT, text)


async def fail_task(client: Client) -> None:
    """Take the workflow task and fail it: the next attempt writes no events."""
    task = await client.poll_workflow_task()
    request = RespondWorkflowTaskFailedRequest(
        task_token=task.task_token, failure=Failure(message="cannot")
    )
    await client.call(request, RespondWorkflowTaskFailedResponse)


async def test_a_task_that_is_not_recorded_ends_the_history_of_those_who_can_take_it(
    client: Client,
) -> None:
    await client.start()
    await fail_task(client)
    for_programs = await client.history()
    for_people = await client.history(headers={"client-name": "temporal-cli"})
    assert ids_of(for_people) == [1, 2, 3, 4]
    assert ids_of(for_programs)[:4] == [1, 2, 3, 4]
    extra = for_programs.history.events[4:]
    assert [event.event_type for event in extra] == [
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
    ][: len(extra)]
    assert extra


async def test_a_page_of_a_tasks_history_ends_where_the_task_does(
    client: Client, services: Services
) -> None:
    run_id = await client.start()
    namespace = services.bind("default")
    token = TaskToken(namespace.id, WORKFLOW_ID, run_id, 2, 1, 1)
    unrecorded = (await client.history()).history.SerializeToString()
    task = StartedWorkflowTask(
        token=token,
        workflow_type="Type",
        attempt=1,
        previous_started_event_id=0,
        started_event_id=3,
        scheduled_time_ns=1,
        started_time_ns=2,
        task_queue="q",
        history_from=1,
        history_to=2,
        unrecorded=unrecorded,
    )
    await client.signal("after the task")
    polled = PollWorkflowTaskQueueResponse.FromString(
        workflow_task(WorkflowTaskWithHistory(task, b"", 2))
    )
    assert polled.task_token == encode_task_token(token)
    response = await client.history(next_page_token=polled.next_page_token)
    assert ids_of(response) == [2, 1, 2]
    assert not response.next_page_token


async def test_a_retried_run_looks_continued_to_clients_that_cannot_follow_it(
    client: Client,
) -> None:
    await client.start(retry_policy=RetryPolicy(maximum_attempts=2))
    run_id = await close_with_failure(client)
    request = GetWorkflowExecutionHistoryRequest(
        namespace="default",
        execution=WorkflowExecution(workflow_id=WORKFLOW_ID, run_id=run_id),
        history_event_filter_type=CLOSE_EVENT,
    )
    old = await client.call(request, GetWorkflowExecutionHistoryResponse)
    new = await client.call(
        request,
        GetWorkflowExecutionHistoryResponse,
        headers={"supported-features": "other,follows-next-run-id"},
    )
    [failed], [continued] = new.history.events, old.history.events
    assert failed.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
    assert continued.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
    assert continued.event_id == failed.event_id
    attributes = continued.workflow_execution_continued_as_new_event_attributes
    original = failed.workflow_execution_failed_event_attributes
    assert attributes.new_execution_run_id == original.new_execution_run_id != ""
    assert attributes.failure == original.failure


async def close_with_failure(client: Client) -> str:
    """Fail the workflow; the id of its run."""
    task = await client.poll_workflow_task()
    failure = Failure(message="no", application_failure_info=ApplicationFailureInfo(type="t"))
    command = Command(
        command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
        fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
            failure=failure
        ),
    )
    request = RespondWorkflowTaskCompletedRequest(task_token=task.task_token, commands=[command])
    await client.call(request, RespondWorkflowTaskCompletedResponse)
    return task.workflow_execution.run_id


async def test_newest_first_pages_reach_the_first_event(client: Client) -> None:
    await client.start()
    for number in range(3):
        await client.signal(f"signal {number}")
    seen: list[list[int]] = []
    token = b""
    while True:
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace="default", execution=EXECUTION, maximum_page_size=2, next_page_token=token
        )
        page = await client.call(request, GetWorkflowExecutionHistoryReverseResponse)
        seen.append([event.event_id for event in page.history.events])
        token = page.next_page_token
        if not token:
            break
    assert seen == [[5, 4], [3, 2], [1]]
