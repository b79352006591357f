"""What of a run is due when: pure projections, from which wake-ups are armed.

A run has one wake-up. It is only moved earlier while the run goes on; when it comes too early, it
is armed again for what is left. So a turn costs what it touches, and no deadline can be forgotten:
`wake_at` can always say anew what there is.
"""

from __future__ import annotations

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.workflow.nexus.timing import operation_deadline
from perdure.server.machines.workflow.state import (
    AttemptState,
    PendingActivity,
    RecordKind,
    Run,
    Timer,
)

NEVER = 0
"""No deadline, as a time."""
SPECULATIVE_SCHEDULE_TO_START_NS = 5 * SECOND_NS
"""How long a speculative task is on offer, but on a sticky queue."""


def earliest(*times_ns: int) -> int:
    """The earliest of some deadlines, of which NEVER are none."""
    found = NEVER
    for time_ns in times_ns:
        if time_ns and (time_ns < found or not found):
            found = time_ns
    return found


def run_deadline(run: Run) -> int:
    """When the run, or the chain that it belongs to, must have ended."""
    recorded = run.recorded
    if not recorded.run_timeout_ns:
        return recorded.execution_expiration_ns
    begins_ns = recorded.start_time_ns + recorded.first_task_backoff_ns
    return earliest(begins_ns + recorded.run_timeout_ns, recorded.execution_expiration_ns)


def first_task_due(run: Run) -> int:
    """When the first workflow task of a delayed run is scheduled."""
    return run.recorded.start_time_ns + run.recorded.first_task_backoff_ns


def task_deadline(run: Run) -> int:
    """When the outstanding workflow task times out, or the first one is due."""
    pending = run.pending
    if not pending.is_first_task_scheduled:
        return first_task_due(run) if pending.pause is None else NEVER
    task = run.workflow_task
    if task is None or pending.is_task_undelivered or run.speculative is not None:
        return NEVER
    if task.started_event_id:
        return pending.task_delivered_ns + task.start_to_close_ns
    if pending.sticky_queue and not pending.sticky_worker_unavailable:
        return task.scheduled_time_ns + pending.sticky_timeout_ns
    return NEVER


def speculative_deadline(run: Run) -> int:
    """When the speculative workflow task times out; also when nobody takes it, since its offer is
    only in memory."""
    speculative = run.speculative
    if speculative is None:
        return NEVER
    task = speculative.task
    if task.started_event_id and not speculative.is_undelivered:
        return speculative.delivered_ns + task.start_to_close_ns
    if speculative.is_sticky:
        return task.scheduled_time_ns + run.pending.sticky_timeout_ns
    return max(task.scheduled_time_ns, task.started_time_ns) + SPECULATIVE_SCHEDULE_TO_START_NS


def activity_deadline(pending: PendingActivity) -> int:
    """When something of the activity is due: a timeout, or the end of its backoff. Its clock
    stands still while it is paused."""
    activity, attempt, options = pending.activity, pending.attempt, pending.options
    if attempt.pause is not None:
        return NEVER
    closes_ns = (
        activity.scheduled_time_ns + options.schedule_to_close_ns
        if options.schedule_to_close_ns
        else NEVER
    )
    match attempt.state:
        case AttemptState.OUTCOME_BUFFERED:
            return NEVER
        case AttemptState.BACKING_OFF:
            return earliest(closes_ns, attempt.scheduled_time_ns)
        case AttemptState.SCHEDULED:
            starts_ns = (
                attempt.scheduled_time_ns + options.schedule_to_start_ns
                if options.schedule_to_start_ns
                else NEVER
            )
            return earliest(closes_ns, starts_ns)
        case _:
            return earliest(closes_ns, attempt_deadline(pending), heartbeat_deadline(pending))


def attempt_deadline(pending: PendingActivity) -> int:
    """When a started attempt exceeds its start-to-close timeout."""
    length_ns = pending.options.start_to_close_ns
    return pending.attempt.started_time_ns + length_ns if length_ns else NEVER


def heartbeat_deadline(pending: PendingActivity) -> int:
    """When a started attempt has been silent for too long."""
    length_ns = pending.options.heartbeat_ns
    if not length_ns:
        return NEVER
    return max(pending.attempt.started_time_ns, pending.attempt.heartbeat_time_ns) + length_ns


def timer_deadline(timer: Timer) -> int:
    """When a timer fires."""
    return NEVER if timer.is_fired else timer.due_ns


def callbacks_due(run: Run) -> int:
    """When somebody must be told how the run has ended, or be told again."""
    return earliest(*(callback.due_ns for callback in run.callbacks.values()))


def wake_at(run: Run) -> int:
    """The earliest deadline of all; NEVER when nothing is due ever."""
    if not run.is_open:
        return callbacks_due(run)
    return earliest(
        run_deadline(run),
        task_deadline(run),
        *map(activity_deadline, run.activities.values()),
        *map(timer_deadline, run.timers.values()),
        *map(operation_deadline, run.nexus_operations.values()),
        callbacks_due(run),
    )


def wake_at_of_touched(run: Run, touched: set[tuple[RecordKind, int | str]]) -> int:
    """The earliest deadline among what a turn touched and what any turn may move."""
    if not run.is_open:
        return callbacks_due(run)
    times = [run_deadline(run), task_deadline(run)]
    for kind, key in touched:
        if kind is RecordKind.ACTIVITY and key in run.activities:
            times.append(activity_deadline(run.activities[key]))
        elif kind is RecordKind.TIMER and key in run.timers:
            times.append(timer_deadline(run.timers[key]))
        elif kind is RecordKind.NEXUS_OPERATION and key in run.nexus_operations:
            times.append(operation_deadline(run.nexus_operations[key]))
        elif kind is RecordKind.CALLBACK and key in run.callbacks:
            times.append(run.callbacks[key].due_ns)
    return earliest(*times)
