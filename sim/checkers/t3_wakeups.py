"""T3: whatever of a run is due at some time has a wake-up armed, not later than that."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.machines.workflow import deadlines
from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every run that would sleep too long."""
    for stored in audit.runs:
        due_ns = deadlines.wake_at(stored.run)
        if due_ns and not 0 < (stored.wake_at_ns or 0) <= due_ns:
            yield f"{stored.run_id}: due at {due_ns}, it wakes up at {stored.wake_at_ns}"
