"""H2: what a reader has once got of a history is what is stored."""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every run of which a reader got something else."""
    for run_id, seen in audit.ledger.reads.items():
        stored = audit.run_named(run_id)
        if stored is None:
            if not audit.is_deleted(run_id):
                yield f"{run_id} was read, and is not stored"
        elif stored.entries[: len(seen)] != seen:
            yield f"{run_id}: its first {len(seen)} events are not those that were read"
