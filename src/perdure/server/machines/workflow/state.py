"""What a workflow is, between two decisions.

The unit is the workflow id: its current run, open or closed. A run has two durable parts:

* `recorded` (and `Activity`, `Timer.started_event_id`...): what a fold over its events gives, and
  nothing else;
* `pending` (and `Attempt`, `Timer.is_fired`, `buffered`...): what is true and durable but not an
  event.

Only `evolve` changes any of it. Everything is bytes, str, int and structs, never a protobuf object.
Structs are stored as arrays: a new field goes at the end, with a default.

The head (`recorded` and `pending`) is rewritten with each commit; each keyed part is a row of its
own, written only when touched. `RecordKind` names them.
"""

from __future__ import annotations

import enum

import msgspec

from perdure.server.machines.deployment.names import VersionName
from perdure.server.machines.schedule.messages import Sender
from perdure.server.machines.workflow.nexus.state import PendingOperation
from perdure.server.machines.workflow.volatile import Volatile


class Status(enum.IntEnum):
    """Temporal's WorkflowExecutionStatus."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7
    PAUSED = 8
    """Only shown: what is recorded of a paused run is that it runs."""


class Phase(enum.StrEnum):
    """Where a workflow stands; the first half of each row of the transition table."""

    ABSENT = "absent"
    DELAYED = "delayed"
    """Open, and its first workflow task waits for a start delay, a cron time or a retry's
    backoff."""
    IDLE = "idle"
    SCHEDULED = "scheduled"
    STARTED = "started"
    CLOSED = "closed"


class RecordKind(enum.IntEnum):
    """The keyed parts of a run. Numbers are stored: never reuse one."""

    ACTIVITY = 1
    TIMER = 2
    BUFFERED = 3
    REQUEST = 4
    BLOB = 5
    CHILD = 6
    EXTERNAL_SIGNAL = 7
    EXTERNAL_CANCEL = 8
    UPDATE = 9
    CALLBACK = 10
    NEXUS_OPERATION = 11


class BlobName(enum.StrEnum):
    """Large parts of a run that most turns leave alone."""

    MEMO = "memo"
    SEARCH_ATTRIBUTES = "search_attributes"
    START_EVENT = "start_event"
    """Kept for a run that can have a successor made by the server (retry policy or cron)."""


class RetryPolicy(msgspec.Struct, array_like=True, frozen=True):
    """A retry policy with all defaults applied. `attempts_max` 0 means without end."""

    initial_interval_ns: int
    backoff_coefficient: float
    interval_ns_max: int
    attempts_max: int
    non_retryable_types: tuple[str, ...] = ()


class WorkflowTask(msgspec.Struct, array_like=True):
    """The one outstanding workflow task: scheduled, or started when `started_event_id` is not 0."""

    scheduled_event_id: int
    attempt: int
    scheduled_time_ns: int
    start_to_close_ns: int
    started_event_id: int = 0
    started_time_ns: int = 0
    request_id: str = ""
    identity: str = ""
    history_size_bytes: int = 0
    suggest_reasons: tuple[int, ...] = ()
    worker_version: bytes = b""
    """A serialised WorkerVersionStamp, of a transient attempt."""
    has_target_changed: bool = False
    """The workflow is told that new work goes to another version than its own."""


class Override(msgspec.Struct, array_like=True, frozen=True):
    """How a run shall behave, whatever its worker says: pinned to a version, or (None) not."""

    behavior: int
    version: VersionName | None = None
    is_one_time: bool = False
    """It is over when a worker of that version has completed a task."""


class Versioning(msgspec.Struct, array_like=True, frozen=True):
    """On which version of a worker deployment a run is, as its events tell it."""

    behavior: int = 0
    """Temporal's VersioningBehavior, by the worker that completed the newest task."""
    version: VersionName | None = None
    override: Override | None = None
    revision: int = 0
    """Of the routing by which the run before got to its version."""
    initial_behavior: int = 0
    """What the run before wanted for the first task of this one."""
    deployment: str = ""
    """Of the worker that completed the newest task, which may be an unversioned one."""
    completed_by: VersionName | None = None
    """The version of the worker that completed the newest task."""
    used: tuple[VersionName, ...] = ()
    """The versions of all workers that completed one, the oldest first."""
    stamps: tuple[str, ...] = ()
    """The builds that workers of versions have named in the old way too, the oldest first."""
    stamp: str = ""
    """Of the newest task, if a worker of a version completed it."""


