"""QueryWorkflow: whether a query may be asked of a worker at once, or has to wait for a workflow
task.

It may at once when the workflow has seen all of its history: when the run is closed, or no workflow
task is outstanding. Nothing is recorded, ever.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import query_pb2

from perdure.server.machines.errors import BusyWorkflow, WorkflowNotReady
from perdure.server.machines.workflow import queries
from perdure.server.machines.workflow.inputs import (
    AskDirectly,
    Done,
    ForgetQuery,
    QueryRejected,
    QueryWaits,
    QueryWorkflow,
)
from perdure.server.machines.workflow.outstanding_task import priority_of
from perdure.server.machines.workflow.state import Run, Status
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import directive_of

TASK_ATTEMPTS_MAX = 3
"""A workflow whose task fails for the third time would not answer."""
NOT_SCHEDULED = "Workflow task is not scheduled yet."
NEVER_STARTED = "Workflow execution closed before WorkflowTaskStarted event"
TASK_FAILS = "Unable to query workflow due to Workflow Task in failed state."
BUFFER_FULL = (
    "consistent query buffer is full,"
    " this may be caused by too many queries and workflow not able to process query fast enough"
)
_ENDED_FROM_OUTSIDE = (Status.TERMINATED, Status.TIMED_OUT)
"""So ends a run though its worker may not have seen all that came before."""


def running(turn: Turn, message: QueryWorkflow) -> QueryWaits | AskDirectly | QueryRejected:
    """Let the query wait for a workflow task, if the outcome of one is outstanding. A paused run
    answers nobody."""
    run = turn.run
    if run.pending.pause is not None:
        return QueryRejected(run.shown_status)
    recorded = run.recorded
    due_ns = recorded.start_time_ns + recorded.first_task_backoff_ns
    if not run.pending.is_first_task_scheduled and 0 < message.deadline_ns < due_ns:
        raise WorkflowNotReady(NOT_SCHEDULED)
    _check_task(run)
    if recorded.completed_task_started_event_id and (
        message.is_unblocked or run.workflow_task is None
    ):
        return _directly(run)
    waiting = queries.waiting(turn.workflow)
    if len(waiting) >= turn.limits.queries_max:
        raise BusyWorkflow(BUFFER_FULL)
    query_id = turn.ids.uuid()
    queries.wait(turn.workflow, query_id, message.query)
    return QueryWaits(recorded.run_id, query_id)


def closed(turn: Turn, message: QueryWorkflow) -> AskDirectly | QueryRejected:
    """A closed run answers for ever, unless the caller asked for open ones only."""
    run = turn.run
    status = run.recorded.status
    condition = message.reject_condition
    if condition == query_pb2.QUERY_REJECT_CONDITION_NOT_OPEN or (
        condition == query_pb2.QUERY_REJECT_CONDITION_NOT_COMPLETED_CLEANLY
        and status != Status.COMPLETED
    ):
        return QueryRejected(status)
    if not run.recorded.completed_task_started_event_id:
        raise WorkflowNotReady(NEVER_STARTED)
    _check_task(run)
    return _directly(run, has_seen_all=status not in _ENDED_FROM_OUTSIDE)


def forget(turn: Turn, message: ForgetQuery) -> Done:
    """Nobody waits for the answer any more."""
    queries.forget(turn.workflow, message.query_id)
    return Done()


def _check_task(run: Run) -> None:
    task = run.workflow_task
    attempt = task.attempt if task is not None else run.pending.attempt
    if attempt >= TASK_ATTEMPTS_MAX:
        raise WorkflowNotReady(TASK_FAILS)


def _directly(run: Run, *, has_seen_all: bool = True) -> AskDirectly:
    """A worker with the run in its memory is asked first, if it has seen everything."""
    recorded, pending = run.recorded, run.pending
    return AskDirectly(
        run_id=recorded.run_id,
        task_queue=recorded.task_queue,
        sticky_queue=pending.sticky_queue if has_seen_all else "",
        sticky_timeout_ns=pending.sticky_timeout_ns,
        is_open=run.is_open,
        priority=priority_of(recorded.priority),
        directive=directive_of(run),
    )
