"""L1: when the faults have stopped, every run comes to its end, and leaves nothing behind.

(That requests are answered, and how long it all took, the world itself watches.)
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every run that is open when everything is over."""
    if not audit.is_final:
        return
    for stored in audit.runs:
        if stored.run.is_open:
            yield f"{stored.run_id} of {stored.workflow_id} never ends"
