"""How fast tasks may leave a queue: a token bucket that holds what may go within a second."""

from __future__ import annotations

import math

from perdure.server.machines.ports import SECOND_NS

NEVER = 2**63 - 1
PER_SECOND_MAX = 1e9
"""What is faster is no limit: times are whole nanoseconds."""
PER_SECOND_MIN = 1e-9
"""What is slower lets nothing go: a task in thirty years."""


class RateLimit:
    """At most `per_second` tasks leave each second; after a pause, as many at once. None: no
    limit."""

    __slots__ = ("_interval_ns", "_next_ns", "_slack_ns", "per_second")

    def __init__(self) -> None:
        self.per_second: float | None = None
        self._interval_ns = 0
        self._slack_ns = 0
        self._next_ns = 0
        """When the next task would go if they all went at equal distances."""

    def set(self, per_second: float | None) -> None:
        """Another limit, from now on."""
        if per_second is not None:
            per_second = _usable(per_second)
        if per_second == self.per_second:
            return
        self.per_second = per_second
        if per_second:
            self._interval_ns = max(1, round(SECOND_NS / per_second))
            self._slack_ns = (math.ceil(per_second) - 1) * self._interval_ns

    def free_at(self, now_ns: int) -> int:
        """When a task may go: now, or later."""
        if self.per_second is None:
            return now_ns
        if not self.per_second:
            return NEVER
        return max(now_ns, self._next(now_ns) - self._slack_ns)

    def take(self, now_ns: int) -> None:
        """A task goes."""
        if self.per_second:
            self._next_ns = max(now_ns, self._next(now_ns)) + self._interval_ns

    def _next(self, now_ns: int) -> int:
        """No later than this limit ever makes it: another may have been slower."""
        return min(self._next_ns, now_ns + self._slack_ns + self._interval_ns)


def _usable(per_second: float) -> float | None:
    """The rate as it is kept; one that is no number is no limit."""
    if math.isnan(per_second) or per_second > PER_SECOND_MAX:
        return None
    return per_second if per_second >= PER_SECOND_MIN else 0.0
