"""Everything that a workflow can be asked to decide on, and what it answers.

An input names its run where it must be that run and no other ("" means: whatever is current).
Protobuf requests arrive here validated and with defaults applied by the frontend; inputs are
serialisable, so that a decision can be logged and taken again.
"""

from __future__ import annotations

import enum

import msgspec
from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure
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
    UpdateWorkflowExecutionOptionsRequest,
)

from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.nexus.outcomes import CancelOutcome, OperationOutcome, StartOutcome
from perdure.server.machines.schedule.messages import ToWorkflow
from perdure.server.machines.search_attributes import CustomAttributes
from perdure.server.machines.workflow.messages import Message, Parent
from perdure.server.machines.workflow.resetting import Fold
from perdure.server.machines.workflow.state import NO_TARGET, Run, Target


class TaskToken(msgspec.Struct, array_like=True, frozen=True):
    """What a worker shows when it answers a task. A stale one (other attempt, other stamp) changes
    nothing."""

    namespace_id: str
    workflow_id: str
    run_id: str
    scheduled_event_id: int
    attempt: int
    stamp: int
    started_event_id: int = 0
    activity_id: str = ""
    """Set, with `scheduled_event_id` 0, when an activity is named by its id instead."""
    start_id: str = ""
    """Of a workflow task, which start of it this was: after a loss, ids and stamps come again."""
    kind: int = 0
    """Of what `workflow_id` is the id: 0 of a workflow, and else as in `machines.ports.Kind`."""


# ---- from clients


class StartWorkflow(msgspec.Struct):
    """Start a run, as reuse and conflict policies allow; `parent` of a child."""

    request: StartWorkflowExecutionRequest
    parent: Parent | None = None


class SignalWorkflow(msgspec.Struct):
    """Deliver a signal."""

    run_id: str
    request: SignalWorkflowExecutionRequest


class SignalWithStart(msgspec.Struct):
    """Signal the open run, or start one that has the signal from the beginning."""

    start: StartWorkflow
    signal: SignalWorkflowExecutionRequest


class CancelWorkflow(msgspec.Struct):
    """Ask the workflow to cancel."""

    run_id: str
    request: RequestCancelWorkflowExecutionRequest


class TerminateWorkflow(msgspec.Struct):
    """End the run at once."""

    run_id: str
    request: TerminateWorkflowExecutionRequest


class QueryWorkflow(msgspec.Struct):
    """Ask the workflow something: a serialised WorkflowQuery, which its worker answers."""

    run_id: str
    query: bytes
    reject_condition: int = 0
    deadline_ns: int = 0
    """When the caller gives up; 0 when that is not known."""
    is_unblocked: bool = False
    """It has waited for the workflow to see all that came before it, and must not wait again."""


class ForgetQuery(msgspec.Struct):
    """Nobody waits for the answer of a query any more."""

    run_id: str
    query_id: str


class UpdateWorkflow(msgspec.Struct):
    """Admit an update: a serialised Request, whose id is known before."""

    run_id: str
    update_id: str
    request: bytes
    first_execution_run_id: str = ""


class UpdateWithStart(msgspec.Struct):
    """Update the open run, or start one that has the update in its first task."""

    start: StartWorkflow
    update: UpdateWorkflow


class PollUpdate(msgspec.Struct):
    """Ask how far an update has come."""

    run_id: str
    update_id: str


class ResetSticky(msgspec.Struct):
    """Forget which worker has the run in its cache."""

    run_id: str


class PauseActivity(msgspec.Struct):
    """Do not start activities, or not again."""

    run_id: str
    request: PauseActivityRequest


class UnpauseActivity(msgspec.Struct):
    """Go on with activities that are paused, each after its share of the jitter, which follows from
    the seed."""

    run_id: str
    request: UnpauseActivityRequest
    seed: str


class ResetActivity(msgspec.Struct):
    """Begin activities again; `seed` as above."""

    run_id: str
    request: ResetActivityRequest
    seed: str


class UpdateActivityOptions(msgspec.Struct):
    """Give activities other timeouts, another policy, queue or priority."""

    run_id: str
    request: UpdateActivityOptionsRequest


