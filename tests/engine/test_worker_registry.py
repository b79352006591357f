"""The registry of workers: how long it remembers whom."""

from __future__ import annotations

from temporalio.api.enums.v1 import WorkerStatus
from temporalio.api.worker.v1 import WorkerHeartbeat

from perdure.server.frontend.worker_registry import TTL_NS, WorkerRegistry


def told(key: str, **fields: object) -> WorkerHeartbeat:
    return WorkerHeartbeat(worker_instance_key=key, **fields)  # type: ignore[arg-type]


def keys(registry: WorkerRegistry, now_ns: int, namespace: int = 1) -> list[str]:
    return [one.worker_instance_key for one in registry.workers(namespace, after="", now_ns=now_ns)]


def test_a_worker_is_known_for_as_long_as_it_tells_of_itself() -> None:
    registry = WorkerRegistry()
    registry.record(1, [told("b"), told("a")], now_ns=0)
    assert keys(registry, TTL_NS - 1) == ["a", "b"]
    registry.record(1, [told("a")], now_ns=TTL_NS - 1)
    assert keys(registry, TTL_NS) == ["a"]
    assert registry.find(1, "b", now_ns=TTL_NS) is None
    assert len(registry) == 2
    registry.record(1, [told("c")], now_ns=TTL_NS)
    assert len(registry) == 2, "who is silent takes no memory once another tells of itself"


def test_namespaces_do_not_see_each_others_workers() -> None:
    registry = WorkerRegistry()
    registry.record(1, [told("a")], now_ns=0)
    registry.record(2, [told("b")], now_ns=0)
    assert keys(registry, 1) == ["a"]
    assert keys(registry, 1, namespace=2) == ["b"]
    assert registry.find(2, "a", now_ns=1) is None


def test_a_worker_that_has_shut_down_is_forgotten() -> None:
    registry = WorkerRegistry()
    registry.record(1, [told("a")], now_ns=0)
    registry.record(1, [told("a", status=WorkerStatus.WORKER_STATUS_SHUTDOWN)], now_ns=1)
    assert keys(registry, 1) == []
    assert len(registry) == 0


def test_those_that_were_silent_longest_make_room() -> None:
    registry = WorkerRegistry(workers_max=2)
    for number, key in enumerate("abc"):
        registry.record(1, [told(key)], now_ns=number)
    assert keys(registry, 3) == ["b", "c"]
    small = WorkerRegistry(bytes_max=2500)
    for key in "abc":
        small.record(1, [told(key, worker_identity="x" * 1000)], now_ns=0)
    assert keys(small, 0) == ["b", "c"]


def test_a_page_goes_on_after_the_last_one_of_the_page_before() -> None:
    registry = WorkerRegistry()
    registry.record(1, [told("c"), told(""), told("a")], now_ns=0)
    assert keys(registry, 0) == ["", "a", "c"]
    after = [one.worker_instance_key for one in registry.workers(1, after="a", now_ns=0)]
    assert after == ["c"]
