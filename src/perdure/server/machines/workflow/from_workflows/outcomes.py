"""What a source hears of its signals and cancel requests to other workflows."""

from __future__ import annotations

from perdure.server.machines.errors import NotFound
from perdure.server.machines.workflow import changes, external_events, workflow_task
from perdure.server.machines.workflow.from_clients.signal import WORKFLOW_COMPLETED
from perdure.server.machines.workflow.inputs import Done
from perdure.server.machines.workflow.messages import CancelOutcome, SignalOutcome
from perdure.server.machines.workflow.state import ExternalRequest, RecordKind
from perdure.server.machines.workflow.turn import Turn

REQUEST_NOT_FOUND = "Pending request to another workflow not found."


def of_signal(turn: Turn, message: SignalOutcome) -> Done:
    """Record (or buffer) that the signal was delivered, or why not."""
    workflow = turn.workflow
    request = _pending(turn.run.external_signals, message)
    event = (
        external_events.signal_failed(workflow, request, message.cause, message.control)
        if message.cause
        else external_events.signal_delivered(workflow, request, message.control)
    )
    if not turn.record_or_buffer(event):
        turn.change(
            changes.ExternalAnswerBuffered(RecordKind.EXTERNAL_SIGNAL, message.initiated_event_id)
        )
    workflow_task.schedule_if_needed(turn)
    return Done()


def of_cancel(turn: Turn, message: CancelOutcome) -> Done:
    """Record (or buffer) that the cancellation was requested, or why not."""
    workflow = turn.workflow
    request = _pending(turn.run.external_cancels, message)
    event = (
        external_events.cancel_failed(workflow, request, message.cause)
        if message.cause
        else external_events.cancel_delivered(workflow, request)
    )
    if not turn.record_or_buffer(event):
        turn.change(
            changes.ExternalAnswerBuffered(RecordKind.EXTERNAL_CANCEL, message.initiated_event_id)
        )
    workflow_task.schedule_if_needed(turn)
    return Done()


def too_late(turn: Turn, message: SignalOutcome | CancelOutcome) -> Done:
    """The source is over."""
    raise NotFound(WORKFLOW_COMPLETED)


def _pending(
    requests: dict[int, ExternalRequest], message: SignalOutcome | CancelOutcome
) -> ExternalRequest:
    request = requests.get(message.initiated_event_id)
    if request is None or request.is_answered:
        raise NotFound(REQUEST_NOT_FOUND)
    return request
