"""A standalone activity as lists and descriptions show it, and what it is found by."""

from __future__ import annotations

from temporalio.api.activity.v1 import ActivityExecutionInfo, ActivityExecutionListInfo
from temporalio.api.common.v1 import Payloads, Priority
from temporalio.api.enums.v1 import workflow_pb2
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import StartActivityExecutionRequest

from perdure.server.machines.activity.options import policy_message
from perdure.server.machines.search_attributes import NO_CUSTOM, CustomAttributes
from perdure.server.machines.standalone_activity.state import ActivityRun
from perdure.server.machines.standalone_activity.state import Status as ActivityStatus
from perdure.server.machines.wire import set_duration, set_timestamp
from perdure.server.machines.workflow.state import AttemptState, Status
from perdure.server.store.ports import VisibilityRow
from perdure.server.visibility.values import values_of

STATUSES: dict[ActivityStatus, Status] = {
    ActivityStatus.RUNNING: Status.RUNNING,
    ActivityStatus.COMPLETED: Status.COMPLETED,
    ActivityStatus.FAILED: Status.FAILED,
    ActivityStatus.CANCELED: Status.CANCELED,
    ActivityStatus.TERMINATED: Status.TERMINATED,
    ActivityStatus.TIMED_OUT: Status.TIMED_OUT,
    ActivityStatus.PAUSED: Status.PAUSED,
}
"""What a status is stored as: queries call it the same of any run."""


def activity_row(run: ActivityRun, custom: CustomAttributes = NO_CUSTOM) -> VisibilityRow:
    """What a run is found by; `custom` are the search attributes of its namespace."""
    head, is_open = run.head, run.is_open
    start = StartActivityExecutionRequest.FromString(run.start)
    return VisibilityRow(
        workflow_type=head.pending.activity.activity_type,
        status=STATUSES[run.shown_status],
        start_time_ns=head.schedule_time_ns,
        close_time_ns=head.close_time_ns,
        execution_time_ns=_execution_time(run) if head.start_delay_ns else 0,
        task_queue=head.pending.options.task_queue,
        history_length=0,
        history_size_bytes=0,
        state_transitions=0 if is_open else head.transitions,
        attributes=tuple(values_of(start.search_attributes, custom)),
    )


def activity_list_info(run: ActivityRun) -> ActivityExecutionListInfo:
    """What a list shows of a run."""
    head = run.head
    start = StartActivityExecutionRequest.FromString(run.start)
    info = ActivityExecutionListInfo(
        activity_id=start.activity_id,
        run_id=head.run_id,
        activity_type=start.activity_type,
        status=run.shown_status,  # type: ignore[arg-type]
        search_attributes=start.search_attributes,
        task_queue=head.pending.options.task_queue,
    )
    set_timestamp(info.schedule_time, head.schedule_time_ns)
    set_timestamp(info.execution_time, _execution_time(run))
    if not run.is_open:
        set_timestamp(info.close_time, head.close_time_ns)
        set_duration(info.execution_duration, _duration(run))
        info.state_transition_count = head.transitions
    return info


def activity_info(run: ActivityRun, request: object) -> ActivityExecutionInfo:
    """What a description shows of a run; the request says whether heartbeat details and the last
    failure come with it."""
    head = run.head
    attempt, options = head.pending.attempt, head.pending.options
    start = StartActivityExecutionRequest.FromString(run.start)
    info = ActivityExecutionInfo(
        activity_id=start.activity_id,
        run_id=head.run_id,
        activity_type=start.activity_type,
        status=run.shown_status,  # type: ignore[arg-type]
        task_queue=options.task_queue,
        retry_policy=policy_message(options.retry_policy),
        attempt=attempt.attempt,
        last_worker_identity=attempt.identity or attempt.last_identity,
        state_transition_count=head.transitions,
        state_size_bytes=len(run.start) + len(head.outcome) + len(attempt.heartbeat_details),
        search_attributes=start.search_attributes,
        total_heartbeat_count=head.heartbeats,
        links=start.links,
        canceled_reason="" if head.cancel is None else head.cancel.reason,
        sdk_name=head.sdk[0],
        sdk_version=head.sdk[1],
    )
    set_duration(info.schedule_to_close_timeout, options.schedule_to_close_ns)
    set_duration(info.schedule_to_start_timeout, options.schedule_to_start_ns)
    set_duration(info.start_to_close_timeout, options.start_to_close_ns)
    set_duration(info.heartbeat_timeout, options.heartbeat_ns)
    info.search_attributes.SetInParent()
    if start.HasField("header"):
        info.header.CopyFrom(start.header)
    if start.HasField("user_metadata"):
        info.user_metadata.CopyFrom(start.user_metadata)
    if options.priority is not None:
        info.priority.CopyFrom(Priority.FromString(options.priority))
    if start.HasField("propagated_nexus_serialization_context"):
        context = start.propagated_nexus_serialization_context
        info.propagated_nexus_serialization_context.CopyFrom(context)
    _add_times(info, run)
    if getattr(request, "include_heartbeat_details", False) and attempt.heartbeat_details:
        info.heartbeat_details.CopyFrom(Payloads.FromString(attempt.heartbeat_details))
    if getattr(request, "include_last_failure", False) and attempt.last_failure:
        info.last_failure.CopyFrom(Failure.FromString(attempt.last_failure))
    return info


def _add_times(info: ActivityExecutionInfo, run: ActivityRun) -> None:
    head = run.head
    attempt, options = head.pending.attempt, head.pending.options
    set_timestamp(info.schedule_time, head.schedule_time_ns)
    set_timestamp(info.execution_time, _execution_time(run))
    if head.start_delay_ns:
        set_duration(info.start_delay, head.start_delay_ns)
    if options.schedule_to_close_ns:
        set_timestamp(info.expiration_time, _execution_time(run) + options.schedule_to_close_ns)
    if head.last_started_ns:
        set_timestamp(info.last_started_time, head.last_started_ns)
    if attempt.heartbeat_time_ns:
        set_timestamp(info.last_heartbeat_time, attempt.heartbeat_time_ns)
    if attempt.last_attempt_complete_ns:
        set_timestamp(info.last_attempt_complete_time, attempt.last_attempt_complete_ns)
    if not run.is_open:
        set_timestamp(info.close_time, head.close_time_ns)
        set_duration(info.execution_duration, _duration(run))
        return
    info.run_state = _run_state(run)
    if attempt.state == AttemptState.BACKING_OFF:
        set_timestamp(info.next_attempt_schedule_time, attempt.scheduled_time_ns)
        if attempt.last_attempt_complete_ns:
            interval_ns = attempt.scheduled_time_ns - attempt.last_attempt_complete_ns
            set_duration(info.current_retry_interval, interval_ns)


def _run_state(run: ActivityRun) -> workflow_pb2.PendingActivityState.ValueType:
    attempt = run.head.pending.attempt
    if attempt.state != AttemptState.STARTED:
        if attempt.pause is not None:
            return workflow_pb2.PENDING_ACTIVITY_STATE_PAUSED
        return workflow_pb2.PENDING_ACTIVITY_STATE_SCHEDULED
    if run.head.cancel is not None:
        return workflow_pb2.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
    if attempt.pause is not None:
        return workflow_pb2.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED
    return workflow_pb2.PENDING_ACTIVITY_STATE_STARTED


def _execution_time(run: ActivityRun) -> int:
    """When its start delay is over."""
    return run.head.schedule_time_ns + run.head.start_delay_ns


def _duration(run: ActivityRun) -> int:
    return max(0, run.head.close_time_ns - _execution_time(run))
