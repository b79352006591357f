"""Activities whose time has come: the end of a backoff, and the four timeouts."""

from __future__ import annotations

from typing import NamedTuple

from temporalio.api.enums.v1 import TimeoutType, workflow_pb2

from perdure.server.machines.activity.attempt import BackoffOver, Ends, Start, TimeOut, step
from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.workflow import (
    activity_task,
    changes,
    deadlines,
    events,
    workflow_task,
)
from perdure.server.machines.workflow.inputs import StartedActivityTask
from perdure.server.machines.workflow.state import Attempt, AttemptState, PendingActivity
from perdure.server.machines.workflow.turn import Turn

BACKOFF: TimeoutType.ValueType = workflow_pb2.TIMEOUT_TYPE_UNSPECIFIED
"""In place of a timeout type: the backoff is over."""


class Deadline(NamedTuple):
    """Something that is due. Deadlines of the same time are in order of event id and kind, as on
    the real server.
    """

    time_ns: int
    scheduled_event_id: int
    kind: TimeoutType.ValueType
    attempt: int


def due(turn: Turn, now_ns: int) -> bool:
    """Do all that is due, and tell whether anything timed out. An attempt that is new by now has
    deadlines of its own, and waits for the next wake-up.
    """
    activities = turn.run.activities
    overdue = sorted(
        deadline
        for pending in activities.values()
        for deadline in deadlines_of(pending)
        if deadline.time_ns <= now_ns
    )
    is_news = has_timed_out = False
    for deadline in overdue:
        pending = activities.get(deadline.scheduled_event_id)
        if pending is None or pending.attempt.attempt != deadline.attempt:
            continue
        if pending.attempt.state == AttemptState.OUTCOME_BUFFERED:
            continue
        if deadline.kind == BACKOFF:
            activity_task.take(turn, pending, BackoffOver())
            continue
        has_timed_out = True
        ends = activity_task.take(turn, pending, TimeOut(now_ns, deadline.kind))
        if ends is not None:
            record_timed_out(turn, pending, ends)
            is_news = True
    if is_news:
        workflow_task.schedule_if_needed(turn)
    return has_timed_out


def deadlines_of(pending: PendingActivity) -> list[Deadline]:
    """Everything that can be due of an activity as it stands."""
    activity, attempt, options = pending.activity, pending.attempt, pending.options
    result: list[tuple[int, TimeoutType.ValueType]] = []
    if attempt.state == AttemptState.OUTCOME_BUFFERED or attempt.pause is not None:
        return []
    if attempt.state == AttemptState.BACKING_OFF:
        result.append((attempt.scheduled_time_ns, BACKOFF))
    elif attempt.state == AttemptState.SCHEDULED:
        if options.schedule_to_start_ns:
            starts_ns = attempt.scheduled_time_ns + options.schedule_to_start_ns
            result.append((starts_ns, workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START))
    else:
        if closes_ns := deadlines.attempt_deadline(pending):
            result.append((closes_ns, workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE))
        if silent_ns := deadlines.heartbeat_deadline(pending):
            result.append((silent_ns, workflow_pb2.TIMEOUT_TYPE_HEARTBEAT))
    if options.schedule_to_close_ns:
        ends_ns = activity.scheduled_time_ns + options.schedule_to_close_ns
        result.append((ends_ns, workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE))
    return [
        Deadline(time_ns, activity.scheduled_event_id, kind, attempt.attempt)
        for time_ns, kind in result
    ]


def start_eagerly(
    turn: Turn, scheduled_event_id: int, identity: str, request_id: str
) -> StartedActivityTask:
    """Give an activity, which was never on offer, to the worker that has just scheduled it."""
    pending = turn.run.activities[scheduled_event_id]
    started = step(pending, Start(turn.now_ns, None, request_id, identity), turn.limits)
    if not isinstance(started, Attempt):
        raise InvariantViolation("an eager start that starts nothing")
    turn.change(changes.AttemptChanged(scheduled_event_id, started))
    return activity_task.started_reply(turn, pending)


def record_timed_out(turn: Turn, pending: PendingActivity, ends: Ends) -> None:
    """Record (or buffer) that an activity timed out for good."""
    scheduled_event_id, failure = pending.activity.scheduled_event_id, ends.failure
    if failure is None:
        raise InvariantViolation("a timeout without its failure")
    activity_task.end(
        turn,
        pending,
        ends,
        lambda started_event_id: events.activity_timed_out(
            scheduled_event_id, started_event_id, failure, ends.retry_state
        ),
    )
