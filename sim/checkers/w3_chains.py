"""W3: continue-as-new, retry and cron have exactly one successor, a reset makes one run, and the
ids of the chain agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every chain that is broken."""
    claims: dict[str, list[str]] = {}
    for stored in audit.runs:
        previous = _start_of(stored.events).continued_execution_run_id
        if previous and not stored.base_run_id:
            claims.setdefault(previous, []).append(stored.run_id)
    for workflow_id in {stored.workflow_id: None for stored in audit.runs}:
        for earlier, later in itertools.pairwise(audit.runs_of(workflow_id)):
            request_id = later.run.pending.reset_request_id
            if request_id and request_id == earlier.run.pending.reset_request_id:
                yield f"{workflow_id}: reset {request_id} made {later.run_id} again"
    for stored in audit.runs:
        successor = _successor(stored.events[-1])
        claimed = claims.pop(stored.run_id, [])
        expected = [] if not successor or audit.is_deleted(successor) else [successor]
        if claimed not in (expected, [successor]):
            yield f"{stored.run_id} names successor {successor!r}, and {claimed} say they are it"
        if stored.run.recorded.successor_run_id != successor:
            yield f"{stored.run_id}: its head names {stored.run.recorded.successor_run_id!r}"
        following = audit.run_named(successor) if successor else None
        first, workflow_id = _first(stored.events), stored.workflow_id
        if following is not None and (_first(following.events), following.workflow_id) != (
            first,
            workflow_id,
        ):
            yield f"{following.run_id} and {stored.run_id} are of different chains"
    for run_id in claims:
        if audit.is_deleted(run_id):
            continue
        yield f"{claims[run_id]} continue {run_id}, which is not stored"


def _start_of(events: list[HistoryEvent]) -> WorkflowExecutionStartedEventAttributes:
    return events[0].workflow_execution_started_event_attributes


def _first(events: list[HistoryEvent]) -> str:
    return _start_of(events).first_execution_run_id


def _successor(last: HistoryEvent) -> str:
    attributes = getattr(last, last.WhichOneof("attributes") or "")
    return str(getattr(attributes, "new_execution_run_id", ""))
