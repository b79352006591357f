"""The audit after a crash test: a fresh look at everything that is stored, beside the ledger.

The invariants are those of the simulator. H5 is not among them, since it replays the simulator's
own program.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apsw
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)

from perdure.server.store.ports import Store, StoreError
from perdure.server.store.sqlite import SqliteSettings, open_sqlite
from sim.audit import Audit, Auditor
from sim.checkers import CHECKERS
from sim.ledger import Ledger
from tests.crash.connection import Connection
from tests.crash.program import ATTEMPTS_MAX
from tests.crash.reading import NAMESPACE, note_read, read_history

NOT_CHECKED = frozenset(("H5",))
CLOSED_AS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: (
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
    ),
}
"""The load's workflows close in no other way."""


async def file_problems(database: Path, ledger: Ledger, *, is_final: bool) -> list[str]:
    """What is wrong with a database file, which nobody has open."""
    try:
        # Only to look at it: nothing is written that would have to survive.
        store = open_sqlite(database, settings=SqliteSettings(synchronous="OFF"))
    except (StoreError, apsw.Error) as error:
        return [f"the file cannot be opened: {error}"]
    try:
        return await store_problems(store, ledger, is_final=is_final)
    except (StoreError, apsw.Error) as error:
        return [f"the file cannot be read: {error}"]
    except (TypeError, ValueError) as error:
        return [f"a row is torn: {error}"]  # Without syncs, half of a page may be of another time.
    finally:
        await store.close()


async def store_problems(store: Store, ledger: Ledger, *, is_final: bool) -> list[str]:
    """What of a store breaks an invariant, or was promised and is not there."""
    audit = await Auditor(store, ledger).take(time.time_ns(), is_final=is_final)
    return problems(audit)


def problems(audit: Audit) -> list[str]:
    """Every violation, with the invariant that it breaks."""
    found = [
        f"{name}: {problem}"
        for name, checker in CHECKERS.items()
        if name not in NOT_CHECKED
        for problem in checker(audit)
    ]
    found += _starts(audit)
    for stored in audit.runs:
        for event in stored.events:
            attempt = event.activity_task_started_event_attributes.attempt
            if attempt > ATTEMPTS_MAX:
                found.append(f"A2: {stored.run_id} has attempt {attempt}")
    for run_id, kind in audit.ledger.closed_seen.items():
        run = audit.run_named(run_id)
        if run is None or run.events[-1].event_type != kind:
            found.append(f"H6: the close of {run_id} as {kind} was seen, and is not stored")
    return found


def _starts(audit: Audit) -> Iterator[str]:
    """W2, to the letter: a client of the load goes on only when its start was answered, so a start
    that is sent again always finds the run that it made."""
    made = Counter(
        stored.run.pending.start_request_id
        for stored in audit.runs
        if not stored.run.recorded.continued_run_id
    )
    for request_id, count in made.items():
        if count > 1:
            yield f"W2: {request_id} made {count} runs"
    for request_id, start in audit.ledger.starts.items():
        if len(set(start.run_ids)) > 1:
            yield f"W2: {request_id} was answered with {start.run_ids}"


async def served_problems(connection: Connection, ledger: Ledger) -> list[str]:
    """What a server that is up says of its workflows, against their histories and the ledger.

    The list must show every run that was ever acknowledged, with its status (V1); the size and
    length of each history must be what is said of them (H3); reads go into the ledger (H2).
    """
    listed = {info.execution.run_id: info for info in await _list(connection)}
    found = [
        f"V1: {run_id} is not listed"
        for start in ledger.starts.values()
        for run_id in start.run_ids
        if run_id not in listed
    ]
    for info in listed.values():
        found += await _run_problems(connection, ledger, info)
    return found


async def _list(connection: Connection) -> list[WorkflowExecutionInfo]:
    infos: list[WorkflowExecutionInfo] = []
    request = ListWorkflowExecutionsRequest(namespace=NAMESPACE, page_size=50)
    while True:
        page = await connection.insist(request, ListWorkflowExecutionsResponse)
        infos.extend(page.executions)
        if not page.next_page_token:
            return infos
        request.next_page_token = page.next_page_token


async def _run_problems(
    connection: Connection, ledger: Ledger, info: WorkflowExecutionInfo
) -> list[str]:
    workflow_id, run_id = info.execution.workflow_id, info.execution.run_id
    events = await read_history(connection, workflow_id, run_id, page_size=50)
    described = await connection.insist(
        DescribeWorkflowExecutionRequest(
            namespace=NAMESPACE,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        ),
        DescribeWorkflowExecutionResponse,
    )
    found = []
    if problem := note_read(ledger, run_id, events):
        found.append(f"H2: {problem}")
    found += [
        f"V1: {run_id} is listed with {field.name} {value}"
        for field, value in info.ListFields()
        if value != getattr(described.workflow_execution_info, field.name)
    ]
    if info.status != CLOSED_AS.get(events[-1].event_type):
        found.append(f"V1: {run_id} has status {info.status} after {events[-1].event_type}")
    size = sum(len(entry) for entry in ledger.reads[run_id])
    if (info.history_length, info.history_size_bytes) != (len(events), size):
        found.append(
            f"H3: {run_id} is said to have {info.history_length} events of"
            f" {info.history_size_bytes} bytes: it has {len(events)} of {size}"
        )
    return found
