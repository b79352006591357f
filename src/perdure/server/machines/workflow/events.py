"""One constructor for each type of event: what goes in is named, what comes out has no id and no
time yet.

Sub-messages that a command or a request shares with its event are copied whole, so that fields
which this version does not know survive.
"""

from __future__ import annotations

from collections.abc import Iterable

from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    RecordMarkerCommandAttributes,
    StartTimerCommandAttributes,
)
from temporalio.api.common.v1 import (
    Callback,
    Link,
    Memo,
    Payloads,
    SearchAttributes,
)
from temporalio.api.enums.v1 import (
    TimeoutType,
    WorkflowTaskFailedCause,
    deployment_pb2,
    event_type_pb2,
    task_queue_pb2,
    update_pb2,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import (
    ActivityTaskCanceledEventAttributes,
    ActivityTaskCancelRequestedEventAttributes,
    ActivityTaskFailedEventAttributes,
    ActivityTaskTimedOutEventAttributes,
    HistoryEvent,
    MarkerRecordedEventAttributes,
    TimerCanceledEventAttributes,
    TimerFiredEventAttributes,
    TimerStartedEventAttributes,
    UpsertWorkflowSearchAttributesEventAttributes,
    WorkflowExecutionCanceledEventAttributes,
    WorkflowExecutionCancelRequestedEventAttributes,
    WorkflowExecutionContinuedAsNewEventAttributes,
    WorkflowExecutionFailedEventAttributes,
    WorkflowExecutionOptionsUpdatedEventAttributes,
    WorkflowExecutionPausedEventAttributes,
    WorkflowExecutionSignaledEventAttributes,
    WorkflowExecutionStartedEventAttributes,
    WorkflowExecutionTerminatedEventAttributes,
    WorkflowExecutionTimedOutEventAttributes,
    WorkflowExecutionUnpausedEventAttributes,
    WorkflowPropertiesModifiedEventAttributes,
    WorkflowTaskFailedEventAttributes,
    WorkflowTaskTimedOutEventAttributes,
)
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.update.v1 import Request, Response
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import (
    RequestCancelWorkflowExecutionRequest,
    RespondWorkflowTaskCompletedRequest,
    SignalWorkflowExecutionRequest,
)

from perdure.server.machines.nulls import clear_nulls
from perdure.server.machines.wire import set_duration


def workflow_started(
    attributes: WorkflowExecutionStartedEventAttributes,
    user_metadata: UserMetadata | None,
    links: Iterable[Link],
) -> HistoryEvent:
    """WorkflowExecutionStarted."""
    clear_nulls(attributes)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        workflow_execution_started_event_attributes=attributes,
        user_metadata=user_metadata,
        links=links,
    )


def workflow_task_scheduled(
    *, queue: str, normal_queue: str, start_to_close_ns: int, attempt: int
) -> HistoryEvent:
    """WorkflowTaskScheduled; `normal_queue` is "" when `queue` is that, and not a sticky one."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
    attributes = event.workflow_task_scheduled_event_attributes
    task_queue = attributes.task_queue
    task_queue.name = queue
    if normal_queue:
        task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_STICKY
        task_queue.normal_name = normal_queue
    else:
        task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    set_duration(attributes.start_to_close_timeout, start_to_close_ns)
    attributes.attempt = attempt
    return event


def workflow_task_started(
    *,
    scheduled_event_id: int,
    request_id: str,
    identity: str,
    history_size_bytes: int,
    suggest_reasons: tuple[int, ...],
    worker_version: bytes | None = None,
    has_target_changed: bool = False,
) -> HistoryEvent:
    """WorkflowTaskStarted."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_STARTED)
    attributes = event.workflow_task_started_event_attributes
    attributes.scheduled_event_id = scheduled_event_id
    attributes.identity = identity
    attributes.request_id = request_id
    attributes.history_size_bytes = history_size_bytes
    if suggest_reasons:
        attributes.suggest_continue_as_new = True
        attributes.suggest_continue_as_new_reasons.extend(suggest_reasons)  # type: ignore[arg-type]
    if worker_version is not None:
        attributes.worker_version.ParseFromString(worker_version)
    if has_target_changed:
        attributes.target_worker_deployment_version_changed = True
    return event


