"""Whether anything can still happen in a program without its driver.

What is known of a run is its description and its history, both read from the server. Something can
still happen while a task or an attempt is on its way to a worker or at work there, a short timer or
backoff runs, or one workflow's doing has yet to reach another. Nothing happens to what is held by
the driver, to what waits longer than a program lasts, or for a queue without a worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.api.enums.v1 import (
    CallbackState,
    EventType,
    NexusOperationCancellationState,
    PendingActivityState,
    PendingNexusOperationState,
    PendingWorkflowTaskState,
)
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo, PendingNexusOperationInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

from tests.differential.board import Waiting

SHORT = timedelta(seconds=15)
"""Whatever takes no longer is waited for."""
DEAD_QUEUE = "dead"
"""How the names of queues begin that have no worker."""
CLOSE_POLICY_TERMINATE, CLOSE_POLICY_ABANDON, CLOSE_POLICY_CANCEL = 1, 2, 3


@dataclass
class RunView:
    """What the driver has read of one run."""

    workflow_id: str
    run_id: str
    description: DescribeWorkflowExecutionResponse = field(
        default_factory=DescribeWorkflowExecutionResponse
    )
    events: list[HistoryEvent] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether it may still record events."""
        return not self.events or not closes(self.events[-1])

    @property
    def is_canceled(self) -> bool:
        """Whether it was asked to cancel."""
        return any(
            event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
            for event in self.events
        )


_CLOSING = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)


_CALLING = frozenset(
    {
        CallbackState.CALLBACK_STATE_STANDBY,
        CallbackState.CALLBACK_STATE_SCHEDULED,
        CallbackState.CALLBACK_STATE_BACKING_OFF,
    }
)


def is_calling_back(run: RunView) -> bool:
    """Whether it has closed and those who wait for that do not know it yet."""
    if run.is_open or successor_of(run.events[-1]):
        return False
    return any(callback.state in _CALLING for callback in run.description.callbacks)


def closes(event: HistoryEvent) -> bool:
    """Whether it is the last of its run."""
    return event.event_type in _CLOSING


def successor_of(event: HistoryEvent) -> str:
    """The run that a closing event names as the next, if any."""
    which = event.WhichOneof("attributes")
    return str(getattr(getattr(event, which), "new_execution_run_id", "")) if which else ""


def is_in_backoff(run: RunView) -> bool:
    """Whether its first workflow task is still to come."""
    scheduled = EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    return not any(event.event_type == scheduled for event in run.events)


def has_no_worker(run: RunView) -> bool:
    """Whether nobody can answer for the run before something else happens."""
    if not run.events:
        return True
    return is_in_backoff(run) or _is_dead(run.description.execution_config.task_queue.name)


def unsettled(runs: Mapping[str, RunView], waiting: Iterable[Waiting]) -> str:
    """Why something may still happen, or nothing."""
    waits = list(waiting)
    for run in runs.values():
        for reason in _reasons(run, runs, waits):
            return f"{run.workflow_id}: {reason}"
    return ""


def _reasons(run: RunView, runs: Mapping[str, RunView], waiting: list[Waiting]) -> Iterator[str]:
    if not run.events:
        yield "not read yet"
        return
    successor = successor_of(run.events[-1])
    if successor and successor not in runs:
        yield "the next run is not read yet"
    yield from _children(run, runs)
    info = run.description.workflow_execution_info
    if info.history_length != len(run.events) or info.HasField("close_time") == run.is_open:
        yield "it has changed since it was described"
    if not run.is_open:
        if is_calling_back(run) and run.run_id not in _resets(runs):
            yield "who waits for its end does not know it yet"
        return
    mine = [each for each in waiting if each.run_id == run.run_id]
    is_held = any(each.kind == "task" and not each.is_served for each in mine)
    yield from _start(run)
    yield from _workflow_task(run, is_held)
    yield from _activities(run, mine)
    yield from _operations(run, runs, mine)
    if not is_held:
        yield from _timers(run)
        yield from _external(run)


def _is_dead(queue: str) -> bool:
    return queue.startswith(DEAD_QUEUE)


