"""What a reset is made of: where a history may be cut, the run that its beginning folds to, and
which of the later events are done again.

A run can be cut where a workflow task is outstanding: after the event that scheduled it and up to
the one that started it. The cut is named by the first event that is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from temporalio.api.enums.v1 import event_type_pb2 as types
from temporalio.api.enums.v1.reset_pb2 import (
    RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
    RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
    RESET_REAPPLY_TYPE_NONE,
    RESET_REAPPLY_TYPE_SIGNAL,
)
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.update.v1 import Request
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest

from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.wire import event_of
from perdure.server.machines.workflow.evolve import evolve_event, run_from_start
from perdure.server.machines.workflow.state import BaseRun, Run, Status

BASE_RUNS_MAX = 50
"""Resets of resets, of which the children of the first still find the last."""

SIGNALED = types.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
UPDATES = frozenset(
    (
        types.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED,
        types.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    )
)
"""Each has the request of an update, unless an event before it has it."""
OF_CHILDREN = frozenset(
    (
        types.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED,
        types.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED,
        types.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
        types.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
        types.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
        types.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
        types.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
    )
)
"""What a run hears of its children."""
OF_NEXUS_OPERATIONS = frozenset(
    (
        types.EVENT_TYPE_NEXUS_OPERATION_STARTED,
        types.EVENT_TYPE_NEXUS_OPERATION_COMPLETED,
        types.EVENT_TYPE_NEXUS_OPERATION_FAILED,
        types.EVENT_TYPE_NEXUS_OPERATION_CANCELED,
        types.EVENT_TYPE_NEXUS_OPERATION_TIMED_OUT,
    )
)
"""What a run hears of its Nexus operations; what it asks of them is not done again."""
INITIATED = frozenset(
    (
        types.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
        types.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
        types.EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
    )
)
"""What a run asks of other workflows."""
OPTIONS_UPDATED = types.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED
DONE_AGAIN = frozenset((SIGNALED, OPTIONS_UPDATED, *UPDATES, *OF_CHILDREN, *OF_NEXUS_OPERATIONS))
"""Events after the cut that may be done again."""
DONE_AGAIN_OF_SUCCESSORS = DONE_AGAIN - OF_CHILDREN - OF_NEXUS_OPERATIONS
BATCH_STARTS = frozenset(
    (
        types.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        types.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        types.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        types.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
    )
)
_COMMANDED = "workflow_task_completed_event_id"


class Fold(msgspec.Struct):
    """The beginning of a history, folded so far."""

    run: Run | None = None
    task_close_ns: int = 0
    """When the newest workflow task was closed, or else the run begun."""
    last_type: int = 0
    last_time_ns: int = 0
    has_had_task: bool = False
    initiated: dict[int, bytes] = {}
    """What was asked of other workflows, as serialised events."""

    def feed(self, entries: Iterable[bytes]) -> None:
        """Fold some more of it: entries of a serialised History."""
        for entry in entries:
            event = HistoryEvent.FromString(event_of(entry))
            if self.run is None:
                self.run = run_from_start(event, len(entry), set())
                self.task_close_ns = event.event_time.ToNanoseconds()
            else:
                evolve_event(self.run, event, len(entry), set())
            self.last_type = event.event_type
            self.last_time_ns = event.event_time.ToNanoseconds()
            if event.event_type == types.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
                self.has_had_task = True
            if event.event_type in INITIATED:
                self.initiated[event.event_id] = event_of(entry)
            if event.event_type in BATCH_STARTS:
                self.task_close_ns = self.last_time_ns

    @property
    def is_task_next(self) -> bool:
        """Whether it ends with a workflow task that failed or timed out, of which the next attempt
        has written nothing."""
        return self.last_type in (
            types.EVENT_TYPE_WORKFLOW_TASK_FAILED,
            types.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
        )


def check_range(base: Run, cut_event_id: int) -> None:
    """Raises InvalidArgument unless a run has both the event at the cut and one before it."""
    next_event_id = base.recorded.next_event_id + (base.pending.transient_task is not None)
    if not 1 < cut_event_id < next_event_id:
        raise InvalidArgument("Workflow task finish ID must be > 1 && <= workflow last event ID.")


def check_cut(prefix: Fold, following: HistoryEvent | None, cut_event_id: int) -> None:
    """Raises InvalidArgument unless a workflow task is outstanding at the cut; `following` is the
    event there, if there is one."""
    assert prefix.run is not None, "a history has a beginning"
    task = prefix.run.recorded.workflow_task
    # A task that is no first attempt was written with its start, when it was closed.
    if task is not None and (task.started_event_id or task.attempt == 1):
        return
    scheduled = types.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    if prefix.is_task_next and (
        following is None
        or (
            following.event_type == scheduled
            and following.workflow_task_scheduled_event_attributes.attempt > 1
        )
    ):
        return
    if task is not None or (following is not None and not _starts_batch(prefix, following)):
        raise InvalidArgument(
            "StateRebuilder unable to Rebuild mutable state to event ID:"
            f" {cut_event_id - 1}, version: 0, this event must be at the boundary"
        )
    raise InvalidArgument(
        "Can only reset workflow to event ID in range"
        f" [WorkflowTaskScheduled +1, WorkflowTaskStarted + 1]: {cut_event_id}"
    )


def _starts_batch(prefix: Fold, event: HistoryEvent) -> bool:
    """Whether the real server would have written this event apart from those before it: it closes
    or starts a task, or it came by itself, later than the task before it was closed. The first
    task comes by itself at the end of a delay."""
    if event.event_type in BATCH_STARTS:
        return True
    time_ns = event.event_time.ToNanoseconds()
    if event.event_type == types.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED and not prefix.has_had_task:
        return time_ns > prefix.last_time_ns
    attributes = getattr(event, str(event.WhichOneof("attributes")))
    if event.event_type == types.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED or hasattr(
        attributes, _COMMANDED
    ):
        return False
    return time_ns > prefix.task_close_ns


def done_again(entries: Iterable[bytes], *, is_base: bool) -> list[bytes]:
    """Those of some later events that may be done again, serialised: of the run that is reset, and
    of those that it continued as."""
    wanted = DONE_AGAIN if is_base else DONE_AGAIN_OF_SUCCESSORS
    kept = []
    for entry in entries:
        serialised = event_of(entry)
        if HistoryEvent.FromString(serialised).event_type in wanted:
            kept.append(serialised)
    return kept


def update_request(event: HistoryEvent) -> Request | None:
    """The request that an event has of an update; None when an event before it has it."""
    if event.event_type == types.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
        return event.workflow_execution_update_admitted_event_attributes.request
    accepted = event.workflow_execution_update_accepted_event_attributes
    return accepted.accepted_request if accepted.HasField("accepted_request") else None


def excluded_types(request: ResetWorkflowExecutionRequest) -> frozenset[int]:
    """What the request wants not to be done again, also by the field that this replaced."""
    excluded = set(request.reset_reapply_exclude_types)
    if request.reset_reapply_type == RESET_REAPPLY_TYPE_NONE:
        excluded |= {RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL, RESET_REAPPLY_EXCLUDE_TYPE_UPDATE}
    elif request.reset_reapply_type == RESET_REAPPLY_TYPE_SIGNAL:
        excluded.add(RESET_REAPPLY_EXCLUDE_TYPE_UPDATE)
    return frozenset(excluded)


def base_runs_of(base: Run, new: Run, cut: int) -> tuple[BaseRun, ...]:
    """The runs whose children `new` has taken over from `base`."""
    if not (new.children or new.external_signals or new.external_cancels):
        return ()
    earlier = (BaseRun(run.run_id, min(run.cut_event_id, cut)) for run in base.pending.base_runs)
    return (*earlier, BaseRun(base.recorded.run_id, cut))[-BASE_RUNS_MAX:]


def initiator_of(base: Run, event_id: int) -> str:
    """Which run recorded an event that `base` has, by itself or by a reset."""
    for run in base.pending.base_runs:
        if event_id < run.cut_event_id:
            return run.run_id
    return base.recorded.run_id


def has_taken_over(run: Run, run_id: str, event_id: int) -> bool:
    """Whether an event of another run is one of this run's too, since that was reset into this."""
    return any(
        base.run_id == run_id and event_id < base.cut_event_id for base in run.pending.base_runs
    )


def successor_to_follow(run: Run) -> str:
    """The run that a closed one continued as, whose events may be done again as well; "" when there
    is none."""
    recorded = run.recorded
    return recorded.successor_run_id if recorded.status == Status.CONTINUED_AS_NEW else ""
