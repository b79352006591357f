"""DescribeWorkflowExecution."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payloads, Priority
from temporalio.api.enums.v1 import (
    ContinueAsNewInitiator,
    EventType,
    PendingActivityState,
    PendingWorkflowTaskState,
    TaskQueueKind,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import History, WorkflowExecutionStartedEventAttributes
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import (
    PendingActivityInfo,
    PendingChildExecutionInfo,
    PendingWorkflowTaskInfo,
    WorkflowExecutionConfig,
    WorkflowExecutionExtendedInfo,
)
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
)

from perdure.server.frontend.callbacks import callback_info
from perdure.server.frontend.nexus_operations import pending_operations
from perdure.server.frontend.services import Services
from perdure.server.frontend.validation import check_execution
from perdure.server.machines.activity.options import options_message
from perdure.server.machines.wire import duration, timestamp
from perdure.server.machines.workflow import deadlines
from perdure.server.machines.workflow.state import AttemptState, Child, PendingActivity, Run
from perdure.server.machines.workflow.versioning import version_message
from perdure.server.visibility.execution_info import described_execution_info
from perdure.transport import Caller

NO_TIME = Timestamp(seconds=-62_135_596_800)
"""The zero time of the real server (the year 1), which it gives where there is no run timeout."""

LISTED_REQUESTS = frozenset(
    (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    )
)
"""Request ids of other kinds of event are kept for deduplication only."""


async def describe_workflow_execution(
    services: Services, request: DescribeWorkflowExecutionRequest, caller: Caller
) -> bytes:
    """Everything about a run that is not its history."""
    namespace = services.bind(request.namespace)
    check_execution(request.HasField("execution"), request.execution)
    workflow_id = request.execution.workflow_id
    view = await services.engine.describe(namespace, workflow_id, request.execution.run_id)
    run = view.run
    # Copied before anything else is awaited, since the run goes on meanwhile.
    response = DescribeWorkflowExecutionResponse(
        execution_config=_config(run),
        workflow_execution_info=described_execution_info(run, workflow_id, namespace.retention_ns),
        pending_activities=[
            _pending_activity(pending)
            for pending in run.activities.values()
            if pending.attempt.state != AttemptState.OUTCOME_BUFFERED
        ],
        pending_children=[
            _pending_child(child) for child in run.children.values() if not child.is_over
        ],
        pending_workflow_task=_pending_workflow_task(run),
        workflow_extended_info=_extended_info(run),
        callbacks=[
            callback_info(callback)
            for callback in run.callbacks.values()
            if not callback.update_id or services.limits.are_update_callbacks_enabled
        ],
        pending_nexus_operations=pending_operations(services, namespace, run),
    )
    page = await services.engine.read_history(
        namespace, workflow_id, run.recorded.run_id, first_event_id=1, events_max=1
    )
    started = History.FromString(page.history).events[0]
    if started.HasField("user_metadata"):
        response.execution_config.user_metadata.CopyFrom(started.user_metadata)
    _show_no_timeouts(
        response.execution_config, started.workflow_execution_started_event_attributes
    )
    return response.SerializeToString()


def _config(run: Run) -> WorkflowExecutionConfig:
    recorded = run.recorded
    config = WorkflowExecutionConfig(
        task_queue=TaskQueue(name=recorded.task_queue, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL),
        default_workflow_task_timeout=duration(recorded.workflow_task_timeout_ns),
    )
    if recorded.execution_timeout_ns:
        config.workflow_execution_timeout.CopyFrom(duration(recorded.execution_timeout_ns))
    # The real server shows a run timeout that was set, even to none: those of children and of runs
    # that another continued as are.
    if (
        recorded.run_timeout_ns
        or recorded.parent_workflow_id
        or recorded.initiator == ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_WORKFLOW
    ):
        config.workflow_run_timeout.CopyFrom(duration(recorded.run_timeout_ns))
    return config


def _show_no_timeouts(
    config: WorkflowExecutionConfig, started: WorkflowExecutionStartedEventAttributes
) -> None:
    """A timeout that the start set to none is shown, unlike one that it left out."""
    if started.HasField("workflow_execution_timeout"):
        config.workflow_execution_timeout.SetInParent()
    if started.HasField("workflow_run_timeout"):
        config.workflow_run_timeout.SetInParent()


def _pending_activity(pending: PendingActivity) -> PendingActivityInfo:
    activity, attempt, options = pending.activity, pending.attempt, pending.options
    info = PendingActivityInfo(
        activity_id=activity.activity_id,
        state=_activity_state(pending),
        attempt=attempt.attempt,
        maximum_attempts=options.retry_policy.attempts_max,
        scheduled_time=timestamp(attempt.scheduled_time_ns),
        last_worker_identity=attempt.identity or attempt.last_identity,
    )
    info.activity_type.name = activity.activity_type
    if attempt.state == AttemptState.STARTED:
        info.last_started_time.CopyFrom(timestamp(attempt.started_time_ns))
    if attempt.heartbeat_time_ns:
        info.last_heartbeat_time.CopyFrom(timestamp(attempt.heartbeat_time_ns))
    if attempt.heartbeat_details:
        info.heartbeat_details.CopyFrom(Payloads.FromString(attempt.heartbeat_details))
    if attempt.last_failure:
        info.last_failure.CopyFrom(Failure.FromString(attempt.last_failure))
    if attempt.last_attempt_complete_ns:
        info.last_attempt_complete_time.CopyFrom(timestamp(attempt.last_attempt_complete_ns))
    if attempt.state == AttemptState.BACKING_OFF:
        info.next_attempt_schedule_time.CopyFrom(timestamp(attempt.scheduled_time_ns))
        waits_ns = max(0, attempt.scheduled_time_ns - attempt.last_attempt_complete_ns)
        info.current_retry_interval.CopyFrom(duration(waits_ns))
    if activity.schedule_to_close_ns:
        expires_ns = activity.scheduled_time_ns + activity.schedule_to_close_ns
        info.expiration_time.CopyFrom(timestamp(expires_ns))
    if options.priority is not None:
        info.priority.CopyFrom(Priority.FromString(options.priority))
    if attempt.last_version is not None:
        info.last_worker_deployment_version = attempt.last_version.old_text
        info.last_deployment_version.CopyFrom(version_message(attempt.last_version))
    _add_control(info, pending)
    return info


def _activity_state(pending: PendingActivity) -> PendingActivityState.ValueType:
    attempt = pending.attempt
    if pending.activity.cancel_requested_event_id:
        return PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
    if attempt.state == AttemptState.STARTED:
        if attempt.pause is not None:
            return PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED
        return PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    if attempt.pause is not None:
        return PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED
    return PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED


def _add_control(info: PendingActivityInfo, pending: PendingActivity) -> None:
    """What an operator has done to it."""
    pause, options = pending.attempt.pause, pending.options
    if pause is not None:
        info.paused = True
        info.pause_info.pause_time.CopyFrom(timestamp(pause.time_ns))
        info.pause_info.manual.identity = pause.identity
        info.pause_info.manual.reason = pause.reason
    info.activity_options.CopyFrom(options_message(options))
    info.activity_options.task_queue.normal_name = options.task_queue
    info.activity_options.retry_policy.ClearField("non_retryable_error_types")


def _pending_child(child: Child) -> PendingChildExecutionInfo:
    return PendingChildExecutionInfo(
        workflow_id=child.workflow_id,
        run_id=child.first_run_id,
        workflow_type_name=child.workflow_type,
        initiated_id=child.initiated_event_id,
        parent_close_policy=child.parent_close_policy,  # type: ignore[arg-type]
    )


def _pending_workflow_task(run: Run) -> PendingWorkflowTaskInfo | None:
    task = run.workflow_task
    if task is None:
        return None
    info = PendingWorkflowTaskInfo(
        state=PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED,
        scheduled_time=timestamp(task.scheduled_time_ns),
        original_scheduled_time=timestamp(run.pending.heartbeat_since_ns or task.scheduled_time_ns),
        attempt=task.attempt,
    )
    if task.started_event_id:
        info.state = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
        info.started_time.CopyFrom(timestamp(task.started_time_ns))
    return info


def _extended_info(run: Run) -> WorkflowExecutionExtendedInfo:
    recorded = run.recorded
    info = WorkflowExecutionExtendedInfo(
        run_expiration_time=(
            timestamp(deadlines.run_deadline(run)) if recorded.run_timeout_ns else NO_TIME
        ),
        cancel_requested=run.pending.is_cancel_requested,
        original_start_time=timestamp(recorded.original_start_time_ns or recorded.start_time_ns),
        reset_run_id=run.pending.reset_run_id,
    )
    if (pause := run.pending.pause) is not None:
        info.pause_info.identity, info.pause_info.reason = pause.identity, pause.reason
        info.pause_info.paused_time.CopyFrom(timestamp(pause.time_ns))
    if recorded.original_start_time_ns:
        info.last_reset_time.CopyFrom(timestamp(recorded.start_time_ns))
    if recorded.execution_expiration_ns:
        info.execution_expiration_time.CopyFrom(timestamp(recorded.execution_expiration_ns))
    if run.pending.start_request_id:
        start = info.request_id_infos[run.pending.start_request_id]
        start.event_type = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
        # A signal that came with the start has the same request id, and the later event. A reset
        # starts the run by itself.
        signalled = run.requests.get(run.pending.start_request_id)
        is_later = signalled is not None and not run.pending.reset_request_id
        start.event_id = signalled.event_id if signalled is not None and is_later else 1
    for noted in run.requests.values():
        if noted.event_type in LISTED_REQUESTS:
            entry = info.request_id_infos[noted.request_id]
            entry.event_type = noted.event_type  # type: ignore[assignment]
            entry.event_id = noted.event_id
            entry.buffered = not noted.event_id
    return info