class Target(msgspec.Struct, array_like=True, frozen=True):
    """Where new work goes, and by which revision of the routing."""

    version: VersionName | None
    revision: int


NO_TARGET = Target(None, 0)


class PendingVersioning(msgspec.Struct, array_like=True, frozen=True):
    """What is durable of a run's versioning and no event."""

    is_in_transition: bool = False
    transition: VersionName | None = None
    """Where to; None for workers of no version."""
    revision: int = 0
    """Of the routing by which the run got to its version."""
    notified: Target | None = None
    """Where new work goes, as a pinned run was told."""
    declined: Target | None = None
    """The same, as the run before was told, which has not gone there."""


class ResetPoint(msgspec.Struct, array_like=True, frozen=True):
    """A place that the history can be cut at: where a build first completed a task."""

    build_id: str
    run_id: str
    first_completed_event_id: int
    create_time_ns: int
    expire_time_ns: int = 0
    """When the closed run that it belongs to is deleted; 0 while that is open."""
    binary_checksum: str = ""
    """Of workers that name their build in this old way."""
    is_versioned: bool = False
    """It is a build of a worker deployment."""


class BaseRun(msgspec.Struct, array_like=True, frozen=True):
    """A run that another took over by a reset, up to (not with) an event."""

    run_id: str
    cut_event_id: int


class WorkflowPause(msgspec.Struct, array_like=True, frozen=True):
    """Who has paused a run, when, why, and by which request."""

    workflow_id: str
    identity: str
    time_ns: int
    reason: str
    request_id: str


class Recorded(msgspec.Struct, array_like=True):
    """The fold of a run's events (its scalar part)."""

    workflow_type: str
    task_queue: str
    run_id: str
    chain_run_id: str
    """The first run of the chain; "" when it is this one."""
    continued_run_id: str
    start_time_ns: int
    run_timeout_ns: int
    execution_timeout_ns: int
    execution_expiration_ns: int
    """When the whole chain must have ended; 0 when never."""
    workflow_task_timeout_ns: int
    first_task_backoff_ns: int
    attempt: int
    cron_schedule: str
    retry_policy: RetryPolicy | None
    initiator: int
    status: int = Status.RUNNING
    next_event_id: int = 1
    history_size_bytes: int = 0
    last_event_time_ns: int = 0
    close_event_id: int = 0
    close_time_ns: int = 0
    workflow_task: WorkflowTask | None = None
    completed_task_started_event_id: int = 0
    """WorkflowTaskStarted of the newest completed task: sticky workers have seen all before it."""
    cancel_requested_event_id: int = 0
    signals: int = 0
    successor_run_id: str = ""
    parent_namespace: str = ""
    parent_workflow_id: str = ""
    parent_run_id: str = ""
    parent_initiated_event_id: int = 0
    root_workflow_id: str = ""
    root_run_id: str = ""
    priority: bytes | None = None
    """A serialised Priority, which may be set and empty."""
    reset_points: tuple[ResetPoint, ...] = ()
    build_id: str = ""
    """Of the worker that completed the newest workflow task."""
    parent_namespace_id: str = ""
    original_start_time_ns: int = 0
    """Of a run that was made by a reset: when the history began that it took over. Its own start is
    the reset."""
    binary_checksum: str = ""
    """Of the worker that completed the newest workflow task."""
    versioning: Versioning | None = None
    """None of a run that has never had to do with versions."""
    is_stamped: bool = False
    """Whether the worker that completed the newest workflow task sent a stamp, be it empty."""

    @property
    def first_execution_run_id(self) -> str:
        """The first run of the chain."""
        return self.chain_run_id or self.run_id


