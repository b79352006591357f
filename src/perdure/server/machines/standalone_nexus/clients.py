"""What clients ask of a standalone Nexus operation."""

from __future__ import annotations

import msgspec
from temporalio.api.command.v1 import ScheduleNexusOperationCommandAttributes
from temporalio.api.enums.v1 import nexus_pb2
from temporalio.api.failure.v1 import Failure, TerminatedFailureInfo
from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

from perdure.server.machines.errors import FailedPrecondition, Moved, OperationAlreadyStarted
from perdure.server.machines.standalone.inputs import RequestCancel, Terminate
from perdure.server.machines.standalone.state import CancelRequest
from perdure.server.machines.standalone_nexus import inputs
from perdure.server.machines.standalone_nexus.handlers import go_on, take
from perdure.server.machines.standalone_nexus.state import (
    NO_EVENT,
    Head,
    OperationRun,
    Status,
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

_USE_EXISTING = nexus_pb2.NEXUS_OPERATION_ID_CONFLICT_POLICY_USE_EXISTING
_REJECT = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_REJECT_DUPLICATE
_FAILED_ONLY = nexus_pb2.NEXUS_OPERATION_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
_STATES = {
    Status.COMPLETED: "Succeeded",
    Status.FAILED: "Failed",
    Status.CANCELED: "Canceled",
    Status.TIMED_OUT: "TimedOut",
}
"""Statuses as refusals spell them."""
_OVER = "operation already completed"
_DELETED = "Delete Nexus operation execution"


# ---- start


def start(turn: Turn, message: inputs.StartOperation) -> inputs.OperationStarted:
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
    turn.begin(head, request.SerializeToString(deterministic=True))
    go_on(turn)
    return inputs.OperationStarted(head.run_id, is_new=True)


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


def start_open(turn: Turn, message: inputs.StartOperation) -> inputs.OperationStarted:
    """One with the same id goes on: the conflict policy decides. A request that comes twice gets
    its first answer again."""
    request = message.request
    if request.request_id == turn.head.request_id or request.id_conflict_policy == _USE_EXISTING:
        return inputs.OperationStarted(turn.run.run_id, is_new=False)
    raise _already_started(turn)


def start_closed(turn: Turn, message: inputs.StartOperation) -> inputs.OperationStarted:
    """The newest one with the same id is over: the reuse policy decides."""
    request, status = message.request, turn.head.status
    if request.request_id == turn.head.request_id:
        return inputs.OperationStarted(turn.run.run_id, is_new=False)
    if request.id_reuse_policy == _REJECT or (
        request.id_reuse_policy == _FAILED_ONLY and status == Status.COMPLETED
    ):
        raise _already_started(turn)
    return start(turn, message)


def _already_started(turn: Turn) -> OperationAlreadyStarted:
    head = turn.head
    return OperationAlreadyStarted(
        "nexus operation execution already started: "
        f"request_id={head.request_id}, run_id={head.run_id}",
        start_request_id=head.request_id,
        run_id=head.run_id,
    )


# ---- describe, cancel, terminate, delete


def describe(turn: Turn, message: inputs.DescribeOperation) -> inputs.OperationDescribed:
    """A copy of the run: heads are never changed in place once their turn is over."""
    head = msgspec.structs.replace(turn.head)
    return inputs.OperationDescribed(OperationRun(head, turn.run.start))


def cancel(turn: Turn, message: RequestCancel) -> Done:
    """Its handler is asked to cancel it, as soon as it is started."""
    if turn.head.cancel is not None:
        _check_same(turn.head.cancel, message)
        turn.change(counts=True)  # A transition all the same, as on the real server.
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


def _check_same(before: CancelRequest, message: RequestCancel) -> None:
    if before.request_id != message.request_id:
        raise FailedPrecondition(
            f"cancellation already requested with request ID {before.request_id}"
        )


def terminate(turn: Turn, message: Terminate) -> Done:
    """End it, whatever its handler is doing."""
    _terminate(turn, message.reason, message.identity, message.request_id)
    return Done()


def _terminate(turn: Turn, reason: str, identity: str, request_id: str) -> None:
    failure = Failure(
        message=reason, terminated_failure_info=TerminatedFailureInfo(identity=identity)
    )
    turn.end(
        Status.TERMINATED,
        turn.head.pending.calls,
        failure=failure.SerializeToString(deterministic=True),
        terminate_request_id=request_id,
    )


def terminate_closed(turn: Turn, message: Terminate) -> Done:
    """It is over; whoever had ended it may ask again."""
    head = turn.head
    if head.status != Status.TERMINATED:
        raise FailedPrecondition(f"invalid transition from {_STATES[Status(head.status)]}")
    if head.terminate_request_id != message.request_id:
        raise FailedPrecondition(f"already terminated with request ID {head.terminate_request_id}")
    return Done()


def delete(turn: Turn, message: inputs.Delete) -> Done:
    """Forget a run; one that goes on ends first."""
    if message.other is not None:
        turn.forget(message.other)
        return Done(message.other.run_id)
    run = turn.operation.run
    if run is None:
        raise turn.not_found()
    if run.run_id != message.run_id:
        raise Moved("another run has become the current one")
    if run.is_open:
        _terminate(turn, _DELETED, "", "")
    turn.forget(run)
    return Done(run.run_id)


def not_found(turn: Turn, message: object) -> Done:
    """There is no such operation."""
    raise turn.not_found()
