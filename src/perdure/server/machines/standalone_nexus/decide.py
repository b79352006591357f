"""What a standalone Nexus operation makes of each input, as one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.standalone.inputs import RequestCancel, Terminate
from perdure.server.machines.standalone.turn import Decision
from perdure.server.machines.standalone_nexus import clients, handlers, inputs
from perdure.server.machines.standalone_nexus.state import Phase, StandaloneOperation
from perdure.server.machines.standalone_nexus.turn import Turn
from perdure.server.machines.workflow.inputs import (
    NexusCancelAnswered,
    NexusStartAnswered,
    WakeUp,
)

_ANSWERS = (NexusStartAnswered, NexusCancelAnswered)

TABLE: dict[tuple[Phase, type], Callable[[Turn, Any], Any]] = {
    (Phase.ABSENT, inputs.StartOperation): clients.start,
    (Phase.OPEN, inputs.StartOperation): clients.start_open,
    (Phase.CLOSED, inputs.StartOperation): clients.start_closed,
    (Phase.ABSENT, inputs.DescribeOperation): clients.not_found,
    (Phase.OPEN, inputs.DescribeOperation): clients.describe,
    (Phase.CLOSED, inputs.DescribeOperation): clients.describe,
    (Phase.ABSENT, RequestCancel): clients.not_found,
    (Phase.OPEN, RequestCancel): clients.cancel,
    (Phase.CLOSED, RequestCancel): clients.cancel_closed,
    (Phase.ABSENT, Terminate): clients.not_found,
    (Phase.OPEN, Terminate): clients.terminate,
    (Phase.CLOSED, Terminate): clients.terminate_closed,
    (Phase.ABSENT, inputs.Delete): clients.delete,
    (Phase.OPEN, inputs.Delete): clients.delete,
    (Phase.CLOSED, inputs.Delete): clients.delete,
    (Phase.ABSENT, inputs.CompleteOperation): clients.not_found,
    (Phase.OPEN, inputs.CompleteOperation): handlers.complete,
    (Phase.CLOSED, inputs.CompleteOperation): handlers.complete_closed,
    (Phase.OPEN, NexusStartAnswered): handlers.start_answered,
    (Phase.OPEN, NexusCancelAnswered): handlers.cancel_answered,
    (Phase.OPEN, WakeUp): handlers.wake_up,
    **{
        (phase, kind): handlers.nothing
        for phase in (Phase.ABSENT, Phase.CLOSED)
        for kind in (*_ANSWERS, WakeUp)
    },
}


def decide(
    operation: StandaloneOperation, message: inputs.Input, now_ns: int, ids: Ids, limits: Limits
) -> Decision:
    """Take one decision. Raises Rejected, before anything has changed."""
    turn = Turn(operation, now_ns, ids, limits)
    phase, run_id = operation.phase, run_named_by(message)
    if run_id and operation.run is not None and run_id != operation.run.run_id:
        phase = Phase.ABSENT
    reply = TABLE[phase, type(message)](turn, message)
    turn.finish()
    return Decision(turn.segments, turn.effects, reply)


def run_named_by(message: inputs.Input) -> str:
    """The run that an input is for; "" when it is for whichever is current."""
    if isinstance(message, inputs.StartOperation | inputs.Delete):
        return ""
    return message.run_id