def _start(run: RunView) -> Iterator[str]:
    started = run.events[0].workflow_execution_started_event_attributes
    if is_in_backoff(run) and started.first_workflow_task_backoff.ToTimedelta() > SHORT:
        return
    for timeout in (started.workflow_run_timeout, started.workflow_execution_timeout):
        if timedelta() < timeout.ToTimedelta() <= SHORT:
            yield "a timeout is near"
    backoff = started.first_workflow_task_backoff.ToTimedelta()
    if timedelta() < backoff <= SHORT and is_in_backoff(run):
        yield "it has not begun"


def _workflow_task(run: RunView, is_held: bool) -> Iterator[str]:
    description = run.description
    if not description.HasField("pending_workflow_task"):
        return
    state = description.pending_workflow_task.state
    if is_held and state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED:
        return
    if not _is_dead(description.execution_config.task_queue.name):
        yield "a workflow task"


def _activities(run: RunView, waiting: list[Waiting]) -> Iterator[str]:
    for pending in run.description.pending_activities:
        reason = _activity(run, pending, waiting)
        if reason:
            yield reason


def _activity(run: RunView, pending: PendingActivityInfo, waiting: list[Waiting]) -> str:
    states = PendingActivityState
    name = pending.activity_id
    if pending.state == states.PENDING_ACTIVITY_STATE_SCHEDULED:
        (scheduled,) = (
            event.activity_task_scheduled_event_attributes
            for event in run.events
            if event.activity_task_scheduled_event_attributes.activity_id == name
        )
        timeout = scheduled.schedule_to_start_timeout.ToTimedelta()
        waits = not timeout or timeout > SHORT
        return "" if _is_dead(scheduled.task_queue.name) and waits else f"activity {name} is due"
    held = [
        each
        for each in waiting
        if (each.kind, each.name, each.attempt) == ("activity", name, pending.attempt)
    ]
    if not held or held[0].is_served:
        return f"activity {name} is at work"
    if held[0].has_beaten and not pending.HasField("heartbeat_details"):
        return f"activity {name} has not told yet that it is alive"
    if held[0].has_beaten and pending.state == states.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED:
        return f"activity {name} is about to hear of its cancellation"
    return ""


_TELLING = frozenset(
    {
        NexusOperationCancellationState.NEXUS_OPERATION_CANCELLATION_STATE_SCHEDULED,
        NexusOperationCancellationState.NEXUS_OPERATION_CANCELLATION_STATE_BACKING_OFF,
    }
)


def _operations(run: RunView, runs: Mapping[str, RunView], waiting: list[Waiting]) -> Iterator[str]:
    """What its Nexus operations still have to do, or to hear."""
    for pending in run.description.pending_nexus_operations:
        (scheduled,) = (
            event for event in run.events if event.event_id == pending.scheduled_event_id
        )
        name = json.loads(scheduled.user_metadata.summary.data)
        is_held = any(
            (each.kind, each.name) == ("operation", name) and not each.is_served for each in waiting
        )
        if is_held:
            continue
        if pending.state != PendingNexusOperationState.PENDING_NEXUS_OPERATION_STATE_STARTED:
            yield f"operation {name} is not started"
            continue
        for timeout in (pending.schedule_to_close_timeout, pending.start_to_close_timeout):
            if timedelta() < timeout.ToTimedelta() <= SHORT:
                yield f"operation {name} is about to time out"
        if pending.cancellation_info.state in _TELLING:
            yield f"operation {name} has not heard of its cancellation"
        yield from _served(run, runs, pending)


def _served(
    run: RunView, runs: Mapping[str, RunView], pending: PendingNexusOperationInfo
) -> Iterator[str]:
    """The workflow behind an operation that has closed."""
    resets = _resets(runs)
    run_id = next(iter(served_by(run, pending.scheduled_event_id)), "")
    while (served := runs.get(run_id)) is not None and served.events:
        following = successor_of(served.events[-1]) or resets.get(run_id, "")
        if not following:
            break
        run_id = following
    if run_id and (served is None or not served.events):
        yield f"run {run_id} behind an operation is not read yet"
    elif served is not None and not served.is_open:
        yield f"{served.workflow_id} behind an operation has closed"


def served_by(run: RunView, scheduled_event_id: int) -> Iterator[str]:
    """The run that an operation has started."""
    for event in run.events:
        started = event.nexus_operation_started_event_attributes
        if started.scheduled_event_id == scheduled_event_id:
            for link in event.links:
                yield link.workflow_event.run_id


