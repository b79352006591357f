"""A client: starts, signals, cancels, terminates and watches workflows, a few of them, again and
again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import (
    Callback,
    Payloads,
    RetryPolicy,
    WorkflowExecution,
    WorkflowType,
)
from temporalio.api.enums.v1 import (
    EventType,
    TaskQueueKind,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.update.v1 import Input, Meta, Request
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetActivityRequest,
    ResetWorkflowExecutionRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)

from perdure.server.engine.api import WorkflowTaskWithHistory
from perdure.server.machines.errors import Rejected
from perdure.server.machines.wire import duration
from perdure.server.machines.workflow.inputs import UpdateStage
from sim.ids import SeededIds
from sim.ledger import Ledger, Query, Signal, Start, Update
from sim.network import Unavailable
from sim.workload.facts import ACTIVITY_TYPE, QUEUE, encode
from sim.workload.listener import BASE
from sim.workload.messages import UPDATES, Seen
from sim.workload.plans import random_program
from sim.workload.service import Service

MILLISECOND_NS = 1_000_000
EVENTS_PER_READ = 5
READS_MAX = 12
UPDATE_CALLS_MAX = 4
_REUSE = (
    WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
    WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
    WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
)
_CONFLICT = (
    WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
    WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
    WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
    WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
)

EagerWorker = Callable[[WorkflowTaskWithHistory], None]
"""Who carries out a task that came with the answer to a start."""


class Client:
    """One client process: a fixed number of requests, with pauses."""

    def __init__(
        self,
        name: str,
        service: Service,
        ledger: Ledger,
        dice: random.Random,
        *,
        workflow_ids: list[str],
        requests: int,
        pause_seconds_max: float,
        run_eagerly: EagerWorker,
    ) -> None:
        self.name = name
        self._service = service
        self._ledger = ledger
        self._dice = dice
        self._ids = SeededIds(dice)
        self._workflow_ids = workflow_ids
        self._requests = requests
        self._pause_seconds_max = pause_seconds_max
        self._run_eagerly = run_eagerly
        self._run_ids: dict[str, str] = {}
        """The newest run of each workflow that this client started."""
        self._sequence = 0

    async def run(self) -> None:
        """Make all requests. What the service refuses is an answer too."""
        for index in range(self._requests):
            await asyncio.sleep(self._dice.random() ** 2 * self._pause_seconds_max)
            workflow_id = self._dice.choice(self._workflow_ids)
            request = self._start if index == 0 else self._choose()
            try:
                await request(workflow_id)
            except (Rejected, Unavailable):
                continue

    def _choose(self) -> Callable[[str], Awaitable[None]]:
        return self._dice.choices(
            (
                self._start,
                self._signal,
                self._cancel,
                self._terminate,
                self._describe,
                self._watch,
                self._reset_sticky,
                self._operate,
                self._update,
                self._query,
                self._signal_with_start,
                self._update_with_start,
                self._pause_workflow,
                self._reset,
                self._delete,
            ),
            (8, 7, 1, 1, 3, 3, 1, 2, 5, 3, 3, 3, 1, 2, 0.5),
        )[0]

    def _start_request(self, workflow_id: str) -> StartWorkflowExecutionRequest:
        """A start of any kind, noted in the ledger."""
        dice = self._dice
        request = StartWorkflowExecutionRequest(
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name="program"),
            task_queue=TaskQueue(name=QUEUE, kind=TaskQueueKind.TASK_QUEUE_KIND_NORMAL),
            identity=self.name,
            request_id=self._ids.uuid(),
            workflow_id_reuse_policy=dice.choice(_REUSE),
            workflow_id_conflict_policy=dice.choice(_CONFLICT),
            workflow_task_timeout=duration(dice.choice((500, 2_000)) * MILLISECOND_NS),
            input=encode(random_program(dice, self._workflow_ids)),
        )
        if request.workflow_id_conflict_policy == _CONFLICT[-1]:
            # The frontend refuses to combine terminating with rejecting.
            request.workflow_id_reuse_policy = _REUSE[0]
        if dice.random() < 0.2:
            request.retry_policy.CopyFrom(
                RetryPolicy(
                    initial_interval=duration(500 * MILLISECOND_NS),
                    backoff_coefficient=2.0,
                    maximum_interval=duration(5_000 * MILLISECOND_NS),
                    maximum_attempts=2,
                )
            )
        if dice.random() < 0.2:
            request.workflow_run_timeout.CopyFrom(duration(6_000 * MILLISECOND_NS))
        if dice.random() < 0.1:
            request.workflow_execution_timeout.CopyFrom(duration(9_000 * MILLISECOND_NS))
            if not request.HasField("workflow_run_timeout"):
                request.workflow_run_timeout.CopyFrom(request.workflow_execution_timeout)
        if request.HasField("workflow_execution_timeout") and dice.random() < 0.4:
            request.cron_schedule = "@every 1s"  # The chain ends with its timeout.
        elif dice.random() < 0.1:
            request.workflow_start_delay.CopyFrom(duration(700 * MILLISECOND_NS))
        if dice.random() < 0.3:
            url = f"{BASE}{request.request_id}"
            request.completion_callbacks.append(Callback(nexus=Callback.Nexus(url=url)))
            if dice.random() < 0.5:
                request.on_conflict_options.attach_request_id = True
                request.on_conflict_options.attach_completion_callbacks = True
        self._ledger.starts[request.request_id] = Start(
            workflow_id, request.workflow_id_reuse_policy, request.workflow_id_conflict_policy
        )
        return request

    async def _start(self, workflow_id: str) -> None:
        request = self._start_request(workflow_id)
        request.request_eager_execution = self._dice.random() < 0.2
        repeats = 2 if self._dice.random() < 0.1 else 1
        for _ in range(repeats):
            reply, task = await self._service.start(request)
            self._run_ids[workflow_id] = reply.run_id
            if task is not None:
                self._run_eagerly(task)

    async def _signal_with_start(self, workflow_id: str) -> None:
        start = self._start_request(workflow_id)
        if start.workflow_id_conflict_policy == _CONFLICT[0]:
            start.workflow_id_conflict_policy = _CONFLICT[2]  # The frontend refuses to fail.
        start.ClearField("completion_callbacks")
        start.ClearField("on_conflict_options")
        request_id = start.request_id
        self._ledger.starts[request_id].conflict_policy = start.workflow_id_conflict_policy
        self._sequence += 1
        self._ledger.signals[request_id] = Signal(workflow_id, "", self.name, self._sequence)
        signal = SignalWorkflowExecutionRequest(
            signal_name="signal", identity=self.name, request_id=request_id
        )
        for _ in range(2 if self._dice.random() < 0.2 else 1):
            reply = await self._service.signal_with_start(start, signal)
            self._run_ids[workflow_id] = reply.run_id

    async def _update_with_start(self, workflow_id: str) -> None:
        """Perhaps twice: the update of a workflow that runs by then."""
        start, update_id = self._start_request(workflow_id), self._ids.uuid()
        for field in ("cron_schedule", "workflow_start_delay"):
            start.ClearField(field)
        start.ClearField("completion_callbacks")
        start.ClearField("on_conflict_options")
        if start.workflow_id_conflict_policy == _CONFLICT[-1]:
            start.workflow_id_conflict_policy = _CONFLICT[2]  # The frontend refuses to terminate.
            self._ledger.starts[start.request_id].conflict_policy = _CONFLICT[2]
        name = self._dice.choice(UPDATES)
        self._ledger.updates[update_id] = Update(workflow_id, name)
        request = Request(
            meta=Meta(update_id=update_id, identity=self.name), input=Input(name=name)
        )
        wanted = self._dice.choice((UpdateStage.ACCEPTED, UpdateStage.COMPLETED))
        for _ in range(2 if self._dice.random() < 0.2 else 1):
            reply = await self._service.update_with_start(start, request, wanted)
            self._run_ids[workflow_id] = reply.run_id

    async def _signal(self, workflow_id: str) -> None:
        run_id = self._run_id(workflow_id)
        self._sequence += 1
        request = SignalWorkflowExecutionRequest(
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            signal_name="signal",
            identity=self.name,
            request_id=self._ids.uuid(),
        )
        self._ledger.signals[request.request_id] = Signal(
            workflow_id, run_id, self.name, self._sequence
        )
        for _ in range(2 if self._dice.random() < 0.2 else 1):
            await self._service.signal(request)

    async def _update(self, workflow_id: str) -> None:
        """Send an update, perhaps twice, and wait for a stage of it; mostly until it is over."""
        dice, run_id = self._dice, self._run_id(workflow_id)
        update_id, name = self._ids.uuid(), dice.choice(UPDATES)
        self._ledger.updates[update_id] = Update(workflow_id, name)
        request = Request(
            meta=Meta(update_id=update_id, identity=self.name), input=Input(name=name)
        )
        wanted = dice.choice((UpdateStage.ACCEPTED, UpdateStage.COMPLETED))
        reached = 0
        for _ in range(dice.randint(1, UPDATE_CALLS_MAX)):
            if reached and dice.random() < 0.5:
                reached = await self._service.poll_update(workflow_id, run_id, update_id)
            else:
                reached = await self._service.update(workflow_id, run_id, request, wanted)
            if reached == UpdateStage.COMPLETED and dice.random() < 0.7:
                return

    async def _query(self, workflow_id: str) -> None:
        """Ask what a workflow has seen: all that was acknowledged before."""
        acknowledged = self._ledger.acknowledged_by()
        answer = await self._service.query(workflow_id, self._run_id(workflow_id))
        if answer.answer is not None:
            data = Payloads.FromString(answer.answer).payloads[0].data
            seen = msgspec.json.decode(data, type=Seen)
            expected = acknowledged.get(seen.run_id, set())
            told = {*seen.signals, *seen.updates}
            self._ledger.queries.append(Query(seen.run_id, expected, told))

    async def _cancel(self, workflow_id: str) -> None:
        execution = WorkflowExecution(workflow_id=workflow_id, run_id=self._run_id(workflow_id))
        await self._service.cancel(
            RequestCancelWorkflowExecutionRequest(
                workflow_execution=execution, identity=self.name, request_id=self._ids.uuid()
            )
        )

    async def _terminate(self, workflow_id: str) -> None:
        execution = WorkflowExecution(workflow_id=workflow_id, run_id=self._run_id(workflow_id))
        await self._service.terminate(
            TerminateWorkflowExecutionRequest(
                workflow_execution=execution, reason="enough", identity=self.name
            )
        )

    async def _describe(self, workflow_id: str) -> None:
        await self._service.describe(workflow_id, self._run_id(workflow_id))

    async def _watch(self, workflow_id: str) -> None:
        """Follow a run's history, page by page, for a while."""
        run_id, wanted = self._run_id(workflow_id), 1
        for _ in range(READS_MAX):
            page = await self._service.read_history(workflow_id, run_id, wanted, EVENTS_PER_READ)
            run_id, wanted = page.run_id, page.next_event_id
            if wanted <= page.last_event_id:
                continue
            if not page.is_open:
                return
            await self._service.wait_for_events(workflow_id, run_id, wanted - 1)

    async def _operate(self, workflow_id: str) -> None:
        """Do to the activities of a workflow what operators do; what was paused goes on later."""
        execution = WorkflowExecution(workflow_id=workflow_id, run_id=self._run_id(workflow_id))
        self._ledger.operated.add(workflow_id)
        match self._dice.randrange(3):
            case 0:
                await self._service.reset_activities(
                    ResetActivityRequest(
                        execution=execution,
                        match_all=True,
                        reset_heartbeat=self._dice.random() < 0.5,
                        keep_paused=self._dice.random() < 0.5,
                        restore_original_options=self._dice.random() < 0.5,
                        jitter=duration(300 * MILLISECOND_NS),
                    )
                )
            case 1:
                options = ActivityOptions(
                    start_to_close_timeout=duration(900 * MILLISECOND_NS),
                    retry_policy=RetryPolicy(maximum_attempts=2),
                )
                paths = ["start_to_close_timeout", "retry_policy.maximum_attempts"]
                await self._service.update_activities(
                    UpdateActivityOptionsRequest(
                        execution=execution,
                        match_all=True,
                        activity_options=options,
                        update_mask=FieldMask(paths=paths),
                    )
                )
            case _:
                await self._pause(execution)

    async def _pause(self, execution: WorkflowExecution) -> None:
        pause = PauseActivityRequest(
            execution=execution, type=ACTIVITY_TYPE, request_id=self._ids.uuid()
        )
        unpause = UnpauseActivityRequest(
            execution=execution, unpause_all=True, reset_attempts=self._dice.random() < 0.3
        )
        try:
            await self._service.pause_activities(pause)
            await asyncio.sleep(self._dice.random())
        finally:
            await self._service.unpause_activities(unpause)

    async def _pause_workflow(self, workflow_id: str) -> None:
        self._ledger.paused.add(workflow_id)
        try:
            await self._service.pause_workflow(workflow_id, self._ids.uuid())
            await asyncio.sleep(self._dice.random() * 2)
        finally:
            await self._service.unpause_workflow(workflow_id, self._ids.uuid())

    async def _reset(self, workflow_id: str) -> None:
        """Reset a run to some task that it has completed; mostly a run that is open."""
        run_id, events = self._run_id(workflow_id), list[HistoryEvent]()
        for _ in range(READS_MAX):
            page = await self._service.read_history(
                workflow_id, run_id, len(events) + 1, EVENTS_PER_READ
            )
            run_id = page.run_id
            events.extend(History.FromString(page.history).events)
            if len(events) >= page.last_event_id:
                break
        completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        cuts = [event.event_id for event in events if event.event_type == completed]
        if not cuts:
            return
        request = ResetWorkflowExecutionRequest(
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            reason="again",
            workflow_task_finish_event_id=self._dice.choice(cuts),
            request_id=self._ids.uuid(),
            identity=self.name,
        )
        self._ledger.resets[request.request_id] = set()
        await self._service.reset(request)

    async def _delete(self, workflow_id: str) -> None:
        """Delete the current run."""
        view = await self._service.describe(workflow_id, "")
        run_id = view.run.recorded.run_id
        self._ledger.deleted.setdefault(run_id, False)
        self._ledger.forgotten.add(workflow_id)
        await self._service.delete(workflow_id, run_id)

    async def _reset_sticky(self, workflow_id: str) -> None:
        await self._service.reset_sticky(workflow_id)

    def _run_id(self, workflow_id: str) -> str:
        """The run to name: one that this client knows, or whichever is current."""
        return self._run_ids.get(workflow_id, "") if self._dice.random() < 0.5 else ""
