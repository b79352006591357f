"""Which workers are alive, as they say themselves.

A worker tells of itself about once a minute. What it told last is kept in memory, and only as long
as it goes on: a server that has restarted knows its workers again a minute later.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat

TTL_NS: Final = 5 * 60 * 1_000_000_000
"""Nanoseconds; who has been silent for so long is gone."""
WORKERS_MAX: Final = 1_000_000
"""Of all namespaces; beyond it, those that have been silent longest are forgotten."""
BYTES_MAX: Final = 256 * 1024 * 1024
"""Of all that workers told; as above."""

_GONE = WorkerStatus.WORKER_STATUS_SHUTDOWN


class _Told(NamedTuple):
    heard_ns: int
    heartbeat: bytes


class WorkerRegistry:
    """The newest heartbeat of each worker, by namespace and instance key."""

    def __init__(self, *, workers_max: int = WORKERS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._workers_max = workers_max
        self._bytes_max = bytes_max
        # By when they were heard last, and by namespace.
        self._workers: OrderedDict[tuple[int, str], _Told] = OrderedDict()
        self._keys: dict[int, set[str]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._workers)

    def record(
        self, namespace_number: int, heartbeats: Iterable[WorkerHeartbeat], *, now_ns: int
    ) -> None:
        """Keeps what workers say of themselves; one that says it has shut down is forgotten."""
        for heartbeat in heartbeats:
            worker = (namespace_number, heartbeat.worker_instance_key)
            self._forget(worker)
            if heartbeat.status == _GONE:
                continue
            told = _Told(now_ns, heartbeat.SerializeToString())
            self._workers[worker] = told
            self._keys.setdefault(namespace_number, set()).add(worker[1])
            self._bytes += len(told.heartbeat)
        self._make_room(now_ns)

    def find(
        self, namespace_number: int, instance_key: str, *, now_ns: int
    ) -> WorkerHeartbeat | None:
        """What a worker told last; None when there is no such worker."""
        told = self._workers.get((namespace_number, instance_key))
        if told is None or told.heard_ns + TTL_NS <= now_ns:
            return None
        return WorkerHeartbeat.FromString(told.heartbeat)

    def workers(
        self, namespace_number: int, *, after: str = "", now_ns: int
    ) -> Iterator[WorkerHeartbeat]:
        """What the workers of a namespace told last, in the order of their instance keys."""
        keys = sorted(
            key for key in self._keys.get(namespace_number, ()) if not after or key > after
        )
        for key in keys:
            heartbeat = self.find(namespace_number, key, now_ns=now_ns)
            if heartbeat is not None:
                yield heartbeat

    def _make_room(self, now_ns: int) -> None:
        while self._workers:
            worker, told = next(iter(self._workers.items()))
            is_silent = told.heard_ns + TTL_NS <= now_ns
            too_much = len(self._workers) > self._workers_max or self._bytes > self._bytes_max
            if not is_silent and not too_much:
                return
            self._forget(worker)

    def _forget(self, worker: tuple[int, str]) -> None:
        told = self._workers.pop(worker, None)
        if told is None:
            return
        self._bytes -= len(told.heartbeat)
        keys = self._keys[worker[0]]
        keys.discard(worker[1])
        if not keys:
            del self._keys[worker[0]]
