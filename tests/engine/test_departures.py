"""Which workers have stopped is remembered for as long as a poll of theirs may be on its way."""

from __future__ import annotations

from perdure.server.matching.departures import KEPT_NS, WORKERS_MAX, Departures


def test_a_worker_is_remembered_for_a_while_in_its_namespace() -> None:
    departures = Departures()
    departures.note(1, "worker", 100)
    assert departures.has(1, "worker", 100)
    assert departures.has(1, "worker", 99 + KEPT_NS)
    assert not departures.has(1, "worker", 100 + KEPT_NS)
    assert not departures.has(2, "worker", 100)
    assert not departures.has(1, "other", 100)


def test_the_newest_are_remembered_when_there_are_too_many() -> None:
    departures = Departures()
    for number in range(WORKERS_MAX + 1):
        departures.note(1, f"worker {number}", number)
    assert not departures.has(1, "worker 0", WORKERS_MAX)
    assert departures.has(1, "worker 1", WORKERS_MAX)
    assert departures.has(1, f"worker {WORKERS_MAX}", WORKERS_MAX)
