"""The engine's clock in a simulation: wall time that follows the loop's virtual time, jumps forward
and stands still."""

from __future__ import annotations

import asyncio

SECOND_NS = 1_000_000_000
EPOCH_NS = 1_700_000_000 * SECOND_NS


class SimulatedClock:
    """Wall time of the simulated machine. `shift` sets its hands; it never goes back, so after a
    shift backwards it stands still until it has caught up, as `SystemClock` does."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._shift_ns = 0
        self._last_ns = EPOCH_NS

    def now_ns(self) -> int:
        """The time now."""
        hands_ns = EPOCH_NS + self._shift_ns + int(self._loop.time() * SECOND_NS)
        self._last_ns = max(self._last_ns, hands_ns)
        return self._last_ns

    def shift(self, seconds: float) -> None:
        """Set the hands forward, or (negative) back."""
        self._shift_ns += int(seconds * SECOND_NS)
