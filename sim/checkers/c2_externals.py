"""C2: of a signal or a cancel request to another workflow its source hears once, and the other
workflow has it as often as the source was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.workflow.messages import request_id_of
from sim.audit import Audit, StoredRun

Key = str
"""What a signal or a cancel request is known by: its source's run and the event that asked."""

_SIGNAL = EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
_CANCEL = EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED
_DONE = frozenset(
    (
        EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
    )
)
_REFUSED = frozenset(
    (
        EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED,
    )
)


def check(audit: Audit) -> Iterator[str]:
    """Every request that its source hears of twice, or that its target has too often or not."""
    got: Counter[Key] = Counter()
    for stored in audit.runs:
        # A run that a reset made has what its base and those after that had.
        got.update(key for key in _received(stored) if not stored.base_run_id or not got[key])
    for stored in audit.runs:
        yield from _check_source(audit, stored, got)


def _check_source(audit: Audit, stored: StoredRun, got: Counter[Key]) -> Iterator[str]:
    done: Counter[int] = Counter()
    refused: Counter[int] = Counter()
    for event in stored.events:
        if event.event_type in _DONE:
            done[_initiated_event_id(event)] += 1
        elif event.event_type in _REFUSED:
            refused[_initiated_event_id(event)] += 1
    asked = {
        event.event_id: event for event in stored.events if event.event_type in (_SIGNAL, _CANCEL)
    }
    pending = set()
    for event_id, event in asked.items():
        told = done[event_id] + refused[event_id]
        if told > 1:
            yield f"{stored.run_id}: it heard {told} times of its request {event_id}"
        if not told:
            pending.add(event_id)
        if stored.base_run_id or stored.is_base or audit.ledger.deleted:
            continue  # What was taken over was asked for by another run.
        count = got[request_id_of(stored.run_id, event_id)]
        if count > 1 or (count and refused[event_id]):
            yield f"{stored.run_id}: request {event_id} was carried out {count} times"
        if event.event_type == _SIGNAL and done[event_id] and not count:
            yield f"{stored.run_id}: signal {event_id} is said to be delivered, and is nowhere"
    if stored.run.is_open and pending != {
        *stored.run.external_signals,
        *stored.run.external_cancels,
    }:
        yield f"{stored.run_id}: requests {pending} have no answer, others are pending"


def _received(stored: StoredRun) -> Iterator[Key]:
    """The requests of others that a run has, recorded or buffered."""
    buffered = (HistoryEvent.FromString(part.event) for part in stored.run.buffered.values())
    for events in (stored.events, buffered):
        for event in events:
            signal = event.workflow_execution_signaled_event_attributes
            if signal.HasField("external_workflow_execution"):
                yield signal.request_id
            cancel = event.workflow_execution_cancel_requested_event_attributes
            if cancel.external_initiated_event_id:
                source = cancel.external_workflow_execution.run_id
                yield request_id_of(source, cancel.external_initiated_event_id)


def _initiated_event_id(event: HistoryEvent) -> int:
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    return int(attributes.initiated_event_id)
