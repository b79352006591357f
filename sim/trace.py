"""What happened in a world, in order: lines to read, and one hash that says whether two runs were
the same."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable

LINES_MAX = 5_000
"""Lines kept for reading; the hash covers all of them."""


class Trace:
    """An append-only record of inputs, commits, faults, crashes and answers."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._hash = hashlib.sha256()
        self._lines: deque[str] = deque(maxlen=LINES_MAX)
        self.count = 0

    def note(self, kind: str, *facts: object) -> None:
        """Append one line."""
        line = f"{self._time():12.6f} {kind:<10} {' '.join(map(str, facts))}"
        self._hash.update(line.encode())
        self._lines.append(line)
        self.count += 1

    def digest(self) -> str:
        """The hash of all lines so far."""
        return self._hash.hexdigest()[:16]

    def tail(self, count: int) -> list[str]:
        """The last lines."""
        return list(self._lines)[-count:]
