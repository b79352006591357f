"""A circuit breaker: where calls fail one after the other, it lets none through for a while."""

from __future__ import annotations

import enum

FAILURES_MAX = 5
"""More of them in a row open it."""
OPEN_SECONDS = 60.0
"""After that, one call may show whether it can be closed."""


class BreakerState(enum.StrEnum):
    """Whether calls get through."""

    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class CircuitBreaker:
    """The breaker of one destination. Times are seconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._failures = 0
        self._opened_at: float | None = None
        self._is_tried = False

    def state(self, now: float) -> BreakerState:
        """Where it stands."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        is_over = now - self._opened_at >= OPEN_SECONDS
        return BreakerState.HALF_OPEN if is_over else BreakerState.OPEN

    def allows(self, now: float) -> bool:
        """Whether a call may be made; whoever makes it tells how it went, or gives it back."""
        match self.state(now):
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                is_first, self._is_tried = not self._is_tried, True
                return is_first

    def succeeded(self) -> None:
        """A call got through."""
        self._failures, self._opened_at, self._is_tried = 0, None, False

    def failed(self, now: float) -> None:
        """A call did not get through."""
        self._failures += 1
        if self._opened_at is None:
            if self._failures > FAILURES_MAX:
                self._opened_at = now
        elif self.state(now) is BreakerState.HALF_OPEN:
            self._opened_at, self._is_tried = now, False

    def given_up(self) -> None:
        """A call ended before it could show anything."""
        self._is_tried = False
