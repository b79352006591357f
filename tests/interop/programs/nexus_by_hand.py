"""Nexus operations driven call by call: what handlers may answer, and when."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    ContinueAsNewWorkflowExecutionCommandAttributes,
    FailWorkflowExecutionCommandAttributes,
    RequestCancelNexusOperationCommandAttributes,
    ScheduleNexusOperationCommandAttributes,
)
from temporalio.api.common.v1 import Callback, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import (
    CommandType,
    EventType,
    NexusHandlerErrorRetryBehavior,
    PendingNexusOperationState,
    ResetReapplyExcludeType,
)
from temporalio.api.failure.v1 import (
    ApplicationFailureInfo,
    CanceledFailureInfo,
    Failure,
    NexusHandlerFailureInfo,
)
from temporalio.api.nexus.v1 import (
    CancelOperationResponse,
    EndpointSpec,
    EndpointTarget,
    HandlerError,
    Link,
    Response,
    StartOperationResponse,
    UnsuccessfulOperationError,
)
from temporalio.api.nexus.v1 import Failure as NexusFailure
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest, DeleteNexusEndpointRequest
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionResponse,
    PollNexusTaskQueueRequest,
    PollNexusTaskQueueResponse,
    ResetWorkflowExecutionRequest,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskFailedRequest,
)

from tests.interop.raw import HandWorker, complete_workflow, seconds
from tests.interop.stage import Stage, payloads

IDENTITY = "handler by hand"
LONG = "x" * 1001
LINK = Link(
    url="temporal:///namespaces/default/workflows/a/b/history"
    "?eventID=1&eventType=WorkflowExecutionStarted&referenceType=EventReference",
    type="temporal.api.common.v1.Link.WorkflowEvent",
)
FOREIGN_LINK = Link(url="http://elsewhere/x?y=z", type="something.else")
FAILURE = Failure(
    message="cannot", application_failure_info=ApplicationFailureInfo(type="T", non_retryable=True)
)


def schedule(endpoint: str, **fields: Any) -> Command:
    """A command for an operation."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION,
        schedule_nexus_operation_command_attributes=ScheduleNexusOperationCommandAttributes(
            **{"endpoint": endpoint, "service": "service", "operation": "operation", **fields}
        ),
    )


def cancel(scheduled_event_id: int) -> Command:
    """A command that asks an operation to end."""
    return Command(
        command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION,
        request_cancel_nexus_operation_command_attributes=(
            RequestCancelNexusOperationCommandAttributes(scheduled_event_id=scheduled_event_id)
        ),
    )


def started(token: str = "token", *links: Link) -> StartOperationResponse:
    """The operation goes on."""
    return StartOperationResponse(
        async_success=StartOperationResponse.Async(operation_token=token, links=links)
    )


def succeeded(result: str = "result", *links: Link) -> StartOperationResponse:
    """It is done."""
    return StartOperationResponse(
        sync_success=StartOperationResponse.Sync(payload=payloads(result).payloads[0], links=links)
    )


def unsuccessful(state: str, message: str = "broken", **fields: Any) -> StartOperationResponse:
    """It has failed, or was canceled."""
    failure = NexusFailure(message=message, **fields)
    return StartOperationResponse(
        operation_error=UnsuccessfulOperationError(operation_state=state, failure=failure)
    )


def handler_error(error_type: str, **fields: Any) -> HandlerError:
    """The handler cannot, in the old form."""
    return HandlerError(
        error_type=error_type, failure=NexusFailure(message=f"is {error_type}"), **fields
    )


