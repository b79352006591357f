"""A2: an activity has no more attempts than its policy allows, an attempt begins not before its
backoff is over, and what failed for good is not tried again.

(Activities of workflows that an operator changed are left out: he may give them more attempts, and
what is paused gets one more when it goes on.)
"""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.machines.wire import duration_ns
from sim.audit import Audit
from sim.ledger import Attempt


def check(audit: Audit) -> Iterator[str]:
    """Every attempt that should not have been made, or not yet."""
    for (run_id, event_id), attempts in audit.ledger.attempts.items():
        stored = audit.run_named(run_id)
        if stored is None or stored.workflow_id in audit.ledger.operated:
            continue  # Deleted. (A lost one is found by H6.)
        name = f"{run_id}: activity {event_id}"
        policy = stored.events[event_id - 1].activity_task_scheduled_event_attributes.retry_policy
        most = max(attempt.attempt for attempt in attempts)
        if most > policy.maximum_attempts:
            yield f"{name} has {most} attempts"
        fatal = audit.ledger.fatal.get((run_id, event_id))
        if fatal is not None and most > fatal:
            yield f"{name} is tried again after attempt {fatal}, which failed for good"
        interval_ns = duration_ns(policy.initial_interval)
        yield from _check_times(name, attempts, interval_ns, policy.backoff_coefficient)


def _check_times(
    name: str, attempts: list[Attempt], interval_ns: int, coefficient: float
) -> Iterator[str]:
    started_ns = {attempt.attempt: attempt.started_ns for attempt in attempts}
    for attempt in attempts:
        if attempt.started_ns < attempt.scheduled_ns:
            yield f"{name}: attempt {attempt.attempt} began before it was due"
        before_ns = started_ns.get(attempt.attempt - 1)
        backoff_ns = int(interval_ns * coefficient ** (attempt.attempt - 2))
        if before_ns is not None and attempt.started_ns < before_ns + backoff_ns:
            yield f"{name}: attempt {attempt.attempt} did not wait for its backoff"
