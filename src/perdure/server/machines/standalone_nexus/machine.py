"""The machine of standalone Nexus operations, as the engine knows it."""

from __future__ import annotations

from typing import Any

from perdure.server.machines.ports import InHand, Kind
from perdure.server.machines.standalone.machine import machine_of
from perdure.server.machines.standalone.state import Standalone
from perdure.server.machines.standalone_nexus.decide import decide, run_named_by
from perdure.server.machines.standalone_nexus.state import (
    OperationRun,
    decode_run,
    encode_head,
)
from perdure.server.machines.standalone_nexus.turn import OPERATIONS
from perdure.server.machines.workflow.nexus.state import may_be_called
from perdure.server.machines.workflow.nexus.timing import operation_deadline


def _lost_tasks(run: OperationRun) -> list[Any]:
    return []


def _may_be_called(run: OperationRun) -> bool:
    return run.is_open and may_be_called(run.head.pending.calls)


def _in_hand(operation: Standalone[OperationRun]) -> InHand:
    run = operation.run
    if run is None or not run.is_open:
        return InHand()
    return InHand(next_ns=operation_deadline(run.head.pending))


NEXUS_OPERATION_MACHINE = machine_of(
    Kind.NEXUS_OPERATION,
    OPERATIONS,
    decide=decide,
    run_named_by=run_named_by,
    encode_head=encode_head,
    decode_run=decode_run,
    in_hand=_in_hand,
    lost_tasks=_lost_tasks,
    may_be_called=_may_be_called,
)
