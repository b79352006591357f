"""What the frontend may ask of the engine, and the values that come back.

Everything here waits for the commit that it rests on: also a refusal, a read, or the empty answer
of a poll. Refusals are the `Rejected` family of `machines.errors`; the environment's failures are
the two below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from temporalio.api.nexus.v1 import Request as NexusRequest
from temporalio.api.query.v1 import WorkflowQueryResult
from temporalio.api.taskqueue.v1 import TaskQueueConfig
from temporalio.api.workflowservice.v1 import (
    ResetWorkflowExecutionRequest,
    UpdateTaskQueueConfigRequest,
)

from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.ports import Address
from perdure.server.machines.queue.routing import NO_ROUTING, QueueRouting
from perdure.server.machines.queue.statistics import Poller
from perdure.server.machines.search_attributes import CustomAttributes
from perdure.server.machines.workflow.inputs import (
    Input,
    PollUpdate,
    QueryWorkflow,
    Reply,
    StartedActivityTask,
    StartedWorkflowTask,
    UpdateWithStart,
    UpdateWorkflow,
    WorkflowStarted,
    WorkflowTaskCompleted,
)
from perdure.server.machines.workflow.state import Run

if TYPE_CHECKING:
    from perdure.server.engine.deployments import DeploymentOffice
    from perdure.server.engine.nexus.nexus import Nexus
    from perdure.server.engine.nexus.operations import NexusOperations


class EngineUnavailable(Exception):
    """The store cannot be written now, or what the answer rested on was lost: the caller may try
    again."""


class EngineStopped(Exception):
    """The engine is shutting down."""


class NamespaceRef(msgspec.Struct, frozen=True):
    """A namespace, bound by the frontend: its number in the store, its id and its name."""

    number: int
    id: str
    name: str
    retention_ns: int = 0
    """How long closed runs are kept."""
    search_attributes: CustomAttributes = msgspec.field(default_factory=dict)
    """The custom ones."""


class Poll(msgspec.Struct, frozen=True):
    """A worker's long poll. `sticky_for` is the normal queue when `queue` is a worker's own."""

    namespace: NamespaceRef
    queue: str
    identity: str
    sticky_for: str = ""
    worker_version: bytes = b""
    """A serialised WorkerVersionStamp."""
    worker_instance: str = ""
    takes_early: bool = False
    """It may be given a workflow task before the task's start is durable: what the worker knows
    ends with the engine, and whatever follows from it waits for the commit."""
    version: VersionName | None = None
    """The version of a deployment that the worker is of; None for an unversioned one."""
    deployment: bytes = b""
    """Serialised WorkerDeploymentOptions, which unversioned workers may send too."""
    rate_per_second: float | None = None
    """What the worker wants the queue to be limited to; None when it does not say."""
    sdk: tuple[str, str] = ("", "")
    """Name and version of the SDK of a worker of activities."""


class WorkflowTaskWithHistory(msgspec.Struct):
    """A started workflow task and its history: a serialised `History`, complete when
    `next_event_id` is 0."""

    task: StartedWorkflowTask
    history: bytes
    next_event_id: int
    poller_advice: int = 0
    """By how many its worker should change its polls."""


class ActivityTaskWithInput(msgspec.Struct):
    """A started activity attempt and the serialised `HistoryEvent` that scheduled it (header,
    input)."""

    task: StartedActivityTask
    scheduled_event: bytes
    poller_advice: int = 0


class QueueStatistics(msgspec.Struct, frozen=True):
    """What goes on with tasks of one priority on a queue."""

    backlog: int
    backlog_age_ns: int
    add_rate: float
    dispatch_rate: float


class QueueView(msgspec.Struct):
    """A task queue: who polls it, what goes on by priority, and what is set of it."""

    pollers: list[Poller]
    statistics: dict[int, QueueStatistics]
    config: TaskQueueConfig | None
    configured_rate: float | None
    worker_rate: float | None
    routing: QueueRouting = NO_ROUTING
    """Where its deployments send new work."""


class QueryTaskWithHistory(msgspec.Struct):
    """A query for a worker (serialised), and the history to answer it from: complete when
    `next_event_id` is 0."""

    task_id: str
    namespace_id: str
    queue: str
    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    previous_started_event_id: int
    query: bytes
    history: bytes
    last_event_id: int
    next_event_id: int
    poller_advice: int = 0


class NexusTask(msgspec.Struct):
    """A Nexus request for a worker."""

    task_id: str
    namespace_id: str
    queue: str
    request: NexusRequest
    poller_advice: int = 0


class QueryAnswer(msgspec.Struct, frozen=True):
    """What a workflow answered (serialised Payloads; None when it said nothing), or, if it was not
    asked, its status."""

    answer: bytes | None
    rejected_status: int = 0


class UpdateAnswer(msgspec.Struct, frozen=True):
    """How far an update has come; `outcome` is a serialised Outcome once it has completed."""

    run_id: str
    update_id: str
    stage: int
    outcome: bytes | None = None
    was_completed: bool = False
    """It had completed before it was asked for."""


class HistoryPage(msgspec.Struct):
    """Some events of a run (a serialised `History`), and where it stood when they were read."""

    run_id: str
    history: bytes
    first_event_id: int
    next_event_id: int
    """The event that the next page begins with."""
    last_event_id: int
    """The newest committed event."""
    is_open: bool
    unrecorded: bytes = b""
    """Entries of a transient workflow task, which follow the last recorded event but are not
    recorded yet."""
    successor_run_id: str = ""


class RunClose(msgspec.Struct, frozen=True):
    """How a run ended: `close_event_id` is 0 while it is open."""

    run_id: str
    close_event_id: int
    successor_run_id: str


class RunView(msgspec.Struct):
    """A run as it was last committed: read it, never change it."""

    namespace: NamespaceRef
    workflow_id: str
    run: Run


class EngineApi(Protocol):
    """The engine, as the frontend sees it."""

    @property
    def deployments(self) -> DeploymentOffice:
        """The worker deployments."""
        ...

    @property
    def operations(self) -> NexusOperations:
        """The Nexus operations that are called from here."""
        ...

    @property
    def nexus(self) -> Nexus:
        """The endpoints of Nexus, and calls to its handlers."""
        ...

    async def submit(self, namespace: NamespaceRef, workflow_id: str, message: Input) -> Reply:
        """Decide on an input and answer when the decision is durable. Raises Rejected,
        EngineUnavailable."""
        ...

    async def ask(self, namespace: NamespaceRef, whom: Address, message: Any) -> Any:
        """The same for a subject of any kind: its machine's input, and its machine's reply."""
        ...

    async def ask_until(
        self,
        namespace: NamespaceRef,
        whom: Address,
        message: Any,
        is_settled: Callable[[Any], bool],
        timeout_seconds: float,
    ) -> Any:
        """The same, asking again at news of the subject until the reply is a settled one, or the
        time is over."""
        ...

    async def reset(
        self, namespace: NamespaceRef, workflow_id: str, request: ResetWorkflowExecutionRequest
    ) -> str:
        """Begin a run with the history of another, up to a workflow task, and go on from there; its
        id. Raises Rejected, EngineUnavailable."""
        ...

    async def delete(self, namespace: NamespaceRef, whom: Address, run_id: str) -> None:
        """Forget a run ("" names the current one), which ends first if it is open. Raises Rejected,
        EngineUnavailable."""
        ...

    async def poll_workflow_task(
        self, poll: Poll, timeout_seconds: float
    ) -> WorkflowTaskWithHistory | QueryTaskWithHistory | None:
        """The next workflow task of a queue, or a query; None when none came in time."""
        ...

    async def poll_activity_task(
        self, poll: Poll, timeout_seconds: float
    ) -> ActivityTaskWithInput | None:
        """The next activity attempt of a queue; None when none came in time."""
        ...

    async def with_history(
        self, namespace: NamespaceRef, workflow_id: str, task: StartedWorkflowTask
    ) -> WorkflowTaskWithHistory:
        """The history that goes with a task which came as part of a reply (eager start)."""
        ...

    async def with_tasks(
        self, namespace: NamespaceRef, workflow_id: str, completed: WorkflowTaskCompleted
    ) -> tuple[WorkflowTaskWithHistory | None, list[ActivityTaskWithInput]]:
        """What goes with the tasks that came with the answer to a completion."""
        ...

    async def read_history(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        run_id: str,
        *,
        first_event_id: int,
        events_max: int,
        last_event_id: int | None = None,
    ) -> HistoryPage:
        """Committed events from `first_event_id` on ("" names the current run), as many as fit a
        page; `last_event_id` bounds them. Raises NotFound."""
        ...

    async def wait_for_events(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        run_id: str,
        after_event_id: int,
        timeout_seconds: float,
    ) -> None:
        """Return when the run has a committed event after `after_event_id`, is closed, or the time
        is over. Raises NotFound."""
        ...

    async def wait_for_close(
        self, namespace: NamespaceRef, workflow_id: str, run_id: str, timeout_seconds: float
    ) -> RunClose:
        """How a run ended ("" names the current one), waiting so long for it. Raises NotFound."""
        ...

    async def query(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: QueryWorkflow,
        timeout_seconds: float,
    ) -> QueryAnswer:
        """What the workflow's worker answers. Raises Rejected (QueryFailed, DeadlineExceeded and
        others), EngineUnavailable."""
        ...

    def answer_query(self, task_id: str, result: WorkflowQueryResult) -> None:
        """A worker's answer to a query. Raises NotFound when nobody waits for it any more."""
        ...

    def lose_query(self, task_id: str) -> None:
        """The worker that was given a query is gone: another one is asked."""
        ...

    async def update(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: UpdateWorkflow | PollUpdate,
        *,
        stage: int,
        timeout_seconds: float,
    ) -> UpdateAnswer:
        """Admit an update, or look for one, and wait so long until it has come to a stage; how far
        it has come by then. Raises Rejected, EngineUnavailable."""
        ...

    async def update_with_start(
        self,
        namespace: NamespaceRef,
        workflow_id: str,
        message: UpdateWithStart,
        *,
        stage: int,
        timeout_seconds: float,
    ) -> tuple[WorkflowStarted, UpdateAnswer]:
        """Update the open run, or start one and update that; wait as `update` does. Raises
        UpdateRefused where only the update came to nothing, other Rejected, EngineUnavailable."""
        ...

    async def describe(self, namespace: NamespaceRef, workflow_id: str, run_id: str) -> RunView:
        """A run's committed state. Raises NotFound."""
        ...

    async def describe_queue(
        self, namespace: NamespaceRef, name: str, kind: int, part: str | None = None
    ) -> QueueView:
        """A task queue, known or not, or the part of it for a version, "" for workers of none;
        `kind` is a TaskQueueType."""
        ...

    async def configure_queue(
        self, namespace: NamespaceRef, request: UpdateTaskQueueConfigRequest
    ) -> TaskQueueConfig:
        """Set something of a task queue: all that is set then, durably. Raises InvalidArgument."""
        ...

    def cancel_polls(self, namespace: NamespaceRef, worker_instance: str, sticky_queue: str) -> int:
        """Answer the polls of a worker that shuts down with nothing, and stop offering to its
        sticky queue; how many."""
        ...
