"""SignalWorkflowExecution: recorded once per request id; wakes the workflow unless its first task
is still delayed."""

from __future__ import annotations

from temporalio.api.enums.v1 import event_type_pb2

from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.workflow import changes, events, workflow_task
from perdure.server.machines.workflow.inputs import Done, SignalWorkflow
from perdure.server.machines.workflow.state import Run
from perdure.server.machines.workflow.turn import Turn

WORKFLOW_COMPLETED = "workflow execution already completed"


def running(turn: Turn, message: SignalWorkflow) -> Done:
    """Record (or buffer) the signal."""
    run, request = turn.run, message.request
    if request.request_id in run.requests:
        return Done(run.recorded.run_id)
    if run.recorded.signals + buffered_signals(run) >= turn.limits.signals_max:
        raise InvalidArgument("exceeded workflow execution limit for signal events")
    event_id = turn.record_or_buffer(events.workflow_signaled(request))
    if not event_id and request.request_id:
        turn.change(
            changes.RequestNoted(
                request.request_id, event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
            )
        )
    workflow_task.schedule_if_needed(turn)
    return Done(run.recorded.run_id)


def buffered_signals(run: Run) -> int:
    """How many signals wait for the workflow task to close."""
    signaled = event_type_pb2.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    return sum(buffered.event_type == signaled for buffered in run.buffered.values())


def closed(turn: Turn, message: SignalWorkflow) -> Done:
    """A repeated request gets its answer again; a new one comes too late."""
    if message.request.request_id in turn.run.requests:
        return Done(turn.run.recorded.run_id)
    raise NotFound(WORKFLOW_COMPLETED)
