"""C1: a child starts exactly once per event that asks for it, its parent hears once how that went
and once how the child ended, and what the parent close policy says is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType, ParentClosePolicy
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.workflow.state import Status
from sim.audit import Audit, StoredRun

SECOND_NS = 1_000_000_000
SLACK_NS = 20 * SECOND_NS
"""A child that ends by itself within this time after its parent need not have been told."""
_INITIATED = EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED
_BEGINS = frozenset(
    (
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
    )
)
_ENDS = frozenset(
    (
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
    )
)


def check(audit: Audit) -> Iterator[str]:
    """Every child that there is twice, of which its parent heard wrongly, or that was forgotten."""
    made = Counter(
        (stored.run.recorded.parent_run_id, stored.run.recorded.parent_initiated_event_id)
        for stored in audit.runs
        if stored.run.recorded.parent_run_id
        and not stored.run.recorded.continued_run_id
        and not stored.base_run_id
    )
    for (parent, event_id), count in made.items():
        if count > 1:
            yield f"{parent}: event {event_id} started {count} children"
    for stored in audit.runs:
        yield from _check_parent(audit, stored)


def _check_parent(audit: Audit, stored: StoredRun) -> Iterator[str]:
    begun: Counter[int] = Counter()
    ended: Counter[int] = Counter()
    started: dict[int, str] = {}
    for event in stored.events:
        if event.event_type in _BEGINS:
            begun[_initiated_event_id(event)] += 1
        elif event.event_type in _ENDS:
            ended[_initiated_event_id(event)] += 1
        if event.HasField("child_workflow_execution_started_event_attributes"):
            child = event.child_workflow_execution_started_event_attributes
            started[child.initiated_event_id] = child.workflow_execution.run_id
    initiated = {event.event_id for event in stored.events if event.event_type == _INITIATED}
    for event_id in {*begun, *ended} - initiated:
        yield f"{stored.run_id}: nobody asked for the child of event {event_id}"
    for event_id in initiated:
        if begun[event_id] > 1 or ended[event_id] > 1 or ended[event_id] > begun[event_id]:
            yield f"{stored.run_id}: child {event_id} began {begun[event_id]} times"
    pending = {
        event_id
        for event_id in initiated
        if not ended[event_id] and (not begun[event_id] or event_id in started)
    }
    if stored.run.is_open and pending != stored.run.children.keys():
        yield f"{stored.run_id}: children {pending}, pending are {set(stored.run.children)}"
    for event_id, run_id in started.items():
        child_id = _child_of(stored.events[event_id - 1])
        if audit.run_named(run_id) is None and run_id not in audit.ledger.deleted:
            yield f"{stored.run_id}: child {run_id} is said to have started, and is not stored"
        # A run that a reset made is not the parent that such a child has recorded.
        is_known = not stored.reset_run_id and not stored.base_run_id
        if audit.is_final and event_id in pending and is_known:
            yield from _check_policy(audit, stored, child_id, event_id, run_id)


def _check_policy(
    audit: Audit, stored: StoredRun, child_id: str, event_id: int, first_run_id: str
) -> Iterator[str]:
    """A child that was there when its parent closed."""
    attributes = stored.events[
        event_id - 1
    ].start_child_workflow_execution_initiated_event_attributes
    chain = [
        one
        for one in audit.runs_of(child_id)
        if one.run.recorded.first_execution_run_id == first_run_id
    ]
    if not chain or chain[-1].run.is_open:
        return
    last = chain[-1].run.recorded
    if last.close_time_ns < stored.run.recorded.close_time_ns + SLACK_NS:
        return
    is_told = True
    match attributes.parent_close_policy:
        case ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE:
            is_told = last.status == Status.TERMINATED
        case ParentClosePolicy.PARENT_CLOSE_POLICY_REQUEST_CANCEL:
            is_told = any(one.run.recorded.cancel_requested_event_id for one in chain)
    if not is_told:
        yield f"{stored.run_id}: its child {child_id} was left alone when it closed"


def _child_of(event: HistoryEvent) -> str:
    return event.start_child_workflow_execution_initiated_event_attributes.workflow_id


def _initiated_event_id(event: HistoryEvent) -> int:
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    return int(attributes.initiated_event_id)
