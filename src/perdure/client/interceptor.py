"""Interceptors of a client: each stands between its calls and the service, and hands them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from perdure.client.nexus_inputs import (
    CancelNexusOperationInput,
    CountNexusOperationsInput,
    DescribeNexusOperationInput,
    GetNexusOperationResultInput,
    ListNexusOperationsInput,
    StartNexusOperationInput,
    TerminateNexusOperationInput,
)

if TYPE_CHECKING:
    from perdure.client.activity_executions import (
        ActivityExecutionAsyncIterator,
        ActivityExecutionCount,
        ActivityExecutionDescription,
    )
    from perdure.client.activity_handle import ActivityHandle
    from perdure.client.activity_options import ActivityExecutionOptions
    from perdure.client.build_ids import (
        GetWorkerBuildIdCompatibilityInput,
        GetWorkerTaskReachabilityInput,
        UpdateWorkerBuildIdCompatibilityInput,
        WorkerBuildIdVersionSets,
        WorkerTaskReachability,
    )
    from perdure.client.executions import (
        WorkflowExecutionAsyncIterator,
        WorkflowExecutionCount,
        WorkflowExecutionDescription,
    )
    from perdure.client.handle import WorkflowHandle
    from perdure.client.history import WorkflowHistoryEventAsyncIterator
    from perdure.client.nexus_executions import (
        NexusOperationExecutionAsyncIterator,
        NexusOperationExecutionCount,
        NexusOperationExecutionDescription,
    )
    from perdure.client.nexus_handle import NexusOperationHandle
    from perdure.client.schedule_handle import ScheduleHandle
    from perdure.client.schedules import ScheduleAsyncIterator, ScheduleDescription
    from perdure.client.updates import WorkflowUpdateHandle


class Interceptor:
    """Puts something between a client's calls and the service.

    One that is also a `perdure.worker.Interceptor` is used by the workers of the client too.
    """

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        """What calls go to, instead of to `next`."""
        return next


class OutboundInterceptor:
    """Hands every call on. Override what is to be seen or changed."""

    def __init__(self, next: OutboundInterceptor) -> None:  # noqa: A002 -- the mirrored name
        self.next = next

    # Workflows

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        """`Client.start_workflow` and all that goes through it."""
        return await self.next.start_workflow(input)

    async def cancel_workflow(self, input: CancelWorkflowInput) -> None:  # noqa: A002
        """`WorkflowHandle.cancel`"""
        await self.next.cancel_workflow(input)

    async def describe_workflow(self, input: DescribeWorkflowInput) -> WorkflowExecutionDescription:  # noqa: A002
        """`WorkflowHandle.describe`"""
        return await self.next.describe_workflow(input)

    def fetch_workflow_history_events(
        self,
        input: FetchWorkflowHistoryEventsInput,  # noqa: A002 -- the mirrored name
    ) -> WorkflowHistoryEventAsyncIterator:
        """`WorkflowHandle.fetch_history_events`, and `result`, which waits by it."""
        return self.next.fetch_workflow_history_events(input)

    def list_workflows(self, input: ListWorkflowsInput) -> WorkflowExecutionAsyncIterator:  # noqa: A002
        """`Client.list_workflows`"""
        return self.next.list_workflows(input)

    async def count_workflows(self, input: CountWorkflowsInput) -> WorkflowExecutionCount:  # noqa: A002
        """`Client.count_workflows`"""
        return await self.next.count_workflows(input)

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
        """`WorkflowHandle.query`"""
        return await self.next.query_workflow(input)

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:  # noqa: A002
        """`WorkflowHandle.signal`"""
        await self.next.signal_workflow(input)

    async def terminate_workflow(self, input: TerminateWorkflowInput) -> None:  # noqa: A002
        """`WorkflowHandle.terminate`"""
        await self.next.terminate_workflow(input)

    async def start_workflow_update(
        self,
        input: StartWorkflowUpdateInput,  # noqa: A002 -- the mirrored name
    ) -> WorkflowUpdateHandle[Any]:
        """`WorkflowHandle.start_update` and `execute_update`"""
        return await self.next.start_workflow_update(input)

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002 -- the mirrored name
    ) -> WorkflowUpdateHandle[Any]:
        """`Client.start_update_with_start_workflow` and `execute_update_with_start_workflow`"""
        return await self.next.start_update_with_start_workflow(input)

    # Activities that run elsewhere

    async def heartbeat_async_activity(self, input: HeartbeatAsyncActivityInput) -> None:  # noqa: A002
        """`AsyncActivityHandle.heartbeat`"""
        await self.next.heartbeat_async_activity(input)

    async def complete_async_activity(self, input: CompleteAsyncActivityInput) -> None:  # noqa: A002
        """`AsyncActivityHandle.complete`"""
        await self.next.complete_async_activity(input)

    async def fail_async_activity(self, input: FailAsyncActivityInput) -> None:  # noqa: A002
        """`AsyncActivityHandle.fail`"""
        await self.next.fail_async_activity(input)

    async def report_cancellation_async_activity(
        self,
        input: ReportCancellationAsyncActivityInput,  # noqa: A002 -- the mirrored name
    ) -> None:
        """`AsyncActivityHandle.report_cancellation`"""
        await self.next.report_cancellation_async_activity(input)

    async def create_schedule(self, input: CreateScheduleInput) -> ScheduleHandle:  # noqa: A002
        """Make a schedule."""
        return await self.next.create_schedule(input)

    async def backfill_schedule(self, input: BackfillScheduleInput) -> None:  # noqa: A002
        """Have a schedule act for times that are past."""
        await self.next.backfill_schedule(input)

    async def delete_schedule(self, input: DeleteScheduleInput) -> None:  # noqa: A002
        """Forget a schedule."""
        await self.next.delete_schedule(input)

    async def describe_schedule(self, input: DescribeScheduleInput) -> ScheduleDescription:  # noqa: A002
        """Describe a schedule."""
        return await self.next.describe_schedule(input)

    async def pause_schedule(self, input: PauseScheduleInput) -> None:  # noqa: A002
        """Pause a schedule."""
        await self.next.pause_schedule(input)

    async def trigger_schedule(self, input: TriggerScheduleInput) -> None:  # noqa: A002
        """Have a schedule act now."""
        await self.next.trigger_schedule(input)

    async def unpause_schedule(self, input: UnpauseScheduleInput) -> None:  # noqa: A002
        """Have a schedule act again."""
        await self.next.unpause_schedule(input)

    async def update_schedule(self, input: UpdateScheduleInput) -> None:  # noqa: A002
        """Change a schedule."""
        await self.next.update_schedule(input)

    def list_schedules(self, input: ListSchedulesInput) -> ScheduleAsyncIterator:  # noqa: A002
        """List schedules."""
        return self.next.list_schedules(input)

    # Activities without a workflow

    async def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """`Client.start_activity`"""
        return await self.next.start_activity(input)

    async def cancel_activity(self, input: CancelActivityInput) -> None:  # noqa: A002
        """`ActivityHandle.cancel`"""
        await self.next.cancel_activity(input)

    async def terminate_activity(self, input: TerminateActivityInput) -> None:  # noqa: A002
        """`ActivityHandle.terminate`"""
        await self.next.terminate_activity(input)

    async def pause_activity(self, input: PauseActivityInput) -> None:  # noqa: A002
        """`ActivityHandle.pause`"""
        await self.next.pause_activity(input)

    async def unpause_activity(self, input: UnpauseActivityInput) -> None:  # noqa: A002
        """`ActivityHandle.unpause`"""
        await self.next.unpause_activity(input)

    async def update_activity_options(
        self,
        input: UpdateActivityOptionsInput,  # noqa: A002 -- the mirrored name
    ) -> ActivityExecutionOptions:
        """`ActivityHandle.update_options`"""
        return await self.next.update_activity_options(input)

    async def describe_activity(self, input: DescribeActivityInput) -> ActivityExecutionDescription:  # noqa: A002
        """`ActivityHandle.describe`"""
        return await self.next.describe_activity(input)

    async def count_activities(self, input: CountActivitiesInput) -> ActivityExecutionCount:  # noqa: A002
        """`Client.count_activities`"""
        return await self.next.count_activities(input)

    def list_activities(self, input: ListActivitiesInput) -> ActivityExecutionAsyncIterator:  # noqa: A002
        """`Client.list_activities`"""
        return self.next.list_activities(input)

    # Nexus operations without a workflow

    async def start_nexus_operation(
        self,
        input: StartNexusOperationInput,  # noqa: A002 -- the mirrored name
    ) -> NexusOperationHandle[Any]:
        """`NexusClient.start_operation`"""
        return await self.next.start_nexus_operation(input)

    async def describe_nexus_operation(
        self,
        input: DescribeNexusOperationInput,  # noqa: A002 -- the mirrored name
    ) -> NexusOperationExecutionDescription:
        """`NexusOperationHandle.describe`"""
        return await self.next.describe_nexus_operation(input)

    async def get_nexus_operation_result(self, input: GetNexusOperationResultInput) -> Any:  # noqa: A002
        """`NexusOperationHandle.result`"""
        return await self.next.get_nexus_operation_result(input)

    async def cancel_nexus_operation(self, input: CancelNexusOperationInput) -> None:  # noqa: A002
        """`NexusOperationHandle.cancel`"""
        await self.next.cancel_nexus_operation(input)

    async def terminate_nexus_operation(self, input: TerminateNexusOperationInput) -> None:  # noqa: A002
        """`NexusOperationHandle.terminate`"""
        await self.next.terminate_nexus_operation(input)

    def list_nexus_operations(
        self,
        input: ListNexusOperationsInput,  # noqa: A002 -- the mirrored name
    ) -> NexusOperationExecutionAsyncIterator:
        """`Client.list_nexus_operations`"""
        return self.next.list_nexus_operations(input)

    async def count_nexus_operations(
        self,
        input: CountNexusOperationsInput,  # noqa: A002 -- the mirrored name
    ) -> NexusOperationExecutionCount:
        """`Client.count_nexus_operations`"""
        return await self.next.count_nexus_operations(input)

    async def update_worker_build_id_compatibility(
        self,
        input: UpdateWorkerBuildIdCompatibilityInput,  # noqa: A002 -- the mirrored name
    ) -> None:
        """`Client.update_worker_build_id_compatibility`"""
        await self.next.update_worker_build_id_compatibility(input)

    async def get_worker_build_id_compatibility(
        self,
        input: GetWorkerBuildIdCompatibilityInput,  # noqa: A002 -- the mirrored name
    ) -> WorkerBuildIdVersionSets:
        """`Client.get_worker_build_id_compatibility`"""
        return await self.next.get_worker_build_id_compatibility(input)

    async def get_worker_task_reachability(
        self,
        input: GetWorkerTaskReachabilityInput,  # noqa: A002 -- the mirrored name
    ) -> WorkerTaskReachability:
        """`Client.get_worker_task_reachability`"""
        return await self.next.get_worker_task_reachability(input)
