"""How long a connection lives. Pure: it is told the time and what happened, and says what to do.

A connection without streams is closed after a while; an old one is drained, so that balancers can
move peers and a leak cannot grow for ever; and a silent one is probed, and dropped when it does not
answer.
"""

from __future__ import annotations

from enum import Enum

import msgspec

PROBE = b"perdure?"
"""What a probe carries."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The times of a connection, as the real server has them."""

    age_seconds_max: float = 300.0
    age_grace_seconds: float = 70.0
    """How long streams may go on when the connection is to end: a little longer than a poll."""
    idle_seconds_max: float = 120.0
    probe_after_seconds: float = 60.0
    answer_seconds_max: float = 10.0


class Order(Enum):
    """What is to be done with a connection."""

    PROBE = "ask for a sign of life"
    DRAIN = "let it end when its streams have ended"
    DROP = "close it now"


class Lifetime:
    """The life of one connection."""

    def __init__(self, limits: Limits, now: float, *, age_factor: float = 1.0) -> None:
        self._limits = limits
        self._drain_at = now + limits.age_seconds_max * age_factor
        self._drop_at: float | None = None
        self._idle_since = now
        self._heard_at = now
        self._probed_at: float | None = None

    def heard(self, now: float) -> None:
        """The peer gave a sign of life: it sent something, or took what we sent."""
        self._heard_at = now
        self._probed_at = None

    def drain(self, now: float, grace_seconds: float) -> None:
        """The connection is to end, at the latest after the grace."""
        if self._drop_at is None or self._drop_at > now + grace_seconds:
            self._drop_at = now + grace_seconds

    def check(self, now: float, *, has_streams: bool) -> Order | None:
        """What is to be done now."""
        limits = self._limits
        if has_streams:
            self._idle_since = now
        if self._drop_at is not None and now >= self._drop_at:
            return Order.DROP
        if self._probed_at is not None:
            return Order.DROP if now - self._probed_at >= limits.answer_seconds_max else None
        is_idle = now - self._idle_since >= limits.idle_seconds_max
        if self._drop_at is None and (is_idle or now >= self._drain_at):
            self.drain(now, limits.age_grace_seconds)
            return Order.DRAIN
        if now - self._heard_at >= limits.probe_after_seconds:
            self._probed_at = now
            return Order.PROBE
        return None
