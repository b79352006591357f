"""What a standalone Nexus operation makes of each input, as one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.server.machines.ports import Ids, Limits
from perdure.server.machines.standalone import clients as shared
from perdure.server.machines.standalone.inputs import Delete, Describe, RequestCancel, Terminate
from perdure.server.machines.standalone.state import Phase, Standalone
from perdure.server.machines.standalone.turn import Decision, take
from perdure.server.machines.standalone_nexus import clients, handlers, inputs
from perdure.server.machines.standalone_nexus.state import OperationRun
from perdure.server.machines.standalone_nexus.turn import OPERATIONS, Turn
from perdure.server.machines.workflow.inputs import (
    NexusCancelAnswered,
    NexusStartAnswered,
    WakeUp,
)

_ANSWERS = (NexusStartAnswered, NexusCancelAnswered)

TABLE: dict[tuple[Phase, type], Callable[[Turn, Any], Any]] = {
    (Phase.ABSENT, inputs.StartOperation): clients.start,
    (Phase.OPEN, inputs.StartOperation): shared.start_open,
    (Phase.CLOSED, inputs.StartOperation): clients.start_closed,
    (Phase.ABSENT, Describe): shared.not_found,
    (Phase.OPEN, Describe): shared.describe,
    (Phase.CLOSED, Describe): shared.describe,
    (Phase.ABSENT, RequestCancel): shared.not_found,
    (Phase.OPEN, RequestCancel): clients.cancel,
    (Phase.CLOSED, RequestCancel): clients.cancel_closed,
    (Phase.ABSENT, Terminate): shared.not_found,
    (Phase.OPEN, Terminate): shared.terminate,
    (Phase.CLOSED, Terminate): shared.terminate_again,
    (Phase.ABSENT, Delete): shared.delete,
    (Phase.OPEN, Delete): shared.delete,
    (Phase.CLOSED, Delete): shared.delete,
    (Phase.ABSENT, inputs.CompleteOperation): shared.not_found,
    (Phase.OPEN, inputs.CompleteOperation): handlers.complete,
    (Phase.CLOSED, inputs.CompleteOperation): handlers.complete_closed,
    (Phase.OPEN, NexusStartAnswered): handlers.start_answered,
    (Phase.OPEN, NexusCancelAnswered): handlers.cancel_answered,
    (Phase.OPEN, WakeUp): handlers.wake_up,
    **{
        (phase, kind): shared.nothing
        for phase in (Phase.ABSENT, Phase.CLOSED)
        for kind in (*_ANSWERS, WakeUp)
    },
}


def decide(
    operation: Standalone[OperationRun],
    message: inputs.Input,
    now_ns: int,
    ids: Ids,
    limits: Limits,
) -> Decision:
    """Take one decision. Raises Rejected, before anything has changed."""
    turn = Turn(OPERATIONS, operation, now_ns, ids, limits)
    return take(turn, TABLE, message, run_named_by(message))


def run_named_by(message: inputs.Input) -> str:
    """The run that an input is for; "" when it is for whichever is current."""
    if isinstance(message, inputs.StartOperation | Delete):
        return ""
    return message.run_id
