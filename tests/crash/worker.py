"""A worker of the load: pollers that carry out workflow tasks and activities, and misbehave at
times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.message import Message
from temporalio.api.enums.v1 import TaskQueueKind, WorkflowTaskFailedCause
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
    RecordActivityTaskHeartbeatResponse,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskCompletedResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    RespondWorkflowTaskFailedRequest,
    RespondWorkflowTaskFailedResponse,
)

from sim.ledger import Completion, Ledger
from tests.crash.connection import Connection, Refused, ServerAway
from tests.crash.program import ATTEMPTS_MAX, QUEUE, commands, payloads, seconds
from tests.crash.reading import NAMESPACE, note_read, read_history

POLL_SECONDS = 20.0
PAUSE_SECONDS = 0.03
STALE = frozenset(
    # Not found: the task is over. Invalid: a signal came in between (UNHANDLED_COMMAND).
    (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
)


class LoadWorker:
    """Polls until it is cancelled."""

    def __init__(
        self, name: str, connection: Connection, ledger: Ledger, dice: random.Random
    ) -> None:
        self._name = name
        self._connection = connection
        self._ledger = ledger
        self._dice = dice
        self._sticky = TaskQueue(
            name=f"sticky {name}",
            kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY,
            normal_name=QUEUE,
        )
        self.problems: list[str] = []
        self.tasks_done = 0
        self.activities_done = 0

    async def run(self, pollers: int) -> None:
        """So many pollers of each kind."""
        async with asyncio.TaskGroup() as group:
            for _ in range(pollers):
                group.create_task(self._again(self._poll_workflow_task, TaskQueue(name=QUEUE)))
                group.create_task(self._again(self._poll_activity, TaskQueue(name=QUEUE)))
            group.create_task(self._again(self._poll_workflow_task, self._sticky))

    async def _again(self, poll: Callable[[TaskQueue], Awaitable[None]], queue: TaskQueue) -> None:
        while True:
            try:
                await poll(queue)
            except ServerAway:
                await asyncio.sleep(PAUSE_SECONDS)

    # ---- workflow tasks

    async def _poll_workflow_task(self, queue: TaskQueue) -> None:
        task = await self._connection.call(
            PollWorkflowTaskQueueRequest(
                namespace=NAMESPACE, task_queue=queue, identity=self._name
            ),
            PollWorkflowTaskQueueResponse,
            timeout_seconds=POLL_SECONDS,
        )
        if not task.task_token:
            return
        chance = self._dice.random()
        if chance < 0.03:
            return  # It times out.
        if chance < 0.06:
            await self._try(
                RespondWorkflowTaskFailedRequest(
                    task_token=task.task_token,
                    namespace=NAMESPACE,
                    cause=WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE,
                    failure=Failure(message="on purpose"),
                ),
                RespondWorkflowTaskFailedResponse,
            )
            return
        await self._complete(task)

    async def _complete(self, task: PollWorkflowTaskQueueResponse) -> None:
        run_id = task.workflow_execution.run_id
        events = await self._whole_history(task)
        if events is None:
            return
        request = RespondWorkflowTaskCompletedRequest(
            task_token=task.task_token,
            namespace=NAMESPACE,
            identity=self._name,
            commands=commands(events),
        )
        if self._dice.random() < 0.7:
            request.sticky_attributes.worker_task_queue.CopyFrom(self._sticky)
            request.sticky_attributes.schedule_to_start_timeout.CopyFrom(seconds(1.0))
        completion = self._ledger.completions.setdefault(
            (run_id, task.started_event_id),
            Completion(task.workflow_execution.workflow_id, run_id, task.started_event_id),
        )
        if await self._try(request, RespondWorkflowTaskCompletedResponse):
            completion.is_acknowledged = True
            self.tasks_done += 1

    async def _whole_history(
        self, task: PollWorkflowTaskQueueResponse
    ) -> list[HistoryEvent] | None:
        """All events up to the task; None when the run is gone."""
        run_id = task.workflow_execution.run_id
        events = list(task.history.events)
        if events and task.attempt == 1 and not task.next_page_token:
            # From the second attempt on, the last two events are not recorded yet.
            if problem := note_read(self._ledger, run_id, events):
                self.problems.append(problem)
            if events[-1].event_id != task.started_event_id:
                self.problems.append(f"{run_id}: a task's history ends with {events[-1].event_id}")
        if events and events[0].event_id == 1 and not task.next_page_token:
            return events
        try:
            stored = await read_history(
                self._connection, task.workflow_execution.workflow_id, run_id
            )
        except Refused:
            return None
        first = events[0].event_id if events else len(stored) + 1
        return stored[: first - 1] + events

    # ---- activities

    async def _poll_activity(self, queue: TaskQueue) -> None:
        task = await self._connection.call(
            PollActivityTaskQueueRequest(
                namespace=NAMESPACE, task_queue=queue, identity=self._name
            ),
            PollActivityTaskQueueResponse,
            timeout_seconds=POLL_SECONDS,
        )
        if not task.task_token:
            return
        if task.attempt > ATTEMPTS_MAX:
            self.problems.append(f"A2: attempt {task.attempt} of {task.activity_id} was given out")
        chance = self._dice.random()
        if chance < 0.05:
            return  # It times out.
        if chance < 0.2:
            request = RecordActivityTaskHeartbeatRequest(
                task_token=task.task_token, namespace=NAMESPACE, details=payloads(b"1")
            )
            await self._try(request, RecordActivityTaskHeartbeatResponse)
        if chance > 0.9:
            await self._fail(task)
        else:
            await self._finish(task)

    async def _fail(self, task: PollActivityTaskQueueResponse) -> None:
        request = RespondActivityTaskFailedRequest(
            task_token=task.task_token,
            namespace=NAMESPACE,
            identity=self._name,
            failure=Failure(
                message="on purpose", application_failure_info=ApplicationFailureInfo(type="Once")
            ),
        )
        await self._try(request, RespondActivityTaskFailedResponse)

    async def _finish(self, task: PollActivityTaskQueueResponse) -> None:
        key = (task.workflow_execution.run_id, task.activity_id)
        data = f'"{self._name} {key[1]} {task.attempt}"'.encode()
        self._ledger.results.setdefault(key, set()).add(data)
        request = RespondActivityTaskCompletedRequest(
            task_token=task.task_token,
            namespace=NAMESPACE,
            identity=self._name,
            result=payloads(data),
        )
        if await self._try(request, RespondActivityTaskCompletedResponse):
            self._ledger.acknowledged_activities.add(key)
            self.activities_done += 1

    async def _try(self, request: Message, response: type[Message]) -> bool:
        """Whether it was accepted; what is stale is nobody's fault."""
        try:
            await self._connection.insist(request, response)
        except Refused as refusal:
            if refusal.code not in STALE:
                raise
            return False
        return True
