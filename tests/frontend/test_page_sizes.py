"""Pages end when they have enough bytes, however few events or runs that are."""

from __future__ import annotations

from temporalio.api.common.v1 import Memo, Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
)

from tests.frontend.client import NAMESPACE, WORKFLOW_ID, Client

EXECUTION = WorkflowExecution(workflow_id=WORKFLOW_ID)
MEGABYTE = 1024 * 1024
SIGNALS = 12
EVENTS = SIGNALS + 2
LARGEST_PAGE = 6 * MEGABYTE
"""4 MiB, and one more event or run, or the few that are read at once."""


async def _large_history(client: Client) -> None:
    await client.start()
    for number in range(SIGNALS):
        request = SignalWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_execution=EXECUTION,
            signal_name=str(number),
            input=Payloads(payloads=[Payload(data=bytes(MEGABYTE))]),
        )
        await client.call(request, SignalWorkflowExecutionResponse)


async def test_pages_of_a_history(client: Client) -> None:
    await _large_history(client)
    request = GetWorkflowExecutionHistoryRequest(namespace=NAMESPACE, execution=EXECUTION)
    seen, pages = [], 0
    while True:
        page = await client.call(request, GetWorkflowExecutionHistoryResponse)
        seen += [event.event_id for event in page.history.events]
        pages += 1
        assert page.ByteSize() < LARGEST_PAGE
        if not page.next_page_token:
            break
        request.next_page_token = page.next_page_token
    assert seen == list(range(1, EVENTS + 1))
    assert pages > 2


async def test_pages_of_a_history_newest_first(client: Client) -> None:
    await _large_history(client)
    request = GetWorkflowExecutionHistoryReverseRequest(namespace=NAMESPACE, execution=EXECUTION)
    seen = []
    while True:
        page = await client.call(request, GetWorkflowExecutionHistoryReverseResponse)
        seen += [event.event_id for event in page.history.events]
        if not page.next_page_token:
            break
        request.next_page_token = page.next_page_token
    assert seen == list(range(EVENTS, 0, -1))


async def test_the_history_of_a_workflow_task(client: Client) -> None:
    await _large_history(client)
    task = await client.poll_workflow_task()
    assert task.ByteSize() < LARGEST_PAGE
    seen = [event.event_id for event in task.history.events]
    request = GetWorkflowExecutionHistoryRequest(
        namespace=NAMESPACE, execution=EXECUTION, next_page_token=task.next_page_token
    )
    while request.next_page_token:
        page = await client.call(request, GetWorkflowExecutionHistoryResponse)
        assert page.ByteSize() < LARGEST_PAGE
        seen += [event.event_id for event in page.history.events]
        request.next_page_token = page.next_page_token
    assert seen == list(range(1, task.started_event_id + 1))


async def test_pages_of_a_list(client: Client) -> None:
    memo = Memo(fields={"m": Payload(data=bytes(MEGABYTE))})
    ids = {f"{WORKFLOW_ID}-{number}" for number in range(30)}
    for workflow_id in ids:
        await client.start(workflow_id, memo=memo)
    request = ListWorkflowExecutionsRequest(namespace=NAMESPACE)
    seen, pages = [], 0
    while True:
        page = await client.call(request, ListWorkflowExecutionsResponse)
        seen += [info.execution.workflow_id for info in page.executions]
        pages += 1
        if not page.next_page_token:
            break
        request.next_page_token = page.next_page_token
    assert sorted(seen) == sorted(ids)
    assert pages == 2, "no more than the twenty that are looked at first"


async def test_a_list_of_small_runs_is_one_page(client: Client) -> None:
    for number in range(60):
        await client.start(f"{WORKFLOW_ID}-{number}")
    request = ListWorkflowExecutionsRequest(namespace=NAMESPACE)
    page = await client.call(request, ListWorkflowExecutionsResponse)
    assert len(page.executions) == 60
    assert not page.next_page_token
