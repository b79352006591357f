"""The flight recorder: which inputs the shard decided on last, to tell what led to a decision that
went wrong."""

from __future__ import annotations

import logging
from collections import deque

from perdure.server.engine.execution import ExecutionKey

logger = logging.getLogger(__name__)

INPUTS_MAX = 2_000


class FlightRecorder:
    """A ring of (workflow, time, kind of input), and a count of decisions that broke an invariant
    (which CI treats as red)."""

    def __init__(self) -> None:
        self._inputs: deque[tuple[ExecutionKey, int, type]] = deque(maxlen=INPUTS_MAX)
        self.violations = 0

    def note(self, key: ExecutionKey, now_ns: int, kind: type) -> None:
        """Remember a decision that was taken."""
        self._inputs.append((key, now_ns, kind))

    def report(self, key: ExecutionKey, message: object, error: Exception) -> None:
        """Say loudly that a decision failed, and what led to it (types and times only: payloads
        never go to a log)."""
        self.violations += 1
        steps = ", ".join(
            f"{kind.__name__}@{at_ns}" for of, at_ns, kind in self._inputs if of == key
        )
        logger.critical(
            "a decision on %s failed at %s (after: %s)",
            key,
            type(message).__name__,
            steps or "nothing remembered",
            exc_info=error,
        )
