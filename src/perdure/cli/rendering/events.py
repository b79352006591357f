"""What each event of a history means to a person: one function per kind, in a table.

Workflow tasks and starts of activities are the machinery between what happened; they are left out
unless all events are wanted. What the start of an activity knows (which attempt it was, how the one
before failed) is told with its end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio.api.enums.v1 import (
    EventType,
    TimeoutType,
    WorkflowTaskFailedCause,
)
from temporalio.api.history.v1 import HistoryEvent

from perdure.cli.rendering.failures import enum_words, failure_lines
from perdure.cli.rendering.payloads import brief, brief_all
from perdure.cli.rendering.times import took


@dataclass(frozen=True, kw_only=True)
class Line:
    """One entry of a timeline."""

    tone: str
    """What it means, a key of `timeline.TONES`."""
    what: str
    detail: str = ""
    notes: Sequence[str] = ()
    since: int = 0
    """The event from which its duration is counted; 0 for none."""


class Story:
    """The events of a history by their ids, for what refers to an earlier one."""

    def __init__(self, events: Sequence[HistoryEvent]) -> None:
        self._events = {event.event_id: event for event in events}

    def attributes(self, event_id: int) -> Any:
        """The attributes of an event; None when the history does not have it."""
        event = self._events.get(event_id)
        return None if event is None else attributes_of(event)

    def time(self, event_id: int) -> datetime | None:
        """When an event happened."""
        event = self._events.get(event_id)
        return None if event is None else event.event_time.ToDatetime()


def attributes_of(event: HistoryEvent) -> Any:
    """What an event says besides its kind and time."""
    return getattr(event, event.WhichOneof("attributes") or "", None)


def line_of(event: HistoryEvent, story: Story, *, everything: bool) -> Line | None:
    """What to show of an event; None for nothing."""
    tell = _KINDS.get(event.event_type)
    if tell is not None:
        return tell(event, attributes_of(event), story)
    if event.event_type in MACHINERY and not everything:
        return None
    return Line(tone="machinery", what=event_words(event.event_type))


def event_words(event_type: int) -> str:
    """`workflow task scheduled` of `EVENT_TYPE_WORKFLOW_TASK_SCHEDULED`."""
    return enum_words(EventType.Name(EventType.ValueType(event_type)), "EVENT_TYPE_")


def _call(name: str, payloads: Any) -> str:
    return f"{name}({brief_all(payloads.payloads)})"


def _started(event: HistoryEvent, it: Any, story: Story) -> Line:
    notes: list[str] = []
    if it.attempt > 1:
        notes.append(f"attempt {it.attempt}")
    if it.continued_execution_run_id:
        notes.append(f"continues run {it.continued_execution_run_id}")
    if it.HasField("continued_failure"):
        notes.extend(failure_lines(it.continued_failure))
    if it.parent_workflow_execution.workflow_id:
        notes.append(f"child of {it.parent_workflow_execution.workflow_id}")
    if it.first_workflow_task_backoff.ToTimedelta():
        notes.append(f"begins after {took(_seconds(it.first_workflow_task_backoff))}")
    if it.cron_schedule:
        notes.append(f"cron {it.cron_schedule}")
    return Line(
        tone="begin", what="started", detail=_call(it.workflow_type.name, it.input), notes=notes
    )


def _completed(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(tone="good", what="completed", detail=_result("", it.result), since=1)


def _failed(event: HistoryEvent, it: Any, story: Story) -> Line:
    first, *notes = failure_lines(it.failure)
    return Line(tone="bad", what="failed", detail=first, notes=notes, since=1)


def _timed_out(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(tone="bad", what="timed out", since=1)


def _canceled(event: HistoryEvent, it: Any, story: Story) -> Line:
    detail = brief_all(it.details.payloads)
    return Line(tone="bad", what="cancelled", detail=detail, since=1)


def _terminated(event: HistoryEvent, it: Any, story: Story) -> Line:
    detail = ", ".join(text for text in (it.reason, brief_all(it.details.payloads)) if text)
    return Line(tone="bad", what="terminated", detail=detail, notes=_by(it), since=1)


def _continued(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(
        tone="good",
        what="continued as new",
        detail=_call(it.workflow_type.name, it.input),
        notes=[f"in run {it.new_execution_run_id}"],
        since=1,
    )


def _cancel_requested(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(tone="outside", what="cancel requested", detail=it.cause, notes=_by(it))


def _signaled(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(tone="outside", what="signal", detail=_call(it.signal_name, it.input))


def _activity_scheduled(event: HistoryEvent, it: Any, story: Story) -> Line:
    notes = [_summary(event)] if event.HasField("user_metadata") else []
    detail = _call(it.activity_type.name, it.input)
    return Line(tone="plan", what="activity scheduled", detail=detail, notes=notes)


def _activity_completed(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(
        tone="good",
        what="activity completed",
        detail=_result(_activity_name(it, story), it.result),
        notes=_attempts(it, story),
        since=it.scheduled_event_id,
    )


def _activity_failed(event: HistoryEvent, it: Any, story: Story) -> Line:
    first, *causes = failure_lines(it.failure)
    name = _activity_name(it, story)
    return Line(
        tone="bad",
        what="activity failed",
        detail=f"{name}: {first}",
        notes=[*causes, *_attempts(it, story)],
        since=it.scheduled_event_id,
    )


def _activity_canceled(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(
        tone="bad",
        what="activity cancelled",
        detail=_activity_name(it, story),
        notes=_attempts(it, story),
        since=it.scheduled_event_id,
    )


def _activity_cancel_requested(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(tone="plan", what="activity to cancel", detail=_activity_name(it, story))


def _activity_name(it: Any, story: Story) -> str:
    scheduled = story.attributes(it.scheduled_event_id)
    return "an activity" if scheduled is None else str(scheduled.activity_type.name)


def _attempts(it: Any, story: Story) -> list[str]:
    """Which attempt it was, and how the one before ended, when there was one."""
    started = story.attributes(it.started_event_id)
    if started is None or started.attempt <= 1:
        return []
    attempt = f"attempt {started.attempt}"
    if not started.HasField("last_failure"):
        return [attempt]
    before = "; ".join(failure_lines(started.last_failure))
    return [f"{attempt}; the one before: {before}"]


def _timer_started(event: HistoryEvent, it: Any, story: Story) -> Line:
    notes = [_summary(event)] if event.HasField("user_metadata") else []
    detail = took(_seconds(it.start_to_fire_timeout))
    return Line(tone="plan", what="timer started", detail=detail, notes=notes)


def _timer_fired(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(tone="good", what="timer fired", since=it.started_event_id)


def _timer_canceled(event: HistoryEvent, it: Any, story: Story) -> Line:
    return Line(tone="plan", what="timer cancelled", since=it.started_event_id)


def _task_failed(event: HistoryEvent, it: Any, story: Story) -> Line:
    cause = enum_words(WorkflowTaskFailedCause.Name(it.cause), "WORKFLOW_TASK_FAILED_CAUSE_")
    notes = failure_lines(it.failure) if it.HasField("failure") else []
    return Line(tone="bad", what="workflow task failed", detail=cause, notes=notes)


def _task_timed_out(event: HistoryEvent, it: Any, story: Story) -> Line:
    which = enum_words(TimeoutType.Name(it.timeout_type), "TIMEOUT_TYPE_")
    return Line(tone="bad", what="workflow task timed out", detail=which)


def _marker(event: HistoryEvent, it: Any, story: Story) -> Line:
    notes = failure_lines(it.failure) if it.HasField("failure") else []
    return Line(tone="machinery", what="marker", detail=it.marker_name, notes=notes)


def _child_initiated(event: HistoryEvent, it: Any, story: Story) -> Line:
    detail = f"{_call(it.workflow_type.name, it.input)} as {it.workflow_id}"
    return Line(tone="plan", what="child scheduled", detail=detail)


def _child(tone: str, what: str) -> _Tell:
    def tell(event: HistoryEvent, it: Any, story: Story) -> Line:
        detail = f"{it.workflow_type.name} ({it.workflow_execution.workflow_id})"
        notes: list[str] = []
        if what == "child completed":
            detail = _result(detail, it.result)
        elif what == "child failed":
            notes = failure_lines(it.failure)
        since = 0 if what == "child started" else it.initiated_event_id
        return Line(tone=tone, what=what, detail=detail, notes=notes, since=since)

    return tell


def _external(what: str) -> _Tell:
    def tell(event: HistoryEvent, it: Any, story: Story) -> Line:
        workflow_id = it.workflow_execution.workflow_id
        name = getattr(it, "signal_name", "")
        detail = f"{_call(name, it.input)} to {workflow_id}" if name else workflow_id
        return Line(tone="plan", what=what, detail=detail)

    return tell


def _update_accepted(event: HistoryEvent, it: Any, story: Story) -> Line:
    asked = it.accepted_request.input
    return Line(tone="outside", what="update accepted", detail=_call(asked.name, asked.args))


def _update_completed(event: HistoryEvent, it: Any, story: Story) -> Line:
    since = it.accepted_event_id
    if it.outcome.HasField("failure"):
        first, *notes = failure_lines(it.outcome.failure)
        return Line(tone="bad", what="update failed", detail=first, notes=notes, since=since)
    return Line(
        tone="good", what="update completed", detail=_result("", it.outcome.success), since=since
    )


def _result(name: str, payloads: Any) -> str:
    """`name → value`, without either where there is none."""
    value = brief_all(payloads.payloads)
    if not value or value == "null":
        return name
    return f"{name} → {value}" if name else value


def _summary(event: HistoryEvent) -> str:
    text = brief(event.user_metadata.summary)
    return re.sub(r'^"(.*)"$', r"\1", text)


def _seconds(duration: Any) -> float:
    return float(duration.ToTimedelta().total_seconds())


def _by(it: Any) -> list[str]:
    return [f"by {it.identity}"] if it.identity else []


_Tell = Callable[[HistoryEvent, Any, Story], Line]

MACHINERY = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
    }
)
"""What is left out unless everything is wanted."""

_KINDS: dict[int, _Tell] = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: _started,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: _completed,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: _failed,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: _timed_out,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: _canceled,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: _terminated,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: _continued,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: _cancel_requested,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: _signaled,
    EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED: _task_failed,
    EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT: _task_timed_out,
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: _activity_scheduled,
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _activity_completed,
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: _activity_failed,
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: _activity_failed,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: _activity_canceled,
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: _activity_cancel_requested,
    EventType.EVENT_TYPE_TIMER_STARTED: _timer_started,
    EventType.EVENT_TYPE_TIMER_FIRED: _timer_fired,
    EventType.EVENT_TYPE_TIMER_CANCELED: _timer_canceled,
    EventType.EVENT_TYPE_MARKER_RECORDED: _marker,
    EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: _child_initiated,
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: _child("plan", "child started"),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: _child("good", "child completed"),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: _child("bad", "child failed"),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: _child("bad", "child cancelled"),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: _child("bad", "child timed out"),
    EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: _child("bad", "child terminated"),
    EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: _external("signal sent"),
    EventType.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: _external(
        "cancel sent"
    ),
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: _update_accepted,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED: _update_completed,
}
"""What is told of each kind of event; of any other, its name."""
