"""Plants violations in worlds that went well, and sees that their checkers find them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from sim.audit import Audit, StoredRun
from sim.checkers import CHECKERS
from sim.world import run_seed

ROUND = range(300)
"""Seeds among which each planted violation finds a world to be planted in."""

Plant = Callable[[Audit], bool]
"""Plants a violation; whether the world had a place for it."""


def find(audit: Audit, event_type: EventType.ValueType) -> tuple[StoredRun, HistoryEvent] | None:
    """An event of this type, and its run."""
    for stored in audit.runs:
        for event in stored.events:
            if event.event_type == event_type:
                return stored, event
    return None


def assert_found(invariant: str, plant: Plant) -> None:
    """The checker finds the violation, in the first world with a place for it, and none before."""
    check = CHECKERS[invariant]
    for seed in ROUND:
        outcome = run_seed(seed)
        audit = outcome.audit
        if outcome.broken or not audit.runs:
            continue
        assert list(check(audit)) == []
        if plant(audit):
            assert list(check(audit)) != []
            return
    pytest.fail("no world had a place for the violation")
