"""G1: a batch operation that was begun is there until it is over, which it is in the end; one that
was stopped does no more; one that is done has been done to every run that it was for, once."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.housekeeping.batches.job import COMPLETED
from sim.audit import Audit, StoredRun
from sim.ledger import Batch
from sim.workload.batches import SIGNAL


def check(audit: Audit) -> Iterator[str]:
    """Every batch operation that is lost, goes on, or has left something out."""
    for job_id, batch in audit.ledger.batches.items():
        job = audit.batches.get(job_id)
        if job is None:
            if batch.is_started:
                yield f"batch {job_id} was begun, and is not stored"
            continue
        if batch.is_stopped and job.is_running:
            yield f"batch {job_id} was stopped, and is said to go on"
        if audit.is_final and job.is_running:
            yield f"batch {job_id} never ends"
        # A clock that was set back makes runs look younger than the batch.
        is_blurred = batch.operation == "reset" and audit.ledger.is_clock_set
        if job.state == COMPLETED and not job.failed and not is_blurred:
            yield from _check_done(audit, job_id, batch)
    yield from _check_signals(audit)


def _check_done(audit: Audit, job_id: str, batch: Batch) -> Iterator[str]:
    """Whatever was there when it was begun was there when it looked for the runs that it is for."""
    for run_id in batch.targets:
        stored = audit.run_named(run_id)
        if stored is None:
            if not audit.is_deleted(run_id):
                yield f"batch {job_id}: {run_id} is gone"
        elif stored.workflow_id in audit.ledger.paused:
            continue
        elif not _IS_DONE[batch.operation](stored, job_id):
            yield f"batch {job_id} is done, but not {batch.operation} of {run_id}"


def _check_signals(audit: Audit) -> Iterator[str]:
    """Each is of the run that it is in, or of one whose history that has taken over; once."""
    for stored in audit.runs:
        counts = Counter(_signals(stored))
        allowed = {
            _request_id(job_id, stored.workflow_id, origin)
            for job_id, batch in audit.ledger.batches.items()
            if batch.operation == "signal"
            for origin in _origins(audit, stored)
        }
        for request_id, count in counts.items():
            if count > 1:
                yield f"{stored.run_id}: a batch has signalled it {count} times"
            if request_id not in allowed and not audit.ledger.deleted:
                yield f"{stored.run_id}: no batch has sent it signal {request_id}"


def _origins(audit: Audit, stored: StoredRun) -> Iterator[str]:
    """A run, and those of its workflow that resets may have taken signals from."""
    yield stored.run_id
    if stored.base_run_id:
        yield from (one.run_id for one in audit.runs_of(stored.workflow_id))


def _signals(stored: StoredRun) -> Iterator[str]:
    buffered = (HistoryEvent.FromString(part.event) for part in stored.run.buffered.values())
    for events in (stored.events, buffered):
        for event in events:
            attributes = event.workflow_execution_signaled_event_attributes
            if attributes.signal_name == SIGNAL:
                yield attributes.request_id


def _request_id(job_id: str, workflow_id: str, run_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{job_id} {workflow_id} {run_id}"))


def _is_closed(stored: StoredRun, job_id: str) -> bool:
    return not stored.run.is_open


def _is_cancelled(stored: StoredRun, job_id: str) -> bool:
    requested = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
    buffered = (HistoryEvent.FromString(part.event) for part in stored.run.buffered.values())
    is_asked = bool(stored.run.recorded.cancel_requested_event_id) or any(
        event.event_type == requested for event in buffered
    )
    return is_asked or not stored.run.is_open


def _is_signalled(stored: StoredRun, job_id: str) -> bool:
    wanted = _request_id(job_id, stored.workflow_id, stored.run_id)
    return wanted in _signals(stored) or not stored.run.is_open


def _is_deleted(stored: StoredRun, job_id: str) -> bool:
    return False


_IS_DONE: dict[str, Callable[[StoredRun, str], bool]] = {
    "terminate": _is_closed,
    # A run that is open must have ended for another to begin.
    "reset": _is_closed,
    "cancel": _is_cancelled,
    "signal": _is_signalled,
    "delete": _is_deleted,
}
