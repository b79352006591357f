"""A client of the load: starts workflows, signals, reads and terminates them, one after another.

It insists like an SDK: a request that was not answered is sent again with the same request id.
"""

from __future__ import annotations

import asyncio
import random

import grpc
import msgspec
from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import EventType, HistoryEventFilterType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
    TerminateWorkflowExecutionResponse,
)

from sim.ledger import Ledger, Signal, Start
from tests.crash.connection import Connection, Refused, ServerAway
from tests.crash.program import (
    QUEUE,
    TASK_SECONDS,
    WORKFLOW_TYPE,
    Plan,
    payloads,
    seconds,
)
from tests.crash.reading import NAMESPACE, note_read, read_history

WORKFLOW_IDS = 5
"""A client uses so many workflow ids in turn, so most runs follow an earlier one of their id."""
WAIT_SECONDS = 5.0
PAUSE_SECONDS = 0.03


class LoadClient:
    """Runs workflows until it is told to stop, and the last one to its end."""

    def __init__(
        self, name: str, connection: Connection, ledger: Ledger, dice: random.Random
    ) -> None:
        self._name = name
        self._connection = connection
        self._ledger = ledger
        self._dice = dice
        self._sequence = 0
        self.problems: list[str] = []
        self.workflows_done = 0
        self.is_stopping = False

    async def run(self) -> None:
        """Workflow after workflow."""
        number = 0
        while not self.is_stopping:
            number += 1
            await self._run_workflow(f"{self._name}-{number % WORKFLOW_IDS}", number)
            self.workflows_done += 1

    async def _run_workflow(self, workflow_id: str, number: int) -> None:
        dice = self._dice
        plan = Plan(
            signals=dice.choice((0, 1, 2, 3, 5)),
            activities=dice.randint(1, 3),
            timer_milliseconds=dice.choice((20, 100, 300)),
            cancels_timer=dice.random() < 0.3,
        )
        is_ended = dice.random() < 0.15
        if not is_ended and plan.signals and dice.random() < 0.3:
            plan.continues = dice.randint(1, 2)
        run_id = await self._start(workflow_id, f"start {workflow_id} {number}", plan)
        for signal in range(plan.signals):
            if is_ended and signal == plan.signals // 2:
                break
            # The current run, whichever it is, when there will be several.
            await self._signal(workflow_id, "" if plan.continues else run_id)
            if dice.random() < 0.2:
                await self._read(workflow_id, run_id)
        if is_ended:
            await self._terminate(workflow_id, run_id)
        await self._follow(workflow_id, run_id)

    async def _start(self, workflow_id: str, request_id: str, plan: Plan) -> str:
        request = StartWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name=WORKFLOW_TYPE),
            task_queue=TaskQueue(name=QUEUE),
            input=payloads(msgspec.json.encode(plan)),
            workflow_task_timeout=seconds(TASK_SECONDS),
            identity=self._name,
            request_id=request_id,
        )
        start = self._ledger.starts[request_id] = Start(workflow_id, 1, 1, is_new=True)
        response = await self._connection.insist(request, StartWorkflowExecutionResponse)
        start.run_ids.append(response.run_id)
        return response.run_id

    async def _signal(self, workflow_id: str, run_id: str) -> None:
        self._sequence += 1
        request_id = f"signal {self._name} {self._sequence}"
        request = SignalWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            signal_name="go",
            identity=self._name,
            request_id=request_id,
        )
        signal = Signal(workflow_id, run_id, self._name, self._sequence)
        self._ledger.signals[request_id] = signal
        if await self._insist_unless_over(request, SignalWorkflowExecutionResponse):
            signal.is_acknowledged = True

    async def _terminate(self, workflow_id: str, run_id: str) -> None:
        request = TerminateWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            reason="enough",
            identity=self._name,
        )
        if await self._insist_unless_over(request, TerminateWorkflowExecutionResponse):
            self._ledger.terminated.add(run_id)

    async def _insist_unless_over(self, request: Message, response: type[Message]) -> bool:
        """Whether it was accepted. A workflow may be over before it is: by an earlier try, or since
        a signal that was sent twice was there twice."""
        try:
            await self._connection.insist(request, response)
        except Refused as refusal:
            if refusal.code is not grpc.StatusCode.NOT_FOUND:
                raise
            return False
        return True

    async def _read(self, workflow_id: str, run_id: str) -> None:
        page_size = self._dice.choice((0, 0, 3))
        events = await read_history(self._connection, workflow_id, run_id, page_size=page_size)
        if problem := note_read(self._ledger, run_id, events):
            self.problems.append(problem)

    async def _follow(self, workflow_id: str, run_id: str) -> None:
        """Wait for the end of the chain of runs that begins with this one."""
        while run_id:
            last = await self._closed(workflow_id, run_id)
            self._ledger.closed_seen[run_id] = last.event_type
            await self._read(workflow_id, run_id)
            is_followed = (
                last.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
            )
            attributes = last.workflow_execution_continued_as_new_event_attributes
            run_id = attributes.new_execution_run_id if is_followed else ""

    async def _closed(self, workflow_id: str, run_id: str) -> HistoryEvent:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=NAMESPACE,
            execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            wait_new_event=True,
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
        )
        while True:
            try:
                page = await self._connection.call(
                    request, GetWorkflowExecutionHistoryResponse, timeout_seconds=WAIT_SECONDS
                )
            except ServerAway:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if page.history.events:
                return page.history.events[-1]