# ---- from workers and the queues that they poll


class UpdateWorkflowOptions(msgspec.Struct):
    """Change the options of a run."""

    run_id: str
    request: UpdateWorkflowExecutionOptionsRequest


class PauseWorkflow(msgspec.Struct):
    """Let the run do nothing for now."""

    run_id: str
    request: PauseWorkflowExecutionRequest


class UnpauseWorkflow(msgspec.Struct):
    """Let the run go on."""

    run_id: str
    request: UnpauseWorkflowExecutionRequest


class ResetWorkflow(msgspec.Struct):
    """Begin a run with what another has recorded before `request.workflow_task_finish_event_id`.

    `base` is that other run, unless it is the current one; `prefix` folds its beginning, which
    begins with `start_event`; `later` are events to be done again. `seen_event_id` is the next
    event of the current run as it was when `later` was read from it; 0 when it was not.
    """

    request: ResetWorkflowExecutionRequest
    new_run_id: str
    base: Run | None
    prefix: Fold
    start_event: bytes
    later: list[bytes]
    seen_event_id: int


class DeleteWorkflow(msgspec.Struct):
    """Forget a run, which is ended first if it is open; `other` when it is not the current one."""

    run_id: str
    other: Run | None = None


class StartWorkflowTask(msgspec.Struct):
    """A poller was found for a scheduled workflow task."""

    run_id: str
    stamp: int
    request_id: str
    identity: str
    worker_version: bytes = b""
    version: VersionName | None = None
    """Of the worker; None for one of no version."""
    target: Target = NO_TARGET
    """Where the run's queue sends new work."""


class WorkflowTaskUndelivered(msgspec.Struct):
    """The poller of a started workflow task was gone when the task was published. With
    `start_id`, only if that is still the start of it."""

    run_id: str
    stamp: int
    start_id: str = ""


class StickyWorkerUnavailable(msgspec.Struct):
    """Nobody polls the sticky queue that a scheduled workflow task was offered on."""

    run_id: str
    stamp: int


class CompleteWorkflowTask(msgspec.Struct):
    """A worker's commands."""

    token: TaskToken
    request: RespondWorkflowTaskCompletedRequest
    search_attributes: CustomAttributes = msgspec.field(default_factory=dict)
    """The custom ones of the namespace, which commands may set."""
    served: dict[str, frozenset[VersionName]] = {}
    """By the task queue that a successor is to have, if that is not the run's: which versions have
    workers there, of those that the run may be on."""
    endpoints: dict[str, str] = {}
    """The Nexus endpoints that commands name, with their ids; those that there are."""
    system_problems: dict[bytes, str] = {}
    """What is wrong with inputs for the server's own Nexus endpoint."""


class FailWorkflowTask(msgspec.Struct):
    """A worker could not carry out its workflow task."""

    token: TaskToken
    request: RespondWorkflowTaskFailedRequest


class StartActivityTask(msgspec.Struct):
    """A poller was found for a scheduled activity attempt."""

    run_id: str
    scheduled_event_id: int
    stamp: int
    request_id: str
    identity: str
    worker_version: bytes = b""
    version: VersionName | None = None
    """Of the worker; None for one of no version."""
    target: Target = NO_TARGET
    """Where the queue of the run's workflow tasks sends new work."""
    sdk: tuple[str, str] = ("", "")
    """Name and version of the worker's SDK."""


class ActivityTaskUndelivered(msgspec.Struct):
    """The poller of a started activity attempt was gone when the task was published: the attempt
    does not count."""

    run_id: str
    scheduled_event_id: int
    stamp: int


class LoseActivityTask(msgspec.Struct):
    """The worker that had the started activity attempt is known to be dead: the attempt counts, and
    is over.
    """

    run_id: str
    scheduled_event_id: int
    stamp: int


class CompleteActivity(msgspec.Struct):
    """An activity's result."""

    token: TaskToken
    result: Payloads | None
    identity: str
    worker_version: bytes | None = None
    """The worker's own stamp, which may be empty (Java's is): the real server records it with the
    start of the attempt."""


