"""The ends of a run's interceptors: the code itself, and what makes commands."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, NoReturn, cast

from perdure._replay.activities import ActivityHandle, ActivityRequest, schedule_activity
from perdure._replay.children import ChildRequest, ChildWorkflowHandle, schedule_child
from perdure._replay.context import WorkflowContext
from perdure._replay.continue_as_new import end_run
from perdure._replay.externals import ExternalSignal, send_signal
from perdure._replay.info import Info
from perdure._replay.interceptors import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    HandleQueryInput,
    HandleSignalInput,
    HandleUpdateInput,
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    StartNexusOperationInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)
from perdure._replay.local_activities import LocalActivityRequest, schedule_local_activity
from perdure._replay.nexus_operations import NexusOperationHandle, schedule_operation


def make_interceptors(context: WorkflowContext) -> None:
    """Puts the worker's interceptors around the code of a run."""
    innermost = _ToCode(context)
    inbound = cast(WorkflowInboundInterceptor, innermost)
    for interceptor in reversed(context.options.interceptor_classes):
        inbound = interceptor(inbound)
    inbound.init(cast(WorkflowOutboundInterceptor, _ToMachine(context)))
    context.inbound, context.outbound = inbound, innermost.outbound


class _ToCode:
    """Calls the workflow's code."""

    def __init__(self, context: WorkflowContext) -> None:
        self._context = context
        self.outbound: WorkflowOutboundInterceptor | None = None

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """What the code's calls go through."""
        self.outbound = outbound

    async def execute_workflow(self, told: ExecuteWorkflowInput) -> Any:
        """Runs the run method."""
        return await told.run_fn(self._context.instance, *told.args)

    async def handle_signal(self, told: HandleSignalInput) -> None:
        """Calls the handler of the signal."""
        await self._call(self._context.handlers.signals, told.signal, told.args)

    async def handle_query(self, told: HandleQueryInput) -> Any:
        """Calls the handler of the query."""
        return await self._call(self._context.handlers.queries, told.query, told.args)

    def handle_update_validator(self, told: HandleUpdateInput) -> None:
        """Calls the validator of the update, if its own handler has one."""
        handlers = self._context.handlers
        definition = handlers.updates.get(told.update) or handlers.updates.get(None)
        validator = None if definition is None else handlers.bound_validator(definition)
        if validator is not None:
            validator(*told.args)

    async def handle_update_handler(self, told: HandleUpdateInput) -> Any:
        """Calls the handler of the update."""
        return await self._call(self._context.handlers.updates, told.update, told.args)

    async def _call(self, definitions: Any, name: str, args: Sequence[Any]) -> Any:
        definition = definitions.get(name) or definitions[None]
        result = self._context.handlers.bound_handler(definition)(*args)
        return await result if isinstance(result, Awaitable) else result


class _ToMachine:
    """Makes commands of what the code asks for."""

    def __init__(self, context: WorkflowContext) -> None:
        self._context = context

    def continue_as_new(self, asked: ContinueAsNewInput) -> NoReturn:
        """Ends the run."""
        end_run(asked)

    def info(self) -> Info:
        """What is known of the run."""
        return self._context.info

    async def signal_child_workflow(self, asked: SignalChildWorkflowInput) -> None:
        """Signals a child."""
        await send_signal(
            self._context,
            ExternalSignal(
                workflow_id=asked.child_workflow_id,
                run_id="",
                name=asked.signal,
                args=asked.args,
                child_only=True,
                groups=asked.event_groups,
                headers=asked.headers,
            ),
        )

    async def signal_external_workflow(self, asked: SignalExternalWorkflowInput) -> None:
        """Signals another workflow."""
        await send_signal(
            self._context,
            ExternalSignal(
                workflow_id=asked.workflow_id,
                run_id=asked.workflow_run_id or "",
                name=asked.signal,
                args=asked.args,
                child_only=False,
                groups=asked.event_groups,
                headers=asked.headers,
                namespace=asked.namespace,
            ),
        )

    def start_activity(self, asked: StartActivityInput) -> ActivityHandle[Any]:
        """Schedules an activity."""
        request = ActivityRequest(
            activity=asked.activity,
            args=asked.args,
            result_type=asked.ret_type,
            task_queue=asked.task_queue,
            schedule_to_close_timeout=asked.schedule_to_close_timeout,
            schedule_to_start_timeout=asked.schedule_to_start_timeout,
            start_to_close_timeout=asked.start_to_close_timeout,
            heartbeat_timeout=asked.heartbeat_timeout,
            retry_policy=asked.retry_policy,
            cancellation_type=asked.cancellation_type,
            activity_id=asked.activity_id,
            versioning_intent=asked.versioning_intent,
            disable_eager_execution=asked.disable_eager_execution,
            summary=asked.summary,
            event_groups=asked.event_groups,
            priority=asked.priority,
            headers=asked.headers,
        )
        return schedule_activity(self._context, request)

    def start_local_activity(self, asked: StartLocalActivityInput) -> ActivityHandle[Any]:
        """Runs a local activity."""
        request = LocalActivityRequest(
            activity=asked.activity,
            args=asked.args,
            result_type=asked.ret_type,
            schedule_to_close_timeout=asked.schedule_to_close_timeout,
            schedule_to_start_timeout=asked.schedule_to_start_timeout,
            start_to_close_timeout=asked.start_to_close_timeout,
            retry_policy=asked.retry_policy,
            local_retry_threshold=asked.local_retry_threshold,
            cancellation_type=asked.cancellation_type,
            activity_id=asked.activity_id,
            summary=asked.summary,
            event_groups=asked.event_groups,
            headers=asked.headers,
        )
        return schedule_local_activity(self._context, request)

    async def start_child_workflow(
        self, asked: StartChildWorkflowInput
    ) -> ChildWorkflowHandle[Any, Any]:
        """Starts a child."""
        request = ChildRequest(
            workflow=asked.workflow,
            args=asked.args,
            id=asked.id,
            result_type=asked.ret_type,
            task_queue=asked.task_queue,
            cancellation_type=asked.cancellation_type,
            parent_close_policy=asked.parent_close_policy,
            execution_timeout=asked.execution_timeout,
            run_timeout=asked.run_timeout,
            task_timeout=asked.task_timeout,
            id_reuse_policy=asked.id_reuse_policy,
            retry_policy=asked.retry_policy,
            cron_schedule=asked.cron_schedule,
            memo=asked.memo,
            search_attributes=asked.search_attributes,
            versioning_intent=asked.versioning_intent,
            static_summary=asked.static_summary,
            static_details=asked.static_details,
            event_groups=asked.event_groups,
            priority=asked.priority,
            versioning_override=asked.versioning_override,
            headers=asked.headers,
        )
        return await schedule_child(self._context, request)

    async def start_nexus_operation(
        self, asked: StartNexusOperationInput[Any, Any]
    ) -> NexusOperationHandle[Any]:
        """Starts a Nexus operation."""
        return await schedule_operation(self._context, asked)
