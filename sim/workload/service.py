"""The engine as clients and workers see it: what an SDK and the frontend do around `EngineApi`.

Every message is copied on its way, since no two processes share one. Calls that may be made again
are, with the same request id, for as long as the service cannot be reached.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.api.query.v1 import WorkflowQuery, WorkflowQueryResult
from temporalio.api.update.v1 import Request
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    PauseWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionRequest,
    ResetActivityRequest,
    ResetWorkflowExecutionRequest,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
    UnpauseActivityRequest,
    UnpauseWorkflowExecutionRequest,
    UpdateActivityOptionsRequest,
)

from perdure.server.engine.api import (
    ActivityTaskWithInput,
    EngineUnavailable,
    HistoryPage,
    Poll,
    QueryAnswer,
    QueryTaskWithHistory,
    RunView,
    UpdateAnswer,
    WorkflowTaskWithHistory,
)
from perdure.server.engine.engine import Engine
from perdure.server.machines.errors import AlreadyStarted, Rejected
from perdure.server.machines.ports import Address, Kind
from perdure.server.machines.workflow.inputs import (
    CancelActivity,
    CancelWorkflow,
    CompleteActivity,
    CompleteWorkflowTask,
    FailActivity,
    FailWorkflowTask,
    Heartbeat,
    HeartbeatActivity,
    Input,
    PauseActivity,
    PauseWorkflow,
    PollUpdate,
    QueryWorkflow,
    Reply,
    ResetActivity,
    ResetSticky,
    SignalWithStart,
    SignalWorkflow,
    StartedWorkflowTask,
    StartWorkflow,
    TaskToken,
    TerminateWorkflow,
    UnpauseActivity,
    UnpauseWorkflow,
    UpdateActivityOptions,
    UpdateStage,
    UpdateWithStart,
    UpdateWorkflow,
    WorkflowStarted,
    WorkflowTaskCompleted,
)
from perdure.transport import CallFailed, Code
from sim.namespace import NAMESPACE
from sim.network import Network, Unavailable
from sim.witness import Witness
from sim.workload.facts import QUEUE
from sim.workload.nexus import ENDPOINTS

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Message)
_Operation = (
    PauseActivityRequest
    | UnpauseActivityRequest
    | ResetActivityRequest
    | UpdateActivityOptionsRequest
)

RPC = "/temporal.api.workflowservice.v1.WorkflowService/"
LOST = frozenset({Code.UNAVAILABLE, Code.CANCELLED, Code.DEADLINE_EXCEEDED})
"""How RPCs fail that may be made again."""
RETRY_SECONDS_FIRST = 0.05
RETRY_SECONDS_MAX = 1.0
POLL_SECONDS = 6.0
QUERY_SECONDS = 4.0
UPDATE_SECONDS = 3.0


async def insist(call: Callable[[], Awaitable[_T]], dice: random.Random) -> _T:
    """Make a call until it is answered."""
    pause = RETRY_SECONDS_FIRST
    while True:
        try:
            return await call()
        except Unavailable:
            await asyncio.sleep(pause * (0.5 + dice.random()))
            pause = min(pause * 2, RETRY_SECONDS_MAX)


class Refused(Rejected):
    """The frontend's refusal of an RPC."""

    def __init__(self, failure: CallFailed) -> None:
        super().__init__(str(failure))
        self.code = failure.code


class CompletedTask(msgspec.Struct):
    """What a completion brought back: the next task, and activities to run at once."""

    reply: Reply
    workflow_task: WorkflowTaskWithHistory | None = None
    activity_tasks: list[ActivityTaskWithInput] = []