class FailActivity(msgspec.Struct):
    """An activity attempt failed. `heartbeat_details` is what it had reported last."""

    token: TaskToken
    failure: Failure
    identity: str
    heartbeat_details: Payloads | None = None
    worker_version: bytes | None = None


class CancelActivity(msgspec.Struct):
    """An activity acknowledges that it was cancelled."""

    token: TaskToken
    details: Payloads | None
    identity: str


class HeartbeatActivity(msgspec.Struct):
    """An activity is alive."""

    token: TaskToken
    details: Payloads | None
    identity: str


# ---- from time


class WakeUp(msgspec.Struct):
    """Something of the run may be due; `other` is the run when it is not the current one. Whatever
    call was under way has died with its process, if that is said."""

    run_id: str
    other: Run | None = None
    calls_are_lost: bool = False


def lost_calls(run_id: str) -> WakeUp:
    """The wake-up of a run whose calls are lost."""
    return WakeUp(run_id, calls_are_lost=True)


class CallbackAttempted(msgspec.Struct):
    """Somebody was told how the run has ended, or (`problem`) was not."""

    run_id: str
    key: str
    attempt: int
    problem: str = ""
    is_retryable: bool = False
    other: Run | None = None
    """As of a wake-up."""


# ---- from handlers of Nexus operations


class NexusStartAnswered(msgspec.Struct):
    """A call to start an operation is over."""

    run_id: str
    scheduled_event_id: int
    attempt: int
    outcome: StartOutcome


class NexusCancelAnswered(msgspec.Struct):
    """A call to cancel an operation is over."""

    run_id: str
    scheduled_event_id: int
    attempt: int
    outcome: CancelOutcome


class CompleteNexusOperation(msgspec.Struct):
    """A handler tells how an operation has ended that it had started. It may have been started by a
    run of which the current one has taken over the history."""

    scheduled_event_id: int
    request_id: str
    outcome: OperationOutcome
    operation_token: str = ""
    start_time_ns: int = 0
    """When the handler began it; 0 when it did not say."""
    links: tuple[bytes, ...] = ()


Input = (
    StartWorkflow
    | SignalWorkflow
    | SignalWithStart
    | CancelWorkflow
    | TerminateWorkflow
    | QueryWorkflow
    | ForgetQuery
    | UpdateWorkflow
    | UpdateWithStart
    | PollUpdate
    | ResetSticky
    | PauseActivity
    | UnpauseActivity
    | ResetActivity
    | UpdateActivityOptions
    | UpdateWorkflowOptions
    | PauseWorkflow
    | UnpauseWorkflow
    | ResetWorkflow
    | DeleteWorkflow
    | StartWorkflowTask
    | WorkflowTaskUndelivered
    | StickyWorkerUnavailable
    | CompleteWorkflowTask
    | FailWorkflowTask
    | StartActivityTask
    | ActivityTaskUndelivered
    | LoseActivityTask
    | CompleteActivity
    | FailActivity
    | CancelActivity
    | HeartbeatActivity
    | WakeUp
    | CallbackAttempted
    | NexusStartAnswered
    | NexusCancelAnswered
    | CompleteNexusOperation
    | Message
    | ToWorkflow
)


# ---- answers


class Done(msgspec.Struct):
    """It is so; `run_id` says of which run, where the caller may not know."""

    run_id: str = ""


class NotCurrent(msgspec.Struct):
    """The run that was meant is not the current one: show it, if there is such a run."""


class StartedWorkflowTask(msgspec.Struct):
    """A workflow task for a worker. The shell adds the history: events
    `history_from`..`history_to`, then `unrecorded`."""

    token: TaskToken
    workflow_type: str
    attempt: int
    previous_started_event_id: int
    started_event_id: int
    scheduled_time_ns: int
    started_time_ns: int
    task_queue: str
    history_from: int
    history_to: int
    unrecorded: bytes
    """Entries of a serialised History for the scheduled and started events of a transient
    attempt."""
    queries: dict[str, bytes] = {}
    """Serialised WorkflowQueries that wait for this task, by their ids."""
    messages: list[bytes] = []
    """Serialised protocol Messages: the updates that it brings."""


