"""Interceptors of a client: each stands between its calls and the service, and hands them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.client.inputs import (
    CancelWorkflowInput,
    CompleteAsyncActivityInput,
    CountWorkflowsInput,
    DescribeWorkflowInput,
    FailAsyncActivityInput,
    FetchWorkflowHistoryEventsInput,
    HeartbeatAsyncActivityInput,
    ListWorkflowsInput,
    QueryWorkflowInput,
    ReportCancellationAsyncActivityInput,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    TerminateWorkflowInput,
)

if TYPE_CHECKING:
    from perdure.client.executions import (
        WorkflowExecutionAsyncIterator,
        WorkflowExecutionCount,
        WorkflowExecutionDescription,
    )
    from perdure.client.handle import WorkflowHandle
    from perdure.client.history import WorkflowHistoryEventAsyncIterator
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