def _timers(run: RunView) -> Iterator[str]:
    short: set[str] = set()
    for event in run.events:
        started = event.timer_started_event_attributes
        if event.HasField("timer_started_event_attributes"):
            if started.start_to_fire_timeout.ToTimedelta() <= SHORT:
                short.add(started.timer_id)
        elif event.HasField("timer_fired_event_attributes"):
            short.discard(event.timer_fired_event_attributes.timer_id)
        elif event.HasField("timer_canceled_event_attributes"):
            short.discard(event.timer_canceled_event_attributes.timer_id)
    for timer in sorted(short):
        yield f"timer {timer}"


_OUTCOMES = (
    "start_child_workflow_execution_failed_event_attributes",
    "child_workflow_execution_started_event_attributes",
    "signal_external_workflow_execution_failed_event_attributes",
    "external_workflow_execution_signaled_event_attributes",
    "request_cancel_external_workflow_execution_failed_event_attributes",
    "external_workflow_execution_cancel_requested_event_attributes",
)
_INITIATED = frozenset(
    {
        "start_child_workflow_execution_initiated_event_attributes",
        "signal_external_workflow_execution_initiated_event_attributes",
        "request_cancel_external_workflow_execution_initiated_event_attributes",
    }
)


def _external(run: RunView) -> Iterator[str]:
    """What it wants of other workflows, without an answer yet."""
    initiated: set[int] = set()
    for event in run.events:
        which = event.WhichOneof("attributes")
        if which in _INITIATED:
            initiated.add(event.event_id)
        elif which in _OUTCOMES:
            initiated.discard(getattr(event, which).initiated_event_id)
    for event_id in sorted(initiated):
        yield f"no outcome of {event_id}"


_CHILD_CLOSED = (
    "child_workflow_execution_completed_event_attributes",
    "child_workflow_execution_failed_event_attributes",
    "child_workflow_execution_canceled_event_attributes",
    "child_workflow_execution_timed_out_event_attributes",
    "child_workflow_execution_terminated_event_attributes",
)


def _children(run: RunView, runs: Mapping[str, RunView]) -> Iterator[str]:
    """What has not reached its children, or it from them."""
    policies: dict[int, int] = {}
    started: dict[int, str] = {}
    for event in run.events:
        which = event.WhichOneof("attributes") or ""
        attributes = getattr(event, which, None)
        if event.HasField("start_child_workflow_execution_initiated_event_attributes"):
            initiated = event.start_child_workflow_execution_initiated_event_attributes
            policies[event.event_id] = initiated.parent_close_policy
        elif event.HasField("child_workflow_execution_started_event_attributes"):
            child = event.child_workflow_execution_started_event_attributes
            started[child.initiated_event_id] = child.workflow_execution.run_id
        elif which in _CHILD_CLOSED and attributes is not None:
            started.pop(attributes.initiated_event_id, None)
    for event_id, run_id in started.items():
        yield from _child(run, policies[event_id], run_id, runs)


def _child(run: RunView, policy: int, run_id: str, runs: Mapping[str, RunView]) -> Iterator[str]:
    resets = _resets(runs)
    while (child := runs.get(run_id)) is not None and child.events:
        following = successor_of(child.events[-1]) or resets.get(run_id, "")
        if not following:
            break
        run_id = following
    if child is None or not child.events:
        yield f"child {run_id} is not read yet"
    elif run.is_open and not child.is_open:
        yield f"child {run_id} has closed"
    elif run.run_id in resets:
        return  # Its children are those of the run that goes on.
    elif not run.is_open and child.is_open and not successor_of(run.events[-1]):
        is_abandoned = policy == CLOSE_POLICY_ABANDON
        if not (child.is_canceled if policy == CLOSE_POLICY_CANCEL else is_abandoned):
            yield f"child {run_id} has not heard that its parent closed"


def _resets(runs: Mapping[str, RunView]) -> dict[str, str]:
    """The run that goes on, by the one that was reset."""
    return {
        failed.base_run_id: failed.new_run_id
        for run in runs.values()
        for event in run.events
        if (failed := event.workflow_task_failed_event_attributes).new_run_id
    }
