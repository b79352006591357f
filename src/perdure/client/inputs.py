"""What the calls of a client ask for, as its interceptors see it.

An interceptor may change an input before it hands it on. Inputs with headers carry what an
interceptor wants to tell the interceptors of the worker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionResponse

from perdure.client.status import WorkflowHistoryEventFilterType, WorkflowUpdateStage
from perdure.common import (
    Priority,
    QueryRejectCondition,
    RetryPolicy,
    SearchAttributes,
    TypedSearchAttributes,
    VersioningOverride,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from perdure.converter import DataConverter
from perdure.service import Metadata

if TYPE_CHECKING:
    from perdure.client.async_activity import AsyncActivityIDReference
    from perdure.client.schedule_spec import ScheduleBackfill, ScheduleOverlapPolicy
    from perdure.client.schedules import Schedule, ScheduleUpdate, ScheduleUpdateInput

Headers = Mapping[str, Payload]

# None of these is frozen: interceptors change them, and making one is four times as cheap.


@dataclass(slots=True)
class StartWorkflowInput:
    """A workflow to be started."""

    workflow: str
    args: Sequence[Any]
    id: str
    task_queue: str
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: TypedSearchAttributes | SearchAttributes | None
    start_delay: timedelta | None
    headers: Headers
    start_signal: str | None
    start_signal_args: Sequence[Any]
    static_summary: str | None
    static_details: str | None
    ret_type: Any
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    request_eager_start: bool
    priority: Priority
    versioning_override: VersioningOverride | None = None


@dataclass(slots=True)
class CancelWorkflowInput:
    """A workflow to be cancelled."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    reason: str
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class TerminateWorkflowInput:
    """A workflow to be terminated."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    args: Sequence[Any]
    reason: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class DescribeWorkflowInput:
    """A workflow to be described."""

    id: str
    run_id: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class FetchWorkflowHistoryEventsInput:
    """Which events of which run are wanted."""

    id: str
    run_id: str | None
    page_size: int | None
    next_page_token: bytes | None
    wait_new_event: bool
    event_filter_type: WorkflowHistoryEventFilterType
    skip_archival: bool
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class ListWorkflowsInput:
    """Which runs are wanted."""

    query: str | None
    page_size: int
    next_page_token: bytes | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    limit: int | None


@dataclass(slots=True)
class CountWorkflowsInput:
    """Which runs are to be counted."""

    query: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class QueryWorkflowInput:
    """A query to be asked."""

    id: str
    run_id: str | None
    query: str
    args: Sequence[Any]
    reject_condition: QueryRejectCondition | None
    headers: Headers
    ret_type: Any
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class SignalWorkflowInput:
    """A signal to be sent."""

    id: str
    run_id: str | None
    signal: str
    args: Sequence[Any]
    headers: Headers
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class StartWorkflowUpdateInput:
    """An update to be sent."""

    id: str
    run_id: str | None
    first_execution_run_id: str | None
    update_id: str | None
    update: str
    args: Sequence[Any]
    wait_for_stage: WorkflowUpdateStage
    headers: Headers
    ret_type: Any
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class UpdateWithStartUpdateWorkflowInput:
    """The update of an update with start."""

    update_id: str | None
    update: str
    args: Sequence[Any]
    wait_for_stage: WorkflowUpdateStage
    headers: Headers
    ret_type: Any


@dataclass(slots=True)
class UpdateWithStartStartWorkflowInput:
    """The workflow of an update with start."""

    workflow: str
    args: Sequence[Any]
    id: str
    task_queue: str
    execution_timeout: timedelta | None
    run_timeout: timedelta | None
    task_timeout: timedelta | None
    id_reuse_policy: WorkflowIDReusePolicy
    id_conflict_policy: WorkflowIDConflictPolicy
    retry_policy: RetryPolicy | None
    cron_schedule: str
    memo: Mapping[str, Any] | None
    search_attributes: TypedSearchAttributes | SearchAttributes | None
    start_delay: timedelta | None
    headers: Headers
    static_summary: str | None
    static_details: str | None
    ret_type: Any
    priority: Priority
    versioning_override: VersioningOverride | None = None


@dataclass(slots=True)
class StartWorkflowUpdateWithStartInput:
    """An update, and the workflow to start for it if need be."""

    start_workflow_input: UpdateWithStartStartWorkflowInput
    update_workflow_input: UpdateWithStartUpdateWorkflowInput
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    _on_start: Callable[[StartWorkflowExecutionResponse], None] = field(repr=False)
    _on_start_error: Callable[[BaseException], None] = field(repr=False)


@dataclass(slots=True)
class HeartbeatAsyncActivityInput:
    """A heartbeat of an activity that runs elsewhere."""

    id_or_token: AsyncActivityIDReference | bytes
    details: Sequence[Any]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    data_converter_override: DataConverter | None = None


@dataclass(slots=True)
class CompleteAsyncActivityInput:
    """The result of an activity that ran elsewhere."""

    id_or_token: AsyncActivityIDReference | bytes
    result: Any | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    data_converter_override: DataConverter | None = None


@dataclass(slots=True)
class FailAsyncActivityInput:
    """The failure of an activity that ran elsewhere."""

    id_or_token: AsyncActivityIDReference | bytes
    error: Exception
    last_heartbeat_details: Sequence[Any]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    data_converter_override: DataConverter | None = None


@dataclass(slots=True)
class ReportCancellationAsyncActivityInput:
    """The end of an activity that ran elsewhere and was asked to stop."""

    id_or_token: AsyncActivityIDReference | bytes
    details: Sequence[Any]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    data_converter_override: DataConverter | None = None


@dataclass(slots=True)
class CreateScheduleInput:
    """A schedule to make."""

    id: str
    schedule: Schedule
    trigger_immediately: bool
    backfill: Sequence[ScheduleBackfill]
    memo: Mapping[str, Any] | None
    search_attributes: TypedSearchAttributes | SearchAttributes | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class BackfillScheduleInput:
    """Times for which a schedule is to act."""

    id: str
    backfills: Sequence[ScheduleBackfill]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class DeleteScheduleInput:
    """A schedule to forget."""

    id: str
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class DescribeScheduleInput:
    """A schedule to describe."""

    id: str
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class PauseScheduleInput:
    """A schedule to pause."""

    id: str
    note: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class TriggerScheduleInput:
    """A schedule that is to act now."""

    id: str
    overlap: ScheduleOverlapPolicy | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class UnpauseScheduleInput:
    """A schedule that is to act again."""

    id: str
    note: str | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class UpdateScheduleInput:
    """A schedule to change."""

    id: str
    updater: Callable[
        [ScheduleUpdateInput], ScheduleUpdate | Awaitable[ScheduleUpdate | None] | None
    ]
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


@dataclass(slots=True)
class ListSchedulesInput:
    """The schedules that a visibility query finds."""

    page_size: int
    next_page_token: bytes | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None
    query: str | None = None
