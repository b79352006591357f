"""What clients may ask of any execution without a workflow: policies for ids, requests that come
twice, and how one is told of, ended and forgotten."""

from __future__ import annotations

from copy import copy
from typing import Any

import msgspec
from temporalio.api.enums.v1 import activity_pb2
from temporalio.api.failure.v1 import Failure, TerminatedFailureInfo

from perdure.server.machines.errors import FailedPrecondition, Moved, Rejected
from perdure.server.machines.standalone import inputs
from perdure.server.machines.standalone.state import CancelRequest
from perdure.server.machines.standalone.turn import Turn
from perdure.server.machines.workflow.inputs import Done

# The policies of all kinds have the same numbers.
USE_EXISTING = activity_pb2.ACTIVITY_ID_CONFLICT_POLICY_USE_EXISTING
REJECT = activity_pb2.ACTIVITY_ID_REUSE_POLICY_REJECT_DUPLICATE
FAILED_ONLY = activity_pb2.ACTIVITY_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY

COMPLETED, TERMINATED = 2, 5
"""So have the statuses."""


# ---- start


def start_open(turn: Turn[Any, Any], message: Any) -> inputs.Started:
    """One with the same id goes on: the conflict policy decides. A request that comes twice gets
    its first answer again."""
    request, head = message.request, turn.head
    if request.request_id == head.request_id or request.id_conflict_policy == USE_EXISTING:
        return inputs.Started(head.run_id, is_new=False)
    raise _already_started(turn)


def answered(turn: Turn[Any, Any], request: Any) -> inputs.Started | None:
    """The newest one with the same id is over: what a request to start is told, unless it may begin
    another, as the reuse policy decides."""
    head = turn.head
    if request.request_id == head.request_id:
        return inputs.Started(head.run_id, is_new=False)
    if request.id_reuse_policy == REJECT or (
        request.id_reuse_policy == FAILED_ONLY and head.status == COMPLETED
    ):
        raise _already_started(turn)
    return None


def _already_started(turn: Turn[Any, Any]) -> Rejected:
    return turn.family.already_started(turn.head.request_id, turn.head.run_id)


# ---- describe, cancel, terminate, delete


def describe(turn: Turn[Any, Any], message: inputs.Describe) -> inputs.Described[Any]:
    """A copy of the run: heads are never changed in place once their turn is over."""
    run = copy(turn.run)
    run.head = msgspec.structs.replace(turn.head)
    return inputs.Described(run)


def check_same(before: CancelRequest, message: inputs.RequestCancel) -> None:
    """It has been asked to cancel: only the same request may come again. Raises
    FailedPrecondition."""
    if before.request_id != message.request_id:
        raise FailedPrecondition(
            f"cancellation already requested with request ID {before.request_id}"
        )


def terminate(turn: Turn[Any, Any], message: inputs.Terminate) -> Done:
    """End it, whatever it is doing."""
    _terminate(turn, message.reason, message.identity, message.request_id)
    return Done()


def _terminate(turn: Turn[Any, Any], reason: str, identity: str, request_id: str) -> None:
    info = TerminatedFailureInfo(identity=identity)
    failure = Failure(message=reason, terminated_failure_info=info)
    turn.family.terminate(turn, failure, request_id)


def terminate_again(turn: Turn[Any, Any], message: inputs.Terminate) -> Done:
    """It is over; whoever had ended it may ask again. Raises FailedPrecondition."""
    head = turn.head
    if head.status != TERMINATED:
        raise over(turn)
    if head.terminate_request_id != message.request_id:
        raise FailedPrecondition(f"already terminated with request ID {head.terminate_request_id}")
    return Done()


def over(turn: Turn[Any, Any]) -> FailedPrecondition:
    """The refusal of what can be done only before it ends."""
    return FailedPrecondition(f"invalid transition from {turn.family.statuses[turn.head.status]}")


def delete(turn: Turn[Any, Any], message: inputs.Delete) -> Done:
    """Forget a run; one that goes on ends first."""
    if message.other is not None:
        turn.forget(message.other)
        return Done(message.other.run_id)
    run = turn.subject.run
    if run is None:
        raise turn.not_found()
    if run.run_id != message.run_id:
        raise Moved("another run has become the current one")
    if run.is_open:
        _terminate(turn, turn.family.deletion, "", "")
    turn.forget(run)
    return Done(run.run_id)


def not_found(turn: Turn[Any, Any], message: object) -> Done:
    """There is no such execution."""
    raise turn.not_found()


def nothing(turn: Turn[Any, Any], message: object) -> Done:
    """It is over, or was never there: nothing is owed to anybody."""
    return Done()
