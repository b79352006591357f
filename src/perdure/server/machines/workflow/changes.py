"""Changes of what is pending: durable, but no event. Together with events, they are all that
`evolve` understands."""

from __future__ import annotations

import msgspec

from perdure.server.machines.schedule.messages import Sender
from perdure.server.machines.workflow.nexus.state import Calls
from perdure.server.machines.workflow.state import (
    Attempt,
    BaseRun,
    Callback,
    PendingVersioning,
    RecordKind,
    WorkflowPause,
    WorkflowTask,
)


class ScheduleNoted(msgspec.Struct, frozen=True):
    """A schedule has started the chain of this run, and hears of its end."""

    sender: Sender


class StartAccepted(msgspec.Struct, frozen=True):
    """The run exists because of this request."""

    request_id: str


class StartEventKept(msgspec.Struct, frozen=True):
    """The serialised start event stays at hand, for the successor that the server may have to
    start."""

    event: bytes


class ResetFrom(msgspec.Struct, frozen=True):
    """The run took over the history of another: what is durable of it, and no event."""

    start_request_id: str
    reset_request_id: str
    base_runs: tuple[BaseRun, ...]


class ResetInto(msgspec.Struct, frozen=True):
    """Another run took over the history of this one."""

    run_id: str


class PauseSet(msgspec.Struct, frozen=True):
    """The run is paused, or (None) goes on."""

    pause: WorkflowPause | None


class VersioningChanged(msgspec.Struct, frozen=True):
    """The run goes over to another version, or has done so; or it knows where new work goes."""

    versioning: PendingVersioning


class TaskScheduled(msgspec.Struct, frozen=True):
    """A workflow task is on offer; `transient` when it writes no event yet."""

    transient: WorkflowTask | None
    heartbeat_since_ns: int
    stamp: int = 0
    """Of a task that was speculative and is known by it; else the next one."""


class TaskStarted(msgspec.Struct, frozen=True):
    """A worker got the task; `transient` is its new value when it writes no event yet."""

    transient: WorkflowTask | None
    delivered_ns: int


class TaskClosed(msgspec.Struct, frozen=True):
    """The task is over; the next one will be this attempt."""

    next_attempt: int


class ProblemNoted(msgspec.Struct, frozen=True):
    """So many workflow tasks have failed in a row, the newest that is told of by `problem`."""

    failures: int
    problem: tuple[str, ...]
    reported: tuple[str, ...]


class TaskUndelivered(msgspec.Struct, frozen=True):
    """The started task never reached its worker: it is on offer again."""


class TaskRedelivered(msgspec.Struct, frozen=True):
    """The task that was on offer again has a worker."""

    delivered_ns: int


class StickySet(msgspec.Struct, frozen=True):
    """Which worker's queue gets the next tasks; "" for none."""

    queue: str
    timeout_ns: int


class StickyUnavailable(msgspec.Struct, frozen=True):
    """The outstanding task left its sticky queue for the normal one."""


class TaskOfferedAnew(msgspec.Struct, frozen=True):
    """The scheduled task is for other workers: older offers of it are stale."""


class EventBuffered(msgspec.Struct, frozen=True):
    """An event waits for the workflow task to close."""

    event_type: int
    event: bytes


class BufferedDropped(msgspec.Struct, frozen=True):
    """A buffered event will never be recorded (a cancelled timer's TimerFired)."""

    index: int


class BufferTaken(msgspec.Struct, frozen=True):
    """All buffered events leave the buffer, to be recorded or (at a close) forgotten."""


class RequestNoted(msgspec.Struct, frozen=True):
    """A request id was honoured by a buffered event."""

    request_id: str
    event_type: int


class CancelNoted(msgspec.Struct, frozen=True):
    """Cancellation was requested, by this request id."""

    request_id: str


class AttemptChanged(msgspec.Struct, frozen=True):
    """The newest attempt of an activity, whole."""

    scheduled_event_id: int
    attempt: Attempt


class PausesNoted(msgspec.Struct, frozen=True):
    """Which types of activity are paused has changed."""

    types: tuple[str, ...]


class TimerFireBuffered(msgspec.Struct, frozen=True):
    """The timer is over; its event is buffered."""

    timer_id: str


class ChildStartBuffered(msgspec.Struct, frozen=True):
    """The child runs; its started event is buffered."""

    initiated_event_id: int
    run_id: str


class ChildEndBuffered(msgspec.Struct, frozen=True):
    """The child is over, or will never be; the event that says so is buffered."""

    initiated_event_id: int


class ExternalAnswerBuffered(msgspec.Struct, frozen=True):
    """What became of a signal or a cancel request is known; its event is buffered."""

    kind: RecordKind
    initiated_event_id: int


class UpdateRejected(msgspec.Struct, frozen=True):
    """An update that a reset had carried over was rejected."""

    update_id: str


class CallbackChanged(msgspec.Struct, frozen=True):
    """A callback, whole."""

    callback: Callback


class NexusCallsChanged(msgspec.Struct, frozen=True):
    """The pending half of a Nexus operation, whole."""

    scheduled_event_id: int
    calls: Calls


class TurnTaken(msgspec.Struct, frozen=True):
    """Another decision has changed the run."""


class WakeArmed(msgspec.Struct, frozen=True):
    """When the run must be looked at again (0: never)."""

    wake_at_ns: int


Change = (
    StartAccepted
    | ScheduleNoted
    | StartEventKept
    | ResetFrom
    | ResetInto
    | PauseSet
    | VersioningChanged
    | TaskScheduled
    | TaskStarted
    | TaskClosed
    | ProblemNoted
    | TaskUndelivered
    | TaskRedelivered
    | StickySet
    | StickyUnavailable
    | TaskOfferedAnew
    | EventBuffered
    | BufferedDropped
    | BufferTaken
    | RequestNoted
    | CancelNoted
    | AttemptChanged
    | PausesNoted
    | TimerFireBuffered
    | ChildStartBuffered
    | ChildEndBuffered
    | ExternalAnswerBuffered
    | UpdateRejected
    | CallbackChanged
    | NexusCallsChanged
    | TurnTaken
    | WakeArmed
)