class Desk:
    """A workflow and a handler, each with a queue of its own, and the endpoint between them."""

    def __init__(self, stage: Stage, label: str) -> None:
        self.stage = stage
        self.label = label
        self.workflow = HandWorker(stage, f"workflow {label}")
        self.execution = WorkflowExecution()
        self.endpoint = f"{stage.program}-{label}-{stage.nonce}".replace("_", "-").replace(" ", "-")
        self.endpoint_id = ""
        self._queue = TaskQueue(name=stage.queue(f"handler {label}"))

    async def open(self) -> None:
        """Create the endpoint."""
        worker = EndpointTarget.Worker(namespace=self.stage.namespace, task_queue=self._queue.name)
        response = await self.stage.client.operator_service.create_nexus_endpoint(
            CreateNexusEndpointRequest(
                spec=EndpointSpec(name=self.endpoint, target=EndpointTarget(worker=worker))
            )
        )
        self.endpoint_id = response.endpoint.id

    async def begin(self, *commands: Command, **fields: Any) -> WorkflowExecution:
        """A workflow whose first task brings these commands, after an operation (event 5)."""
        await self.open()
        self.execution = await self.workflow.start(self.label, **fields.pop("start", {}))
        first = schedule(self.endpoint, **fields)
        await self.workflow.complete(await self.workflow.poll(), first, *commands)
        return self.execution

    async def begin_held(self) -> PollNexusTaskQueueResponse:
        """The same, and the next workflow task is held while the handler has its task."""
        await self.open()
        self.execution = await self.workflow.start(self.label)
        self.held = await self.workflow.complete(
            await self.workflow.poll(),
            schedule(self.endpoint),
            force_create_new_workflow_task=True,
            return_new_workflow_task=True,
        )
        return await self.poll()

    async def poll(self) -> PollNexusTaskQueueResponse:
        """The handler's next task."""
        while True:
            task = await self.stage.service.poll_nexus_task_queue(
                PollNexusTaskQueueRequest(
                    namespace=self.stage.namespace, task_queue=self._queue, identity=IDENTITY
                ),
                timeout=timedelta(seconds=70),
            )
            if task.task_token:
                return task

    async def answer(
        self, task: PollNexusTaskQueueResponse, answer: StartOperationResponse | None
    ) -> None:
        """The handler answers; None: it will cancel the operation."""
        response = Response(start_operation=answer)
        if answer is None:
            response = Response(cancel_operation=CancelOperationResponse())
        await self.stage.service.respond_nexus_task_completed(
            RespondNexusTaskCompletedRequest(
                namespace=self.stage.namespace,
                task_token=task.task_token,
                identity=IDENTITY,
                response=response,
            )
        )

    async def fail(self, task: PollNexusTaskQueueResponse, error: HandlerError | Failure) -> None:
        """The handler cannot."""
        request = RespondNexusTaskFailedRequest(
            namespace=self.stage.namespace, task_token=task.task_token, identity=IDENTITY
        )
        if isinstance(error, Failure):
            request.failure.CopyFrom(error)
        else:
            request.error.CopyFrom(error)
        await self.stage.service.respond_nexus_task_failed(request)

    async def serve(self, task: PollNexusTaskQueueResponse) -> tuple[HandWorker, WorkflowExecution]:
        """A workflow that is the operation of a task: whoever scheduled that hears of its end."""
        start = task.request.start_operation
        worker = HandWorker(self.stage, f"callee {self.label}")
        for token in start.callback_header.values():
            self.stage.hide(token)
        callback = Callback.Nexus(url=start.callback, header=dict(start.callback_header))
        callee = await worker.start(
            f"callee {self.label}", completion_callbacks=[Callback(nexus=callback)]
        )
        return worker, callee

    async def take(self, *commands: Command) -> None:
        """The next workflow task, with these commands."""
        await self.workflow.complete(await self.workflow.poll(), *commands)

    async def history(self, label: str = "history") -> None:
        """Keeps what has happened."""
        await self.stage.history(f"{self.label}: {label}", self.execution)

    async def pending(self, label: str) -> None:
        """Keeps what is pending; the real server shows it in any order."""
        self._keep(label, await self.stage.description(self.execution))

    async def once_pending(self, label: str, state: str) -> None:
        """The same, when the operation is in this state."""
        wanted = f"PENDING_NEXUS_OPERATION_STATE_{state}"

        def holds(description: DescribeWorkflowExecutionResponse) -> bool:
            return any(
                PendingNexusOperationState.Name(info.state) == wanted
                for info in description.pending_nexus_operations
            )

        self._keep(label, await self.stage.described(self.execution, holds))

    async def once_cancelled(self, label: str, state: int) -> None:
        """The same, when its cancellation is in this state."""

        def holds(description: DescribeWorkflowExecutionResponse) -> bool:
            return any(
                info.cancellation_info.state == state
                for info in description.pending_nexus_operations
            )

        self._keep(label, await self.stage.described(self.execution, holds))

    def _keep(self, label: str, description: DescribeWorkflowExecutionResponse) -> None:
        shown = DescribeWorkflowExecutionResponse(
            pending_nexus_operations=sorted(
                description.pending_nexus_operations, key=lambda info: info.scheduled_event_id
            )
        )
        self.stage.message(f"{self.label}: {label}", shown)


