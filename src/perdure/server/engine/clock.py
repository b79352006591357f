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