def workflow_task_completed(
    scheduled_event_id: int, started_event_id: int, request: RespondWorkflowTaskCompletedRequest
) -> HistoryEvent:
    """WorkflowTaskCompleted."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    attributes = event.workflow_task_completed_event_attributes
    attributes.scheduled_event_id = scheduled_event_id
    attributes.started_event_id = started_event_id
    attributes.identity = request.identity
    attributes.binary_checksum = request.binary_checksum
    if request.HasField("worker_version_stamp"):
        attributes.worker_version.CopyFrom(request.worker_version_stamp)
    if request.HasField("sdk_metadata"):
        attributes.sdk_metadata.CopyFrom(request.sdk_metadata)
    if request.HasField("metering_metadata"):
        attributes.metering_metadata.CopyFrom(request.metering_metadata)
    if request.HasField("deployment_options"):
        options = request.deployment_options
        attributes.worker_deployment_name = options.deployment_name
        if options.worker_versioning_mode == deployment_pb2.WORKER_VERSIONING_MODE_VERSIONED:
            attributes.versioning_behavior = request.versioning_behavior
            attributes.deployment_version.deployment_name = options.deployment_name
            attributes.deployment_version.build_id = options.build_id
    return event


def workflow_task_failed(
    *,
    scheduled_event_id: int,
    started_event_id: int,
    cause: WorkflowTaskFailedCause.ValueType,
    failure: Failure | None,
    identity: str,
    binary_checksum: str = "",
    base_run_id: str = "",
    new_run_id: str = "",
) -> HistoryEvent:
    """WorkflowTaskFailed; by a reset, with the run whose history it ends and the one that goes
    on."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        workflow_task_failed_event_attributes=WorkflowTaskFailedEventAttributes(
            scheduled_event_id=scheduled_event_id,
            started_event_id=started_event_id,
            cause=cause,
            failure=failure,
            identity=identity,
            binary_checksum=binary_checksum,
            base_run_id=base_run_id,
            new_run_id=new_run_id,
        ),
    )


def workflow_task_timed_out(
    scheduled_event_id: int, started_event_id: int, timeout_type: TimeoutType.ValueType
) -> HistoryEvent:
    """WorkflowTaskTimedOut."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
        workflow_task_timed_out_event_attributes=WorkflowTaskTimedOutEventAttributes(
            scheduled_event_id=scheduled_event_id,
            started_event_id=started_event_id,
            timeout_type=timeout_type,
        ),
    )


def workflow_completed(
    completed_event_id: int,
    command: CompleteWorkflowExecutionCommandAttributes,
    new_run_id: str = "",
) -> HistoryEvent:
    """WorkflowExecutionCompleted."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
    attributes = event.workflow_execution_completed_event_attributes
    if command.HasField("result"):
        attributes.result.CopyFrom(command.result)
    attributes.workflow_task_completed_event_id = completed_event_id
    attributes.new_execution_run_id = new_run_id
    return event


def workflow_failed(
    completed_event_id: int,
    command: FailWorkflowExecutionCommandAttributes,
    retry_state: int,
    new_run_id: str = "",
) -> HistoryEvent:
    """WorkflowExecutionFailed."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
        workflow_execution_failed_event_attributes=WorkflowExecutionFailedEventAttributes(
            failure=command.failure if command.HasField("failure") else None,
            retry_state=retry_state,  # type: ignore[arg-type]
            workflow_task_completed_event_id=completed_event_id,
            new_execution_run_id=new_run_id,
        ),
    )


def workflow_timed_out(retry_state: int, new_run_id: str = "") -> HistoryEvent:
    """WorkflowExecutionTimedOut."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
        workflow_execution_timed_out_event_attributes=WorkflowExecutionTimedOutEventAttributes(
            retry_state=retry_state,  # type: ignore[arg-type]
            new_execution_run_id=new_run_id,
        ),
    )


