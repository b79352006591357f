"""Why an activity should stop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ActivityCancellationDetails:
    """What the service or the worker said when it asked an activity to stop. Several may hold."""

    not_found: bool = False
    cancel_requested: bool = False
    paused: bool = False
    reset: bool = False
    timed_out: bool = False
    worker_shutdown: bool = False
