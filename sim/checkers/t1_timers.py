"""T1: a started timer ends in exactly one of fired, cancelled, or the close of its run."""

from __future__ import annotations

from collections.abc import Iterator

from temporalio.api.enums.v1 import EventType

from sim.audit import Audit, StoredRun


def check(audit: Audit) -> Iterator[str]:
    """Every timer that ends twice, out of nothing, or is forgotten."""
    for stored in audit.runs:
        yield from _check_run(stored)


def _check_run(stored: StoredRun) -> Iterator[str]:
    running: dict[int, str] = {}
    for event in stored.events:
        match event.event_type:
            case EventType.EVENT_TYPE_TIMER_STARTED:
                running[event.event_id] = event.timer_started_event_attributes.timer_id
                continue
            case EventType.EVENT_TYPE_TIMER_FIRED:
                started = event.timer_fired_event_attributes.started_event_id
            case EventType.EVENT_TYPE_TIMER_CANCELED:
                started = event.timer_canceled_event_attributes.started_event_id
            case _:
                continue
        if running.pop(started, None) is None:
            yield f"{stored.run_id}: event {event.event_id} ends no running timer"
    pending = {timer.started_event_id: timer.timer_id for timer in stored.run.timers.values()}
    if stored.run.is_open and running != pending:
        yield f"{stored.run_id}: timers {running} run, and {pending} are pending"
