"""Lists of executions, and histories read in every way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    RegisterNamespaceRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.interop.raw import HandWorker, seconds
from tests.interop.stage import WAIT_SECONDS, Stage


async def listing(stage: Stage) -> None:
    """Open runs first, then closed ones, the newest first in each; page by page."""
    stage.namespace = f"listing-{stage.nonce}"
    await stage.service.register_namespace(
        RegisterNamespaceRequest(
            namespace=stage.namespace, workflow_execution_retention_period=seconds(86400)
        )
    )
    await _usable(stage)
    workers = {name: HandWorker(stage, queue=name) for name in ("one", "two", "three", "four")}
    for name, worker in workers.items():
        await worker.start(name)
    await workers["three"].finish()
    await workers["one"].finish()
    # The real server's list follows what happened after a moment.
    complete = await _listed(stage, executions=4, closed=2)
    stage.message("all", complete)
    request = ListWorkflowExecutionsRequest(namespace=stage.namespace, page_size=3)
    first = await stage.service.list_workflow_executions(request)
    stage.message("first page", first)
    request.next_page_token = first.next_page_token
    second = await stage.service.list_workflow_executions(request)
    stage.message("second page", second)


async def history_reads(stage: Stage) -> None:
    """The history of a closed run by pages, waiting, only its close event, without its run id."""
    worker = HandWorker(stage)
    execution = await worker.start()
    only_close = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
    read = stage.service.get_workflow_execution_history

    def request(**fields: Any) -> GetWorkflowExecutionHistoryRequest:
        return GetWorkflowExecutionHistoryRequest(
            namespace=stage.namespace, execution=execution, **fields
        )

    # The close event of an open run is waited for, asked or not, as long as the caller's patience
    # or the server's long poll lasts.
    impatient = read(request(history_event_filter_type=only_close), timeout=timedelta(seconds=1))
    await stage.outcome("close event of an open run", impatient)
    patient = asyncio.create_task(read(request(history_event_filter_type=only_close)))
    await worker.finish()
    await stage.outcome("close event of a run that ends meanwhile", patient)
    # Pages are put together: the real server counts transactions where ours counts events.
    page, whole = request(maximum_page_size=2), GetWorkflowExecutionHistoryResponse()
    while True:
        response = await read(page)
        whole.history.events.extend(response.history.events)
        if not response.next_page_token:
            break
        page.next_page_token = response.next_page_token
    stage.message("all pages", whole)
    await stage.outcome("waiting", read(request(wait_new_event=True)))
    await stage.outcome("close event", read(request(history_event_filter_type=only_close)))
    await stage.outcome(
        "waiting for the close event",
        read(request(history_event_filter_type=only_close, wait_new_event=True)),
    )
    await stage.outcome("without archive", read(request(skip_archival=True)))
    without_run = GetWorkflowExecutionHistoryRequest(
        namespace=stage.namespace, execution=WorkflowExecution(workflow_id=execution.workflow_id)
    )
    await stage.outcome("without a run id", read(without_run))


async def _usable(stage: Stage) -> None:
    """The real server's frontends see a new namespace after a moment."""
    request = ListWorkflowExecutionsRequest(namespace=stage.namespace)
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await stage.service.list_workflow_executions(request)
                return
            except RPCError as refusal:
                if refusal.status is not RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.1)


async def _listed(stage: Stage, executions: int, closed: int) -> ListWorkflowExecutionsResponse:
    request = ListWorkflowExecutionsRequest(namespace=stage.namespace)
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            response = await stage.service.list_workflow_executions(request)
            with_end = [one for one in response.executions if one.HasField("close_time")]
            if len(response.executions) == executions and len(with_end) == closed:
                return response
            await asyncio.sleep(0.05)
