"""T2: no timer fires before it is due."""

from __future__ import annotations

from collections.abc import Iterator

from perdure.server.machines.wire import duration_ns, timestamp_ns
from sim.audit import Audit


def check(audit: Audit) -> Iterator[str]:
    """Every timer that fired too early."""
    for stored in audit.runs:
        due_ns = {
            event.event_id: timestamp_ns(event.event_time)
            + duration_ns(event.timer_started_event_attributes.start_to_fire_timeout)
            for event in stored.events
            if event.HasField("timer_started_event_attributes")
        }
        for event in stored.events:
            if not event.HasField("timer_fired_event_attributes"):
                continue
            started = event.timer_fired_event_attributes.started_event_id
            early_ns = due_ns.get(started, 0) - timestamp_ns(event.event_time)
            if early_ns > 0:
                yield f"{stored.run_id}: timer {started} fired {early_ns} ns early"