async def nexus_answers(stage: Stage) -> None:
    """What a handler may answer when it is asked to start an operation."""
    non_retryable = NexusHandlerErrorRetryBehavior.Value(
        "NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE"
    )
    answers: dict[str, StartOperationResponse | HandlerError | Failure] = {
        "succeeded": succeeded("result", LINK, FOREIGN_LINK),
        "failed": unsuccessful("failed", metadata={"k": "v"}, details=b'{"a":1}'),
        "canceled": unsuccessful("canceled"),
        "failure": StartOperationResponse(failure=FAILURE),
        "cancellation": StartOperationResponse(
            failure=Failure(message="enough", canceled_failure_info=CanceledFailureInfo())
        ),
        "bad request": handler_error("BAD_REQUEST"),
        "not implemented": handler_error("NOT_IMPLEMENTED"),
        "final internal": handler_error("INTERNAL", retry_behavior=non_retryable),
        "not found": Failure(
            message="nowhere",
            nexus_handler_failure_info=NexusHandlerFailureInfo(type="NOT_FOUND"),
            cause=FAILURE,
        ),
    }

    async def one(label: str, answer: StartOperationResponse | HandlerError | Failure) -> None:
        desk = Desk(stage, label)
        await desk.begin(input=payloads("in").payloads[0], nexus_header={"A-Key": "value"})
        task = await desk.poll()
        if isinstance(answer, StartOperationResponse):
            await desk.answer(task, answer)
        else:
            await desk.fail(task, answer)
        await desk.take(complete_workflow())
        await desk.pending("pending")
        await desk.history()

    for label, answer in answers.items():
        await one(label, answer)


async def nexus_retries(stage: Stage) -> None:
    """A handler that cannot for now is asked again."""
    desk = Desk(stage, "retried")
    await desk.begin(schedule_to_close_timeout=seconds(60))
    await desk.pending("before the first answer")
    await desk.fail(await desk.poll(), handler_error("INTERNAL"))
    await desk.once_pending("after one", "BACKING_OFF")
    await desk.fail(
        await desk.poll(),
        Failure(
            message="again",
            nexus_handler_failure_info=NexusHandlerFailureInfo(type="UNAVAILABLE"),
            cause=FAILURE,
        ),
    )
    await desk.once_pending("after two", "BACKING_OFF")
    await desk.answer(await desk.poll(), started())
    await desk.once_pending("after three", "STARTED")
    await desk.take()
    await desk.history()
    gone = Desk(stage, "endpoint deleted")
    await gone.begin()
    await gone.fail(await gone.poll(), handler_error("INTERNAL"))
    await stage.client.operator_service.delete_nexus_endpoint(
        DeleteNexusEndpointRequest(id=gone.endpoint_id, version=1)
    )
    await gone.take()
    await gone.history()


async def nexus_completions(stage: Stage) -> None:
    """How an operation may end that its handler has started."""
    ends: dict[str, list[Command]] = {
        "completed": [complete_workflow("result")],
        "failed": [
            Command(
                command_type=CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
                fail_workflow_execution_command_attributes=FailWorkflowExecutionCommandAttributes(
                    failure=FAILURE
                ),
            )
        ],
        "canceled": [
            Command(
                command_type=CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
                cancel_workflow_execution_command_attributes=(
                    CancelWorkflowExecutionCommandAttributes(details=payloads("why"))
                ),
            )
        ],
    }
    for label, commands in ends.items():
        desk = Desk(stage, label)
        await desk.begin()
        task = await desk.poll()
        worker, _ = await desk.serve(task)
        await desk.answer(task, started("token", LINK, FOREIGN_LINK))
        await desk.take()
        await desk.pending("started")
        await worker.complete(await worker.poll(), *commands)
        await desk.take(complete_workflow())
        await desk.history()
        early = Desk(stage, f"{label} early")
        await early.begin()
        task = await early.poll()
        worker, callee = await early.serve(task)
        await worker.complete(await worker.poll(), *commands)
        await early.take()
        await stage.outcome(f"{label}: answer that comes late", _answered(early, task))
        await early.history()
        await stage.describe(f"{label}: the callee", callee)


async def _answered(desk: Desk, task: PollNexusTaskQueueResponse) -> Any:
    await desk.answer(task, started())
    return DescribeWorkflowExecutionResponse()


async def nexus_too_late(stage: Stage) -> None:
    """A completion for a workflow that is over, or has gone on as another run."""
    continued = Command(
        command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
        continue_as_new_workflow_execution_command_attributes=(
            ContinueAsNewWorkflowExecutionCommandAttributes(
                workflow_type=WorkflowType(name="ByHand")
            )
        ),
    )
    for label, command in (("over", complete_workflow()), ("continued", continued)):
        desk = Desk(stage, label)
        await desk.begin()
        task = await desk.poll()
        worker, callee = await desk.serve(task)
        await desk.answer(task, started())
        await desk.take(command)
        await desk.pending("pending")
        await worker.complete(await worker.poll(), complete_workflow())
        heard = await stage.described(
            callee, lambda found: bool(found.callbacks[0].last_attempt_complete_time.seconds)
        )
        stage.observe(f"{label}: told", stage.text(str(heard.callbacks[0].last_attempt_failure)))
        await desk.history()
    desk = Desk(stage, "scheduled and over")
    await desk.begin(complete_workflow())
    await desk.pending("pending")
    await desk.history()