class StartedActivityTask(msgspec.Struct):
    """An activity attempt for a worker. The shell adds header and input from the event
    `token.scheduled_event_id`."""

    token: TaskToken
    workflow_type: str
    activity_type: str
    attempt: int
    scheduled_time_ns: int
    attempt_scheduled_time_ns: int
    started_time_ns: int
    schedule_to_close_ns: int
    start_to_close_ns: int
    heartbeat_ns: int
    heartbeat_details: bytes
    retry_policy: bytes
    priority: bytes | None
    start: bytes = b""
    """Of a standalone activity: the serialised StartActivityExecutionRequest, which has them."""


class UpdatedWorkflowOptions(msgspec.Struct):
    """The options that a run has by now: a serialised WorkflowExecutionOptions."""

    options: bytes


class WorkflowStarted(msgspec.Struct):
    """`is_new` is False when an existing run was returned instead."""

    run_id: str
    first_execution_run_id: str
    is_new: bool
    status: int
    eager_task: StartedWorkflowTask | None = None
    is_attached: bool = False
    """The request id was attached to a run that was there already."""


class WorkflowTaskCompleted(msgspec.Struct):
    """What a completion brings back to its worker at once."""

    workflow_task: StartedWorkflowTask | None = None
    activity_tasks: list[StartedActivityTask] = []
    reset_history_event_id: int = 0
    """The last event that counts, when the completed task has left no trace."""


class RefusedWorkflowTask(msgspec.Struct):
    """The completion was wrong: its task was failed, which is durable, and the worker is told."""

    message: str
    is_not_found: bool = False


class Refused(msgspec.Struct):
    """The run had outgrown a limit and was ended instead, which is durable: the caller is told that
    its request was wrong."""

    message: str


class Heartbeat(msgspec.Struct):
    """What an activity learns when it heartbeats."""

    cancel_requested: bool
    activity_paused: bool = False
    activity_reset: bool = False


class UpdatedActivityOptions(msgspec.Struct):
    """The options that hold now: a serialised ActivityOptions."""

    options: bytes


class UpdateStage(enum.IntEnum):
    """Temporal's UpdateWorkflowExecutionLifecycleStage."""

    ADMITTED = 1
    ACCEPTED = 2
    COMPLETED = 3


class UpdateAbort(enum.StrEnum):
    """Why an admitted update came to nothing."""

    CLOSED = "closed"
    GOES_ON = "goes on"
    """The run closed, and its chain goes on: it may be sent to the next run."""
    TASK_REFUSED = "task refused"


class UpdateStatus(msgspec.Struct, frozen=True):
    """How far an update has come. A completed one has its outcome in an event, or is a serialised
    Failure: it was rejected, or its run closed first."""

    run_id: str
    update_id: str
    stage: UpdateStage
    completed_event_id: int = 0
    failure: bytes | None = None
    aborted: UpdateAbort | None = None


class UpdatedWithStart(msgspec.Struct, frozen=True):
    """The run that an update with start led to, and how far the update has come there."""

    start: WorkflowStarted
    update: UpdateStatus


class QueryWaits(msgspec.Struct):
    """The query waits for a workflow task; `SettleQuery` will name it."""

    run_id: str
    query_id: str


class AskDirectly(msgspec.Struct):
    """The query may be asked of a worker now: on the sticky queue, if there is one, else on the
    normal one."""

    run_id: str
    task_queue: str
    sticky_queue: str
    sticky_timeout_ns: int
    is_open: bool
    priority: int
    directive: bytes = b""
    """What says for workers of which version it is."""


class TransitionBegun(msgspec.Struct):
    """An activity met a worker of the version that its run has to go to first: it waits."""


class QueryRejected(msgspec.Struct):
    """The caller does not want an answer of a run with this status."""

    status: int


Reply = (
    Done
    | NotCurrent
    | StartedWorkflowTask
    | StartedActivityTask
    | UpdatedWorkflowOptions
    | WorkflowStarted
    | WorkflowTaskCompleted
    | RefusedWorkflowTask
    | Heartbeat
    | QueryWaits
    | AskDirectly
    | TransitionBegun
    | QueryRejected
    | UpdatedActivityOptions
    | Refused
    | UpdateStatus
    | UpdatedWithStart
)
