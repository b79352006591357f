"""A5: an attempt that was matched but never delivered does not count.

So whoever gets attempt n + 1 of an activity comes after somebody who got attempt n. A crash between
the start of an attempt and its delivery is an exception: only its timeout can tell that it is lost.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every attempt that nobody got, and that counts all the same."""
    if audit.ledger.crashes:
        return
    for (run_id, event_id), attempts in audit.ledger.attempts.items():
        got = {attempt.attempt for attempt in attempts}
        missing = set(range(1, max(got))) - got
        if missing:
            yield f"{run_id}: nobody got attempts {sorted(missing)} of activity {event_id}"
