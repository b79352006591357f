"""The machine of standalone activities, as the engine knows it."""

from __future__ import annotations

from typing import Any

from perdure.server.machines.ports import Address, InHand, Kind, Limits, Machine, Names
from perdure.server.machines.standalone.decide import decide, run_named_by
from perdure.server.machines.standalone.inputs import Delete
from perdure.server.machines.standalone.state import (
    TASK_ID,
    ActivityRun,
    StandaloneActivity,
    decode_run,
    encode_head,
    encode_record,
    record_key,
)
from perdure.server.machines.workflow.deadlines import activity_deadline
from perdure.server.machines.workflow.inputs import LoseActivityTask, WakeUp
from perdure.server.machines.workflow.state import AttemptState


def _subject(names: Names, run: ActivityRun | None) -> StandaloneActivity:
    return StandaloneActivity(names.namespace, names.namespace_id, names.id, run)


def _may_hold_tasks(run: ActivityRun) -> bool:
    return run.is_open and run.head.pending.attempt.state == AttemptState.STARTED


def _lost_tasks(run: ActivityRun) -> list[Any]:
    if not _may_hold_tasks(run):
        return []
    return [LoseActivityTask(run.run_id, TASK_ID, run.head.pending.attempt.stamp)]


def _in_hand(activity: StandaloneActivity) -> InHand:
    run = activity.run
    if run is None or not run.is_open:
        return InHand()
    pending = run.head.pending
    is_with_workers = pending.attempt.state in (AttemptState.SCHEDULED, AttemptState.STARTED)
    return InHand(activity_tasks=int(is_with_workers), next_ns=activity_deadline(pending))


def _no_such_run(activity_id: str, run_id: str) -> str:
    return f"activity not found for ID: {activity_id}"


def _is_crowded(run: ActivityRun | None, limits: Limits) -> bool:
    return False


def _sender_that_must_wait(message: Any) -> Address | None:
    return None


def _is_wanted(run: ActivityRun | None, message: Any) -> bool:
    return True


def _answer_to(message: Any, reply: Any) -> tuple[Address, Any] | None:
    return None


ACTIVITY_MACHINE = Machine(
    kind=Kind.ACTIVITY,
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
