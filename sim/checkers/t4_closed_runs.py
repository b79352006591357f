"""T4 and S2: nothing is left of a closed run that could still happen: no wake-up (but for
what its callbacks have to tell), no task on offer, no buffered event."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.machines.workflow.callbacks import PENDING
from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every closed run that has something before it."""
    on_offer = {row.run for row in audit.dispatch}
    for stored in audit.runs:
        if stored.run.is_open:
            continue
        is_telling = any(each.state in PENDING for each in stored.run.callbacks.values())
        if stored.wake_at_ns and not is_telling:
            yield f"{stored.run_id} is closed, and wakes up at {stored.wake_at_ns}"
        if stored.number in on_offer:
            yield f"{stored.run_id} is closed, and has a task on offer"


def check_buffer(audit: Audit) -> Iterator[str]:
    """Every closed run with events that never got into its history."""
    for stored in audit.runs:
        if not stored.run.is_open and stored.run.buffered:
            yield f"{stored.run_id} is closed, and {len(stored.run.buffered)} events are buffered"
