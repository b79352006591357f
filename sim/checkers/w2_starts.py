"""W2: an acknowledged start is stored, and a request id has one run id."""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every acknowledged start that is lost, and every request that made two runs.

    A start that is sent again after its run was followed by another one is a new start, as on the
    real server; while its run is the newest, it must not be. A signal with start that terminates
    what is there does so also when it is sent again.
    """
    yield from _check_answers(audit)
    made: set[str] = set()
    for workflow_id in {stored.workflow_id: None for stored in audit.runs}:
        newest = ""
        for stored in audit.runs_of(workflow_id):
            request_id = stored.run.pending.start_request_id
            # Of one that was deleted nobody can say whether another run was between the two.
            is_forgotten = workflow_id in audit.ledger.forgotten
            is_signal = request_id in audit.ledger.signals
            is_repeatable = stored.base_run_id or is_signal or is_forgotten
            if request_id == newest and not is_repeatable:
                yield f"{workflow_id}: request {request_id} made {stored.run_id} again"
            newest = request_id
            recorded = stored.run.recorded
            is_first = not recorded.continued_run_id and not recorded.parent_workflow_id
            # What a schedule starts is for Z1 to check.
            if is_first and stored.run.pending.scheduled_by is None:
                made.add(request_id)
    for request_id in made - audit.ledger.starts.keys():
        yield f"a run of request {request_id} was never asked for"


def _check_answers(audit: Audit) -> Iterator[str]:
    for request_id, start in audit.ledger.starts.items():
        newest = 0
        for run_id in start.run_ids:
            stored = audit.run_named(run_id)
            if audit.is_deleted(run_id):
                continue
            if stored is None or not stored.events:
                yield f"{start.workflow_id}: acknowledged run {run_id} is lost"
            elif stored.number < newest:
                yield f"{start.workflow_id}: request {request_id} was answered {start.run_ids}"
            else:
                newest = stored.number
