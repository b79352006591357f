"""W1: at most one close event, and it is last; one open run per workflow id, and that the current
one; a new run only as the policies of its request allow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType, WorkflowIdReusePolicy

from perdure.server.machines.wire import timestamp_ns
from perdure.server.machines.workflow.state import Status
from sim.audit import Audit, StoredRun

CLOSING = frozenset(
    (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    )
)
SUCCESSFUL = frozenset((Status.COMPLETED, Status.CONTINUED_AS_NEW))


def check(audit: Audit) -> Iterator[str]:
    """Every run that should not be as it is."""
    for stored in audit.runs:
        yield from _check_close(stored)
    for workflow_id in {stored.workflow_id: None for stored in audit.runs}:
        runs = audit.runs_of(workflow_id)
        if workflow_id not in audit.ledger.forgotten:
            yield from _check_open(workflow_id, runs)
            for earlier, later in itertools.pairwise(runs):
                yield from _check_pair(audit, earlier, later)


def _check_close(stored: StoredRun) -> Iterator[str]:
    closes = [event.event_id for event in stored.events if event.event_type in CLOSING]
    if closes not in ([], [len(stored.events)]):
        yield f"{stored.run_id}: close events at {closes} of {len(stored.events)}"
    if bool(closes) == stored.run.is_open:
        yield f"{stored.run_id}: close events at {closes}, and status {stored.run.recorded.status}"


def _check_open(workflow_id: str, runs: list[StoredRun]) -> Iterator[str]:
    open_runs = [stored.run_id for stored in runs if stored.run.is_open]
    current = [stored.run_id for stored in runs if stored.is_current]
    if len(open_runs) > 1:
        yield f"{workflow_id} has open runs {open_runs}"
    if current != [runs[-1].run_id]:
        yield f"{workflow_id}: current is {current}, its newest run is {runs[-1].run_id}"
    if open_runs and open_runs != current:
        yield f"{workflow_id}: {open_runs} is open, {current} is current"


def _check_pair(audit: Audit, earlier: StoredRun, later: StoredRun) -> Iterator[str]:
    """Two runs of one workflow id that follow each other."""
    begins_ns = later.run.recorded.start_time_ns  # A reset takes the first event over.
    if earlier.run.is_open or timestamp_ns(earlier.events[-1].event_time) > begins_ns:
        yield f"{later.run_id} began before {earlier.run_id} was over"
    start = audit.ledger.starts.get(later.run.pending.start_request_id)
    if later.run.recorded.continued_run_id or later.base_run_id or start is None:
        return
    policy = start.reuse_policy
    if policy == WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
        yield f"{later.run_id} follows {earlier.run_id}, and its policy rejects duplicates"
    if (
        policy == WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
        and earlier.run.recorded.status in SUCCESSFUL
    ):
        yield f"{later.run_id} follows {earlier.run_id}, which was successful, against its policy"
