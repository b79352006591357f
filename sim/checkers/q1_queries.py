"""Q1: the answer of a query reflects every signal and update that was acknowledged before it."""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every answer that forgets something."""
    for query in audit.ledger.queries:
        missing = query.expected - query.told
        if missing:
            yield f"{query.run_id}: a query was answered without {sorted(missing)}"
