"""QueryWorkflow: whether a query may be asked of a worker at once, or has to wait for a workflow
task.

It may at once when the workflow has seen all of its history: when the run is closed, or no workflow
task is outstanding. Nothing is recorded, ever.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import query_pb2

from perdure.server.machines.errors import ResourceExhausted, WorkflowNotReady
from perdure.server.machines.workflow import queries
from perdure.server.machines.workflow.inputs import (
    AskDirectly,
    Done,
    ForgetQuery,
    QueryRejected,
    QueryWaits,
    QueryWorkflow,
)
from perdure.server.machines.workflow.state import Run, Status
from perdure.server.machines.workflow.turn import Turn

TASK_ATTEMPTS_MAX = 3
"""A workflow whose task fails for the third time would not answer."""
TASK_FAILS = "Unable to query workflow due to Workflow Task in failed state."
BUFFER_FULL = (
    "consistent query buffer is full,"
    " this may be caused by too many queries and workflow not able to process query fast enough"
)


def running(turn: Turn, message: QueryWorkflow) -> QueryWaits | AskDirectly:
    """Let the query wait for a workflow task, if the outcome of one is outstanding."""
    run = turn.run
    _check_task(run)
    if run.workflow_task is None and run.recorded.completed_task_started_event_id:
        return _directly(run)
    waiting = queries.waiting(turn.workflow)
    if len(waiting) >= turn.limits.queries_max:
        raise ResourceExhausted(BUFFER_FULL)
    query_id = turn.ids.uuid()
    queries.wait(turn.workflow, query_id, message.query)
    return QueryWaits(query_id)


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
    _check_task(run)
    return _directly(run)


def forget(turn: Turn, message: ForgetQuery) -> Done:
    """Nobody waits for the answer any more."""
    queries.forget(turn.workflow, message.query_id)
    return Done()


def _check_task(run: Run) -> None:
    task = run.workflow_task
    attempt = task.attempt if task is not None else run.pending.attempt
    if attempt >= TASK_ATTEMPTS_MAX:
        raise WorkflowNotReady(TASK_FAILS)


def _directly(run: Run) -> AskDirectly:
    recorded, pending = run.recorded, run.pending
    return AskDirectly(
        run_id=recorded.run_id,
        task_queue=recorded.task_queue,
        sticky_queue=pending.sticky_queue,
        sticky_timeout_ns=pending.sticky_timeout_ns,
        is_open=run.is_open,
    )
