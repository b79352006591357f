"""How fast tasks may leave a queue: a token bucket that holds what may go within a second."""

from __future__ import annotations

import math

from perdure.server.machines.ports import SECOND_NS

NEVER = 2**63 - 1


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
        if per_second == self.per_second:
            return
        self.per_second = per_second
        self._next_ns = 0
        if per_second:
            self._interval_ns = max(1, round(SECOND_NS / per_second))
            self._slack_ns = (math.ceil(per_second) - 1) * self._interval_ns

    def free_at(self, now_ns: int) -> int:
        """When a task may go: now, or later."""
        if self.per_second is None:
            return now_ns
        if not self.per_second:
            return NEVER
        return max(now_ns, self._next_ns - self._slack_ns)

    def take(self, now_ns: int) -> None:
        """A task goes."""
        if self.per_second:
            self._next_ns = max(now_ns, self._next_ns) + self._interval_ns
