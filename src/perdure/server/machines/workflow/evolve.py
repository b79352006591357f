"""The one fold: the only code that changes a run.

`evolve_event` applies one recorded event, `evolve_pending` one change of what is not an event. Live
decisions, loading, rebuilding and tests all come through here. Each marks the keyed parts that it
touched, so that a commit writes those rows and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from temporalio.api.common.v1 import Memo, SearchAttributes
from temporalio.api.common.v1 import RetryPolicy as RetryPolicyMessage
from temporalio.api.enums.v1 import EventType, event_type_pb2
from temporalio.api.history.v1 import HistoryEvent

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.nulls import merge_fields
from perdure.server.machines.wire import duration_ns, timestamp_ns
from perdure.server.machines.workflow import changes, registering, update_folds, versioning
from perdure.server.machines.workflow.nexus import folds as nexus
from perdure.server.machines.workflow.state import (
    Activity,
    Attempt,
    AttemptState,
    BlobName,
    BufferedEvent,
    Child,
    ExternalRequest,
    Pending,
    PendingActivity,
    Recorded,
    RecordKind,
    Request,
    ResetPoint,
    RetryPolicy,
    Run,
    Status,
    Timer,
    WorkflowTask,
)

RESET_POINTS_MAX = 20
"""Temporal's history.maxAutoResetPoints."""

Touched = set[tuple[RecordKind, int | str]]
"""Keyed parts whose rows differ from what is stored."""


def retry_policy_of(message: RetryPolicyMessage) -> RetryPolicy:
    """A policy as it is kept; defaults were applied before it was recorded."""
    return RetryPolicy(
        initial_interval_ns=duration_ns(message.initial_interval),
        backoff_coefficient=message.backoff_coefficient,
        interval_ns_max=duration_ns(message.maximum_interval),
        attempts_max=message.maximum_attempts,
        non_retryable_types=tuple(message.non_retryable_error_types),
    )


def run_from_start(event: HistoryEvent, size: int, touched: Touched) -> Run:
    """The run that its first event makes; `size` as in `evolve_event`."""
    attributes = event.workflow_execution_started_event_attributes
    time_ns = timestamp_ns(event.event_time)
    parent, root = attributes.parent_workflow_execution, attributes.root_workflow_execution
    expiration = attributes.workflow_execution_expiration_time
    recorded = Recorded(
        workflow_type=attributes.workflow_type.name,
        task_queue=attributes.task_queue.name,
        run_id=attributes.original_execution_run_id,
        chain_run_id=(
            attributes.first_execution_run_id
            if attributes.first_execution_run_id != attributes.original_execution_run_id
            else ""
        ),
        continued_run_id=attributes.continued_execution_run_id,
        start_time_ns=time_ns,
        run_timeout_ns=duration_ns(attributes.workflow_run_timeout),
        execution_timeout_ns=duration_ns(attributes.workflow_execution_timeout),
        execution_expiration_ns=timestamp_ns(expiration),
        workflow_task_timeout_ns=duration_ns(attributes.workflow_task_timeout),
        first_task_backoff_ns=duration_ns(attributes.first_workflow_task_backoff),
        attempt=attributes.attempt,
        cron_schedule=attributes.cron_schedule,
        retry_policy=(
            retry_policy_of(attributes.retry_policy)
            if attributes.HasField("retry_policy")
            else None
        ),
        initiator=attributes.initiator,
        parent_namespace=attributes.parent_workflow_namespace,
        parent_namespace_id=attributes.parent_workflow_namespace_id,
        parent_workflow_id=parent.workflow_id,
        parent_run_id=parent.run_id,
        parent_initiated_event_id=attributes.parent_initiated_event_id,
        root_workflow_id=root.workflow_id,
        root_run_id=root.run_id,
        priority=(
            attributes.priority.SerializeToString() if attributes.HasField("priority") else None
        ),
        reset_points=tuple(
            ResetPoint(
                point.build_id,
                point.run_id,
                point.first_workflow_task_completed_id,
                timestamp_ns(point.create_time),
                timestamp_ns(point.expire_time),
                point.binary_checksum,
            )
            for point in attributes.prev_auto_reset_points.points
        ),
        next_event_id=2,
        history_size_bytes=size,
        last_event_time_ns=time_ns,
        versioning=versioning.after_start(attributes),
    )
    run = Run(recorded=recorded, pending=Pending())
    if attributes.HasField("memo") and attributes.memo.fields:
        _put_blob(run, BlobName.MEMO, _stable(attributes.memo), touched)
    if attributes.HasField("search_attributes") and attributes.search_attributes.indexed_fields:
        _put_blob(
            run,
            BlobName.SEARCH_ATTRIBUTES,
            _stable(attributes.search_attributes),
            touched,
        )
    registering.callbacks(run, attributes.completion_callbacks, 1, time_ns, touched)
    return run


