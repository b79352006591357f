"""Wall time, as a parameter: the real one here, a simulated one in tests."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time in nanoseconds since the epoch, UTC. It never goes back."""

    def now_ns(self) -> int:
        """The time now."""
        ...


class SystemClock:
    """The machine's clock; when that is set back, ours stands still until it has caught up."""

    def __init__(self) -> None:
        self._last_ns = 0

    def now_ns(self) -> int:
        """The time now."""
        self._last_ns = max(self._last_ns, time.time_ns())
        return self._last_ns


class SkippingClock:
    """A clock that can be set forward, for tests; in between it goes as the one that it is based
    on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._skipped_ns = 0

    def now_ns(self) -> int:
        """The time now."""
        return self._clock.now_ns() + self._skipped_ns

    def skip(self, duration_ns: int) -> None:
        """Jump forward."""
        assert duration_ns >= 0
        self._skipped_ns += duration_ns
