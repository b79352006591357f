"""The life of a workflow task: scheduled, started, completed, failed, timed out, delivered in vain.

At most one is outstanding. While it is started, events that arrive are buffered; they get their ids
when it closes. A first attempt is written to history as it goes; later attempts ("transient") write
nothing until they complete. A worker that has the run in its cache is offered the task on its own
sticky queue first.
"""

from __future__ import annotations

import msgspec
from temporalio.api.enums.v1 import (
    WorkflowTaskFailedCause,
    event_type_pb2,
    failed_cause_pb2,
    workflow_pb2,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.ports import SECOND_NS, Limits
from perdure.server.machines.wire import history_entry, set_timestamp
from perdure.server.machines.workflow import (
    callbacks,
    changes,
    events,
    problems,
    queries,
    speculative,
    transitions,
    updates,
)
from perdure.server.machines.workflow.effects import WithdrawTask
from perdure.server.machines.workflow.inputs import StartedWorkflowTask, TaskToken
from perdure.server.machines.workflow.outstanding_task import (
    WORKFLOW_TASK_ROW,
    is_on_sticky_queue,
    offer_of,
    scheduled_event,
    started_event,
)
from perdure.server.machines.workflow.state import Run, Workflow, WorkflowTask
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import behavior_of, has_target_changed, version_of

RETRY_FREE_ATTEMPTS = 3
RETRY_INITIAL_NS = 5 * SECOND_NS
UPDATES_SUGGEST_RATIO = 0.9
"""Of all updates that a run may have: then it should continue as new."""
HISTORY_SERVICE = "history-service"
"""The identity in events that the service writes on its own account."""
INLINE_REQUEST_ID = "request-from-RespondWorkflowTaskCompleted"

_SCHEDULED = "scheduled_event_id"
_INITIATED = "initiated_event_id"
_STARTS = {
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_STARTED: _SCHEDULED,
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: _INITIATED,
}
"""Events that begin what one of the next kind ends, and the field that names what they are of."""
_OUTCOMES = {
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _SCHEDULED,
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_FAILED: _SCHEDULED,
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: _SCHEDULED,
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_CANCELED: _SCHEDULED,
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: _INITIATED,
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: _INITIATED,
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: _INITIATED,
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: _INITIATED,
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: _INITIATED,
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_COMPLETED: _SCHEDULED,
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_FAILED: _SCHEDULED,
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_CANCELED: _SCHEDULED,
    event_type_pb2.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT: _SCHEDULED,
}


def schedule_if_needed(turn: Turn) -> None:
    """Schedule a workflow task, if the run is open, has none, and its first one is not delayed."""
    run = turn.run
    if run.is_open and run.pending.is_first_task_scheduled and run.workflow_task is None:
        schedule(turn)


def schedule_without_delay(turn: Turn) -> None:
    """Schedule a workflow task, if the run is open and has none: a request to cancel does not wait
    for a start delay, a cron time, or a retry's backoff."""
    if turn.run.is_open and turn.run.workflow_task is None:
        schedule(turn)


def schedule(turn: Turn, *, heartbeat_since_ns: int = 0, is_offered: bool = True) -> None:
    """Schedule a workflow task. Buffered events are recorded first, and make it a first attempt
    again. A paused run gets no task."""
    run = turn.run
    if run.buffered:
        flush_buffer(turn)
        turn.change(changes.TaskClosed(next_attempt=1))
    if run.pending.pause is not None:
        return
    attempt = run.pending.attempt
    start_to_close_ns = start_to_close(run.recorded.workflow_task_timeout_ns, attempt, turn.limits)
    transient = None
    if attempt == 1:
        turn.record(scheduled_event(run, start_to_close_ns, attempt))
    else:
        transient = WorkflowTask(
            scheduled_event_id=run.recorded.next_event_id,
            attempt=attempt,
            scheduled_time_ns=max(turn.now_ns, run.recorded.last_event_time_ns),
            start_to_close_ns=start_to_close_ns,
        )
    turn.change(changes.TaskScheduled(transient, heartbeat_since_ns or turn.now_ns))
    if is_offered:
        offer(turn)


def offer(turn: Turn) -> None:
    """Offer the outstanding task on the queue where it belongs now."""
    turn.effects.append(offer_of(turn.run, turn.now_ns))


def start(
    turn: Turn,
    *,
    request_id: str,
    identity: str,
    worker_version: bytes | None = None,
    is_inline: bool = False,
) -> StartedWorkflowTask:
    """Give the scheduled (or undelivered) task to a worker; `is_inline`: to the one that asked with
    its completion, which has the run in its cache."""
    run = turn.run
    task = run.workflow_task
    assert task is not None, "the caller has found a scheduled task"
    was_sticky = is_on_sticky_queue(run)
    if run.speculative is not None:
        was_undelivered = run.speculative.is_undelivered
        speculative.start(
            turn,
            request_id=request_id,
            identity=identity,
            worker_version=worker_version or b"",
            suggest_reasons=suggest_reasons(run, turn.limits),
        )
        is_sticky = was_sticky or (is_inline and not was_undelivered)
        return started_reply(turn.workflow, is_sticky=is_sticky)
    if run.pending.is_task_undelivered:
        turn.change(changes.TaskRedelivered(turn.now_ns))
        return started_reply(turn.workflow, is_sticky=False)
    if run.pending.sticky_queue and run.pending.sticky_worker_unavailable:
        # It comes from the normal queue: a failure of this attempt is not the sticky worker's.
        turn.change(changes.StickySet("", 0))
    if run.pending.transient_task is None:
        _record_started(turn, task, request_id, identity, worker_version)
        turn.change(changes.TaskStarted(None, turn.now_ns))
    elif task.scheduled_event_id != run.recorded.next_event_id:
        _make_recorded(turn, task)
        _record_started(turn, task, request_id, identity, worker_version)
        turn.change(changes.TaskStarted(None, turn.now_ns))
    else:
        started = msgspec.structs.replace(
            task,
            started_event_id=task.scheduled_event_id + 1,
            started_time_ns=turn.now_ns,
            request_id=request_id,
            identity=identity,
            history_size_bytes=run.recorded.history_size_bytes,
            suggest_reasons=suggest_reasons(run, turn.limits),
            worker_version=worker_version or b"",
            has_target_changed=has_target_changed(run),
        )
        turn.change(changes.TaskStarted(started, turn.now_ns))
    return started_reply(turn.workflow, is_sticky=was_sticky or is_inline)


def started_reply(
    workflow: Workflow, *, is_sticky: bool, is_repeated: bool = False
) -> StartedWorkflowTask:
    """What a worker needs to know of the started task; on its sticky queue, only the history that
    it has not seen. A repeated answer brings no updates that have come since the first: who has
    that one knows nothing of them."""
    run = workflow.run
    assert run is not None, "a task has been started"
    task = run.workflow_task
    assert task is not None, "a task has been started"
    recorded = run.recorded
    seen = recorded.completed_task_started_event_id
    return StartedWorkflowTask(
        token=TaskToken(
            namespace_id=workflow.namespace_id,
            workflow_id=workflow.workflow_id,
            run_id=recorded.run_id,
            scheduled_event_id=task.scheduled_event_id,
            attempt=task.attempt,
            stamp=run.task_stamp,
            started_event_id=task.started_event_id,
            start_id=task.request_id,
        ),
        workflow_type=recorded.workflow_type,
        attempt=task.attempt,
        previous_started_event_id=seen,
        started_event_id=task.started_event_id,
        scheduled_time_ns=task.scheduled_time_ns,
        started_time_ns=task.started_time_ns,
        task_queue=recorded.task_queue,
        history_from=seen + 1 if is_sticky else 1,
        history_to=recorded.next_event_id - 1,
        unrecorded=unrecorded_events(run, is_for_worker=True),
        # What is buffered (of a task that is given out again) comes with the next task only.
        queries={} if run.buffered else queries.waiting(workflow),
        messages=[] if is_repeated else updates.sent(workflow, task),
    )


def unrecorded_events(run: Run, *, is_for_worker: bool) -> bytes:
    """The events of a transient attempt or a speculative task, as History entries: workers and
    readers see them, no history has them yet."""
    task = run.pending.transient_task
    if run.speculative is not None:
        task = run.speculative.task
    if task is None or task.scheduled_event_id != run.recorded.next_event_id:
        return b""  # Events came after it was scheduled: it will be recorded when it is started.
    scheduled = scheduled_event(run, task.start_to_close_ns, task.attempt)
    entries = _entry(scheduled, task.scheduled_event_id, task.scheduled_time_ns)
    if task.started_event_id:
        started = started_event(task, task.worker_version or None)
        if not is_for_worker:
            started.workflow_task_started_event_attributes.ClearField("identity")
        entries += _entry(started, task.started_event_id, task.started_time_ns)
    return entries


def record_transient(turn: Turn, identity: str, worker_version: bytes | None) -> None:
    """Write the events of a transient attempt that completed, with the times that they had. Its
    worker is recorded as it is when it answers."""
    task = turn.run.pending.transient_task
    if task is None:
        return
    scheduled = scheduled_event(turn.run, task.start_to_close_ns, task.attempt)
    turn.record(scheduled, task.scheduled_time_ns)
    task = msgspec.structs.replace(task, identity=identity)
    turn.record(started_event(task, worker_version), task.started_time_ns)


_UNCOUNTED = (
    failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_FAILOVER_CLOSE_COMMAND,
    failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
)
"""What is nobody's failure: the next attempt is a first one."""


def fail(
    turn: Turn,
    *,
    cause: WorkflowTaskFailedCause.ValueType,
    failure: Failure | None,
    identity: str,
    binary_checksum: str = "",
    worker_version: bytes | None = None,
) -> None:
    """Close the started task as failed. Only a first attempt writes an event."""
    turn.make_normal(identity, worker_version)
    task = turn.run.recorded.workflow_task
    if task is not None:
        turn.record(
            events.workflow_task_failed(
                scheduled_event_id=task.scheduled_event_id,
                started_event_id=task.started_event_id,
                cause=cause,
                failure=failure,
                identity=identity,
                binary_checksum=binary_checksum,
            )
        )
    problem = problems.failed(cause) if task is not None else None
    close_unsuccessfully(turn, problem, counts=cause not in _UNCOUNTED)


def time_out_started(turn: Turn) -> None:
    """Close the started task as timed out. Only a first attempt writes an event."""
    turn.make_normal()
    task = turn.run.recorded.workflow_task
    if task is not None:
        turn.record(
            events.workflow_task_timed_out(
                task.scheduled_event_id,
                task.started_event_id,
                workflow_pb2.TIMEOUT_TYPE_START_TO_CLOSE,
            )
        )
    close_unsuccessfully(turn, problems.TIMED_OUT if task is not None else None, counts=True)


def time_out_scheduled(turn: Turn) -> None:
    """The task was not taken in time: it leaves the sticky queue."""
    turn.make_normal()
    run = turn.run
    task = run.recorded.workflow_task
    if task is not None:
        turn.record(
            events.workflow_task_timed_out(
                task.scheduled_event_id, 0, workflow_pb2.TIMEOUT_TYPE_SCHEDULE_TO_START
            )
        )
    withdraw(turn)
    close_unsuccessfully(turn, None, counts=False)


def close_unsuccessfully(turn: Turn, problem: tuple[str, ...] | None, *, counts: bool) -> None:
    """After a failure on a sticky queue the next try is a first attempt on the normal one; else
    attempts count up."""
    pending = turn.run.pending
    if pending.sticky_queue:
        turn.change(changes.StickySet("", 0))
        counts = False
    turn.change(changes.TaskClosed(next_attempt=pending.attempt + 1 if counts else 1))
    problems.note(turn, problem, counts=counts)


def withdraw(turn: Turn) -> None:
    """The task is no longer on offer."""
    turn.effects.append(WithdrawTask(turn.run.recorded.run_id, WORKFLOW_TASK_ROW))


def flush_buffer(turn: Turn) -> None:
    """Record the buffered events, in order of arrival, but outcomes of activities and children last
    (as the real server does)."""
    arrived = arrived_events(turn.run)
    before = behavior_of(turn.run), version_of(turn.run)
    turn.change(changes.BufferTaken())
    started_ids: dict[int, int] = {}
    for event in arrived:
        time_ns = event.event_time.seconds * SECOND_NS + event.event_time.nanos
        attributes = getattr(event, str(event.WhichOneof("attributes")))
        if event.event_type in _OUTCOMES:
            begun = started_ids.get(getattr(attributes, _OUTCOMES[event.event_type]))
            if begun is not None:
                attributes.started_event_id = begun
        event_id = turn.record(event, time_ns)
        if event.event_type in _STARTS:
            started_ids[getattr(attributes, _STARTS[event.event_type])] = event_id
    transitions.override_changed(turn, before)
    if turn.run.callbacks:
        callbacks.trigger_attached(turn)


def arrived_events(run: Run) -> list[HistoryEvent]:
    """What is buffered, in the order in which it will be recorded."""
    arrived = [HistoryEvent.FromString(buffered.event) for buffered in run.buffered.values()]
    arrived.sort(key=is_outcome)
    return arrived


def is_outcome(event: HistoryEvent) -> bool:
    """Whether an event is how an activity or a child ended: of what arrives together, those are
    recorded last."""
    return event.event_type in _OUTCOMES


def limit_buffer(turn: Turn) -> None:
    """When more is buffered than may be, the started task fails, so that what waits is recorded (as
    on the real server, at the end of the turn)."""
    run, limits = turn.run, turn.limits
    if (
        len(run.buffered) <= limits.buffered_events_max
        and run.pending.buffered_bytes <= limits.buffered_bytes_max
    ):
        return
    force_close(turn)
    schedule(turn)


def force_close(turn: Turn) -> None:
    """Before the run is ended from outside: the started task fails, and what is buffered is
    recorded."""
    run = turn.run
    if run.is_task_started:
        turn.make_normal(HISTORY_SERVICE)
        if run.pending.is_task_undelivered:
            withdraw(turn)
        fail(
            turn,
            cause=failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
            failure=None,
            identity=HISTORY_SERVICE,
        )
    if run.buffered:
        flush_buffer(turn)


def start_to_close(default_ns: int, attempt: int, limits: Limits) -> int:
    """The start-to-close timeout of an attempt: after three, it grows, so that a task which always
    fails costs little."""
    if attempt <= RETRY_FREE_ATTEMPTS:
        return default_ns
    exponent = min(attempt - RETRY_FREE_ATTEMPTS - 1, 32)
    backoff_ns: int = RETRY_INITIAL_NS << exponent
    return default_ns + min(backoff_ns, limits.workflow_task_retry_ns_max)


def suggest_reasons(run: Run, limits: Limits) -> tuple[int, ...]:
    """Why the workflow should continue as new, if it should."""
    reasons = []
    if run.recorded.history_size_bytes >= limits.history_size_bytes_suggest:
        reasons.append(workflow_pb2.SUGGEST_CONTINUE_AS_NEW_REASON_HISTORY_SIZE_TOO_LARGE)
    if run.recorded.next_event_id >= limits.history_count_suggest:
        reasons.append(workflow_pb2.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_HISTORY_EVENTS)
    if len(run.updates) >= limits.updates_max * UPDATES_SUGGEST_RATIO:
        reasons.append(workflow_pb2.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_UPDATES)
    return tuple(reasons)


def _make_recorded(turn: Turn, task: WorkflowTask) -> None:
    """Events came after a transient task was scheduled: it becomes a first attempt, written from
    its schedule on."""
    turn.change(changes.TaskClosed(next_attempt=1))
    turn.record(scheduled_event(turn.run, task.start_to_close_ns, attempt=1))


def _record_started(
    turn: Turn,
    task: WorkflowTask,
    request_id: str,
    identity: str,
    worker_version: bytes | None,
) -> None:
    run = turn.run
    current = run.recorded.workflow_task or task
    # What is begun and started in one turn has no size yet, as on the real server.
    size_bytes = 0 if turn.segment.is_new else run.recorded.history_size_bytes
    turn.record(
        events.workflow_task_started(
            scheduled_event_id=current.scheduled_event_id,
            request_id=request_id,
            identity=identity,
            history_size_bytes=size_bytes,
            suggest_reasons=suggest_reasons(run, turn.limits),
            worker_version=worker_version,
            has_target_changed=has_target_changed(run),
        )
    )


def _entry(event: HistoryEvent, event_id: int, time_ns: int) -> bytes:
    event.event_id = event_id
    set_timestamp(event.event_time, time_ns)
    return history_entry(event.SerializeToString())
