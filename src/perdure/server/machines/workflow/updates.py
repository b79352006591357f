"""Updates: how one goes from a client to its workflow, and what becomes of it.

An update is admitted (kept in memory only), sent with the next workflow task, and then accepted or
rejected by the worker that has it. From its acceptance on it is in the history; a rejected one has
never been there. `NEXT` is the table of what a worker may say of an update, by how far that has
come; whatever is not in it fails the worker's task.
"""

from __future__ import annotations

import enum

from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import Acceptance, Rejection, Request, Response

from perdure.server.machines.workflow import callbacks, changes, events
from perdure.server.machines.workflow.effects import TellUpdate
from perdure.server.machines.workflow.inputs import UpdateAbort, UpdateStage, UpdateStatus
from perdure.server.machines.workflow.state import Run, Status, Workflow, WorkflowTask
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.volatile import Admitted, Volatile

Body = Acceptance | Rejection | Response
"""What a worker says of an update."""


class Place(enum.StrEnum):
    """How far an update has come, as texts to workers spell it."""

    ADMITTED = "Admitted"
    SENT = "Sent"
    PROVISIONALLY_ACCEPTED = "ProvisionallyAccepted"
    ACCEPTED = "Accepted"
    PROVISIONALLY_COMPLETED = "ProvisionallyCompleted"
    COMPLETED = "Completed"


NEXT: dict[tuple[Place, type[Body]], Place] = {
    (Place.ADMITTED, Acceptance): Place.PROVISIONALLY_ACCEPTED,
    (Place.ADMITTED, Rejection): Place.PROVISIONALLY_COMPLETED,
    (Place.SENT, Acceptance): Place.PROVISIONALLY_ACCEPTED,
    (Place.SENT, Rejection): Place.PROVISIONALLY_COMPLETED,
    (Place.PROVISIONALLY_ACCEPTED, Response): Place.PROVISIONALLY_COMPLETED,
    (Place.ACCEPTED, Response): Place.PROVISIONALLY_COMPLETED,
}
"""What a worker may say. "Provisionally": by a message before this one in the same completion."""

_UNPROCESSED = Failure(
    message="Workflow Update is rejected because it wasn't processed by worker."
    " Probably, Workflow Update is not supported by the worker.",
    source="Server",
    application_failure_info=ApplicationFailureInfo(type="UnprocessedUpdate", non_retryable=True),
).SerializeToString(deterministic=True)
WORKFLOW_COMPLETED_FIRST = Failure(
    message="Workflow Update failed because the Workflow completed before the Update completed.",
    source="Server",
    application_failure_info=ApplicationFailureInfo(
        type="AcceptedUpdateCompletedWorkflow", non_retryable=True
    ),
).SerializeToString(deterministic=True)


def place_of(workflow: Workflow, update_id: str) -> Place | None:
    """How far an update has come; None when the workflow does not know it."""
    run = workflow.run
    known = run.updates.get(update_id) if run is not None else None
    if known is not None and known.completed_event_id:
        return Place.COMPLETED
    if known is not None and known.accepted_event_id:
        return Place.ACCEPTED
    admitted = admitted_of(workflow).get(update_id)
    if admitted is not None:
        return Place.SENT if admitted.is_sent else Place.ADMITTED
    return Place.ADMITTED if known is not None and known.waits else None


def status_of(workflow: Workflow, update_id: str) -> UpdateStatus | None:
    """What may be told of an update; None when the workflow does not know it."""
    run = workflow.run
    place = place_of(workflow, update_id)
    if run is None or place is None:
        return None
    run_id = run.recorded.run_id
    known = run.updates.get(update_id)
    if known is None or not known.accepted_event_id:
        return UpdateStatus(run_id, update_id, UpdateStage.ADMITTED) if run.is_open else None
    if known.completed_event_id:
        return UpdateStatus(
            run_id, update_id, UpdateStage.COMPLETED, completed_event_id=known.completed_event_id
        )
    if run.is_open:
        return UpdateStatus(run_id, update_id, UpdateStage.ACCEPTED)
    return UpdateStatus(run_id, update_id, UpdateStage.COMPLETED, failure=WORKFLOW_COMPLETED_FIRST)


def admitted_of(workflow: Workflow) -> dict[str, Admitted]:
    """The updates that wait for a worker's word."""
    return workflow.volatile.updates if workflow.volatile is not None else {}


def admit(workflow: Workflow, update_id: str, request: bytes) -> None:
    """Keep an update until a workflow task brings it to its workflow."""
    if workflow.volatile is None:
        workflow.volatile = Volatile()
    workflow.volatile.updates[update_id] = Admitted(request)


def forget(workflow: Workflow, update_id: str) -> None:
    """It does not wait any more."""
    volatile = workflow.volatile
    if volatile is not None:
        volatile.updates.pop(update_id, None)
        if volatile.is_empty:
            workflow.volatile = None


