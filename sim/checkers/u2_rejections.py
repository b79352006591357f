"""U2: a rejected update leaves no trace in history."""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit
from sim.checkers.u1_updates import accepted_by


def check(audit: Audit) -> Iterator[str]:
    """Every update that its workflow rejects, and that history knows."""
    for stored in audit.runs:
        for update_id in accepted_by(stored) | stored.run.updates.keys():
            update = audit.ledger.updates.get(update_id)
            if update is None:
                yield f"{stored.run_id}: update {update_id} was never sent"
            elif update.name == "reject":
                yield f"{stored.run_id}: update {update_id} was rejected, and is recorded"
