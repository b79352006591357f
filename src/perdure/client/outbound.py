"""Where the calls of a client end up when all interceptors have handed them on: at the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from perdure.client import (
    acting,
    acting_on_activities,
    acting_on_nexus_operations,
    build_ids,
    scheduling,
)
from perdure.client.activity_executions import (
    ActivityExecutionAsyncIterator,
    ActivityExecutionCount,
    ActivityExecutionDescription,
)
from perdure.client.activity_handle import ActivityHandle
from perdure.client.activity_inputs import (
    CancelActivityInput,
    CountActivitiesInput,
    DescribeActivityInput,
    ListActivitiesInput,
    PauseActivityInput,
    StartActivityInput,
    TerminateActivityInput,
    UnpauseActivityInput,
    UpdateActivityOptionsInput,
)
from perdure.client.activity_options import ActivityExecutionOptions
from perdure.client.async_activity import (
    complete_activity,
    fail_activity,
    heartbeat_activity,
    report_cancellation_of_activity,
)
from perdure.client.build_ids import (
    GetWorkerBuildIdCompatibilityInput,
    GetWorkerTaskReachabilityInput,
    UpdateWorkerBuildIdCompatibilityInput,
    WorkerBuildIdVersionSets,
    WorkerTaskReachability,
)
from perdure.client.connection import Connection
from perdure.client.executions import (
    WorkflowExecutionAsyncIterator,
    WorkflowExecutionCount,
    WorkflowExecutionDescription,
)
from perdure.client.handle import WorkflowHandle
from perdure.client.history import WorkflowHistoryEventAsyncIterator
from perdure.client.inputs import (
    BackfillScheduleInput,
    CancelWorkflowInput,
    CompleteAsyncActivityInput,
    CountWorkflowsInput,
    CreateScheduleInput,
    DeleteScheduleInput,
    DescribeScheduleInput,
    DescribeWorkflowInput,
    FailAsyncActivityInput,
    FetchWorkflowHistoryEventsInput,
    HeartbeatAsyncActivityInput,
    ListSchedulesInput,
    ListWorkflowsInput,
    PauseScheduleInput,
    QueryWorkflowInput,
    ReportCancellationAsyncActivityInput,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    TerminateWorkflowInput,
    TriggerScheduleInput,
    UnpauseScheduleInput,
    UpdateScheduleInput,
)
from perdure.client.interceptor import Interceptor, OutboundInterceptor
from perdure.client.nexus_executions import (
    NexusOperationExecutionAsyncIterator,
    NexusOperationExecutionCount,
    NexusOperationExecutionDescription,
)
from perdure.client.nexus_handle import NexusOperationHandle
from perdure.client.nexus_inputs import (
    CancelNexusOperationInput,
    CountNexusOperationsInput,
    DescribeNexusOperationInput,
    GetNexusOperationResultInput,
    ListNexusOperationsInput,
    StartNexusOperationInput,
    TerminateNexusOperationInput,
)
from perdure.client.queries import ask
from perdure.client.schedule_handle import ScheduleHandle
from perdure.client.schedules import ScheduleAsyncIterator, ScheduleDescription
from perdure.client.starting import send_start, was_eager
from perdure.client.updates import WorkflowUpdateHandle, send_update
from perdure.client.with_start import send_update_with_start


def intercepted(connection: Connection, interceptors: Sequence[Interceptor]) -> OutboundInterceptor:
    """What the calls go through: the first interceptor sees them first."""
    outbound = cast(OutboundInterceptor, ToService(connection))
    for interceptor in reversed(interceptors):
        outbound = interceptor.intercept_client(outbound)
    return outbound


class ToService:
    """The last that calls are handed to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def start_workflow(self, asked: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        """Start a workflow."""
        response = await send_start(self._connection, asked)
        handle: WorkflowHandle[Any, Any] = WorkflowHandle(
            self._connection,
            asked.id,
            result_run_id=response.run_id,
            first_execution_run_id=response.first_execution_run_id or response.run_id,
            result_type=asked.ret_type,
            start_workflow_response=response,
        )
        # Programs that tell whether a start was eager look at it, as at the official SDK's.
        setattr(handle, "__temporal_eagerly_started", was_eager(response))
        return handle

    async def cancel_workflow(self, asked: CancelWorkflowInput) -> None:
        """Ask for a cancellation."""
        await acting.cancel(self._connection, asked)

    async def describe_workflow(self, asked: DescribeWorkflowInput) -> WorkflowExecutionDescription:
        """Describe a workflow."""
        return await acting.describe(self._connection, asked)

    def fetch_workflow_history_events(
        self, asked: FetchWorkflowHistoryEventsInput
    ) -> WorkflowHistoryEventAsyncIterator:
        """Read a history."""
        return WorkflowHistoryEventAsyncIterator(self._connection, asked)

    def list_workflows(self, asked: ListWorkflowsInput) -> WorkflowExecutionAsyncIterator:
        """List runs."""
        return WorkflowExecutionAsyncIterator(self._connection, asked)

    async def count_workflows(self, asked: CountWorkflowsInput) -> WorkflowExecutionCount:
        """Count runs."""
        return await acting.count(self._connection, asked)

    async def query_workflow(self, asked: QueryWorkflowInput) -> Any:
        """Ask a workflow."""
        return await ask(self._connection, asked)

    async def signal_workflow(self, asked: SignalWorkflowInput) -> None:
        """Send a signal."""
        await acting.signal(self._connection, asked)

    async def terminate_workflow(self, asked: TerminateWorkflowInput) -> None:
        """Terminate a workflow."""
        await acting.terminate(self._connection, asked)

    async def start_workflow_update(
        self, asked: StartWorkflowUpdateInput
    ) -> WorkflowUpdateHandle[Any]:
        """Send an update."""
        return await send_update(self._connection, asked)

    async def start_update_with_start_workflow(
        self, asked: StartWorkflowUpdateWithStartInput
    ) -> WorkflowUpdateHandle[Any]:
        """Send an update, with the workflow to start for it."""
        return await send_update_with_start(self._connection, asked)

    async def heartbeat_async_activity(self, asked: HeartbeatAsyncActivityInput) -> None:
        """Send a heartbeat."""
        await heartbeat_activity(self._connection, asked)

    async def complete_async_activity(self, asked: CompleteAsyncActivityInput) -> None:
        """Complete an activity."""
        await complete_activity(self._connection, asked)

    async def fail_async_activity(self, asked: FailAsyncActivityInput) -> None:
        """Fail an activity."""
        await fail_activity(self._connection, asked)

    async def report_cancellation_async_activity(
        self, asked: ReportCancellationAsyncActivityInput
    ) -> None:
        """Report a cancellation."""
        await report_cancellation_of_activity(self._connection, asked)

    async def create_schedule(self, asked: CreateScheduleInput) -> ScheduleHandle:
        """Make a schedule."""
        await scheduling.create(self._connection, asked)
        return ScheduleHandle(self._connection, asked.id)

    async def backfill_schedule(self, asked: BackfillScheduleInput) -> None:
        """Have a schedule act for times that are past."""
        await scheduling.backfill(self._connection, asked)

    async def delete_schedule(self, asked: DeleteScheduleInput) -> None:
        """Forget a schedule."""
        await scheduling.delete(self._connection, asked)

    async def describe_schedule(self, asked: DescribeScheduleInput) -> ScheduleDescription:
        """Describe a schedule."""
        return await scheduling.describe(self._connection, asked)

    async def pause_schedule(self, asked: PauseScheduleInput) -> None:
        """Pause a schedule."""
        await scheduling.pause(self._connection, asked)

    async def trigger_schedule(self, asked: TriggerScheduleInput) -> None:
        """Have a schedule act now."""
        await scheduling.trigger(self._connection, asked)

    async def unpause_schedule(self, asked: UnpauseScheduleInput) -> None:
        """Have a schedule act again."""
        await scheduling.unpause(self._connection, asked)

    async def update_schedule(self, asked: UpdateScheduleInput) -> None:
        """Change a schedule."""
        await scheduling.update(self._connection, asked)

    def list_schedules(self, asked: ListSchedulesInput) -> ScheduleAsyncIterator:
        """List schedules."""
        return ScheduleAsyncIterator(self._connection, asked)

    # Activities without a workflow

    async def start_activity(self, asked: StartActivityInput) -> ActivityHandle[Any]:
        """Start an activity."""
        run_id = await acting_on_activities.start(self._connection, asked)
        return ActivityHandle(
            self._connection, asked.id, run_id=run_id, result_type=asked.result_type
        )

    async def cancel_activity(self, asked: CancelActivityInput) -> None:
        """Ask an activity to stop."""
        await acting_on_activities.cancel(self._connection, asked)

    async def terminate_activity(self, asked: TerminateActivityInput) -> None:
        """End an activity."""
        await acting_on_activities.terminate(self._connection, asked)

    async def pause_activity(self, asked: PauseActivityInput) -> None:
        """Have an activity not be started, or not again."""
        await acting_on_activities.pause(self._connection, asked)

    async def unpause_activity(self, asked: UnpauseActivityInput) -> None:
        """Have a paused activity go on."""
        await acting_on_activities.unpause(self._connection, asked)

    async def update_activity_options(
        self, asked: UpdateActivityOptionsInput
    ) -> ActivityExecutionOptions:
        """Give an activity other options."""
        return await acting_on_activities.set_options(self._connection, asked)

    async def describe_activity(self, asked: DescribeActivityInput) -> ActivityExecutionDescription:
        """Describe an activity."""
        return await acting_on_activities.describe(self._connection, asked)

    async def count_activities(self, asked: CountActivitiesInput) -> ActivityExecutionCount:
        """Count activities."""
        return await acting_on_activities.count(self._connection, asked)

    def list_activities(self, asked: ListActivitiesInput) -> ActivityExecutionAsyncIterator:
        """List activities."""
        return ActivityExecutionAsyncIterator(self._connection, asked)

    # Nexus operations without a workflow

    async def start_nexus_operation(
        self, asked: StartNexusOperationInput
    ) -> NexusOperationHandle[Any]:
        """Start an operation."""
        run_id = await acting_on_nexus_operations.start(self._connection, asked)
        return NexusOperationHandle(
            self._connection,
            asked.id,
            run_id=run_id or None,
            result_type=asked.result_type,
            endpoint=asked.endpoint,
            service=asked.service,
            operation=asked.operation,
        )

    async def describe_nexus_operation(
        self, asked: DescribeNexusOperationInput
    ) -> NexusOperationExecutionDescription:
        """Describe an operation."""
        return await acting_on_nexus_operations.describe(self._connection, asked)

    async def get_nexus_operation_result(self, asked: GetNexusOperationResultInput) -> Any:
        """Wait for the result of an operation."""
        return await acting_on_nexus_operations.result(self._connection, asked)

    async def cancel_nexus_operation(self, asked: CancelNexusOperationInput) -> None:
        """Ask an operation to stop."""
        await acting_on_nexus_operations.cancel(self._connection, asked)

    async def terminate_nexus_operation(self, asked: TerminateNexusOperationInput) -> None:
        """End an operation."""
        await acting_on_nexus_operations.terminate(self._connection, asked)

    def list_nexus_operations(
        self, asked: ListNexusOperationsInput
    ) -> NexusOperationExecutionAsyncIterator:
        """List operations."""
        return NexusOperationExecutionAsyncIterator(self._connection, asked)

    async def count_nexus_operations(
        self, asked: CountNexusOperationsInput
    ) -> NexusOperationExecutionCount:
        """Count operations."""
        return await acting_on_nexus_operations.count(self._connection, asked)

    async def update_worker_build_id_compatibility(
        self, asked: UpdateWorkerBuildIdCompatibilityInput
    ) -> None:
        """Change the sets of build ids."""
        await build_ids.update(self._connection, asked)

    async def get_worker_build_id_compatibility(
        self, asked: GetWorkerBuildIdCompatibilityInput
    ) -> WorkerBuildIdVersionSets:
        """The sets of build ids."""
        return await build_ids.get(self._connection, asked)

    async def get_worker_task_reachability(
        self, asked: GetWorkerTaskReachabilityInput
    ) -> WorkerTaskReachability:
        """Which tasks can come to workers of build ids."""
        return await build_ids.reachability(self._connection, asked)
