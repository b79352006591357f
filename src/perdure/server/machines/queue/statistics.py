"""What happens on a task queue, roughly and lately: who polls it, how fast tasks come and go."""

from __future__ import annotations

import msgspec

from perdure.server.machines.ports import MINUTE_NS, SECOND_NS

WINDOW_NS = 30 * SECOND_NS
"""Rates are over so long."""
BUCKET_NS = 5 * SECOND_NS
POLLER_WINDOW_NS = 5 * MINUTE_NS
"""Who did not come back for so long is forgotten (Temporal's matching.pollerHistoryTTL)."""
POLLERS_MAX = 1_000
"""Pollers of a queue that are remembered: the ones who came last."""


class Meter:
    """Counts what happened within the last half minute."""

    __slots__ = ("_begun_ns", "_counts")

    def __init__(self) -> None:
        self._begun_ns = 0
        self._counts: dict[int, int] = {}

    def add(self, now_ns: int) -> None:
        """It happened once more."""
        bucket = now_ns // BUCKET_NS
        count = self._counts.get(bucket)
        if count is not None:
            self._counts[bucket] = count + 1
            return
        self._forget(bucket)
        if not self._counts:
            self._begun_ns = now_ns
        self._counts[bucket] = 1

    def per_second(self, now_ns: int) -> float:
        """How often it happens."""
        self._forget(now_ns // BUCKET_NS)
        if not self._counts:
            return 0.0
        lasted_ns = min(max(now_ns - self._begun_ns, 1), WINDOW_NS)
        return sum(self._counts.values()) * SECOND_NS / lasted_ns

    def _forget(self, bucket: int) -> None:
        oldest = bucket - WINDOW_NS // BUCKET_NS
        for old in [old for old in self._counts if old <= oldest]:
            del self._counts[old]


class Poller(msgspec.Struct, frozen=True):
    """One that polls a queue, by its identity."""

    identity: str
    last_access_ns: int
    rate_per_second: float | None
    """What it asks the queue to be limited to; None when it does not."""
    worker_version: bytes = b""
    deployment: bytes = b""
    """Serialised WorkerDeploymentOptions."""


class Statistics:
    """Of one queue."""

    __slots__ = ("_pollers", "added", "dispatched")

    def __init__(self) -> None:
        self.added: dict[int, Meter] = {}
        """Tasks that came, by priority."""
        self.dispatched: dict[int, Meter] = {}
        """Tasks that went to a poll, by priority."""
        self._pollers: dict[str, Poller] = {}
        """By identity, the one that came last at the end."""

    def came(self, priority: int, now_ns: int) -> None:
        """A task is on offer."""
        _meter(self.added, priority).add(now_ns)

    def went(self, priority: int, now_ns: int) -> None:
        """A task has met a poll."""
        _meter(self.dispatched, priority).add(now_ns)

    def polled(self, poller: Poller) -> None:
        """Somebody polls."""
        self._pollers.pop(poller.identity, None)
        self._pollers[poller.identity] = poller
        if len(self._pollers) > POLLERS_MAX:
            del self._pollers[next(iter(self._pollers))]

    def pollers(self, now_ns: int) -> list[Poller]:
        """Who polled lately, the last one first."""
        return [
            poller
            for poller in reversed(self._pollers.values())
            if now_ns - poller.last_access_ns < POLLER_WINDOW_NS
        ]

    def add_rate(self, now_ns: int) -> float:
        """Tasks that come each second."""
        return sum(meter.per_second(now_ns) for meter in self.added.values())

    def dispatch_rate(self, now_ns: int) -> float:
        """Tasks that go each second."""
        return sum(meter.per_second(now_ns) for meter in self.dispatched.values())


def _meter(meters: dict[int, Meter], priority: int) -> Meter:
    meter = meters.get(priority)
    if meter is None:
        meter = meters[priority] = Meter()
    return meter
