"""The machine that a worker runs on: how busy it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

FRESH_SECONDS: Final = 0.1
"""A measurement is good for so long; one that follows sooner would tell nothing."""


class CpuSeconds(NamedTuple):
    """What all cores have done since the machine began."""

    busy: float
    all: float


class HostLoad:
    """Measures, now and then. Each compares with what it has measured itself: what psutil keeps for
    that is one for all who ask, who would each leave the next a moment of nothing."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_seconds: Callable[[], CpuSeconds] | None = None,
    ) -> None:
        import psutil  # which takes milliseconds that most programs need not spend

        self._cpu_seconds = cpu_seconds or _cpu_seconds
        self._measure_memory = psutil.virtual_memory
        self._clock = clock
        self._last = self._cpu_seconds()
        self._cpu = 0.0
        self._memory = self._measure_memory().percent / 100
        self._measured_seconds = clock()

    def usage(self) -> tuple[float, float]:
        """The shares of CPU and of memory that are in use, between 0 and 1."""
        now = self._clock()
        if now >= self._measured_seconds + FRESH_SECONDS:
            before, self._last = self._last, self._cpu_seconds()
            passed = self._last.all - before.all
            if passed > 0:
                self._cpu = min(max(0.0, (self._last.busy - before.busy) / passed), 1.0)
            self._memory = self._measure_memory().percent / 100
            self._measured_seconds = now
        return self._cpu, self._memory


def _cpu_seconds() -> CpuSeconds:
    import psutil

    times = psutil.cpu_times()._asdict()
    # Linux counts guests among the users' times already, and waiting for a disk is no work.
    every = sum(seconds for name, seconds in times.items() if not name.startswith("guest"))
    return CpuSeconds(every - times["idle"] - times.get("iowait", 0.0), every)