class Pending(msgspec.Struct, array_like=True):
    """What is durable of a run but not an event (its scalar part)."""

    start_request_id: str = ""
    transient_task: WorkflowTask | None = None
    """An attempt above 1: it writes no events until it completes."""
    attempt: int = 1
    """The attempt that the next scheduled workflow task will be."""
    task_stamp: int = 0
    """Grows whenever a workflow task is offered anew, so that older offers and tokens are stale."""
    is_task_undelivered: bool = False
    """A started task whose poll had died: it is offered again, and its started event stands."""
    task_delivered_ns: int = 0
    """When the started task was last given to a worker: its start-to-close timeout counts from
    here."""
    is_first_task_scheduled: bool = False
    sticky_queue: str = ""
    sticky_timeout_ns: int = 0
    sticky_worker_unavailable: bool = False
    """The outstanding sticky task was moved to the normal queue, since nobody polls the sticky
    one."""
    heartbeat_since_ns: int = 0
    """When the series of workflow task heartbeats began; 0 outside of one."""
    buffered_next: int = 0
    buffered_bytes: int = 0
    is_cancel_requested: bool = False
    """Also while the event is still buffered."""
    cancel_request_id: str = ""
    transitions: int = 0
    """How many turns changed the run."""
    wake_at_ns: int = 0
    """The armed wake-up; 0 when none. Never later than the earliest deadline."""
    paused_types: tuple[str, ...] = ()
    """Types of the activities that were paused when one was paused or unpaused last."""
    reset_run_id: str = ""
    """The newest run that was made of this one by a reset."""
    reset_request_id: str = ""
    """Of a run that was made by a reset: the request that asked for it."""
    base_runs: tuple[BaseRun, ...] = ()
    """Of a run that was made by a reset while children were pending: whose children they are."""
    task_failures: int = 0
    """How many workflow tasks have failed since the last one was completed, but for those of a
    sticky worker."""
    task_problem: tuple[str, ...] = ()
    """How the newest of them failed that history tells of."""
    reported_problem: tuple[str, ...] = ()
    """The same, once there were so many that it is shown."""
    pause: WorkflowPause | None = None
    """While it is set, also by an event that is still buffered, no task of the run is on offer."""
    scheduled_by: Sender | None = None
    """The schedule that has started the chain, and hears of its end."""
    versioning: PendingVersioning | None = None


class Activity(msgspec.Struct, array_like=True):
    """The recorded half of a pending activity."""

    activity_id: str
    activity_type: str
    task_queue: str
    scheduled_event_id: int
    scheduled_time_ns: int
    schedule_to_close_ns: int
    schedule_to_start_ns: int
    start_to_close_ns: int
    heartbeat_ns: int
    retry_policy: RetryPolicy
    cancel_requested_event_id: int = 0
    priority: bytes | None = None
    use_workflow_build_id: bool = False


class ActivityOptions(msgspec.Struct, array_like=True, frozen=True):
    """What an operator gave an activity in place of what its workflow had asked for."""

    task_queue: str
    schedule_to_close_ns: int
    schedule_to_start_ns: int
    start_to_close_ns: int
    heartbeat_ns: int
    retry_policy: RetryPolicy
    priority: bytes | None = None


class Pause(msgspec.Struct, array_like=True, frozen=True):
    """Who paused an activity, and why."""

    time_ns: int
    identity: str
    reason: str
    request_id: str


class AttemptState(enum.IntEnum):
    """Where the newest attempt of an activity stands. Stored: never reuse a number."""

    SCHEDULED = 1
    BACKING_OFF = 2
    STARTED = 3
    OUTCOME_BUFFERED = 4
    """Its outcome is known and waits, as a buffered event, for the workflow task to close."""
    PAUSED = 5
    """Not started, and not on offer before an operator unpauses it."""


