"""Every side effect that a decision can ask for, on one page.

Nearly all are rows of the commit of their turn, or can be made again from what it wrote; what a
lost one would have done, its durable twin does later. `SettleQuery` has no twin: who waits for the
answer of a query is told to try again.
"""

from __future__ import annotations

import enum

import msgspec

from perdure.server.machines.effects import DeleteRun, SendMessage
from perdure.server.machines.workflow.inputs import UpdateStatus


class TaskKind(enum.IntEnum):
    """Temporal's TaskQueueType."""

    WORKFLOW = 1
    ACTIVITY = 2
    NEXUS = 3
    """Its tasks are stored nowhere: whoever sent one waits for the answer."""


class OfferTask(msgspec.Struct, frozen=True):
    """A task is ready for a poller of `queue`: a dispatch row, unless a waiting poller takes it in
    the same commit.

    `sticky_for` is the normal queue when `queue` is a worker's own.
    """

    run_id: str
    kind: TaskKind
    queue: str
    scheduled_event_id: int
    stamp: int
    ready_at_ns: int
    priority: int
    sticky_for: str = ""
    is_stored: bool = True
    """A speculative task is only offered in memory."""
    directive: bytes = b""
    """What says for workers of which version it is (`queue.routing.Directive`); b"" leaves it to
    the deployments of the queue."""
    version: str = ""
    """With `sticky_for`: the version of the worker, "" for one of none."""


class WithdrawTask(msgspec.Struct, frozen=True):
    """The task of this event is no longer on offer: its dispatch row goes."""

    run_id: str
    scheduled_event_id: int


class SettleQuery(msgspec.Struct, frozen=True):
    """A waiting query has its answer: a serialised WorkflowQueryResult, or why that is refused.
    With neither, it may be asked of a worker directly."""

    run_id: str
    query_id: str
    result: bytes | None = None
    refusal: str = ""


class TellUpdate(msgspec.Struct, frozen=True):
    """Whoever waits for an update hears how far it has come."""

    status: UpdateStatus


class InvokeCallback(msgspec.Struct, frozen=True):
    """Tell somebody how the run has ended; `CallbackAttempted` is the answer. When that does not
    come, the run's wake-up asks again."""

    run_id: str
    key: str
    attempt: int


class CallNexus(msgspec.Struct, frozen=True):
    """Ask the handler of a Nexus operation to start or to cancel it; `NexusStartAnswered` or
    `NexusCancelAnswered` is what became of it. When that does not come, the run's wake-up asks
    again."""

    run_id: str
    scheduled_event_id: int
    attempt: int
    is_cancel: bool
    timeout_ns: int
    operation_timeout_ns: int = 0
    """What is left for the operation to complete; 0 for no limit."""


class LookAgain(msgspec.Struct, frozen=True):
    """Wake the run up at that time, for the sake of what is volatile."""

    run_id: str
    at_ns: int


Effect = (
    OfferTask
    | WithdrawTask
    | DeleteRun
    | SendMessage
    | SettleQuery
    | TellUpdate
    | InvokeCallback
    | CallNexus
    | LookAgain
)
