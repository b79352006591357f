"""The machine of standalone Nexus operations, as the engine knows it."""

from __future__ import annotations

from typing import Any

from perdure.server.machines.ports import Address, InHand, Kind, Limits, Machine, Names
from perdure.server.machines.standalone_nexus.decide import decide, run_named_by
from perdure.server.machines.standalone_nexus.inputs import Delete
from perdure.server.machines.standalone_nexus.state import (
    OperationRun,
    StandaloneOperation,
    decode_run,
    encode_head,
    encode_record,
    record_key,
)
from perdure.server.machines.workflow.inputs import WakeUp
from perdure.server.machines.workflow.nexus.timing import operation_deadline


def _subject(names: Names, run: OperationRun | None) -> StandaloneOperation:
    return StandaloneOperation(names.namespace, names.namespace_id, names.id, run)


def _may_hold_tasks(run: OperationRun) -> bool:
    return False


def _lost_tasks(run: OperationRun) -> list[Any]:
    return []


def _in_hand(operation: StandaloneOperation) -> InHand:
    run = operation.run
    if run is None or not run.is_open:
        return InHand()
    return InHand(next_ns=operation_deadline(run.head.pending))


def _no_such_run(operation_id: str, run_id: str) -> str:
    return f"operation not found for ID: {operation_id}"


def _is_crowded(run: OperationRun | None, limits: Limits) -> bool:
    return False


def _sender_that_must_wait(message: Any) -> Address | None:
    return None


def _is_wanted(run: OperationRun | None, message: Any) -> bool:
    return True


def _answer_to(message: Any, reply: Any) -> tuple[Address, Any] | None:
    return None


NEXUS_OPERATION_MACHINE = Machine(
    kind=Kind.NEXUS_OPERATION,
    subject=_subject,
    decide=decide,
    run_named_by=run_named_by,
    wake_up=WakeUp,
    encode_head=encode_head,
    encode_record=encode_record,
    record_key=record_key,
    decode_run=decode_run,
    may_hold_tasks=_may_hold_tasks,
    delete=Delete,
    no_such_run=_no_such_run,
    in_hand=_in_hand,
    lost_tasks=_lost_tasks,
    is_crowded=_is_crowded,
    sender_that_must_wait=_sender_that_must_wait,
    is_wanted=_is_wanted,
    answer_to=_answer_to,
)
