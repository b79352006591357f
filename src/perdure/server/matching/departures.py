"""Workers that have said that they stop.

A poll can be on its way while its worker says so. Were it held, the worker would wait for its end:
the real server answers polls of workers that have gone at once, with nothing.
"""

from __future__ import annotations

from typing import Final

KEPT_NS: Final = 70 * 1_000_000_000
"""Longer than any poll is under way."""
WORKERS_MAX: Final = 10_000


class Departures:
    """Which workers have stopped lately, by namespace and instance key."""

    def __init__(self) -> None:
        self._until_ns: dict[tuple[int, str], int] = {}
        """When each is forgotten; in this order."""

    def note(self, namespace: int, worker_instance: str, now_ns: int) -> None:
        """A worker stops."""
        worker = (namespace, worker_instance)
        self._until_ns.pop(worker, None)
        self._until_ns[worker] = now_ns + KEPT_NS
        while len(self._until_ns) > WORKERS_MAX or self._oldest_ns() <= now_ns:
            del self._until_ns[next(iter(self._until_ns))]

    def has(self, namespace: int, worker_instance: str, now_ns: int) -> bool:
        """Whether a worker has stopped."""
        if not self._until_ns:
            return False
        return self._until_ns.get((namespace, worker_instance), 0) > now_ns

    def _oldest_ns(self) -> int:
        return next(iter(self._until_ns.values()))
