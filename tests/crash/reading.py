"""Histories over the API, and what a reader has seen of them."""

from __future__ import annotations

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
)

from perdure.server.machines.wire import entries_of
from sim.ledger import Ledger
from tests.crash.connection import READER, Connection

NAMESPACE = "default"


async def read_history(
    connection: Connection, workflow_id: str, run_id: str, *, page_size: int = 0
) -> list[HistoryEvent]:
    """The recorded events of a run. Raises Refused."""
    events: list[HistoryEvent] = []
    request = GetWorkflowExecutionHistoryRequest(
        namespace=NAMESPACE,
        execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        maximum_page_size=page_size,
    )
    while True:
        page = await connection.insist(
            request, GetWorkflowExecutionHistoryResponse, metadata=READER
        )
        events.extend(page.history.events)
        if not page.next_page_token:
            return events
        request.next_page_token = page.next_page_token


def note_read(ledger: Ledger, run_id: str, events: list[HistoryEvent]) -> str:
    """Note recorded events that somebody has got; what they contradict, or ""."""
    if not events:
        return ""
    entries = entries_of(History(events=events).SerializeToString())
    return ledger.read(run_id, events[0].event_id, entries)
