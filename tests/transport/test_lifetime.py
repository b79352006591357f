"""How long a connection lives."""

from __future__ import annotations

import pytest

from perdure.transport.http2.lifetime import Lifetime, Limits, Order

LIMITS = Limits()


@pytest.fixture
def lifetime() -> Lifetime:
    """Of a connection made at 0."""
    return Lifetime(LIMITS, 0.0)


def test_a_connection_without_streams_ends_after_a_while(lifetime: Lifetime) -> None:
    lifetime.heard(100.0)
    assert lifetime.check(100.0, has_streams=True) is None
    lifetime.heard(219.0)
    assert lifetime.check(219.0, has_streams=False) is None
    assert lifetime.check(220.0, has_streams=False) is Order.DRAIN


def test_an_old_connection_drains_and_is_dropped_after_the_grace(lifetime: Lifetime) -> None:
    lifetime.heard(299.0)
    assert lifetime.check(299.0, has_streams=True) is None
    assert lifetime.check(300.0, has_streams=True) is Order.DRAIN
    lifetime.heard(369.0)
    assert lifetime.check(369.0, has_streams=True) is None
    assert lifetime.check(370.0, has_streams=True) is Order.DROP


def test_a_silent_peer_is_probed_and_dropped_without_an_answer(lifetime: Lifetime) -> None:
    assert lifetime.check(59.0, has_streams=True) is None
    assert lifetime.check(60.0, has_streams=True) is Order.PROBE
    assert lifetime.check(69.0, has_streams=True) is None
    assert lifetime.check(70.0, has_streams=True) is Order.DROP


def test_a_sign_of_life_ends_the_wait(lifetime: Lifetime) -> None:
    assert lifetime.check(60.0, has_streams=True) is Order.PROBE
    lifetime.heard(69.0)
    assert lifetime.check(128.0, has_streams=True) is None
    assert lifetime.check(129.0, has_streams=True) is Order.PROBE


def test_the_shortest_grace_counts(lifetime: Lifetime) -> None:
    lifetime.drain(10.0, 5.0)
    lifetime.drain(10.0, 50.0)
    assert lifetime.check(15.0, has_streams=True) is Order.DROP
