"""How many polls a worker should have: one more when tasks wait for them, one less when they wait
for tasks."""

from __future__ import annotations

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.queue.rate import RateLimit
from perdure.server.machines.queue.statistics import Statistics

IDLE_NS = 1 * SECOND_NS  # matching.pollerScalingWaitTime
BACKLOG_AGE_NS = SECOND_NS // 5  # matching.pollerScalingBacklogAgeScaleUp
DECISIONS_PER_SECOND = 10.0  # matching.pollerScalingDecisionsPerSecond
GROWTH = 1.2
"""Tasks that come so much faster than they go ask for more polls."""


class PollerScaling:
    """The advice that polls of one queue get with their tasks: not too often, lest workers
    overshoot."""

    __slots__ = ("_limit",)

    def __init__(self) -> None:
        self._limit = RateLimit()
        self._limit.set(DECISIONS_PER_SECOND)

    def advise(
        self,
        statistics: Statistics,
        *,
        waited_ns: int,
        backlog_age_ns: int,
        is_sticky: bool,
        now_ns: int,
    ) -> int:
        """By how many a worker should change its polls, to a poll that waited so long for its
        task."""
        if waited_ns >= IDLE_NS:
            return -1
        if self._limit.free_at(now_ns) > now_ns:
            return 0
        self._limit.take(now_ns)
        if backlog_age_ns > BACKLOG_AGE_NS:
            return 1
        if is_sticky:
            return 0
        return int(statistics.add_rate(now_ns) > GROWTH * statistics.dispatch_rate(now_ns))