def evolve_event(run: Run, event: HistoryEvent, size: int, touched: Touched) -> None:
    """Apply one recorded event. `size` is its length as an entry of a serialised History, in
    bytes."""
    recorded = run.recorded
    if event.event_id != recorded.next_event_id:
        raise InvariantViolation(
            f"event {event.event_id} was recorded where {recorded.next_event_id} is next"
        )
    fold = _EVENTS.get(event.event_type)
    if fold is None:
        raise InvariantViolation(f"no fold for event type {EventType.Name(event.event_type)}")
    recorded.next_event_id += 1
    recorded.history_size_bytes += size
    time_ns = timestamp_ns(event.event_time)
    if time_ns > recorded.last_event_time_ns and event.event_type not in nexus.TOLD_TIMES:
        recorded.last_event_time_ns = time_ns
    fold(run, event, time_ns, touched)


def evolve_pending(run: Run, change: changes.Change, touched: Touched) -> None:
    """Apply one change of what is pending."""
    _PENDING[type(change)](run, change, touched)


# ---- folds of events


def _nothing(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    """Markers and the like: they are history, and change nothing."""


def _task_scheduled(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    attributes = event.workflow_task_scheduled_event_attributes
    run.recorded.workflow_task = WorkflowTask(
        scheduled_event_id=event.event_id,
        attempt=attributes.attempt,
        scheduled_time_ns=time_ns,
        start_to_close_ns=duration_ns(attributes.start_to_close_timeout),
    )


def _outstanding(run: Run, event: HistoryEvent) -> WorkflowTask:
    task = run.recorded.workflow_task
    if task is None:
        raise InvariantViolation(f"event {event.event_id} closes or starts no workflow task")
    return task


def _task_started(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    task = _outstanding(run, event)
    attributes = event.workflow_task_started_event_attributes
    task.started_event_id = event.event_id
    task.started_time_ns = time_ns
    task.request_id = attributes.request_id
    task.identity = attributes.identity
    task.history_size_bytes = attributes.history_size_bytes
    task.suggest_reasons = tuple(attributes.suggest_continue_as_new_reasons)
    task.has_target_changed = attributes.target_worker_deployment_version_changed


def _task_completed(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    recorded = run.recorded
    recorded.completed_task_started_event_id = _outstanding(run, event).started_event_id
    recorded.workflow_task = None
    attributes = event.workflow_task_completed_event_attributes
    recorded.versioning = versioning.after_completion(recorded.versioning, attributes)
    build_id, checksum = attributes.worker_version.build_id, attributes.binary_checksum
    recorded.is_stamped = attributes.HasField("worker_version")
    is_versioned = attributes.HasField("deployment_version")
    if is_versioned:
        build_id = attributes.deployment_version.build_id
    if (
        build_id != recorded.build_id
        or checksum != recorded.binary_checksum
        or not recorded.reset_points
    ):
        recorded.build_id, recorded.binary_checksum = build_id, checksum
        _add_reset_point(recorded, event.event_id, time_ns, is_versioned=is_versioned)


def _add_reset_point(
    recorded: Recorded, event_id: int, time_ns: int, *, is_versioned: bool
) -> None:
    """Remember where each build began: a bad one can be undone by a reset to there."""
    build = recorded.build_id, recorded.binary_checksum
    if any((point.build_id, point.binary_checksum) == build for point in recorded.reset_points):
        return
    build_id, checksum = build
    point = ResetPoint(build_id, recorded.run_id, event_id, time_ns, 0, checksum, is_versioned)
    recorded.reset_points = (*recorded.reset_points, point)[-RESET_POINTS_MAX:]


def _task_over(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    _outstanding(run, event)
    run.recorded.workflow_task = None


def _task_failed(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    _task_over(run, event, time_ns, touched)
    attributes = event.workflow_task_failed_event_attributes
    if attributes.new_run_id:
        _take_over(run.recorded, attributes.new_run_id, time_ns)


def _take_over(recorded: Recorded, run_id: str, time_ns: int) -> None:
    """A reset: all before was another run's history, and from here on it is this one's. Its
    timeouts begin anew."""
    recorded.reset_points = tuple(
        msgspec.structs.replace(point, run_id=run_id) if point.run_id == recorded.run_id else point
        for point in recorded.reset_points
    )
    recorded.chain_run_id = recorded.first_execution_run_id
    recorded.run_id = run_id
    recorded.original_start_time_ns = recorded.original_start_time_ns or recorded.start_time_ns
    recorded.start_time_ns = time_ns
    if recorded.execution_timeout_ns:
        recorded.execution_expiration_ns = time_ns + recorded.execution_timeout_ns


def _activity_scheduled(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    attributes = event.activity_task_scheduled_event_attributes
    event_id = event.event_id
    run.activities[event_id] = PendingActivity(
        activity=Activity(
            activity_id=attributes.activity_id,
            activity_type=attributes.activity_type.name,
            task_queue=attributes.task_queue.name,
            scheduled_event_id=event_id,
            scheduled_time_ns=time_ns,
            schedule_to_close_ns=duration_ns(attributes.schedule_to_close_timeout),
            schedule_to_start_ns=duration_ns(attributes.schedule_to_start_timeout),
            start_to_close_ns=duration_ns(attributes.start_to_close_timeout),
            heartbeat_ns=duration_ns(attributes.heartbeat_timeout),
            retry_policy=retry_policy_of(attributes.retry_policy),
            priority=(
                attributes.priority.SerializeToString() if attributes.HasField("priority") else None
            ),
            use_workflow_build_id=attributes.use_workflow_build_id,
        ),
        attempt=Attempt(state=AttemptState.SCHEDULED, scheduled_time_ns=time_ns),
    )
    run.activity_ids[attributes.activity_id] = event_id
    touched.add((RecordKind.ACTIVITY, event_id))


def _activity_started(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    scheduled = event.activity_task_started_event_attributes.scheduled_event_id
    if scheduled not in run.activities:
        raise InvariantViolation(f"event {event.event_id} starts no pending activity")


def _activity_cancel_requested(
    run: Run, event: HistoryEvent, time_ns: int, touched: Touched
) -> None:
    scheduled = event.activity_task_cancel_requested_event_attributes.scheduled_event_id
    pending = run.activities.get(scheduled)
    if pending is None:
        return  # It is over: the request came too late, and is recorded as on the real server.
    pending.activity.cancel_requested_event_id = event.event_id
    touched.add((RecordKind.ACTIVITY, scheduled))


def _activity_closed(attributes_name: str) -> Callable[[Run, HistoryEvent, int, Touched], None]:
    def fold(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
        scheduled: int = getattr(event, attributes_name).scheduled_event_id
        pending = run.activities.pop(scheduled, None)
        if pending is None:
            raise InvariantViolation(f"event {event.event_id} closes no pending activity")
        del run.activity_ids[pending.activity.activity_id]
        touched.add((RecordKind.ACTIVITY, scheduled))

    return fold


def _timer_started(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    attributes = event.timer_started_event_attributes
    run.timers[attributes.timer_id] = Timer(
        timer_id=attributes.timer_id,
        started_event_id=event.event_id,
        due_ns=time_ns + duration_ns(attributes.start_to_fire_timeout),
    )
    touched.add((RecordKind.TIMER, attributes.timer_id))


def _timer_over(attributes_name: str) -> Callable[[Run, HistoryEvent, int, Touched], None]:
    def fold(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
        timer_id: str = getattr(event, attributes_name).timer_id
        if run.timers.pop(timer_id, None) is None:
            raise InvariantViolation(f"event {event.event_id} ends no pending timer")
        touched.add((RecordKind.TIMER, timer_id))

    return fold


def _child_initiated(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    attributes = event.start_child_workflow_execution_initiated_event_attributes
    run.children[event.event_id] = Child(
        initiated_event_id=event.event_id,
        workflow_id=attributes.workflow_id,
        workflow_type=attributes.workflow_type.name,
        parent_close_policy=attributes.parent_close_policy,
    )
    touched.add((RecordKind.CHILD, event.event_id))


def _child_started(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    attributes = event.child_workflow_execution_started_event_attributes
    child = run.children.get(attributes.initiated_event_id)
    if child is None:
        raise InvariantViolation(f"event {event.event_id} starts no pending child")
    child.started_event_id = event.event_id
    child.started_run_id = attributes.workflow_execution.run_id
    child.buffered_run_id = ""
    touched.add((RecordKind.CHILD, child.initiated_event_id))


def _child_over(attributes_name: str) -> Callable[[Run, HistoryEvent, int, Touched], None]:
    def fold(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
        initiated: int = getattr(event, attributes_name).initiated_event_id
        if run.children.pop(initiated, None) is None:
            raise InvariantViolation(f"event {event.event_id} ends no pending child")
        touched.add((RecordKind.CHILD, initiated))

    return fold


def _externals(run: Run, kind: RecordKind) -> dict[int, ExternalRequest]:
    return run.external_signals if kind is RecordKind.EXTERNAL_SIGNAL else run.external_cancels


def _external_initiated(
    kind: RecordKind, attributes_name: str
) -> Callable[[Run, HistoryEvent, int, Touched], None]:
    def fold(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
        target = getattr(event, attributes_name).workflow_execution
        _externals(run, kind)[event.event_id] = ExternalRequest(
            event.event_id, target.workflow_id, target.run_id
        )
        touched.add((kind, event.event_id))

    return fold


def _external_answered(
    kind: RecordKind, attributes_name: str
) -> Callable[[Run, HistoryEvent, int, Touched], None]:
    def fold(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
        initiated: int = getattr(event, attributes_name).initiated_event_id
        if _externals(run, kind).pop(initiated, None) is None:
            raise InvariantViolation(f"event {event.event_id} answers no pending request")
        touched.add((kind, initiated))

    return fold


def _signaled(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    run.recorded.signals += 1
    request_id = event.workflow_execution_signaled_event_attributes.request_id
    if request_id:
        registering.note_request(
            run, Request(request_id, event.event_type, event.event_id), touched
        )


def _options_updated(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    attributes = event.workflow_execution_options_updated_event_attributes
    if attributes.HasField("priority"):
        run.recorded.priority = attributes.priority.SerializeToString()
    callbacks = attributes.attached_completion_callbacks
    registering.callbacks(run, callbacks, event.event_id, time_ns, touched)
    update_folds.attached(run, event, time_ns, touched)
    run.recorded.versioning = versioning.after_options(run.recorded.versioning, attributes)
    request_id = attributes.attached_request_id
    if request_id:
        registering.note_request(
            run, Request(request_id, event.event_type, event.event_id), touched
        )


def _cancel_requested(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    run.recorded.cancel_requested_event_id = event.event_id


def _search_attributes_upserted(
    run: Run, event: HistoryEvent, time_ns: int, touched: Touched
) -> None:
    upserted = event.upsert_workflow_search_attributes_event_attributes.search_attributes
    merged = SearchAttributes.FromString(run.blobs.get(BlobName.SEARCH_ATTRIBUTES, b""))
    merge_fields(merged.indexed_fields, upserted.indexed_fields)
    _put_blob(run, BlobName.SEARCH_ATTRIBUTES, _stable(merged), touched)


def _properties_modified(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
    upserted = event.workflow_properties_modified_event_attributes.upserted_memo
    merged = Memo.FromString(run.blobs.get(BlobName.MEMO, b""))
    merge_fields(merged.fields, upserted.fields)
    _put_blob(run, BlobName.MEMO, _stable(merged), touched)


def _closed(
    status: Status, attributes_name: str = ""
) -> Callable[[Run, HistoryEvent, int, Touched], None]:
    def fold(run: Run, event: HistoryEvent, time_ns: int, touched: Touched) -> None:
        recorded = run.recorded
        recorded.status = status
        recorded.close_event_id = event.event_id
        recorded.close_time_ns = time_ns
        if attributes_name:
            recorded.successor_run_id = getattr(event, attributes_name).new_execution_run_id
        # Activities and children stay as they were, to be described.
        touched.update((RecordKind.TIMER, key) for key in run.timers)
        touched.update((RecordKind.EXTERNAL_SIGNAL, key) for key in run.external_signals)
        touched.update((RecordKind.EXTERNAL_CANCEL, key) for key in run.external_cancels)
        run.timers.clear()
        run.external_signals.clear()
        run.external_cancels.clear()

    return fold


def _stable(message: Memo | SearchAttributes) -> bytes:
    """Map entries in one order, so that equal maps are equal bytes."""
    return message.SerializeToString(deterministic=True)


def _put_blob(run: Run, name: BlobName, blob: bytes, touched: Touched) -> None:
    run.blobs[name] = blob
    touched.add((RecordKind.BLOB, name))


_EVENTS: dict[int, Callable[[Run, HistoryEvent, int, Touched], None]] = {
    event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED: _task_scheduled,
    event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_STARTED: _task_started,
    event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_COMPLETED: _task_completed,
    event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_FAILED: _task_failed,
    event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT: _task_over,
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: _activity_scheduled,
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_STARTED: _activity_started,
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: _activity_cancel_requested,
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: _activity_closed(
        "activity_task_completed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_FAILED: _activity_closed(
        "activity_task_failed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: _activity_closed(
        "activity_task_timed_out_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_CANCELED: _activity_closed(
        "activity_task_canceled_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_TIMER_STARTED: _timer_started,
    event_type_pb2.EVENT_TYPE_TIMER_FIRED: _timer_over("timer_fired_event_attributes"),
    event_type_pb2.EVENT_TYPE_TIMER_CANCELED: _timer_over("timer_canceled_event_attributes"),
    event_type_pb2.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED: _child_initiated,
    event_type_pb2.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED: _child_over(
        "start_child_workflow_execution_failed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED: _child_started,
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED: _child_over(
        "child_workflow_execution_completed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED: _child_over(
        "child_workflow_execution_failed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED: _child_over(
        "child_workflow_execution_canceled_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT: _child_over(
        "child_workflow_execution_timed_out_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED: _child_over(
        "child_workflow_execution_terminated_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: _external_initiated(
        RecordKind.EXTERNAL_SIGNAL, "signal_external_workflow_execution_initiated_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED: _external_answered(
        RecordKind.EXTERNAL_SIGNAL, "signal_external_workflow_execution_failed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED: _external_answered(
        RecordKind.EXTERNAL_SIGNAL, "external_workflow_execution_signaled_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED: (
        _external_initiated(
            RecordKind.EXTERNAL_CANCEL,
            "request_cancel_external_workflow_execution_initiated_event_attributes",
        )
    ),
    event_type_pb2.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED: _external_answered(
        RecordKind.EXTERNAL_CANCEL,
        "request_cancel_external_workflow_execution_failed_event_attributes",
    ),
    event_type_pb2.EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED: _external_answered(
        RecordKind.EXTERNAL_CANCEL,
        "external_workflow_execution_cancel_requested_event_attributes",
    ),
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: _signaled,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: _cancel_requested,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED: _options_updated,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED: update_folds.admitted,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: update_folds.accepted,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED: update_folds.completed,
    event_type_pb2.EVENT_TYPE_MARKER_RECORDED: _nothing,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED: _nothing,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED: _nothing,
    event_type_pb2.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: _search_attributes_upserted,
    event_type_pb2.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED: _properties_modified,
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: _closed(
        Status.COMPLETED, "workflow_execution_completed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: _closed(
        Status.FAILED, "workflow_execution_failed_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: _closed(
        Status.TIMED_OUT, "workflow_execution_timed_out_event_attributes"
    ),
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: _closed(Status.CANCELED),
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: _closed(Status.TERMINATED),
    event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: _closed(
        Status.CONTINUED_AS_NEW, "workflow_execution_continued_as_new_event_attributes"
    ),
    **nexus.EVENTS,
}


# ---- changes of what is pending


def _start_accepted(run: Run, change: changes.StartAccepted, touched: Touched) -> None:
    run.pending.start_request_id = change.request_id


def _schedule_noted(run: Run, change: changes.ScheduleNoted, touched: Touched) -> None:
    run.pending.scheduled_by = change.sender


def _start_event_kept(run: Run, change: changes.StartEventKept, touched: Touched) -> None:
    _put_blob(run, BlobName.START_EVENT, change.event, touched)


def _reset_from(run: Run, change: changes.ResetFrom, touched: Touched) -> None:
    pending = run.pending
    pending.start_request_id = change.start_request_id
    pending.reset_request_id = change.reset_request_id
    pending.base_runs = change.base_runs
    pending.is_cancel_requested = bool(run.recorded.cancel_requested_event_id)


def _reset_into(run: Run, change: changes.ResetInto, touched: Touched) -> None:
    run.pending.reset_run_id = change.run_id


def _versioning_changed(run: Run, change: changes.VersioningChanged, touched: Touched) -> None:
    run.pending.versioning = change.versioning


def _pause_set(run: Run, change: changes.PauseSet, touched: Touched) -> None:
    run.pending.pause = change.pause


def _pending_scheduled(run: Run, change: changes.TaskScheduled, touched: Touched) -> None:
    pending = run.pending
    pending.transient_task = change.transient
    pending.heartbeat_since_ns = change.heartbeat_since_ns
    pending.task_stamp = change.stamp or pending.task_stamp + 1
    pending.is_first_task_scheduled = True
    pending.is_task_undelivered = False
    pending.sticky_worker_unavailable = False


def _pending_started(run: Run, change: changes.TaskStarted, touched: Touched) -> None:
    run.pending.task_delivered_ns = change.delivered_ns
    run.pending.transient_task = change.transient


def _pending_closed(run: Run, change: changes.TaskClosed, touched: Touched) -> None:
    run.pending.transient_task = None
    run.pending.attempt = change.next_attempt
    run.pending.is_task_undelivered = False


def _problem_noted(run: Run, change: changes.ProblemNoted, touched: Touched) -> None:
    pending = run.pending
    pending.task_failures = change.failures
    pending.task_problem = change.problem
    pending.reported_problem = change.reported


def _undelivered(run: Run, change: changes.TaskUndelivered, touched: Touched) -> None:
    run.pending.is_task_undelivered = True
    run.pending.task_stamp += 1


def _redelivered(run: Run, change: changes.TaskRedelivered, touched: Touched) -> None:
    run.pending.is_task_undelivered = False
    run.pending.task_delivered_ns = change.delivered_ns


def _sticky_set(run: Run, change: changes.StickySet, touched: Touched) -> None:
    run.pending.sticky_queue = change.queue
    run.pending.sticky_timeout_ns = change.timeout_ns


def _sticky_unavailable(run: Run, change: changes.StickyUnavailable, touched: Touched) -> None:
    run.pending.sticky_worker_unavailable = True
    run.pending.task_stamp += 1


def _offered_anew(run: Run, change: changes.TaskOfferedAnew, touched: Touched) -> None:
    run.pending.task_stamp += 1


def _event_buffered(run: Run, change: changes.EventBuffered, touched: Touched) -> None:
    pending = run.pending
    run.buffered[pending.buffered_next] = BufferedEvent(change.event_type, change.event)
    touched.add((RecordKind.BUFFERED, pending.buffered_next))
    pending.buffered_next += 1
    pending.buffered_bytes += len(change.event)


def _buffered_dropped(run: Run, change: changes.BufferedDropped, touched: Touched) -> None:
    run.pending.buffered_bytes -= len(run.buffered.pop(change.index).event)
    touched.add((RecordKind.BUFFERED, change.index))


def _buffer_taken(run: Run, change: changes.BufferTaken, touched: Touched) -> None:
    touched.update((RecordKind.BUFFERED, index) for index in run.buffered)
    run.buffered.clear()
    run.pending.buffered_next = 0
    run.pending.buffered_bytes = 0


def _request_noted(run: Run, change: changes.RequestNoted, touched: Touched) -> None:
    registering.note_request(run, Request(change.request_id, change.event_type, 0), touched)


def _cancel_noted(run: Run, change: changes.CancelNoted, touched: Touched) -> None:
    run.pending.is_cancel_requested = True
    run.pending.cancel_request_id = change.request_id


def _attempt_changed(run: Run, change: changes.AttemptChanged, touched: Touched) -> None:
    run.activities[change.scheduled_event_id].attempt = change.attempt
    touched.add((RecordKind.ACTIVITY, change.scheduled_event_id))


def _pauses_noted(run: Run, change: changes.PausesNoted, touched: Touched) -> None:
    run.pending.paused_types = change.types


def _timer_fire_buffered(run: Run, change: changes.TimerFireBuffered, touched: Touched) -> None:
    run.timers[change.timer_id].is_fired = True
    touched.add((RecordKind.TIMER, change.timer_id))


def _child_start_buffered(run: Run, change: changes.ChildStartBuffered, touched: Touched) -> None:
    run.children[change.initiated_event_id].buffered_run_id = change.run_id
    touched.add((RecordKind.CHILD, change.initiated_event_id))


def _child_end_buffered(run: Run, change: changes.ChildEndBuffered, touched: Touched) -> None:
    run.children[change.initiated_event_id].is_over = True
    touched.add((RecordKind.CHILD, change.initiated_event_id))


def _external_answer_buffered(
    run: Run, change: changes.ExternalAnswerBuffered, touched: Touched
) -> None:
    _externals(run, change.kind)[change.initiated_event_id].is_answered = True
    touched.add((change.kind, change.initiated_event_id))


def _callback_changed(run: Run, change: changes.CallbackChanged, touched: Touched) -> None:
    registering.put_callback(run, change.callback, touched)


def _turn_taken(run: Run, change: changes.TurnTaken, touched: Touched) -> None:
    run.pending.transitions += 1


def _wake_armed(run: Run, change: changes.WakeArmed, touched: Touched) -> None:
    run.pending.wake_at_ns = change.wake_at_ns


_PENDING: dict[type, Callable[[Run, Any, Touched], None]] = {
    changes.StartAccepted: _start_accepted,
    changes.ScheduleNoted: _schedule_noted,
    changes.StartEventKept: _start_event_kept,
    changes.ResetFrom: _reset_from,
    changes.ResetInto: _reset_into,
    changes.PauseSet: _pause_set,
    changes.VersioningChanged: _versioning_changed,
    changes.TaskScheduled: _pending_scheduled,
    changes.TaskStarted: _pending_started,
    changes.TaskClosed: _pending_closed,
    changes.ProblemNoted: _problem_noted,
    changes.TaskUndelivered: _undelivered,
    changes.TaskRedelivered: _redelivered,
    changes.StickySet: _sticky_set,
    changes.StickyUnavailable: _sticky_unavailable,
    changes.TaskOfferedAnew: _offered_anew,
    changes.EventBuffered: _event_buffered,
    changes.BufferedDropped: _buffered_dropped,
    changes.BufferTaken: _buffer_taken,
    changes.RequestNoted: _request_noted,
    changes.CancelNoted: _cancel_noted,
    changes.AttemptChanged: _attempt_changed,
    changes.PausesNoted: _pauses_noted,
    changes.TimerFireBuffered: _timer_fire_buffered,
    changes.ChildStartBuffered: _child_start_buffered,
    changes.ChildEndBuffered: _child_end_buffered,
    changes.ExternalAnswerBuffered: _external_answer_buffered,
    changes.UpdateRejected: update_folds.rejected,
    changes.CallbackChanged: _callback_changed,
    changes.NexusCallsChanged: nexus.calls_changed,
    changes.TurnTaken: _turn_taken,
    changes.WakeArmed: _wake_armed,
}
