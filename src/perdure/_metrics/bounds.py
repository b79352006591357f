"""Between which bounds the buckets of histograms are: those of the official SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perdure._metrics.meter import Instrument

BOUNDS_MS: Final[Mapping[str, Sequence[float]]] = {
    "workflow_endtoend_latency": tuple(
        1000 * seconds
        for seconds in (
            0.1,
            0.5,
            1,
            1.5,
            2,
            5,
            10,
            30,
            60,
            120,
            300,
            600,
            1800,
            3600,
            36_000,
            86_400,
        )
    ),
    "workflow_task_execution_latency": (1, 10, 20, 50, 100, 200, 500, 1000),
    "workflow_task_replay_latency": (1, 10, 20, 50, 100, 200, 500, 1000),
    "activity_execution_latency": (50, 100, 500, 1000, 5000, 10_000, 60_000),
}
"""Upper bounds of the buckets of the SDK's own histograms, by the end of their names."""
BOUNDS: Final[Sequence[float]] = (50, 100, 500, 1000, 2500, 10_000)
"""Of all others."""


def bounds_of(
    instrument: Instrument, overrides: Mapping[str, Sequence[float]], *, in_seconds: bool
) -> Sequence[float]:
    """The upper bounds of a histogram's buckets: those of the first override whose key is a part of
    its name, which are in the unit that is told; or its own."""
    for part, bounds in overrides.items():
        if part in instrument.name:
            return bounds
    found = next(
        (bounds for end, bounds in BOUNDS_MS.items() if instrument.name.endswith(end)), BOUNDS
    )
    if instrument.is_duration and in_seconds:
        return [bound / 1000 for bound in found]
    return found
