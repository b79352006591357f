"""J1: standalone activities keep what activities of workflows keep: starts that were acknowledged
are stored, once each; one run of an id is open at most, and is the current one; attempts have
a limit; a result was produced by a worker, and one that was accepted stays; what is over waits for
nothing."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.activity.v1 import ActivityExecutionOutcome

from perdure.server.machines.standalone_activity.state import Status
from sim.audit import Audit, StoredJob


def check(audit: Audit) -> Iterator[str]:
    """Every job that breaks one of these."""
    yield from _check_starts(audit)
    open_ids: set[str] = set()
    on_offer = {row.run for row in audit.dispatch}
    for stored in audit.jobs:
        if stored.run.is_open:
            if stored.activity_id in open_ids:
                yield f"{stored.activity_id}: two runs are open"
            open_ids.add(stored.activity_id)
            if not stored.is_current:
                yield f"{stored.run.run_id} is open, and is not the current run"
            if audit.is_final:
                yield f"{stored.run.run_id} never ended"
        else:
            if stored.run.wake_at_ns or stored.number in on_offer:
                yield f"{stored.run.run_id} is closed, and waits for something"
            yield from _check_result(audit, stored)
        yield from _check_attempts(audit, stored)


def _check_starts(audit: Audit) -> Iterator[str]:
    numbers = {stored.run.run_id: stored.number for stored in audit.jobs}
    for request_id, job in audit.ledger.jobs.items():
        newest = 0
        for run_id in job.run_ids:
            if audit.is_deleted(run_id):
                continue
            if run_id not in numbers:
                yield f"{run_id}, which start {request_id} was answered with, is not stored"
            elif numbers[run_id] < newest:
                yield f"start {request_id} was answered with {job.run_ids}"
            else:
                newest = numbers[run_id]
    last: dict[str, str] = {}
    for stored in audit.jobs:
        request_id = stored.run.head.request_id
        if last.get(stored.activity_id) == request_id:
            yield f"start {request_id} was carried out again, by {stored.run.run_id}"
        last[stored.activity_id] = request_id


def _check_result(audit: Audit, stored: StoredJob) -> Iterator[str]:
    run = stored.run
    key = (run.run_id, stored.activity_id)
    if run.head.status == Status.COMPLETED:
        outcome = ActivityExecutionOutcome.FromString(run.head.outcome)
        data = outcome.result.payloads[0].data
        if data not in audit.ledger.results.get(key, set()):
            yield f"{run.run_id} has a result of nobody"
    elif key in audit.ledger.acknowledged_activities:
        yield f"{run.run_id} lost its result"


def _check_attempts(audit: Audit, stored: StoredJob) -> Iterator[str]:
    if stored.activity_id in audit.ledger.controlled_jobs:
        return
    job = audit.ledger.jobs.get(stored.run.head.request_id)
    attempts = audit.ledger.job_attempts.get(stored.run.run_id, [])
    if job is not None and any(attempt > job.attempts_max for attempt in attempts):
        yield f"{stored.run.run_id} was attempted {attempts}, and {job.attempts_max} are the limit"
    if attempts != sorted(attempts):
        yield f"{stored.run.run_id} was attempted in the order {attempts}"
