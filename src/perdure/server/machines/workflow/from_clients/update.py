"""UpdateWorkflowExecution and PollWorkflowExecutionUpdate: an update is admitted once per id, and
asked about as often as one likes."""

from __future__ import annotations

from temporalio.api.update.v1 import Request

from perdure.server.machines.errors import (
    FailedPrecondition,
    NotFound,
    ResourceExhausted,
    WorkflowNotReady,
)
from perdure.server.machines.workflow import changes, events, speculative, updates
from perdure.server.machines.workflow.from_clients.cancel import RUN_NOT_FOUND
from perdure.server.machines.workflow.from_clients.query import TASK_ATTEMPTS_MAX
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.from_clients.start import check_callbacks
from perdure.server.machines.workflow.inputs import (
    PollUpdate,
    UpdateStage,
    UpdateStatus,
    UpdateWorkflow,
)
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.volatile import Admitted

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
    _check_chain(turn, message)
    run = turn.run
    task = run.workflow_task
    attempt = task.attempt if task is not None else run.pending.attempt
    if attempt >= TASK_ATTEMPTS_MAX:
        raise WorkflowNotReady(TASK_FAILS)
    known = updates.status_of(turn.workflow, message.update_id)
    if known is not None:
        _attach(turn, message)
        return known
    if run.pending.pause is not None:
        raise FailedPrecondition(PAUSED)
    check_room(run, turn, message)
    updates.admit(turn.workflow, message.update_id, message.request)
    if task is None:
        speculative.schedule(turn)  # Also before a delayed first task: it does not wait for that.
    return UpdateStatus(run.recorded.run_id, message.update_id, UpdateStage.ADMITTED)


def _check_chain(turn: Turn, message: UpdateWorkflow) -> None:
    first = message.first_execution_run_id
    if first and first != turn.run.recorded.first_execution_run_id:
        raise NotFound(RUN_NOT_FOUND)


def _attach(turn: Turn, message: UpdateWorkflow) -> None:
    """Another request for an update that goes on: it may want to hear of its end, too."""
    request = Request.FromString(message.request)
    recorded = turn.run.updates.get(message.update_id)
    if (
        not request.completion_callbacks
        or request.request_id in turn.run.requests
        or (recorded is not None and recorded.completed_event_id)
    ):
        return
    admitted = updates.admitted_of(turn.workflow).get(message.update_id)
    if admitted is not None:
        _attach_admitted(turn, admitted, request)
        return
    check_callbacks(turn, len(request.completion_callbacks))
    event = events.update_attached(
        message.update_id, request.request_id, request.completion_callbacks
    )
    if not turn.record_or_buffer(event):
        turn.change(changes.RequestNoted(request.request_id, event.event_type))


def _attach_admitted(turn: Turn, admitted: Admitted, request: Request) -> None:
    """It is recorded with the acceptance, as the request that came first."""
    first = Request.FromString(admitted.request)
    if request.request_id in (first.request_id, *admitted.attached):
        return
    others = [Request.FromString(other) for other in admitted.attached.values()]
    known = sum(len(each.completion_callbacks) for each in (first, request, *others))
    check_callbacks(turn, known)
    kept = Request(completion_callbacks=request.completion_callbacks)
    admitted.attached[request.request_id] = kept.SerializeToString(deterministic=True)


def closed(turn: Turn, message: UpdateWorkflow) -> UpdateStatus:
    """A repeated update gets its answer again; a new one comes too late."""
    _check_chain(turn, message)
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
