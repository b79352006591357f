"""How long to wait before what somebody else refused is tried again."""

from __future__ import annotations

import pytest

from perdure.server.machines.backoff import backoff_ns, share_ns
from perdure.server.machines.ports import SECOND_NS

SEEDS = [str(seed) for seed in range(200)]


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 1), (2, 2), (3, 4), (12, 2048), (13, 3600), (99_999, 3600)]
)
def test_backoff_doubles_up_to_an_hour_less_up_to_a_fifth(attempt: int, seconds: int) -> None:
    lengths_ns = [backoff_ns(attempt, seed) for seed in SEEDS]
    assert max(lengths_ns) <= seconds * SECOND_NS
    assert min(lengths_ns) > seconds * SECOND_NS * 4 // 5
    spread_ns = max(lengths_ns) - min(lengths_ns)
    assert spread_ns > seconds * SECOND_NS // 6, "those who failed together come back together"


def test_the_same_seed_waits_as_long() -> None:
    assert backoff_ns(3, "seed") == backoff_ns(3, "seed") != backoff_ns(3, "another")


def test_a_share_is_less_than_all() -> None:
    assert {share_ns(3, seed) for seed in SEEDS} == {0, 1, 2}