class Service:
    """One per client or worker; they share the network."""

    def __init__(self, network: Network, witness: Witness, dice: random.Random) -> None:
        self._network = network
        self._witness = witness
        self._dice = dice

    # ---- clients

    async def start(
        self, request: StartWorkflowExecutionRequest
    ) -> tuple[WorkflowStarted, WorkflowTaskWithHistory | None]:
        """Start a workflow; with it, when it was asked for, its first task."""
        workflow_id, request_id = request.workflow_id, request.request_id

        async def serve(
            engine: Engine,
        ) -> tuple[WorkflowStarted, WorkflowTaskWithHistory | None]:
            message = StartWorkflow(StartWorkflowExecutionRequest())
            message.request.CopyFrom(request)
            if engine.deployments.versions_of(NAMESPACE, QUEUE):
                message.request.request_eager_execution = False  # As the frontend does.
            try:
                reply = await engine.submit(NAMESPACE, workflow_id, message)
            except AlreadyStarted as refusal:
                self._witness.refused(workflow_id, refusal.run_id)
                raise
            assert isinstance(reply, WorkflowStarted)
            task = None
            if reply.eager_task is not None:
                task = await engine.with_history(NAMESPACE, workflow_id, reply.eager_task)
            return reply, task

        def answered(result: tuple[WorkflowStarted, WorkflowTaskWithHistory | None]) -> None:
            self._witness.started(request_id, workflow_id, result[0])
            self._witness.workflow_task(result[1], is_eager=True)

        name = f"start {workflow_id} {request_id}"
        return await self.insist(lambda: self._network.call(name, serve, answered=answered))

    async def signal_with_start(
        self, start: StartWorkflowExecutionRequest, signal: SignalWorkflowExecutionRequest
    ) -> WorkflowStarted:
        """Signal a workflow, and start it first if it does not run."""
        workflow_id, request_id = start.workflow_id, start.request_id

        def message() -> Input:
            copy = StartWorkflowExecutionRequest()
            copy.CopyFrom(start)
            return SignalWithStart(StartWorkflow(copy), signal)

        def answered(reply: Reply) -> None:
            assert isinstance(reply, WorkflowStarted)
            if reply.is_new:
                self._witness.started(request_id, workflow_id, reply)
            self._witness.signaled(request_id)

        reply = await self._submit(
            f"signal-with-start {workflow_id} {request_id}", workflow_id, message, answered
        )
        assert isinstance(reply, WorkflowStarted)
        return reply

    async def signal(self, request: SignalWorkflowExecutionRequest) -> None:
        """Send a signal."""
        execution, request_id = request.workflow_execution, request.request_id

        def message() -> Input:
            copy = SignalWorkflowExecutionRequest()
            copy.CopyFrom(request)
            return SignalWorkflow(execution.run_id, copy)

        await self._submit(
            f"signal {execution.workflow_id} {request_id}",
            execution.workflow_id,
            message,
            lambda reply: self._witness.signaled(request_id),
        )

    async def cancel(self, request: RequestCancelWorkflowExecutionRequest) -> None:
        """Ask a workflow to cancel."""
        execution = request.workflow_execution

        def message() -> Input:
            copy = RequestCancelWorkflowExecutionRequest()
            copy.CopyFrom(request)
            return CancelWorkflow(execution.run_id, copy)

        await self._submit(f"cancel {execution.workflow_id}", execution.workflow_id, message)

    async def terminate(self, request: TerminateWorkflowExecutionRequest) -> None:
        """End a workflow."""
        execution = request.workflow_execution

        def message() -> Input:
            copy = TerminateWorkflowExecutionRequest()
            copy.CopyFrom(request)
            return TerminateWorkflow(execution.run_id, copy)

        await self._submit(
            f"terminate {execution.workflow_id} {execution.run_id}",
            execution.workflow_id,
            message,
            lambda reply: self._witness.terminated(execution.workflow_id, execution.run_id),
        )

    async def reset_sticky(self, workflow_id: str) -> None:
        """Make the next task of a workflow come with its whole history."""
        await self._submit(f"reset-sticky {workflow_id}", workflow_id, lambda: ResetSticky(""))

    async def query(self, workflow_id: str, run_id: str) -> QueryAnswer:
        """Ask a workflow what it has seen, once: what becomes of it may be Unavailable."""
        message = QueryWorkflow(run_id, WorkflowQuery(query_type="seen").SerializeToString())
        return await self._network.call(
            f"query {workflow_id} {run_id}",
            lambda engine: engine.query(NAMESPACE, workflow_id, message, QUERY_SECONDS),
            waits_seconds=QUERY_SECONDS,
            answered=lambda answer: self._witness.queried(workflow_id, answer),
        )

    async def update(self, workflow_id: str, run_id: str, request: Request, stage: int) -> int:
        """Send an update and wait for it for a while; how far it has come."""
        update_id, serialised = request.meta.update_id, request.SerializeToString()
        answer = await self.insist(
            lambda: self._network.call(
                f"update {workflow_id} {run_id} {update_id}",
                lambda engine: engine.update(
                    NAMESPACE,
                    workflow_id,
                    UpdateWorkflow(run_id, update_id, serialised),
                    stage=stage,
                    timeout_seconds=UPDATE_SECONDS,
                ),
                waits_seconds=UPDATE_SECONDS,
                answered=lambda answer: self._witness.updated(workflow_id, answer),
            )
        )
        return answer.stage

    async def update_with_start(
        self, start: StartWorkflowExecutionRequest, request: Request, stage: int
    ) -> WorkflowStarted:
        """Update a workflow, and start it first if it does not run."""
        workflow_id, request_id = start.workflow_id, start.request_id
        update_id, serialised = request.meta.update_id, request.SerializeToString()

        async def serve(engine: Engine) -> tuple[WorkflowStarted, UpdateAnswer]:
            copy = StartWorkflowExecutionRequest()
            copy.CopyFrom(start)
            message = UpdateWithStart(
                StartWorkflow(copy), UpdateWorkflow("", update_id, serialised)
            )
            return await engine.update_with_start(
                NAMESPACE, workflow_id, message, stage=stage, timeout_seconds=UPDATE_SECONDS
            )

        def answered(answer: tuple[WorkflowStarted, UpdateAnswer]) -> None:
            started, updated = answer
            if started.is_new:
                self._witness.started(request_id, workflow_id, started)
            self._witness.updated(workflow_id, updated)

        started, _ = await self.insist(
            lambda: self._network.call(
                f"update-with-start {workflow_id} {request_id}",
                serve,
                waits_seconds=UPDATE_SECONDS,
                answered=answered,
            )
        )
        return started

    async def poll_update(self, workflow_id: str, run_id: str, update_id: str) -> int:
        """Ask for the outcome of an update, and wait for it for a while; how far it has come."""
        answer = await self.insist(
            lambda: self._network.call(
                f"poll-update {workflow_id} {run_id} {update_id}",
                lambda engine: engine.update(
                    NAMESPACE,
                    workflow_id,
                    PollUpdate(run_id, update_id),
                    stage=UpdateStage.COMPLETED,
                    timeout_seconds=UPDATE_SECONDS,
                ),
                waits_seconds=UPDATE_SECONDS,
                answered=lambda answer: self._witness.updated(workflow_id, answer),
            )
        )
        return answer.stage

    async def describe(self, workflow_id: str, run_id: str) -> RunView:
        """A run's state."""
        return await self.insist(
            lambda: self._network.call(
                f"describe {workflow_id} {run_id}",
                lambda engine: engine.describe(NAMESPACE, workflow_id, run_id),
                answered=self._witness.described,
            )
        )

    async def read_history(
        self,
        workflow_id: str,
        run_id: str,
        first_event_id: int,
        events_max: int,
        last_event_id: int | None = None,
    ) -> HistoryPage:
        """A page of a run's history."""
        return await self.insist(
            lambda: self._network.call(
                f"read {workflow_id} {run_id} {first_event_id}",
                lambda engine: engine.read_history(
                    NAMESPACE,
                    workflow_id,
                    run_id,
                    first_event_id=first_event_id,
                    events_max=events_max,
                    last_event_id=last_event_id,
                ),
                answered=lambda page: self._witness.read(workflow_id, page),
            )
        )

    async def wait_for_events(self, workflow_id: str, run_id: str, after_event_id: int) -> None:
        """Wait for news of a run, or for the time to be over."""
        await self.insist(
            lambda: self._network.call(
                f"wait {workflow_id} {run_id} {after_event_id}",
                lambda engine: engine.wait_for_events(
                    NAMESPACE, workflow_id, run_id, after_event_id, POLL_SECONDS
                ),
                waits_seconds=POLL_SECONDS,
            )
        )

    # ---- workers

    async def poll_workflow_task(
        self, poll: Poll, seconds: float
    ) -> WorkflowTaskWithHistory | QueryTaskWithHistory | None:
        """The next workflow task or query, for at most so many seconds; a poll that is given up
        earlier (by cancelling it) is cancelled in the engine too."""

        sight = self._witness.routing()

        async def polled(
            engine: Engine,
        ) -> WorkflowTaskWithHistory | QueryTaskWithHistory | None:
            return await engine.poll_workflow_task(poll, seconds)

        return await self._network.call(
            f"poll-workflow {poll.queue} {poll.identity}",
            polled,
            waits_seconds=seconds,
            answered=lambda found: self._witness.polled(poll, found, sight),
        )

    async def poll_activity_task(self, poll: Poll, seconds: float) -> ActivityTaskWithInput | None:
        """The next activity attempt."""
        return await self._network.call(
            f"poll-activity {poll.queue} {poll.identity}",
            lambda engine: engine.poll_activity_task(poll, seconds),
            waits_seconds=seconds,
            answered=self._witness.activity_task,
        )

    async def answer_query(self, task: QueryTaskWithHistory, result: WorkflowQueryResult) -> None:
        """Answer a query, if its caller still waits."""

        async def serve(engine: Engine) -> None:
            engine.answer_query(task.task_id, result)

        await self._network.call(f"answer-query {task.workflow_id} {task.task_id}", serve)

    async def complete_workflow_task(
        self, task: StartedWorkflowTask, request: RespondWorkflowTaskCompletedRequest
    ) -> CompletedTask:
        """Answer a workflow task."""
        token = task.token
        workflow_id = token.workflow_id

        async def serve(engine: Engine) -> CompletedTask:
            copy = RespondWorkflowTaskCompletedRequest()
            copy.CopyFrom(request)
            reply = await engine.submit(
                NAMESPACE,
                workflow_id,
                CompleteWorkflowTask(token, copy, NAMESPACE.search_attributes, endpoints=ENDPOINTS),
            )
            completed = CompletedTask(reply)
            if isinstance(reply, WorkflowTaskCompleted):
                completed.workflow_task, completed.activity_tasks = await engine.with_tasks(
                    NAMESPACE, workflow_id, reply
                )
            return completed

        def answered(completed: CompletedTask) -> None:
            if isinstance(completed.reply, WorkflowTaskCompleted):
                self._witness.completed(task, is_dropped=_may_be_dropped(task, request))
            self._witness.workflow_task(completed.workflow_task)
            for activity in completed.activity_tasks:
                self._witness.activity_task(activity)

        name = f"complete-task {workflow_id} {token.started_event_id}.{token.attempt}"
        return await self.insist(lambda: self._network.call(name, serve, answered=answered))

    async def fail_workflow_task(
        self, token: TaskToken, request: RespondWorkflowTaskFailedRequest
    ) -> None:
        """Give up a workflow task."""

        def message() -> Input:
            copy = RespondWorkflowTaskFailedRequest()
            copy.CopyFrom(request)
            return FailWorkflowTask(token, copy)

        name = f"fail-task {token.workflow_id} {token.started_event_id}.{token.attempt}"
        await self._submit(name, token.workflow_id, message)

    async def complete_activity(
        self, token: TaskToken, result: Payloads, identity: str, accepted: Callable[[], None]
    ) -> None:
        """Report a result."""

        def message() -> Input:
            copy = Payloads()
            copy.CopyFrom(result)
            return CompleteActivity(token, copy, identity)

        name = f"complete-activity {token.workflow_id} {token.scheduled_event_id}.{token.attempt}"
        await self.ask(name, _subject_of(token), message, lambda reply: accepted())

    async def fail_activity(self, token: TaskToken, failure: Failure, identity: str) -> None:
        """Report a failure."""

        def message() -> Input:
            copy = Failure()
            copy.CopyFrom(failure)
            return FailActivity(token, copy, identity)

        name = f"fail-activity {token.workflow_id} {token.scheduled_event_id}.{token.attempt}"
        await self.ask(name, _subject_of(token), message)

    async def cancel_activity(self, token: TaskToken, identity: str) -> None:
        """Acknowledge a cancellation."""
        name = f"cancel-activity {token.workflow_id} {token.scheduled_event_id}.{token.attempt}"
        await self.ask(name, _subject_of(token), lambda: CancelActivity(token, None, identity))

    async def heartbeat(self, token: TaskToken, identity: str) -> bool:
        """Say that an activity is alive; whether it shall cancel."""
        name = f"heartbeat {token.workflow_id} {token.scheduled_event_id}.{token.attempt}"
        reply = await self.ask(
            name, _subject_of(token), lambda: HeartbeatActivity(token, None, identity)
        )
        return isinstance(reply, Heartbeat) and reply.cancel_requested

    # ---- what operators do

    async def reset(self, request: ResetWorkflowExecutionRequest) -> str:
        """Begin a run with the history of another; its id."""
        workflow_id = request.workflow_execution.workflow_id

        async def serve(engine: Engine) -> str:
            copy = ResetWorkflowExecutionRequest()
            copy.CopyFrom(request)
            return await engine.reset(NAMESPACE, workflow_id, copy)

        name = f"reset {workflow_id} {request.workflow_task_finish_event_id}"
        return await self.insist(
            lambda: self._network.call(
                name,
                serve,
                answered=lambda run_id: self._witness.was_reset(
                    workflow_id, request.request_id, run_id
                ),
            )
        )

    async def delete(self, workflow_id: str, run_id: str, *, kind: Kind = Kind.WORKFLOW) -> None:
        """Forget a run."""
        await self.insist(
            lambda: self._network.call(
                f"delete {workflow_id} {run_id}",
                lambda engine: engine.delete(NAMESPACE, Address(kind, workflow_id), run_id),
                answered=lambda answer: self._witness.deleted(workflow_id, run_id),
            )
        )

    async def pause_workflow(self, workflow_id: str, request_id: str) -> None:
        """Let a workflow do nothing."""
        request = PauseWorkflowExecutionRequest(
            workflow_id=workflow_id, identity="operator", request_id=request_id
        )
        name = f"pause {workflow_id}"
        await self._submit(name, workflow_id, lambda: PauseWorkflow("", request))

    async def unpause_workflow(self, workflow_id: str, request_id: str) -> None:
        """Let it go on."""
        request = UnpauseWorkflowExecutionRequest(
            workflow_id=workflow_id, identity="operator", request_id=request_id
        )
        name = f"unpause {workflow_id}"
        await self._submit(name, workflow_id, lambda: UnpauseWorkflow("", request))

    async def pause_activities(self, request: PauseActivityRequest) -> None:
        """Do not start them, or not again."""
        await self._operate("pause", request, lambda: PauseActivity(_run_of(request), request))

    async def unpause_activities(self, request: UnpauseActivityRequest) -> None:
        """Go on."""
        await self._operate(
            "unpause", request, lambda: UnpauseActivity(_run_of(request), request, "seed")
        )

    async def reset_activities(self, request: ResetActivityRequest) -> None:
        """Begin again."""
        await self._operate(
            "reset", request, lambda: ResetActivity(_run_of(request), request, "seed")
        )

    async def update_activities(self, request: UpdateActivityOptionsRequest) -> None:
        """Give them other options."""
        await self._operate(
            "update", request, lambda: UpdateActivityOptions(_run_of(request), request)
        )

    async def _operate(self, what: str, request: _Operation, message: Callable[[], Input]) -> None:
        workflow_id = request.execution.workflow_id
        await self._submit(f"{what}-activities {workflow_id}", workflow_id, message)

    async def ask(
        self,
        name: str,
        whom: Address,
        message: Callable[[], Any],
        answered: Callable[[Any], None] | None = None,
    ) -> Any:
        """Have any machine decide."""
        return await self.insist(
            lambda: self._network.call(
                name, lambda engine: engine.ask(NAMESPACE, whom, message()), answered=answered
            )
        )

    async def rpc(
        self,
        request: Message,
        response: type[_M],
        answered: Callable[[_M], None] | None = None,
    ) -> _M:
        """Have the frontend answer. Raises Refused."""
        name, content = type(request).__name__.removesuffix("Request"), request.SerializeToString()

        async def serve(engine: Engine) -> _M:
            try:
                return response.FromString(await self._network.frontend(RPC + name, content))
            except CallFailed as failure:
                if failure.code in LOST:
                    raise EngineUnavailable(str(failure)) from failure
                raise Refused(failure) from failure

        return await self.insist(lambda: self._network.call(name, serve, answered=answered))

    # ---- how

    async def insist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Make a call until it is answered."""
        return await insist(call, self._dice)

    async def _submit(
        self,
        name: str,
        workflow_id: str,
        message: Callable[[], Input],
        answered: Callable[[Reply], None] | None = None,
    ) -> Reply:
        return await self.insist(
            lambda: self._network.call(
                name,
                lambda engine: engine.submit(NAMESPACE, workflow_id, message()),
                answered=answered,
            )
        )


def _may_be_dropped(
    task: StartedWorkflowTask, request: RespondWorkflowTaskCompletedRequest
) -> bool:
    """Whether the task was speculative and only rejects: it leaves no trace."""
    return task.attempt == 1 and bool(task.unrecorded) and not request.commands


def _subject_of(token: TaskToken) -> Address:
    """Whose activity it is: a workflow's, or its own."""
    return Address(Kind(token.kind) if token.kind else Kind.WORKFLOW, token.workflow_id)


def _run_of(request: _Operation) -> str:
    return request.execution.run_id