class Attempt(msgspec.Struct, array_like=True):
    """The pending half of a pending activity: its attempts are no events until the last one's
    outcome."""

    state: int
    scheduled_time_ns: int
    """When this attempt was (or, backing off, will be) ready to be polled."""
    attempt: int = 1
    stamp: int = 0
    started_time_ns: int = 0
    request_id: str = ""
    identity: str = ""
    heartbeat_time_ns: int = 0
    heartbeat_details: bytes = b""
    """A serialised Payloads, kept for the next attempt."""
    last_failure: bytes = b""
    """A serialised Failure of the newest failed attempt."""
    last_identity: str = ""
    last_attempt_complete_ns: int = 0
    started_event_id: int = 0
    worker_version: bytes = b""
    pause: Pause | None = None
    """Set while it is paused: one that is STARTED runs on, but is not followed by another."""
    options: ActivityOptions | None = None
    """What holds instead of what was recorded."""
    is_reset: bool = False
    """An operator reset it while a worker had it, which learns of that by its heartbeat."""
    forgets_heartbeat: bool = False
    """The next attempt shall not get the details of this one."""
    last_version: VersionName | None = None
    """Of the worker that had it last."""


class PendingActivity(msgspec.Struct, array_like=True):
    """Both halves, as they are stored: one row."""

    activity: Activity
    attempt: Attempt

    @property
    def options(self) -> Activity | ActivityOptions:
        """The queue, timeouts, policy and priority that hold now."""
        return self.attempt.options or self.activity


class Timer(msgspec.Struct, array_like=True):
    """A started timer. `is_fired` is its pending half: its TimerFired is buffered."""

    timer_id: str
    started_event_id: int
    due_ns: int
    is_fired: bool = False


class Child(msgspec.Struct, array_like=True):
    """A child that was initiated and has not ended. What follows `started_run_id` is its pending
    half: events of it that are buffered."""

    initiated_event_id: int
    workflow_id: str
    workflow_type: str
    parent_close_policy: int
    started_event_id: int = 0
    started_run_id: str = ""
    """The first run of its chain."""
    buffered_run_id: str = ""
    """The same, while its started event is buffered."""
    is_over: bool = False
    """Its end (or that it could not start) is buffered."""

    @property
    def first_run_id(self) -> str:
        """The first run of its chain; "" when that is not known yet."""
        return self.started_run_id or self.buffered_run_id


class ExternalRequest(msgspec.Struct, array_like=True):
    """A signal or a cancel request to another workflow, not answered yet. `is_answered` is its
    pending half: the answer is buffered."""

    initiated_event_id: int
    workflow_id: str
    run_id: str
    is_answered: bool = False


class Update(msgspec.Struct, array_like=True):
    """An update that history knows: by the ids of its events, 0 where it has not come so far."""

    update_id: str
    admitted_event_id: int = 0
    """Of one that a reset has carried over."""
    accepted_event_id: int = 0
    completed_event_id: int = 0
    is_rejected: bool = False
    """Its pending half: a worker has rejected what a reset had carried over, which is no event."""

    @property
    def waits(self) -> bool:
        """Whether history admits it, and nobody has said anything of it yet."""
        return bool(self.admitted_event_id) and not (self.accepted_event_id or self.is_rejected)


class CallbackState(enum.IntEnum):
    """Temporal's CallbackState."""

    STANDBY = 1
    SCHEDULED = 2
    BACKING_OFF = 3
    FAILED = 4
    SUCCEEDED = 5


class Callback(msgspec.Struct, array_like=True, frozen=True):
    """Somebody who wants to hear how a run has ended. What follows `registered_ns` is its pending
    half."""

    key: str
    """The event that it came with, and its place there."""
    callback: bytes
    """A serialised Callback."""
    registered_ns: int
    state: int = CallbackState.STANDBY
    attempt: int = 0
    """How many attempts are over."""
    due_ns: int = 0
    """When the next attempt begins, or the one that is under way is given up for lost; 0 when there
    is none."""
    completed_ns: int = 0
    """When the newest attempt was over."""
    failure: bytes = b""
    """A serialised Failure, of that attempt."""
    update_id: str = ""
    """Of the update whose end it is about; "" for the end of the run."""
    request_id: str = ""
    """By which it came, with an update."""


class Speculative(msgspec.Struct):
    """A workflow task that only brings updates: it is stored nowhere, and becomes a normal one as
    soon as anything is recorded. See `speculative.py`."""

    task: WorkflowTask
    stamp: int
    is_sticky: bool
    """Whether it is, or was, on the sticky queue."""
    is_undelivered: bool = False
    delivered_ns: int = 0


