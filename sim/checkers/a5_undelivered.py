"""A5: an attempt that was matched but never delivered does not count.

So whoever gets attempt n + 1 of an activity comes after somebody who got attempt n. A crash between
the start of an attempt and its delivery is an exception: only its timeout can tell that it is lost.
So is a timeout that is over before a disturbed store takes the attempt back.
"""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes

from perdure.server.machines.wire import duration_ns
from sim.audit import Audit

TIMEOUT_NS_MIN = 800_000_000
"""Activities with a shorter one are not looked at."""


def check(audit: Audit) -> Iterator[str]:
    """Every attempt that nobody got, and that counts all the same."""
    if audit.ledger.crashes:
        return
    for (run_id, event_id), attempts in audit.ledger.attempts.items():
        got = {attempt.attempt for attempt in attempts}
        missing = set(range(1, max(got))) - got
        stored = audit.run_named(run_id)
        if stored is None:
            continue
        if missing and _is_patient(
            stored.events[event_id - 1].activity_task_scheduled_event_attributes
        ):
            yield f"{run_id}: nobody got attempts {sorted(missing)} of activity {event_id}"


def _is_patient(attributes: ActivityTaskScheduledEventAttributes) -> bool:
    """Whether no timeout of an attempt is over in no time."""
    return all(
        not timeout.ByteSize() or duration_ns(timeout) >= TIMEOUT_NS_MIN
        for timeout in (attributes.start_to_close_timeout, attributes.heartbeat_timeout)
    )
