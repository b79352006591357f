"""O2: Nexus operations without a workflow: starts that were acknowledged are stored, once each; one
run of an id is open at most, and is the current one; what is open has its next deadline armed, and
ends; what is over waits for nothing; a result is one that the handler gave."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.common.v1 import Payload

from perdure.server.machines.standalone_nexus.state import Status
from perdure.server.machines.workflow.nexus.timing import operation_deadline
from sim.audit import Audit, StoredOperation


def check(audit: Audit) -> Iterator[str]:
    """Every operation that breaks one of these."""
    yield from _check_starts(audit)
    open_ids: set[str] = set()
    for stored in audit.operations:
        run = stored.run
        if not run.is_open:
            if stored.wake_at_ns:
                yield f"{run.run_id} is closed, and wakes up at {stored.wake_at_ns}"
            yield from _check_result(audit, stored)
            continue
        if stored.operation_id in open_ids:
            yield f"{stored.operation_id}: two runs are open"
        open_ids.add(stored.operation_id)
        if not stored.is_current:
            yield f"{run.run_id} is open, and is not the current run"
        if audit.is_final:
            yield f"{run.run_id} never ended"
        due_ns = operation_deadline(run.head.pending)
        if due_ns and not 0 < (stored.wake_at_ns or 0) <= due_ns:
            yield f"{run.run_id}: due at {due_ns}, it wakes up at {stored.wake_at_ns}"


def _check_starts(audit: Audit) -> Iterator[str]:
    numbers = {stored.run.run_id: stored.number for stored in audit.operations}
    for request_id, started in audit.ledger.operations.items():
        newest = 0
        for run_id in started.run_ids:
            if audit.is_deleted(run_id):
                continue
            if run_id not in numbers:
                yield f"{run_id}, which start {request_id} was answered with, is not stored"
            elif numbers[run_id] < newest:
                yield f"start {request_id} was answered with {started.run_ids}"
            else:
                newest = numbers[run_id]
    last: dict[str, str] = {}
    for stored in audit.operations:
        request_id = stored.run.head.request_id
        is_again = last.get(stored.operation_id) == request_id
        if is_again and stored.operation_id not in audit.ledger.forgotten:
            yield f"start {request_id} was carried out again, by {stored.run.run_id}"
        last[stored.operation_id] = request_id


def _check_result(audit: Audit, stored: StoredOperation) -> Iterator[str]:
    head = stored.run.head
    if head.status == Status.COMPLETED:
        given = audit.ledger.operation_results.get(head.pending.operation.request_id)
        if Payload.FromString(head.result or b"").data != given:
            yield f"{head.run_id} has a result of nobody"