def workflow_canceled(
    completed_event_id: int, command: CancelWorkflowExecutionCommandAttributes
) -> HistoryEvent:
    """WorkflowExecutionCanceled."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
        workflow_execution_canceled_event_attributes=WorkflowExecutionCanceledEventAttributes(
            workflow_task_completed_event_id=completed_event_id,
            details=command.details if command.HasField("details") else None,
        ),
    )


def workflow_terminated(
    reason: str, details: Payloads | None, identity: str, links: Iterable[Link] = ()
) -> HistoryEvent:
    """WorkflowExecutionTerminated."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
        workflow_execution_terminated_event_attributes=WorkflowExecutionTerminatedEventAttributes(
            reason=reason, details=details, identity=identity
        ),
        links=links,
    )


def workflow_continued_as_new(
    completed_event_id: int,
    command: ContinueAsNewWorkflowExecutionCommandAttributes,
    new_run_id: str,
) -> HistoryEvent:
    """WorkflowExecutionContinuedAsNew: all that the command and the event share is copied whole."""
    attributes = WorkflowExecutionContinuedAsNewEventAttributes(
        new_execution_run_id=new_run_id,
        workflow_task_completed_event_id=completed_event_id,
        initiator=command.initiator,
        inherit_build_id=command.inherit_build_id,
    )
    for name in (
        "workflow_type",
        "task_queue",
        "input",
        "workflow_run_timeout",
        "workflow_task_timeout",
        "backoff_start_interval",
        "failure",
        "last_completion_result",
        "header",
        "memo",
        "search_attributes",
    ):
        if command.HasField(name):
            getattr(attributes, name).CopyFrom(getattr(command, name))
    clear_nulls(attributes)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
        workflow_execution_continued_as_new_event_attributes=attributes,
    )


def workflow_signaled(request: SignalWorkflowExecutionRequest) -> HistoryEvent:
    """WorkflowExecutionSignaled."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        workflow_execution_signaled_event_attributes=WorkflowExecutionSignaledEventAttributes(
            signal_name=request.signal_name,
            input=request.input if request.HasField("input") else None,
            identity=request.identity,
            header=request.header if request.HasField("header") else None,
            request_id=request.request_id,
        ),
        links=request.links,
    )


def update_admitted(request: Request) -> HistoryEvent:
    """WorkflowExecutionUpdateAdmitted, of an update that a reset carries over."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED)
    attributes = event.workflow_execution_update_admitted_event_attributes
    attributes.request.CopyFrom(request)
    attributes.origin = update_pb2.UPDATE_ADMITTED_EVENT_ORIGIN_REAPPLY
    return event


def update_accepted(
    update_id: str, sequencing_event_id: int, request: Request | None
) -> HistoryEvent:
    """WorkflowExecutionUpdateAccepted."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED)
    attributes = event.workflow_execution_update_accepted_event_attributes
    attributes.protocol_instance_id = update_id
    attributes.accepted_request_message_id = f"{update_id}/request"
    attributes.accepted_request_sequencing_event_id = sequencing_event_id
    if request is not None:
        attributes.accepted_request.CopyFrom(request)
        for callback in request.completion_callbacks:
            event.links.extend(callback.links)
    return event


def update_completed(response: Response, accepted_event_id: int) -> HistoryEvent:
    """WorkflowExecutionUpdateCompleted."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED)
    attributes = event.workflow_execution_update_completed_event_attributes
    attributes.meta.CopyFrom(response.meta)
    attributes.outcome.CopyFrom(response.outcome)
    attributes.accepted_event_id = accepted_event_id
    return event


def workflow_cancel_requested(request: RequestCancelWorkflowExecutionRequest) -> HistoryEvent:
    """WorkflowExecutionCancelRequested."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        workflow_execution_cancel_requested_event_attributes=WorkflowExecutionCancelRequestedEventAttributes(
            cause=request.reason, identity=request.identity
        ),
        links=request.links,
    )


def options_updated(
    attached_request_id: str, callbacks: Iterable[Callback], links: Iterable[Link]
) -> HistoryEvent:
    """WorkflowExecutionOptionsUpdated: another start request was attached to the run."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
        workflow_execution_options_updated_event_attributes=WorkflowExecutionOptionsUpdatedEventAttributes(
            attached_request_id=attached_request_id, attached_completion_callbacks=callbacks
        ),
        links=links,
        worker_may_ignore=True,
    )


