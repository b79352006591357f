"""The machine that a worker runs on: how busy it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

FRESH_SECONDS: Final = 0.1
"""A measurement is good for so long; one that follows sooner would tell nothing."""


class HostLoad:
    """Measures, now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        import psutil  # which takes milliseconds that most programs need not spend

        self._measure_cpu = psutil.cpu_percent
        self._measure_memory = psutil.virtual_memory
        self._measure_cpu()  # what is asked first says nothing
        self._clock = clock
        self._usage = (0.0, self._measure_memory().percent / 100)
        self._measured_seconds = clock()

    def usage(self) -> tuple[float, float]:
        """The shares of CPU and of memory that are in use, between 0 and 1."""
        now = self._clock()
        if now >= self._measured_seconds + FRESH_SECONDS:
            self._usage = self._measure_cpu() / 100, self._measure_memory().percent / 100
            self._measured_seconds = now
        return self._usage
