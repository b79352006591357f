"""S1: an acknowledged signal is there exactly once, any other at most once, and the signals of one
sender are in the order in which they were sent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from sim.audit import Audit, StoredRun
from sim.workload.batches import SIGNAL

EXTERNAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def check(audit: Audit) -> Iterator[str]:
    """Every signal that is missing, doubled or out of order.

    A signal to "whichever run is current" that is sent again after that run has closed reaches its
    successor: then it is there once per run, as on the real server. A run that a reset made has the
    signals of the one before.
    """
    found: dict[str, Counter[str]] = {}
    for stored in audit.runs:
        requests = list(_requests(stored))
        for request_id in requests:
            found.setdefault(request_id, Counter())[stored.run_id] += 1
        yield from _check_order(audit, stored, requests)
    made = {stored.run_id for stored in audit.runs if stored.base_run_id}
    for request_id, signal in audit.ledger.signals.items():
        counts = found.get(request_id, Counter())
        if signal.is_acknowledged and signal.workflow_id not in audit.ledger.forgotten:
            for run_id in signal.found_in or [""]:
                if run_id not in counts and (run_id or not counts):
                    yield f"{signal.workflow_id}: acknowledged signal {request_id} is lost"
        if any(count > 1 for count in counts.values()):
            yield f"{signal.workflow_id}: signal {request_id} is there {dict(counts)} times"
        others = counts.keys() - made - {signal.run_id}
        if signal.run_id and others and signal.run_id not in made:
            yield f"{signal.workflow_id}: signal {request_id} went to runs {others}"
    for request_id in found.keys() - audit.ledger.signals.keys():
        yield f"signal {request_id} was never sent"


def _requests(stored: StoredRun) -> Iterator[str]:
    """Request ids of the recorded signals, then of those in the buffer."""
    buffered = (HistoryEvent.FromString(part.event) for part in stored.run.buffered.values())
    for events in (stored.events, buffered):
        for event in events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                attributes = event.workflow_execution_signaled_event_attributes
                if attributes.signal_name == SIGNAL:
                    continue  # What batch operations send is for G1 to check.
                # A reset does signals of other workflows again without their sender: their
                # request ids are UUIDs that follow a rule of the server.
                if not EXTERNAL.fullmatch(attributes.request_id):
                    yield attributes.request_id


def _check_order(audit: Audit, stored: StoredRun, requests: list[str]) -> Iterator[str]:
    newest: dict[str, int] = {}
    for request_id in requests:
        signal = audit.ledger.signals.get(request_id)
        if signal is None:
            continue
        if signal.sequence < newest.get(signal.sender, 0):
            yield f"{stored.run_id}: signal {request_id} is behind a later one of {signal.sender}"
        newest[signal.sender] = max(newest.get(signal.sender, 0), signal.sequence)