def update_attached(update_id: str, request_id: str, callbacks: Iterable[Callback]) -> HistoryEvent:
    """WorkflowExecutionOptionsUpdated: somebody else wants to hear of an update."""
    event = HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
        worker_may_ignore=True,
    )
    attributes = event.workflow_execution_options_updated_event_attributes
    attributes.workflow_update_options.add(
        update_id=update_id,
        attached_request_id=request_id,
        attached_completion_callbacks=callbacks,
    )
    return event


def workflow_paused(identity: str, reason: str, request_id: str) -> HistoryEvent:
    """WorkflowExecutionPaused."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED,
        workflow_execution_paused_event_attributes=WorkflowExecutionPausedEventAttributes(
            identity=identity, reason=reason, request_id=request_id
        ),
        worker_may_ignore=True,
    )


def workflow_unpaused(identity: str, reason: str, request_id: str) -> HistoryEvent:
    """WorkflowExecutionUnpaused."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED,
        workflow_execution_unpaused_event_attributes=WorkflowExecutionUnpausedEventAttributes(
            identity=identity, reason=reason, request_id=request_id
        ),
        worker_may_ignore=True,
    )


def execution_options_updated(options: WorkflowExecutionOptions, identity: str) -> HistoryEvent:
    """WorkflowExecutionOptionsUpdated: somebody has changed the options to these."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
        workflow_execution_options_updated_event_attributes=WorkflowExecutionOptionsUpdatedEventAttributes(
            versioning_override=(
                options.versioning_override if options.HasField("versioning_override") else None
            ),
            unset_versioning_override=not options.HasField("versioning_override"),
            identity=identity,
            priority=options.priority if options.HasField("priority") else None,
        ),
        worker_may_ignore=True,
    )


def activity_scheduled() -> HistoryEvent:
    """ActivityTaskScheduled: its attributes are filled in in place."""
    return HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)


def activity_started(
    *,
    scheduled_event_id: int,
    attempt: int,
    request_id: str,
    identity: str,
    last_failure: bytes,
    worker_version: bytes | None = None,
) -> HistoryEvent:
    """ActivityTaskStarted."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_STARTED)
    attributes = event.activity_task_started_event_attributes
    attributes.scheduled_event_id = scheduled_event_id
    attributes.identity = identity
    attributes.request_id = request_id
    attributes.attempt = attempt
    if last_failure:
        attributes.last_failure.ParseFromString(last_failure)
    if worker_version is not None:
        attributes.worker_version.ParseFromString(worker_version)
    return event


def activity_completed(
    scheduled_event_id: int, started_event_id: int, result: Payloads | None, identity: str
) -> HistoryEvent:
    """ActivityTaskCompleted."""
    event = HistoryEvent(event_type=event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
    attributes = event.activity_task_completed_event_attributes
    if result is not None:
        attributes.result.CopyFrom(result)
    attributes.scheduled_event_id = scheduled_event_id
    attributes.started_event_id = started_event_id
    attributes.identity = identity
    return event


def activity_failed(
    scheduled_event_id: int,
    started_event_id: int,
    failure: Failure,
    retry_state: int,
    identity: str,
) -> HistoryEvent:
    """ActivityTaskFailed."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_FAILED,
        activity_task_failed_event_attributes=ActivityTaskFailedEventAttributes(
            failure=failure,
            scheduled_event_id=scheduled_event_id,
            started_event_id=started_event_id,
            identity=identity,
            retry_state=retry_state,  # type: ignore[arg-type]
        ),
    )


def activity_timed_out(
    scheduled_event_id: int, started_event_id: int, failure: Failure, retry_state: int
) -> HistoryEvent:
    """ActivityTaskTimedOut."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
        activity_task_timed_out_event_attributes=ActivityTaskTimedOutEventAttributes(
            failure=failure,
            scheduled_event_id=scheduled_event_id,
            started_event_id=started_event_id,
            retry_state=retry_state,  # type: ignore[arg-type]
        ),
    )


