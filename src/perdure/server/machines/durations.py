"""Durations as callers give them: which are refused, and how long one may be."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from perdure.server.machines.wire import SECOND_NS, duration_ns

DURATION_SECONDS_MAX = 100 * 365 * 24 * 3600
"""Longer ones are cut to a hundred years: so that a time plus a duration is always a time."""


def problem_of(value: Duration) -> str | None:
    """What is wrong with a duration, in the words of the real server; None when nothing is."""
    if value.seconds * value.nanos < 0:
        return "duration has seconds and nanos with different signs"
    if value.seconds < 0 or value.nanos < 0:
        return "negative duration"
    return None


def capped_ns(value: Duration) -> int:
    """The length of a valid duration in nanoseconds, at most a hundred years."""
    return min(duration_ns(value), DURATION_SECONDS_MAX * SECOND_NS)


def cap(value: Duration) -> None:
    """Cut a duration to a hundred years, in place."""
    if duration_ns(value) > DURATION_SECONDS_MAX * SECOND_NS:
        value.seconds = DURATION_SECONDS_MAX
        value.nanos = 0
