"""How fast tasks may leave a queue, whatever the rate is and whenever it changes."""

from __future__ import annotations

import math

import pytest

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.queue.rate import NEVER, RateLimit


def limited(per_second: float) -> RateLimit:
    limit = RateLimit()
    limit.set(per_second)
    return limit


@pytest.mark.parametrize("per_second", [math.inf, math.nan, 1e300, 3e38])
def test_what_is_faster_than_time_is_measured_or_no_number_is_no_limit(per_second: float) -> None:
    limit = limited(per_second)
    for _ in range(100):
        assert limit.free_at(7) == 7
        limit.take(7)


@pytest.mark.parametrize("per_second", [0.0, 1e-300, 5e-324])
def test_what_is_slower_than_a_lifetime_lets_nothing_go(per_second: float) -> None:
    assert limited(per_second).free_at(7) == NEVER


def test_setting_other_rates_all_the_time_lets_no_more_go() -> None:
    limit = RateLimit()
    gone, now_ns = 0, SECOND_NS
    for turn in range(1_000):
        limit.set(1 + turn % 2)
        if limit.free_at(now_ns) <= now_ns:
            limit.take(now_ns)
            gone += 1
    assert gone <= 3


def test_a_faster_rate_counts_at_once() -> None:
    limit = limited(0.001)
    limit.take(0)
    assert limit.free_at(0) == 1_000 * SECOND_NS
    limit.set(10)
    assert limit.free_at(0) <= SECOND_NS
