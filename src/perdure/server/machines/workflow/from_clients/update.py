"""UpdateWorkflowExecution and PollWorkflowExecutionUpdate: an update is admitted once per id, and
asked about as often as one likes."""

from __future__ import annotations

from perdure.server.machines.errors import (
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    WorkflowNotReady,
)
from perdure.server.machines.workflow import speculative, updates
from perdure.server.machines.workflow.from_clients.cancel import RUN_NOT_FOUND
from perdure.server.machines.workflow.from_clients.query import TASK_ATTEMPTS_MAX
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import (
    PollUpdate,
    UpdateStage,
    UpdateStatus,
    UpdateWorkflow,
)
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.turn import Turn

TASK_FAILS = "Unable to perform workflow execution update due to Workflow Task in failed state."
PAUSED = "Workflow is paused. Cannot update the workflow."
TOO_MANY = (
    "The limit on the total number of distinct updates in this workflow has been reached ({})."
    " Make sure any duplicate updates share an Update ID so the server can deduplicate them,"
    " and consider rejecting updates that you aren't going to process."
    " You can also Continue-as-New to avoid this;"
    " we recommend you check Continue-as-New Suggested in your Workflow."
)


def running(turn: Turn, message: UpdateWorkflow) -> UpdateStatus:
    """Admit the update, unless its id is known, and have it sent."""
    run = turn.run
    first = message.first_execution_run_id
    if first and first != run.recorded.first_execution_run_id:
        raise NotFound(RUN_NOT_FOUND)
    task = run.workflow_task
    attempt = task.attempt if task is not None else run.pending.attempt
    if attempt >= TASK_ATTEMPTS_MAX:
        raise WorkflowNotReady(TASK_FAILS)
    known = updates.status_of(turn.workflow, message.update_id)
    if known is not None:
        return known
    if run.pending.pause is not None:
        raise FailedPrecondition(PAUSED)
    check_room(run, turn, message)
    updates.admit(turn.workflow, message.update_id, message.request)
    if task is None:
        speculative.schedule(turn)  # Also before a delayed first task: it does not wait for that.
    return UpdateStatus(run.recorded.run_id, message.update_id, UpdateStage.ADMITTED)


def closed(turn: Turn, message: UpdateWorkflow) -> UpdateStatus:
    """A repeated update gets its answer again; a new one comes too late."""
    known = updates.status_of(turn.workflow, message.update_id)
    if known is None:
        raise NotFound(WORKFLOW_COMPLETED)
    return known


def poll(turn: Turn, message: PollUpdate) -> UpdateStatus:
    """How far an update has come."""
    known = updates.status_of(turn.workflow, message.update_id)
    if known is None:
        raise NotFound(f'update "{message.update_id}" not found')
    return known


def check_room(run: Run | None, turn: Turn, message: UpdateWorkflow) -> None:
    """Raises ResourceExhausted, FailedPrecondition when a run (None: one that is to begin) cannot
    take another update."""
    limits = turn.limits
    waiting = updates.admitted_of(turn.workflow) if run is not None else {}
    known = run.updates if run is not None else {}
    in_flight = updates.in_flight(run, turn.workflow) if run is not None else 0
    if in_flight >= limits.updates_in_flight_max:
        raise ResourceExhausted(
            "limit on number of concurrent in-flight updates has been reached"
            f" ({limits.updates_in_flight_max})",
            is_concurrency=True,
        )
    size_bytes = sum(len(admitted.request) for admitted in waiting.values())
    if size_bytes + len(message.request) > limits.updates_in_flight_bytes_max:
        raise ResourceExhausted(
            "limit on total payload size of in-flight updates has been reached"
            f" ({limits.updates_in_flight_bytes_max} bytes)",
            is_concurrency=True,
        )
    if len(known) + len(waiting) >= limits.updates_max:
        raise FailedPrecondition(TOO_MANY.format(limits.updates_max))
