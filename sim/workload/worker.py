"""A worker: polls, replays, answers; and misbehaves as workers do.

It may die with tasks in hand, answer late, twice or never, fail a task, give a poll up, and lose
its cache. Whatever it does, the histories that it is given must be whole, and what it answers is a
function of them alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.enums.v1 import (
    CommandType,
    EventType,
    TaskQueueKind,
    WorkerVersioningMode,
    WorkflowTaskFailedCause,
)
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
    StartActivityExecutionRequest,
)

from perdure.server.engine.api import (
    ActivityTaskWithInput,
    Poll,
    QueryTaskWithHistory,
    WorkflowTaskWithHistory,
)
from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.errors import Rejected
from perdure.server.machines.wire import duration
from perdure.server.machines.workflow.inputs import WorkflowTaskCompleted
from sim.ledger import Completion, Ledger
from sim.namespace import NAMESPACE
from sim.network import Unavailable
from sim.workload.facts import DEPLOYMENT, QUEUE, ActivityPlan, facts
from sim.workload.messages import accepts, answers, query_result
from sim.workload.program import commands
from sim.workload.service import POLL_SECONDS, CompletedTask, Service

MILLISECOND_NS = 1_000_000
EVENTS_PER_READ = 7
"""Small, so that reads have several pages."""


class Mood:
    """How badly workers behave: shared by all, so that the world can calm them down."""

    def __init__(self, chance: float) -> None:
        self.chance = chance
        """Of each misbehaviour, each time."""


class Cached(msgspec.Struct):
    """A run, as a worker remembers it: the events up to the newest task that it has completed, and
    the updates that it accepted then."""

    events: list[HistoryEvent]
    accepted: list[str]


NOTHING = Cached([], [])


class Worker:
    """One worker process."""

    def __init__(
        self,
        name: str,
        service: Service,
        ledger: Ledger,
        dice: random.Random,
        mood: Mood,
        *,
        build_id: str,
        broken: Callable[[str, str], None],
        die: Callable[[], None],
    ) -> None:
        self.name = name
        self._service = service
        self._ledger = ledger
        self._dice = dice
        self._mood = mood
        self.version = VersionName(DEPLOYMENT, build_id) if build_id else None
        self._broken = broken
        self._die = die
        self._sticky = f"sticky-{name}"
        self._cache: dict[str, Cached] = {}
        self._later: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Poll until the end of the world."""
        await asyncio.gather(
            self._workflow_tasks(self._poll(QUEUE)),
            self._workflow_tasks(self._poll(self._sticky, sticky_for=QUEUE)),
            self._activity_tasks(),
            self._activity_tasks(),
        )

    def _poll(self, queue: str, sticky_for: str = "") -> Poll:
        return Poll(NAMESPACE, queue, self.name, sticky_for=sticky_for, version=self.version)

    def _misbehaves(self) -> bool:
        return self._mood.chance > 0 and self._dice.random() < self._mood.chance

    # ---- workflow tasks

    async def _workflow_tasks(self, poll: Poll) -> None:
        while True:
            task: WorkflowTaskWithHistory | QueryTaskWithHistory | None = None
            try:
                async with asyncio.timeout(self._patience()):
                    task = await self._service.poll_workflow_task(poll, POLL_SECONDS)
            except TimeoutError:
                continue
            except (Unavailable, Rejected):
                await asyncio.sleep(0.3)
            if isinstance(task, QueryTaskWithHistory):
                await self._answer_query(task)
                continue
            while task is not None:
                task = await self.answer(task)

    async def _answer_query(self, task: QueryTaskWithHistory) -> None:
        """Tell what the run has seen: from the cache, when no history came with the query and as
        long as it is of the newest task."""
        if self._misbehaves():
            return  # Its caller gives up.
        cached = NOTHING if task.history else self._cache.get(task.run_id, NOTHING)
        seen = len(cached.events)
        if not seen or seen < task.previous_started_event_id or self._misbehaves():
            try:
                events = await self._read(task.workflow_id, task.run_id, task.last_event_id)
            except (Rejected, Unavailable):
                return
            cached = Cached(events, [])
        result = query_result(task.run_id, facts(cached.events), cached.accepted)
        try:
            await self._service.answer_query(task, result)
        except (Rejected, Unavailable):
            return  # Nobody waits for it any more.

    def _patience(self) -> float | None:
        """How long a poll waits before it is given up; None: as long as it lasts."""
        if self._mood.chance == 0 or self._dice.random() < 0.5:
            return None
        return float(self._dice.random() ** 3 * POLL_SECONDS)

    async def answer(self, task: WorkflowTaskWithHistory) -> WorkflowTaskWithHistory | None:
        """Carry out a workflow task; the next one, when it came with the answer."""
        token = task.task.token
        if self._misbehaves():
            self._die()
            await asyncio.sleep(0)  # And this is how far it comes.
        try:
            events = await self._whole_history(task)
        except Rejected:
            return None  # The run is gone, or the task is stale.
        if self._misbehaves():
            return None  # It times out.
        if self._misbehaves():
            await self._fail(task)
            return None
        if self._misbehaves():
            await asyncio.sleep(self._dice.random() * 6)
        request = self._completion(task, events)
        self._ledger.completions.setdefault(
            (token.run_id, token.started_event_id),
            Completion(token.workflow_id, token.run_id, token.started_event_id),
        )
        twice = self._misbehaves()
        # From here on it may be asked, as the worker that has seen these events.
        self._cache[token.run_id] = Cached(events, accepts(request.messages))
        completed = await self._complete(task, request)
        if twice:
            again = await self._complete(task, request)
            if completed is not None and again is not None:
                self._broken("A3", f"task {token.started_event_id} was completed twice")
        is_over = any(command.command_type in _CLOSING for command in request.commands)
        if completed is None or is_over:
            self._cache.pop(token.run_id, None)
        if completed is None:
            return None
        for activity in completed.activity_tasks:
            await self._perform(activity)
        return completed.workflow_task

    async def _whole_history(self, task: WorkflowTaskWithHistory) -> list[HistoryEvent]:
        """All events up to the task's start: those that came, after those that are cached or are
        read."""
        events = list(History.FromString(task.history).events)
        token, first = task.task.token, task.task.history_from
        if first > 1:
            cached = self._cache.get(token.run_id, NOTHING).events
            if len(cached) < first - 1 or self._misbehaves():
                cached = await self._read(token.workflow_id, token.run_id, first - 1)
            events = cached[: first - 1] + events
        if [event.event_id for event in events] != list(range(1, len(events) + 1)):
            ids = [event.event_id for event in events]
            self._broken("H5", f"a task of {token.run_id} came with events {ids}")
        last = events[-1]
        if (
            last.event_type != EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
            or last.event_id != task.task.started_event_id
        ):
            self._broken("H5", f"the history of a task of {token.run_id} does not end with it")
        return events

    async def _read(self, workflow_id: str, run_id: str, last: int) -> list[HistoryEvent]:
        events: list[HistoryEvent] = []
        while len(events) < last:
            page = await self._service.read_history(
                workflow_id, run_id, len(events) + 1, EVENTS_PER_READ, last
            )
            events.extend(History.FromString(page.history).events)
        return events

    def _completion(
        self, task: WorkflowTaskWithHistory, events: list[HistoryEvent]
    ) -> RespondWorkflowTaskCompletedRequest:
        found = facts(events)
        placed, messages = answers(found, task.task.messages, task.task.previous_started_event_id)
        request = RespondWorkflowTaskCompletedRequest(
            identity=self.name,
            commands=placed + commands(found),
            messages=messages,
            return_new_workflow_task=self._dice.random() < 0.5,
            force_create_new_workflow_task=self._misbehaves(),
        )
        if self.version is not None:
            options = request.deployment_options
            options.worker_versioning_mode = WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED
            options.deployment_name = self.version.deployment
            options.build_id = self.version.build_id
            request.versioning_behavior = found.program.behavior  # type: ignore[assignment]
        for query_id in task.task.queries:
            result = query_result(task.task.token.run_id, found, accepts(messages))
            request.query_results[query_id].CopyFrom(result)
        if self._dice.random() < 0.7:
            request.sticky_attributes.worker_task_queue.CopyFrom(
                TaskQueue(
                    name=self._sticky,
                    kind=TaskQueueKind.TASK_QUEUE_KIND_STICKY,
                    normal_name=QUEUE,
                )
            )
            request.sticky_attributes.schedule_to_start_timeout.CopyFrom(
                duration(2_000 * MILLISECOND_NS)
            )
        return request

    async def _complete(
        self, task: WorkflowTaskWithHistory, request: RespondWorkflowTaskCompletedRequest
    ) -> CompletedTask | None:
        """What came back; None when the completion was not accepted."""
        try:
            completed = await self._service.complete_workflow_task(task.task, request)
        except Rejected:
            return None
        return completed if isinstance(completed.reply, WorkflowTaskCompleted) else None

    async def _fail(self, task: WorkflowTaskWithHistory) -> None:
        cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
        request = RespondWorkflowTaskFailedRequest(
            cause=cause, failure=Failure(message="a bug"), identity=self.name
        )
        try:
            await self._service.fail_workflow_task(task.task.token, request)
        except Rejected:
            return

    # ---- activities

    async def _activity_tasks(self) -> None:
        poll = self._poll(QUEUE)
        while True:
            task: ActivityTaskWithInput | None = None
            try:
                async with asyncio.timeout(self._patience()):
                    task = await self._service.poll_activity_task(poll, POLL_SECONDS)
            except TimeoutError:
                continue
            except (Unavailable, Rejected):
                await asyncio.sleep(0.3)
            if task is not None:
                await self._perform(task)

    async def _perform(self, task: ActivityTaskWithInput) -> None:
        """Run one attempt as its plan says."""
        activity_id, payloads = _work_of(task)
        plan = msgspec.json.decode(payloads.payloads[0].data, type=ActivityPlan)
        if self._misbehaves():
            self._die()
            await asyncio.sleep(0)  # And this is how far it comes.
        behaviour = plan.attempts[min(task.task.attempt, len(plan.attempts)) - 1]
        if self._misbehaves():
            await asyncio.sleep(self._dice.random() * 3)
        try:
            await _BEHAVIOURS[behaviour](self, task, activity_id)
        except Rejected:
            return  # It timed out, was cancelled, or its run is over.

    async def _succeed(self, task: ActivityTaskWithInput, activity_id: str) -> None:
        token = task.task.token
        await asyncio.sleep(self._dice.random() * 0.2)
        data = f'"{activity_id} by {self.name} as {task.task.attempt}"'.encode()
        self._ledger.results.setdefault((token.run_id, activity_id), set()).add(data)
        if not token.kind and self._misbehaves():
            token = msgspec.structs.replace(token, scheduled_event_id=0, activity_id=activity_id)
        result = Payloads(payloads=[Payload(data=data)])
        for index in range(2 if self._misbehaves() else 1):
            await self._service.complete_activity(
                token,
                result,
                self.name,
                lambda: self._ledger.acknowledged_activities.add((token.run_id, activity_id)),
            )
            if index:
                self._broken("A3", f"{activity_id} of {token.run_id} was completed twice")

    async def _fail_attempt(self, task: ActivityTaskWithInput, activity_id: str) -> None:
        await self._service.fail_activity(task.task.token, _failure(is_fatal=False), self.name)

    async def _fail_fatally(self, task: ActivityTaskWithInput, activity_id: str) -> None:
        token = task.task.token
        await self._service.fail_activity(token, _failure(is_fatal=True), self.name)
        self._ledger.fatal[token.run_id, token.scheduled_event_id] = task.task.attempt

    async def _hang(self, task: ActivityTaskWithInput, activity_id: str) -> None:
        """Forget it: it times out."""

    async def _beat(self, task: ActivityTaskWithInput, activity_id: str) -> None:
        for _ in range(self._dice.randint(1, 6)):
            if await self._service.heartbeat(task.task.token, self.name):
                await self._service.cancel_activity(task.task.token, self.name)
                return
            await asyncio.sleep(0.2)
        await self._succeed(task, activity_id)

    async def _hand_over(self, task: ActivityTaskWithInput, activity_id: str) -> None:
        """Somebody else in this process completes it, sooner or later."""

        async def complete() -> None:
            await asyncio.sleep(self._dice.random())
            try:
                await self._succeed(task, activity_id)
            except Rejected:
                return  # Too late.

        later = asyncio.get_running_loop().create_task(complete(), name=f"{self.name} later")
        self._later.add(later)
        later.add_done_callback(self._later.discard)


_CLOSING = (
    CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION,
    CommandType.COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION,
    CommandType.COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION,
    CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION,
)
_BEHAVIOURS = {
    "ok": Worker._succeed,
    "fail": Worker._fail_attempt,
    "fatal": Worker._fail_fatally,
    "hang": Worker._hang,
    "beat": Worker._beat,
    "async": Worker._hand_over,
}


def _work_of(task: ActivityTaskWithInput) -> tuple[str, Payloads]:
    """What an activity is called, and its input."""
    if task.task.token.kind:
        start = StartActivityExecutionRequest.FromString(task.task.start)
        return start.activity_id, start.input
    scheduled = HistoryEvent.FromString(task.scheduled_event)
    attributes = scheduled.activity_task_scheduled_event_attributes
    return attributes.activity_id, attributes.input


def _failure(*, is_fatal: bool) -> Failure:
    return Failure(
        message="as planned",
        application_failure_info=ApplicationFailureInfo(type="Planned", non_retryable=is_fatal),
    )
