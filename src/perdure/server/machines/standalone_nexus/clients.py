"""What clients ask of a standalone Nexus operation."""

from __future__ import annotations

from temporalio.api.command.v1 import ScheduleNexusOperationCommandAttributes
from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

from perdure.server.machines.errors import FailedPrecondition
from perdure.server.machines.standalone.clients import answered, check_same
from perdure.server.machines.standalone.inputs import RequestCancel, Started
from perdure.server.machines.standalone.state import CancelRequest
from perdure.server.machines.standalone_nexus import inputs
from perdure.server.machines.standalone_nexus.handlers import go_on, take
from perdure.server.machines.standalone_nexus.state import (
    NO_EVENT,
    Head,
    OperationRun,
)
from perdure.server.machines.standalone_nexus.turn import Turn
from perdure.server.machines.workflow.commands.schedule_nexus_operation import timeouts_of
from perdure.server.machines.workflow.inputs import Done
from perdure.server.machines.workflow.nexus import attempts
from perdure.server.machines.workflow.nexus.state import (
    Calls,
    CallState,
    Operation,
    PendingOperation,
)

_OVER = "operation already completed"


# ---- start


def start(turn: Turn, message: inputs.StartOperation) -> Started:
    """Begin a run, and call its handler."""
    request = message.request
    close_ns, start_ns, work_ns = timeouts_of(_attributes(request), 0)
    operation = Operation(
        scheduled_event_id=NO_EVENT,
        endpoint=request.endpoint,
        endpoint_id=message.endpoint_id,
        service=request.service,
        operation=request.operation,
        request_id=turn.ids.uuid(),
        scheduled_ns=turn.now_ns,
        schedule_to_close_ns=close_ns,
        schedule_to_start_ns=start_ns,
        start_to_close_ns=work_ns,
    )
    head = Head(
        run_id=turn.ids.uuid(),
        request_id=request.request_id,
        pending=PendingOperation(operation, Calls(CallState.SCHEDULED, due_ns=turn.now_ns)),
    )
    turn.begin(OperationRun(head, request.SerializeToString(deterministic=True)))
    go_on(turn)
    return Started(head.run_id, is_new=True)


def _attributes(
    request: StartNexusOperationExecutionRequest,
) -> ScheduleNexusOperationCommandAttributes:
    """Its timeouts as a workflow would ask for them, since the same rules hold."""
    attributes = ScheduleNexusOperationCommandAttributes()
    for name in (
        "schedule_to_close_timeout",
        "schedule_to_start_timeout",
        "start_to_close_timeout",
    ):
        if request.HasField(name):
            getattr(attributes, name).CopyFrom(getattr(request, name))
    return attributes


def start_closed(turn: Turn, message: inputs.StartOperation) -> Started:
    """The newest one with the same id is over: the reuse policy decides."""
    return answered(turn, message.request) or start(turn, message)


# ---- cancel


def cancel(turn: Turn, message: RequestCancel) -> Done:
    """Its handler is asked to cancel it, as soon as it is started."""
    if turn.head.cancel is not None:
        check_same(turn.head.cancel, message)
        turn.change()  # A transition all the same, as on the real server.
        return Done()
    request = CancelRequest(message.request_id, message.identity, message.reason)
    take(turn, attempts.CancelRequested(NO_EVENT), cancel=request)
    go_on(turn)
    return Done()


def cancel_closed(turn: Turn, message: RequestCancel) -> Done:
    """It is over; whoever had asked for it may ask again."""
    before = turn.head.cancel
    if before is None or before.request_id != message.request_id:
        raise FailedPrecondition(_OVER)
    return Done()
