"""The schedule machine, as the engine knows it."""

from __future__ import annotations

from typing import Any

from perdure.server.machines.ports import Address, Held, InHand, Kind, Limits, Machine, Names
from perdure.server.machines.schedule.codec import (
    decode_run,
    encode_head,
    encode_record,
    record_key,
)
from perdure.server.machines.schedule.decide import decide
from perdure.server.machines.schedule.inputs import DeleteSchedule, WakeUp
from perdure.server.machines.schedule.state import Run, Schedule


def _subject(names: Names, run: Run | None) -> Schedule:
    return Schedule(names.namespace, names.namespace_id, names.id, run)


def _run_named_by(message: Any) -> str:
    """There is only one run of a schedule at a time, so there is no other to be looked for."""
    return ""


def _held(run: Run) -> Held:
    """Workers know nothing of schedules."""
    return Held.NOTHING


def _no_tasks(run: Run) -> list[Any]:
    return []


def _in_hand(schedule: Schedule) -> InHand:
    return InHand(next_ns=0 if schedule.run is None else schedule.run.wake_at_ns)


def _delete(run_id: str, other: Run | None) -> DeleteSchedule:
    return DeleteSchedule()


def _no_such_run(schedule_id: str, run_id: str) -> str:
    return f"schedule not found for ID: {schedule_id}"


def _never_crowded(run: Run | None, limits: Limits) -> bool:
    return False


def _nobody(message: Any) -> Address | None:
    """What a schedule is told is news, whoever told it."""
    return None


def _always_wanted(run: Run | None, message: Any) -> bool:
    return True


def _no_answer(message: Any, came: Any) -> tuple[Address, Any] | None:
    return None


SCHEDULE_MACHINE = Machine(
    kind=Kind.SCHEDULE,
    subject=_subject,
    decide=decide,
    run_named_by=_run_named_by,
    wake_up=WakeUp,
    encode_head=encode_head,
    encode_record=encode_record,
    record_key=record_key,
    decode_run=decode_run,
    held=_held,
    delete=_delete,
    no_such_run=_no_such_run,
    in_hand=_in_hand,
    lost_tasks=_no_tasks,
    lost_calls=WakeUp,
    is_crowded=_never_crowded,
    sender_that_must_wait=_nobody,
    is_wanted=_always_wanted,
    answer_to=_no_answer,
)