def sent(workflow: Workflow, task: WorkflowTask) -> list[bytes]:
    """The messages of a workflow task that is started now: all updates that wait."""
    messages = []
    for update_id, admitted in admitted_of(workflow).items():
        admitted.is_sent = True
        message = Message(
            id=f"{update_id}/request",
            protocol_instance_id=update_id,
            event_id=task.started_event_id - 1,
        )
        message.body.type_url = "type.googleapis.com/temporal.api.update.v1.Request"
        message.body.value = admitted.request
        messages.append(message.SerializeToString(deterministic=True))
    return messages


def has_unsent(workflow: Workflow) -> bool:
    """Whether an update waits that the outstanding workflow task does not carry."""
    volatile = workflow.volatile
    return volatile is not None and any(
        not admitted.is_sent for admitted in volatile.updates.values()
    )


# ---- what a worker says


def apply(turn: Turn, update_id: str, body: Body) -> None:
    """Carry out what was checked: an acceptance and an outcome are recorded, a rejection is only
    told."""
    run = turn.run
    match body:
        case Rejection():
            failure = body.failure.SerializeToString(deterministic=True)
            _reject(turn, update_id, failure)
        case Acceptance():
            admitted = admitted_of(turn.workflow).get(update_id)
            known = run.updates.get(update_id)
            request: Request | None = body.accepted_request
            if admitted is not None:
                request = Request.FromString(admitted.request)
            elif known is not None and known.waits:
                request = None  # History has it.
            turn.record(
                events.update_accepted(
                    update_id, body.accepted_request_sequencing_event_id, request
                )
            )
            for request_id, other in admitted.attached.items() if admitted is not None else ():
                callbacks_of = Request.FromString(other).completion_callbacks
                turn.record(events.update_attached(update_id, request_id, callbacks_of))
            forget(turn.workflow, update_id)
            _tell(turn, UpdateStatus(run.recorded.run_id, update_id, UpdateStage.ACCEPTED))
        case Response():
            accepted_event_id = run.updates[update_id].accepted_event_id
            event_id = turn.record(events.update_completed(body, accepted_event_id))
            _tell(
                turn,
                UpdateStatus(
                    run.recorded.run_id,
                    update_id,
                    UpdateStage.COMPLETED,
                    completed_event_id=event_id,
                ),
            )
            if run.callbacks:
                callbacks.trigger(turn, update_id)


def reject_unprocessed(turn: Turn) -> None:
    """The worker said nothing of updates that it was sent, or found in the history: it does not
    know them."""
    waiting = admitted_of(turn.workflow)
    unprocessed = [update_id for update_id, update in waiting.items() if update.is_sent]
    if turn.run.pending.reset_request_id:
        unprocessed += [update_id for update_id, known in turn.run.updates.items() if known.waits]
    for update_id in unprocessed:
        _reject(turn, update_id, _UNPROCESSED)


def _reject(turn: Turn, update_id: str, failure: bytes) -> None:
    known = turn.run.updates.get(update_id)
    if known is not None and known.waits:
        turn.change(changes.UpdateRejected(update_id))
    forget(turn.workflow, update_id)
    run_id = turn.run.recorded.run_id
    _tell(turn, UpdateStatus(run_id, update_id, UpdateStage.COMPLETED, failure=failure))


# ---- what ends them all


def abort_sent(turn: Turn) -> None:
    """The workflow task that carried them was refused: whoever waits may try again."""
    waiting = admitted_of(turn.workflow)
    run_id = turn.run.recorded.run_id
    for update_id in [update_id for update_id, update in waiting.items() if update.is_sent]:
        forget(turn.workflow, update_id)
        _tell(turn, _aborted(run_id, update_id, UpdateAbort.TASK_REFUSED))


def abort(turn: Turn) -> None:
    """The run has closed: accepted updates have failed, admitted ones never happened."""
    run = turn.run
    recorded = run.recorded
    if turn.workflow.volatile is None and not run.updates:
        return
    goes_on = recorded.status == Status.CONTINUED_AS_NEW or recorded.successor_run_id
    why = UpdateAbort.GOES_ON if goes_on else UpdateAbort.CLOSED
    for update_id in list(admitted_of(turn.workflow)):
        forget(turn.workflow, update_id)
        _tell(turn, _aborted(recorded.run_id, update_id, why))
    for update_id, update in run.updates.items():
        if update.waits:
            _tell(turn, _aborted(recorded.run_id, update_id, why))
        if update.accepted_event_id and not update.completed_event_id:
            status = status_of(turn.workflow, update_id)
            assert status is not None, "it is in the list"
            _tell(turn, status)
            callbacks.trigger(turn, update_id)


def in_flight(run: Run, workflow: Workflow) -> int:
    """How many updates have begun and not ended."""
    known = sum(
        update.waits or bool(update.accepted_event_id and not update.completed_event_id)
        for update in run.updates.values()
    )
    return known + len(admitted_of(workflow))


def _aborted(run_id: str, update_id: str, why: UpdateAbort) -> UpdateStatus:
    return UpdateStatus(run_id, update_id, UpdateStage.ADMITTED, aborted=why)


def _tell(turn: Turn, status: UpdateStatus) -> None:
    """Only the newest word of a turn counts."""
    turn.effects[:] = [
        effect
        for effect in turn.effects
        if not isinstance(effect, TellUpdate) or effect.status.update_id != status.update_id
    ]
    turn.effects.append(TellUpdate(status))
