"""A worker by hand: one task at a time, so that a program decides what happens in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import (
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    RequestCancelActivityTaskCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
    StartTimerCommandAttributes,
)
from temporalio.api.common.v1 import ActivityType, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import CommandType, TaskQueueKind, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import StickyExecutionAttributes, TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
)

from tests.interop.stage import CLIENT_IDENTITY, Stage, payloads

IDENTITY = "worker by hand"


class HandWorker:
    """Polls and answers on a stage's queue."""

    def __init__(self, stage: Stage, queue: str = "queue") -> None:
        self._stage = stage
        self._service = stage.service
        self._queue = TaskQueue(name=stage.queue(queue), kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL)
        self.sticky = TaskQueue(
            name=f"sticky-{stage.queue(queue)}",
            kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY,
            normal_name=stage.queue(queue),
        )

    def start_request(self, name: str = "workflow", **fields: Any) -> StartWorkflowExecutionRequest:
        """A start of the type ``ByHand`` on this queue."""
        return StartWorkflowExecutionRequest(
            **{
                "namespace": self._stage.namespace,
                "workflow_id": self._stage.workflow_id(name),
                "workflow_type": WorkflowType(name="ByHand"),
                "task_queue": self._queue,
                "identity": CLIENT_IDENTITY,
                "request_id": f"start {name} {self._stage.nonce}",
                **fields,
            }
        )

    async def start(self, name: str = "workflow", **fields: Any) -> WorkflowExecution:
        """Starts it."""
        request = self.start_request(name, **fields)
        response = await self._service.start_workflow_execution(request)
        return WorkflowExecution(workflow_id=request.workflow_id, run_id=response.run_id)

    async def poll(self, *, sticky: bool = False) -> PollWorkflowTaskQueueResponse:
        """The next workflow task; polls again when a long poll ends without one."""
        while True:
            task = await self._service.poll_workflow_task_queue(
                PollWorkflowTaskQueueRequest(
                    namespace=self._stage.namespace,
                    task_queue=self.sticky if sticky else self._queue,
                    identity=IDENTITY,
                ),
                timeout=timedelta(seconds=70),
            )
            if task.task_token:
                return task

    async def complete(
        self, task: PollWorkflowTaskQueueResponse, *commands: Command, **fields: Any
    ) -> RespondWorkflowTaskCompletedResponse:
        """Answers a workflow task; with ``sticky=True`` the next goes to the sticky queue."""
        if fields.pop("sticky", False):
            fields["sticky_attributes"] = StickyExecutionAttributes(
                worker_task_queue=self.sticky,
                schedule_to_start_timeout=fields.pop("sticky_timeout", seconds(10)),
            )
        return await self._service.respond_workflow_task_completed(
            RespondWorkflowTaskCompletedRequest(
                namespace=self._stage.namespace,
                task_token=task.task_token,
                identity=IDENTITY,
                commands=commands,
                **fields,
            )
        )

    async def fail(
        self,
        task: PollWorkflowTaskQueueResponse,
        cause: WorkflowTaskFailedCause.ValueType,
        failure: Failure | None = None,
    ) -> None:
        """Refuses a workflow task."""
        await self._service.respond_workflow_task_failed(
            RespondWorkflowTaskFailedRequest(
                namespace=self._stage.namespace,
                task_token=task.task_token,
                identity=IDENTITY,
                cause=cause,
                failure=failure or Failure(message="by hand", source="interop"),
            )
        )

    async def finish(self, *, sticky: bool = False) -> None:
        """Takes the next task and completes the workflow."""
        await self.complete(await self.poll(sticky=sticky), complete_workflow("done"))

    async def poll_activity(self) -> PollActivityTaskQueueResponse:
        """The next activity task."""
        while True:
            task = await self._service.poll_activity_task_queue(
                PollActivityTaskQueueRequest(
                    namespace=self._stage.namespace, task_queue=self._queue, identity=IDENTITY
                ),
                timeout=timedelta(seconds=70),
            )
            if task.task_token:
                return task

    async def signal(
        self, execution: WorkflowExecution, name: str, request_id: str | None = None
    ) -> SignalWorkflowExecutionResponse:
        """Signals with a request id of its own; the same name has the same one."""
        return await self._service.signal_workflow_execution(
            SignalWorkflowExecutionRequest(
                namespace=self._stage.namespace,
                workflow_execution=execution,
                signal_name=name,
                input=payloads(name),
                identity=CLIENT_IDENTITY,
                request_id=request_id or f"signal {name} {self._stage.nonce}",
            )
        )

    def schedule_activity(self, activity_id: str, **fields: Any) -> Command:
        """A command for an activity on the same queue."""
        attributes = ScheduleActivityTaskCommandAttributes(
            **{
                "activity_id": activity_id,
                "activity_type": ActivityType(name="ByHand"),
                "task_queue": self._queue,
                "start_to_close_timeout": seconds(10),
                **fields,
            }
        )
        return Command(
            command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
            schedule_activity_task_command_attributes=attributes,
        )


def seconds(amount: float) -> Duration:
    """A protobuf duration."""
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=amount))
    return duration


def start_timer(timer_id: str, after: float) -> Command:
    """A command for a timer."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_START_TIMER,
        start_timer_command_attributes=StartTimerCommandAttributes(
            timer_id=timer_id, start_to_fire_timeout=seconds(after)
        ),
    )


def cancel_activity(scheduled_event_id: int) -> Command:
    """A command that asks an activity to stop."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK,
        request_cancel_activity_task_command_attributes=RequestCancelActivityTaskCommandAttributes(
            scheduled_event_id=scheduled_event_id
        ),
    )


def complete_workflow(*result: Any) -> Command:
    """A command that closes the workflow."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes(
            result=payloads(*result) if result else None
        ),
    )