async def nexus_buffered(stage: Stage) -> None:
    """What is heard of an operation while a workflow task is started."""
    desk = Desk(stage, "completed")
    task = await desk.begin_held()
    worker, _ = await desk.serve(task)
    await desk.answer(task, started())
    await desk.once_pending("started", "STARTED")
    await worker.complete(await worker.poll(), complete_workflow("result"))
    await stage.described(desk.execution, lambda found: not found.pending_nexus_operations)
    await desk.workflow.signal(desk.execution, "signal")
    await desk.workflow.complete(desk.held.workflow_task, cancel(5))
    await desk.history()
    sync = Desk(stage, "answered")
    await sync.answer(await sync.begin_held(), succeeded())
    await stage.described(sync.execution, lambda found: not found.pending_nexus_operations)
    await stage.outcome(
        "close over it",
        sync.workflow.complete(sync.held.workflow_task, cancel(5), complete_workflow()),
    )
    await sync.history()
    stage.task("the next task", await sync.workflow.poll())


async def nexus_cancellations(stage: Stage) -> None:
    """An operation is to be canceled: when it is started, before that, and when it has ended."""
    accepted, failed, backing_off = 3, 4, 2
    desk = Desk(stage, "started")
    metadata = UserMetadata(summary=payloads("why").payloads[0])
    await desk.begin()
    await desk.answer(await desk.poll(), started())
    command = cancel(5)
    command.user_metadata.CopyFrom(metadata)
    await desk.take(command)
    task = await desk.poll()
    await desk.pending("asked")
    await desk.answer(task, None)
    await desk.once_cancelled("accepted", accepted)
    await desk.take()
    await desk.history()
    early = Desk(stage, "waiting")
    await early.begin(cancel(5))
    await early.pending("not started")
    await early.answer(await early.poll(), started())
    await early.fail(await early.poll(), handler_error("INTERNAL"))
    await early.once_cancelled("in vain", backing_off)
    await early.fail(await early.poll(), handler_error("BAD_REQUEST"))
    await early.once_cancelled("refused", failed)
    await early.take()
    await early.history()
    over = Desk(stage, "over")
    await over.begin()
    task = await over.poll()
    worker, _ = await over.serve(task)
    await over.answer(task, started())
    await over.take(cancel(5))
    task = await over.poll()
    await worker.complete(await worker.poll(), complete_workflow("result"))
    await over.take()
    await over.answer(task, None)
    await over.history()
    closing = Desk(stage, "closing")
    await closing.begin()
    await closing.answer(await closing.poll(), started())
    await closing.take(cancel(5), complete_workflow())
    await closing.pending("closed")
    await closing.history()


async def nexus_timeouts(stage: Stage) -> None:
    """Each timeout, with the handler's answer or without."""
    fields: dict[str, dict[str, Any]] = {
        "close": {"schedule_to_close_timeout": seconds(1)},
        "start": {"schedule_to_start_timeout": seconds(1)},
        "both": {
            "schedule_to_close_timeout": seconds(1),
            "schedule_to_start_timeout": seconds(1),
        },
        "capped": {
            "schedule_to_close_timeout": seconds(1),
            "schedule_to_start_timeout": seconds(5),
            "start_to_close_timeout": seconds(9),
        },
    }

    async def unanswered(label: str) -> Desk:
        desk = Desk(stage, label)
        await desk.begin(**fields[label])
        await desk.take()
        return desk

    async def answered(label: str, **timeouts: Any) -> Desk:
        desk = Desk(stage, label)
        await desk.begin(**timeouts)
        await desk.answer(await desk.poll(), started())
        await desk.take()
        await desk.take()
        return desk

    for desk in await asyncio.gather(
        *map(unanswered, fields),
        answered("close when started", schedule_to_close_timeout=seconds(6)),
        answered("work when started", start_to_close_timeout=seconds(1)),
    ):
        await desk.history()
    desk = Desk(stage, "of the run")
    await desk.begin(
        start={"workflow_execution_timeout": seconds(50)}, start_to_close_timeout=seconds(99)
    )
    await desk.history()
    hasty = Desk(stage, "no time to cancel")
    await hasty.begin(schedule_to_close_timeout=seconds(6))
    await hasty.answer(await hasty.poll(), started())
    task = await hasty.workflow.poll()
    await asyncio.sleep(5)
    await hasty.workflow.complete(task, cancel(5))
    await hasty.once_cancelled("too late", 4)
    await hasty.history()


