"""R1: nobody deletes a run but who was asked to, and retention: closed ones that are old enough."""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every run that went too early."""
    retention_ns = audit.ledger.retention_ns
    for deletion in audit.ledger.deletions:
        if deletion.is_asked:
            continue
        if not retention_ns or not deletion.close_ns:
            yield f"{deletion.run_id} was deleted, and nobody had asked for it"
        elif deletion.now_ns - deletion.close_ns < retention_ns:
            kept_ns = deletion.now_ns - deletion.close_ns
            yield f"{deletion.run_id} was kept for {kept_ns} ns, and not for {retention_ns}"
