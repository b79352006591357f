"""F1: the commits of a shard carry ranges that never decrease: none of an owner that lost it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every commit of an earlier owner."""
    for earlier, later in itertools.pairwise(audit.ranges):
        if later < earlier:
            yield f"a commit of range {later} came after one of {earlier}"
