"""SignalFromWorkflow: recorded once per request id; a workflow cannot signal itself this way."""

from __future__ import annotations

from temporalio.api.enums.v1 import event_type_pb2
from temporalio.api.history.v1 import SignalExternalWorkflowExecutionInitiatedEventAttributes

from perdure.server.machines.errors import NotFound, ResourceExhausted
from perdure.server.machines.workflow import changes, external_events, family, workflow_task
from perdure.server.machines.workflow.from_clients.signal import (
    WORKFLOW_COMPLETED,
    buffered_signals,
)
from perdure.server.machines.workflow.inputs import Done
from perdure.server.machines.workflow.messages import SignalFromWorkflow, SignalOutcome
from perdure.server.machines.workflow.turn import Turn

TO_ITSELF = "a workflow cannot reach itself as another one"
PARENT_MISMATCH = "workflow parent does not match"


def running(turn: Turn, message: SignalFromWorkflow) -> Done:
    """Record (or buffer) the signal; the source hears of it."""
    run, request_id = turn.run, message.request_id
    if message.source.workflow_id == turn.workflow.workflow_id:
        raise NotFound(TO_ITSELF)
    if request_id in run.requests:
        return Done()
    if run.recorded.signals + buffered_signals(run) >= turn.limits.signals_max:
        raise ResourceExhausted("exceeded workflow execution limit for signal events")
    signal = SignalExternalWorkflowExecutionInitiatedEventAttributes.FromString(message.signal)
    if signal.child_workflow_only and not family.is_child_of(run, message.source):
        raise NotFound(PARENT_MISMATCH)
    event = external_events.signaled_by_workflow(
        signal, message.source, request_id, workflow_task.HISTORY_SERVICE
    )
    if not turn.record_or_buffer(event):
        turn.change(
            changes.RequestNoted(request_id, event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
        )
    workflow_task.schedule_if_needed(turn)
    # The real server takes another turn, to forget the request id: it counts in descriptions.
    turn.change(changes.TurnTaken())
    turn.send(message.source.workflow_id, outcome(message, 0))
    return Done()


def closed(turn: Turn, message: SignalFromWorkflow) -> Done:
    """One that was delivered before stays delivered; a new one comes too late."""
    is_known = message.request_id in turn.run.requests
    if is_known and message.source.workflow_id != turn.workflow.workflow_id:
        return Done()
    raise NotFound(WORKFLOW_COMPLETED)


def outcome(message: SignalFromWorkflow, cause: int) -> SignalOutcome:
    """What the source is told."""
    signal = SignalExternalWorkflowExecutionInitiatedEventAttributes.FromString(message.signal)
    source = message.source
    return SignalOutcome(source.run_id, source.initiated_event_id, cause, signal.control)