class BufferedEvent(msgspec.Struct, array_like=True):
    """An event that arrived while a workflow task was started: it has a time, and no id yet."""

    event_type: int
    event: bytes


class Request(msgspec.Struct, array_like=True):
    """A request id that was honoured, and the event that it led to (0 while that is buffered)."""

    request_id: str
    event_type: int
    event_id: int


class Run(msgspec.Struct):
    """One run: head and keyed parts."""

    recorded: Recorded
    pending: Pending
    activities: dict[int, PendingActivity] = {}
    activity_ids: dict[str, int] = {}
    """Index of `activities` by activity id; derived, never stored."""
    timers: dict[str, Timer] = {}
    buffered: dict[int, BufferedEvent] = {}
    requests: dict[str, Request] = {}
    blobs: dict[str, bytes] = {}
    children: dict[int, Child] = {}
    """By the id of their initiated event, as the two below."""
    external_signals: dict[int, ExternalRequest] = {}
    external_cancels: dict[int, ExternalRequest] = {}
    updates: dict[str, Update] = {}
    callbacks: dict[str, Callback] = {}
    nexus_operations: dict[int, PendingOperation] = {}
    """By the id of their scheduled event."""
    large_parts: dict[tuple[RecordKind, int | str], int] = {}
    """Sizes of the large keyed parts, in bytes; derived, never stored."""
    speculative: Speculative | None = None
    """Volatile, as the next: no part of what is stored."""
    speculative_stamp: int = 0
    """The newest one that a speculative task had."""

    @property
    def run_id(self) -> str:
        """Its UUID."""
        return self.recorded.run_id

    @property
    def wake_at_ns(self) -> int:
        """When it must be looked at again; 0: never."""
        return self.pending.wake_at_ns

    @property
    def last_event_id(self) -> int:
        """The newest event of its history."""
        return self.recorded.next_event_id - 1

    @property
    def is_open(self) -> bool:
        """Whether the run has no close event."""
        return self.recorded.status == Status.RUNNING

    @property
    def shown_status(self) -> Status:
        """Temporal's WorkflowExecutionStatus: an open run may be paused."""
        if self.pending.pause is not None and self.is_open:
            return Status.PAUSED
        return Status(self.recorded.status)

    @property
    def workflow_task(self) -> WorkflowTask | None:
        """The outstanding workflow task: recorded, transient or speculative."""
        task = self.recorded.workflow_task or self.pending.transient_task
        if task is None and self.speculative is not None:
            return self.speculative.task
        return task

    @property
    def is_task_started(self) -> bool:
        """Whether a worker holds a workflow task: events that arrive meanwhile are buffered."""
        task = self.workflow_task
        return task is not None and task.started_event_id != 0

    @property
    def task_stamp(self) -> int:
        """What offers and tokens of the outstanding workflow task must show."""
        return self.pending.task_stamp if self.speculative is None else self.speculative.stamp

    @property
    def is_task_undelivered(self) -> bool:
        """Whether the outstanding workflow task is started and on offer again all the same."""
        if self.speculative is None:
            return self.pending.is_task_undelivered
        return self.speculative.is_undelivered


class Workflow(msgspec.Struct):
    """The unit of decision: what one workflow id names."""

    namespace: str
    namespace_id: str
    workflow_id: str
    run: Run | None = None
    retention_ns: int = 0
    """How long the namespace keeps closed runs: reset points of a closed run expire with it."""
    volatile: Volatile | None = None
    """What dies with the process; None while there is nothing."""

    @property
    def must_stay(self) -> bool:
        """Whether something would be lost if it left the memory."""
        return self.volatile is not None or (
            self.run is not None and self.run.speculative is not None
        )

    @property
    def phase(self) -> Phase:
        """Where the workflow stands."""
        run = self.run
        if run is None:
            return Phase.ABSENT
        if run.recorded.status != Status.RUNNING:
            return Phase.CLOSED
        task = run.workflow_task
        if task is None:
            return Phase.IDLE if run.pending.is_first_task_scheduled else Phase.DELAYED
        return Phase.STARTED if task.started_event_id else Phase.SCHEDULED
