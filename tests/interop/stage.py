"""What an interop program is given: a client, names of its own, a place for what it observes."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    PollWorkflowTaskQueueResponse,
)
from temporalio.client import Client, WorkflowHandle
from temporalio.converter import default as default_converter
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.interop.normaliser import Normaliser

CLIENT_IDENTITY = "interop client"
WORKER_IDENTITY = "interop worker"
# Far above what any program waits for, and below a person's patience.
WAIT_SECONDS = 20.0

Execution = WorkflowHandle[Any, Any] | WorkflowExecution


class Stage:
    """One run of one program against one server. Observations are kept by label, in their order."""

    def __init__(self, client: Client, program: str) -> None:
        self.client = client
        self.service = client.workflow_service
        self.namespace = client.namespace
        self.program = program
        self.nonce = uuid.uuid4().hex[:12]
        self.observations: dict[str, Any] = {}
        self._normaliser = Normaliser([self.nonce])

    # Names

    def workflow_id(self, name: str = "workflow") -> str:
        """The same for every server but for the nonce."""
        return f"{self.program}-{name}-{self.nonce}"

    def queue(self, name: str = "queue") -> str:
        """The name of a task queue that only this run of the program uses."""
        return f"{self.program}-{name}-{self.nonce}"

    def task_queue(self, name: str = "queue") -> TaskQueue:
        """The same queue, as the raw API takes it."""
        return TaskQueue(name=self.queue(name))

    # Workers and workflows

    @contextlib.asynccontextmanager
    async def worker(
        self,
        workflows: Sequence[type] = (),
        activities: Sequence[Callable[..., Any]] = (),
        *,
        queue: str = "queue",
        **options: Any,
    ) -> AsyncIterator[Worker]:
        """Runs a worker of the official SDK, its identity fixed so that it can be compared."""
        options.setdefault("workflow_runner", UnsandboxedWorkflowRunner())
        options.setdefault("identity", WORKER_IDENTITY)
        worker = Worker(
            self.client,
            task_queue=self.queue(queue),
            workflows=workflows,
            activities=activities,
            **options,
        )
        async with worker:
            yield worker

    async def start(
        self,
        workflow: Any,
        *args: Any,
        name: str = "workflow",
        queue: str = "queue",
        **options: Any,
    ) -> WorkflowHandle[Any, Any]:
        """Starts a workflow under the stage's names."""
        handle: WorkflowHandle[Any, Any] = await self.client.start_workflow(
            workflow,
            args=args,
            id=self.workflow_id(name),
            task_queue=self.queue(queue),
            **options,
        )
        return handle

    # Observations

    def observe(self, label: str, value: Any) -> None:
        """Keeps a plain value; each label once."""
        assert label not in self.observations, f"{label} is observed twice"
        self.observations[label] = value

    def hide(self, nonce: str) -> None:
        """A string that this run of the program chose by itself is nothing to compare."""
        self._normaliser.hide(nonce)

    def text(self, text: str) -> str:
        """A text, normalised."""
        return self._normaliser.text(text)

    def message(self, label: str, message: Message) -> None:
        """Keeps a message, normalised."""
        self.observe(label, self._normaliser.message(message))

    def task(self, label: str, task: PollWorkflowTaskQueueResponse) -> None:
        """Keeps a workflow task as it was polled, but for the advice on how many pollers to run.

        That advice follows from how long this poll happened to wait.
        """
        kept = PollWorkflowTaskQueueResponse()
        kept.CopyFrom(task)
        kept.ClearField("poller_scaling_decision")
        self.message(label, kept)

    async def outcome(self, label: str, call: Awaitable[Message]) -> Message | None:
        """Keeps what a raw call answers: its response, or the refusal with its typed details."""
        try:
            response = await call
        except RPCError as refusal:
            self.observe(label, self._refusal(refusal))
            return None
        self.message(label, response)
        return response

    def _refusal(self, refusal: RPCError) -> dict[str, Any]:
        return {
            "code": refusal.status.name,
            "message": self._normaliser.text(refusal.message),
            "details": self._normaliser.message(refusal.grpc_status).get("details", []),
        }

    async def history(self, label: str, execution: Execution) -> list[HistoryEvent]:
        """Keeps the whole history of one run, as it stands."""
        events = await self.fetch(execution)
        self.observe(label, self._normaliser.messages(events))
        return events

    async def chain(self, label: str, execution: Execution) -> None:
        """Waits until a chain of runs has closed and keeps the history of each of its runs."""
        workflow_id, run_id = _ids(execution)
        histories = []
        while run_id:
            run = WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
            await self.closed(run)
            events = await self.fetch(run)
            histories.append(self._normaliser.messages(events))
            run_id = next_run_id(events[-1])
        self.observe(label, histories)

    async def describe(self, label: str, execution: Execution) -> DescribeWorkflowExecutionResponse:
        """Keeps the description of an execution."""
        description = await self.description(execution)
        self.message(label, description)
        return description

    # Looking without keeping

    async def description(self, execution: Execution) -> DescribeWorkflowExecutionResponse:
        """What the server says of an execution now. Pending activities and children are in order:
        the real server has them in that of a hash table."""
        workflow_id, run_id = _ids(execution)
        description = await self.service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(
                namespace=self.namespace,
                execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            )
        )
        description.pending_activities.sort(key=lambda one: one.activity_id)
        description.pending_children.sort(key=lambda one: one.initiated_id)
        return description

    async def described(
        self,
        execution: Execution,
        holds: Callable[[DescribeWorkflowExecutionResponse], bool],
    ) -> DescribeWorkflowExecutionResponse:
        """Looks until something holds that no event tells, such as an activity's attempt."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                description = await self.description(execution)
                if holds(description):
                    return description
                await asyncio.sleep(0.03)

    async def fetch(self, execution: Execution) -> list[HistoryEvent]:
        """All events of one run, page by page."""
        workflow_id, run_id = _ids(execution)
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
        )
        events: list[HistoryEvent] = []
        while True:
            response = await self.service.get_workflow_execution_history(request)
            events.extend(response.history.events)
            if not response.next_page_token:
                return events
            request.next_page_token = response.next_page_token

    async def event(
        self, execution: Execution, event_type: EventType.ValueType, count: int = 1
    ) -> list[HistoryEvent]:
        """Long-polls one run's history until it has the event that many times."""
        return await self._until(
            execution,
            lambda events: sum(event.event_type == event_type for event in events) >= count,
        )

    async def closed(self, execution: Execution) -> list[HistoryEvent]:
        """Long-polls one run's history until it has closed."""
        return await self._until(execution, lambda events: False)

    async def _until(
        self, execution: Execution, holds: Callable[[list[HistoryEvent]], bool]
    ) -> list[HistoryEvent]:
        workflow_id, run_id = _ids(execution)
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self.namespace,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            wait_new_event=True,
        )
        events: list[HistoryEvent] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while not holds(events):
                response = await self.service.get_workflow_execution_history(request)
                events.extend(response.history.events)
                if not response.next_page_token:
                    break
                request.next_page_token = response.next_page_token
        return events


def silent_runtime() -> Runtime:
    """A runtime whose core says nothing, since programs provoke warnings on purpose."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


async def connect(address: str, runtime: Runtime | None = None) -> Client:
    """A client with the identity that all programs share."""
    runtime = runtime or silent_runtime()
    return await Client.connect(address, identity=CLIENT_IDENTITY, runtime=runtime)


def payloads(*values: Any) -> Payloads:
    """The values as a worker or client would send them."""
    return Payloads(payloads=default_converter().payload_converter.to_payloads(values))


def next_run_id(closing: HistoryEvent) -> str:
    """The run that follows the one closed by this event, or nothing."""
    which = closing.WhichOneof("attributes")
    attributes = getattr(closing, which) if which else closing
    return str(getattr(attributes, "new_execution_run_id", ""))


def types_of(events: Iterable[HistoryEvent]) -> list[str]:
    """The names of the events, for a check at a glance."""
    return [EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in events]


def _ids(execution: Execution) -> tuple[str, str]:
    if isinstance(execution, WorkflowExecution):
        return execution.workflow_id, execution.run_id
    return execution.id, execution.result_run_id or execution.run_id or ""