async def nexus_resets(stage: Stage) -> None:
    """What becomes of an operation when its workflow is reset: before its end, and after."""

    async def reset(desk: Desk, label: str, event_id: int, *excluded: str) -> None:
        response = await stage.service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=stage.namespace,
                workflow_execution=WorkflowExecution(workflow_id=desk.execution.workflow_id),
                reason="why not",
                workflow_task_finish_event_id=event_id,
                request_id=f"{label} {stage.nonce}",
                reset_reapply_exclude_types=[
                    ResetReapplyExcludeType.Value(f"RESET_REAPPLY_EXCLUDE_TYPE_{name}")
                    for name in excluded
                ],
            )
        )
        desk.execution = WorkflowExecution(
            workflow_id=desk.execution.workflow_id, run_id=response.run_id
        )
        await desk.history(label)
        await desk.pending(f"{label}, pending")

    desk = Desk(stage, "ended")
    await desk.begin()
    task = await desk.poll()
    worker, _ = await desk.serve(task)
    await desk.answer(task, started())
    await desk.take()
    await worker.complete(await worker.poll(), complete_workflow("result"))
    await desk.take()
    await reset(desk, "before it ended", 8)
    await desk.take()
    await reset(desk, "without that", 8, "NEXUS")
    await desk.take()
    await reset(desk, "before it was scheduled", 4)
    pending = Desk(stage, "pending")
    await pending.begin()
    task = await pending.poll()
    worker, _ = await pending.serve(task)
    await pending.workflow.signal(pending.execution, "signal")
    await pending.take()
    await pending.answer(task, started("token", LINK))
    await pending.take(cancel(5))
    await pending.answer(await pending.poll(), None)
    await pending.take()
    await reset(pending, "before it was started", 8)
    await pending.take()
    await worker.complete(await worker.poll(), complete_workflow("result"))
    await pending.take()
    await pending.history("completed after all")


async def refused_operations(stage: Stage) -> None:
    """Commands that are refused, or just not."""
    desk = Desk(stage, "endpoint")
    await desk.open()
    known = desk.endpoint
    fields: dict[str, list[Command]] = {
        "unknown": [schedule("unknown")],
        "quoted": [schedule('un"known\n')],
        "empty": [schedule("")],
        "system": [schedule("__temporal_system")],
        "no service": [schedule(known, service="")],
        "long service": [schedule(known, service=LONG)],
        "no operation": [schedule(known, operation="")],
        "long operation": [schedule(known, operation=LONG)],
        "large header": [schedule(known, nexus_header={f"h{n}": "v" * 1000 for n in range(9)})],
        "header for a request": [schedule(known, nexus_header={"Request-Timeout": "5s"})],
        "header of a caller": [schedule(known, nexus_header={"caller-name": "me"})],
        "header of a call": [schedule(known, nexus_header={"call-initiation": "me"})],
        "header of a redirection": [schedule(known, nexus_header={"xdc-redirection": "me"})],
        "allowed headers": [
            schedule(known, nexus_header={"operation-timeout": "5s", "Content-Type": "text/plain"})
        ],
        "large input": [schedule(known, input=payloads("x" * 2_100_000).payloads[0])],
        "negative close": [schedule(known, schedule_to_close_timeout=seconds(-1))],
        "negative start": [schedule(known, schedule_to_start_timeout=seconds(-1))],
        "negative work": [schedule(known, start_to_close_timeout=seconds(-1))],
        "zero timeouts": [
            schedule(
                known,
                schedule_to_close_timeout=seconds(0),
                schedule_to_start_timeout=seconds(0),
                start_to_close_timeout=seconds(0),
            )
        ],
        "two faults": [
            schedule(known, service=LONG, operation=LONG, nexus_header={"a": "b" * 9999})
        ],
        "too many": [schedule(known) for _ in range(31)],
        "no attributes": [Command(command_type=CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION)],
        "no attributes of a cancellation": [
            Command(command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION)
        ],
        "cancel nothing": [cancel(0)],
        "cancel what never was": [cancel(7)],
        "cancel twice": [schedule(known), cancel(5), cancel(5)],
    }
    for label, commands in fields.items():
        worker = HandWorker(stage, label)
        execution = await worker.start(label)
        await stage.outcome(f"{label}: answer", worker.complete(await worker.poll(), *commands))
        if label == "no operation":
            await stage.event(execution, EventType.EVENT_TYPE_NEXUS_OPERATION_FAILED)
        await stage.history(label, execution)