def activity_cancel_requested(completed_event_id: int, scheduled_event_id: int) -> HistoryEvent:
    """ActivityTaskCancelRequested."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED,
        activity_task_cancel_requested_event_attributes=ActivityTaskCancelRequestedEventAttributes(
            scheduled_event_id=scheduled_event_id,
            workflow_task_completed_event_id=completed_event_id,
        ),
    )


def activity_canceled(
    *,
    scheduled_event_id: int,
    started_event_id: int,
    cancel_requested_event_id: int,
    details: Payloads | None,
    identity: str,
) -> HistoryEvent:
    """ActivityTaskCanceled."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
        activity_task_canceled_event_attributes=ActivityTaskCanceledEventAttributes(
            details=details,
            latest_cancel_requested_event_id=cancel_requested_event_id,
            scheduled_event_id=scheduled_event_id,
            started_event_id=started_event_id,
            identity=identity,
        ),
    )


def timer_started(completed_event_id: int, command: StartTimerCommandAttributes) -> HistoryEvent:
    """TimerStarted."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_TIMER_STARTED,
        timer_started_event_attributes=TimerStartedEventAttributes(
            timer_id=command.timer_id,
            start_to_fire_timeout=command.start_to_fire_timeout,
            workflow_task_completed_event_id=completed_event_id,
        ),
    )


def timer_fired(timer_id: str, started_event_id: int) -> HistoryEvent:
    """TimerFired."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_TIMER_FIRED,
        timer_fired_event_attributes=TimerFiredEventAttributes(
            timer_id=timer_id, started_event_id=started_event_id
        ),
    )


def timer_canceled(
    completed_event_id: int, timer_id: str, started_event_id: int, identity: str
) -> HistoryEvent:
    """TimerCanceled."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_TIMER_CANCELED,
        timer_canceled_event_attributes=TimerCanceledEventAttributes(
            timer_id=timer_id,
            started_event_id=started_event_id,
            workflow_task_completed_event_id=completed_event_id,
            identity=identity,
        ),
    )


def marker_recorded(
    completed_event_id: int, command: RecordMarkerCommandAttributes
) -> HistoryEvent:
    """MarkerRecorded."""
    attributes = MarkerRecordedEventAttributes(
        marker_name=command.marker_name,
        workflow_task_completed_event_id=completed_event_id,
        header=command.header if command.HasField("header") else None,
        failure=command.failure if command.HasField("failure") else None,
    )
    for key, payloads in command.details.items():
        attributes.details[key].CopyFrom(payloads)
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_MARKER_RECORDED,
        marker_recorded_event_attributes=attributes,
    )


def search_attributes_upserted(
    completed_event_id: int, search_attributes: SearchAttributes
) -> HistoryEvent:
    """UpsertWorkflowSearchAttributes."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        upsert_workflow_search_attributes_event_attributes=UpsertWorkflowSearchAttributesEventAttributes(
            workflow_task_completed_event_id=completed_event_id,
            search_attributes=search_attributes,
        ),
    )


def properties_modified(completed_event_id: int, upserted_memo: Memo | None) -> HistoryEvent:
    """WorkflowPropertiesModified."""
    return HistoryEvent(
        event_type=event_type_pb2.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED,
        workflow_properties_modified_event_attributes=WorkflowPropertiesModifiedEventAttributes(
            workflow_task_completed_event_id=completed_event_id, upserted_memo=upserted_memo
        ),
    )


def with_command_metadata(event: HistoryEvent, command: Command) -> HistoryEvent:
    """The event, with what a command carries beside its attributes."""
    if command.HasField("user_metadata"):
        event.user_metadata.CopyFrom(command.user_metadata)
    if command.event_group_markers:
        event.event_group_markers.extend(command.event_group_markers)
    return event
