"""How long to wait before what somebody else refused is tried again.

Up to a fifth less than the doubling interval, as on the real server, so that those who were refused
together do not come back together. How much less follows from a seed: a decision taken again is
the same.
"""

from __future__ import annotations

import hashlib

from perdure.server.machines.ports import SECOND_NS

INITIAL_NS = 1 * SECOND_NS
INTERVAL_NS_MAX = 3600 * SECOND_NS


def backoff_ns(attempt: int, seed: str) -> int:
    """How long to wait after so many attempts in vain."""
    interval_ns = min(INITIAL_NS << min(attempt - 1, 32), INTERVAL_NS_MAX)
    return interval_ns - share_ns(interval_ns // 5, seed)


def share_ns(room_ns: int, seed: str) -> int:
    """Some of it, less than all."""
    digest = hashlib.sha1(seed.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big") % room_ns
