"""Workflows that call Nexus operations, and their handlers, at work on a server that is killed.

Each workflow calls three operations: one that is done at once, one that a workflow of the handler
does, and one that it asks to end. A handler's workflow is named by the request that started it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self

import grpc
import grpc.aio
from temporalio.api.command.v1 import (
    CancelWorkflowExecutionCommandAttributes,
    Command,
    CompleteWorkflowExecutionCommandAttributes,
    RequestCancelNexusOperationCommandAttributes,
    ScheduleNexusOperationCommandAttributes,
)
from temporalio.api.common.v1 import Callback, Payload, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import CommandType, EventType, WorkflowIdConflictPolicy
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.nexus.v1 import (
    CancelOperationResponse,
    EndpointSpec,
    EndpointTarget,
    Request,
    Response,
    StartOperationRequest,
    StartOperationResponse,
)
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    PollNexusTaskQueueRequest,
    PollNexusTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RequestCancelWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionResponse,
    RespondNexusTaskCompletedRequest,
    RespondNexusTaskCompletedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
)

from tests.crash.connection import PAUSE_SECONDS, Connection, Refused, ServerAway
from tests.crash.program import payloads, seconds
from tests.crash.reading import NAMESPACE, read_history

CALLERS = TaskQueue(name="callers")
HANDLERS = TaskQueue(name="handlers")
ENDPOINT = "handlers"
CREATE = "/temporal.api.operatorservice.v1.OperatorService/CreateNexusEndpoint"
POLL_SECONDS = 20.0
POLLERS = 8
HANDLER_SECONDS_MAX = 0.2
FINISH_SECONDS_MAX = 60.0
STALE = frozenset((grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT))
SCHEDULED = EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED
STARTED = EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED
COMPLETED = EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED
CANCELED = EventType.EVENT_TYPE_NEXUS_OPERATION_CANCELED
CANCEL_REQUESTED = EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED
ENDS = (
    COMPLETED,
    CANCELED,
    EventType.EVENT_TYPE_NEXUS_OPERATION_FAILED,
    EventType.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT,
)
AT_ONCE, BY_WORKFLOW, UNTIL_CANCELED = "at once", "by workflow", "until canceled"
OPERATIONS = {AT_ONCE: COMPLETED, BY_WORKFLOW: COMPLETED, UNTIL_CANCELED: CANCELED}
"""By name, how each ends."""


async def create_endpoint(port: int) -> None:
    """The endpoint of all operations."""
    worker = EndpointTarget.Worker(namespace=NAMESPACE, task_queue=HANDLERS.name)
    spec = EndpointSpec(name=ENDPOINT, target=EndpointTarget(worker=worker))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        create = channel.unary_unary(CREATE, None, None)
        await create(CreateNexusEndpointRequest(spec=spec).SerializeToString(), wait_for_ready=True)


class NexusLoad:
    """Its workers begin when it is entered."""

    def __init__(self, port: int, dice: random.Random) -> None:
        self._dice = dice
        self.connection = Connection(port)
        self.callers: dict[str, str] = {}
        """Run ids of the workflows whose start was acknowledged, by id."""
        self._working: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for _ in range(POLLERS):
            for work in (self._call, self._handle, self._handle_by_workflow):
                self._working.append(loop.create_task(self._again(work)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        await self.connection.close()

    async def start(self, number: int) -> None:
        """Start a workflow; returns when that is acknowledged."""
        name = f"caller {number}"
        request = _start(name, "caller", CALLERS, request_id=name)
        response = await self.connection.insist(request, StartWorkflowExecutionResponse)
        self.callers[name] = response.run_id

    async def finish(self) -> None:
        """Returns when no workflow is open."""
        request = ListWorkflowExecutionsRequest(
            namespace=NAMESPACE, query="ExecutionStatus = 'Running'"
        )
        async with asyncio.timeout(FINISH_SECONDS_MAX):
            while (
                await self.connection.insist(request, ListWorkflowExecutionsResponse)
            ).executions:
                self.check_alive()
                await asyncio.sleep(PAUSE_SECONDS)

    def check_alive(self) -> None:
        """Raise what a worker has failed with."""
        for task in self._working:
            if task.done():
                task.result()

    async def problems(self) -> list[str]:
        """What became of an operation that must not, once all is over."""
        found: list[str] = []
        request_ids: list[str] = []
        for name, run_id in self.callers.items():
            events = await read_history(self.connection, name, run_id)
            request_ids += [
                event.nexus_operation_scheduled_event_attributes.request_id
                for event in events
                if event.event_type == SCHEDULED
                and event.nexus_operation_scheduled_event_attributes.operation != AT_ONCE
            ]
            found += [f"{name}: {problem}" for problem in _problems(events)]
        listed = ListWorkflowExecutionsRequest(
            namespace=NAMESPACE, page_size=1000, query="WorkflowType != 'caller'"
        )
        page = await self.connection.insist(listed, ListWorkflowExecutionsResponse)
        handled = Counter(info.execution.workflow_id for info in page.executions)
        if handled != Counter(request_ids):
            found.append(f"handlers ran {handled - Counter(request_ids)} besides")
        return found

    # ---- workers

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except ServerAway:
                await asyncio.sleep(PAUSE_SECONDS)
            except Refused as refusal:
                if refusal.code not in STALE:
                    raise

    async def _call(self) -> None:
        await self._workflow_task(CALLERS, _calls)

    async def _handle_by_workflow(self) -> None:
        await self._workflow_task(HANDLERS, _handles)

    async def _workflow_task(
        self,
        queue: TaskQueue,
        program: Callable[[PollWorkflowTaskQueueResponse], Iterator[Command]],
    ) -> None:
        task = await self.connection.call(
            PollWorkflowTaskQueueRequest(namespace=NAMESPACE, task_queue=queue, identity="worker"),
            PollWorkflowTaskQueueResponse,
            timeout_seconds=POLL_SECONDS,
        )
        if task.task_token:
            completed = RespondWorkflowTaskCompletedRequest(
                namespace=NAMESPACE, task_token=task.task_token, commands=program(task)
            )
            await self.connection.insist(completed, RespondWorkflowTaskCompletedResponse)

    async def _handle(self) -> None:
        task = await self.connection.call(
            PollNexusTaskQueueRequest(namespace=NAMESPACE, task_queue=HANDLERS, identity="worker"),
            PollNexusTaskQueueResponse,
            timeout_seconds=POLL_SECONDS,
        )
        if task.task_token:
            # So that servers are killed while they wait for it.
            await asyncio.sleep(self._dice.random() * HANDLER_SECONDS_MAX)
            completed = RespondNexusTaskCompletedRequest(
                namespace=NAMESPACE,
                task_token=task.task_token,
                response=await self._answer(task.request),
            )
            await self.connection.insist(completed, RespondNexusTaskCompletedResponse)

    async def _answer(self, request: Request) -> Response:
        if request.HasField("cancel_operation"):
            token = request.cancel_operation.operation_token
            cancel = RequestCancelWorkflowExecutionRequest(
                namespace=NAMESPACE,
                workflow_execution=WorkflowExecution(workflow_id=token),
                request_id=token,
            )
            await self.connection.insist(cancel, RequestCancelWorkflowExecutionResponse)
            return Response(cancel_operation=CancelOperationResponse())
        return Response(start_operation=await self._started(request.start_operation))

    async def _started(self, request: StartOperationRequest) -> StartOperationResponse:
        name = request.request_id
        if request.operation == AT_ONCE:
            return StartOperationResponse(
                sync_success=StartOperationResponse.Sync(payload=_result(name))
            )
        start = _start(name, request.operation, HANDLERS, request_id=name)
        start.workflow_id_conflict_policy = (
            WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
        )
        called = Callback.Nexus(url=request.callback, header=request.callback_header)
        start.completion_callbacks.add(nexus=called)
        await self.connection.insist(start, StartWorkflowExecutionResponse)
        return StartOperationResponse(
            async_success=StartOperationResponse.Async(operation_token=name)
        )


def _start(
    name: str, workflow_type: str, queue: TaskQueue, *, request_id: str
) -> StartWorkflowExecutionRequest:
    return StartWorkflowExecutionRequest(
        namespace=NAMESPACE,
        workflow_id=name,
        workflow_type=WorkflowType(name=workflow_type),
        task_queue=queue,
        workflow_task_timeout=seconds(1.0),
        request_id=request_id,
    )


def _result(text: str) -> Payload:
    return payloads(text.encode()).payloads[0]


# ---- what the workflows do


def _calls(task: PollWorkflowTaskQueueResponse) -> Iterator[Command]:
    """Call all operations, ask the last one to end, and end when they have."""
    events = task.history.events
    kinds = Counter(event.event_type for event in events)
    if not kinds[SCHEDULED]:
        for operation in OPERATIONS:
            yield Command(
                command_type=CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION,
                schedule_nexus_operation_command_attributes=(
                    ScheduleNexusOperationCommandAttributes(
                        endpoint=ENDPOINT, service="service", operation=operation
                    )
                ),
            )
    elif not kinds[CANCEL_REQUESTED]:
        [last] = [event.event_id for event in events if _operation(event) == UNTIL_CANCELED]
        yield Command(
            command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_NEXUS_OPERATION,
            request_cancel_nexus_operation_command_attributes=(
                RequestCancelNexusOperationCommandAttributes(scheduled_event_id=last)
            ),
        )
    elif sum(kinds[kind] for kind in ENDS) == len(OPERATIONS):
        yield _complete("done")


def _handles(task: PollWorkflowTaskQueueResponse) -> Iterator[Command]:
    """End at once, or when that is asked for."""
    events = task.history.events
    if task.workflow_type.name == BY_WORKFLOW:
        yield _complete(task.workflow_execution.workflow_id)
    elif any(
        event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED
        for event in events
    ):
        yield Command(
            command_type=CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
            cancel_workflow_execution_command_attributes=CancelWorkflowExecutionCommandAttributes(),
        )


def _complete(text: str) -> Command:
    return Command(
        command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
        complete_workflow_execution_command_attributes=CompleteWorkflowExecutionCommandAttributes(
            result=payloads(text.encode())
        ),
    )


# ---- what must have become of them


def _operation(event: HistoryEvent) -> str:
    return event.nexus_operation_scheduled_event_attributes.operation


def _problems(events: list[HistoryEvent]) -> Iterator[str]:
    """What is wrong with the history of a caller."""
    if events[-1].event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        yield f"it ends with event type {events[-1].event_type}"
    scheduled = [event for event in events if event.event_type == SCHEDULED]
    if [_operation(event) for event in scheduled] != list(OPERATIONS):
        yield f"it has called {[_operation(event) for event in scheduled]}"
    for event in scheduled:
        name = _operation(event)
        mine = [other for other in events if _scheduled_by(other) == event.event_id]
        starts = [other for other in mine if other.event_type == STARTED]
        ends = [other for other in mine if other.event_type in ENDS]
        if len(starts) != (name != AT_ONCE):
            yield f"{name}: it was started {len(starts)} times"
        if [other.event_type for other in ends] != [OPERATIONS[name]]:
            yield f"{name}: it ended with {[other.event_type for other in ends]}"
        request_id = event.nexus_operation_scheduled_event_attributes.request_id
        for end in ends:
            result = end.nexus_operation_completed_event_attributes.result
            if end.event_type == COMPLETED and result != _result(request_id):
                yield f"{name}: its result is {result.data!r}, not that of {request_id}"


def _scheduled_by(event: HistoryEvent) -> int:
    attributes = getattr(event, event.WhichOneof("attributes") or "")
    return getattr(attributes, "scheduled_event_id", 0)
