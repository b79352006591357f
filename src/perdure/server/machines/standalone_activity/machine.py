"""The machine of standalone activities, as the engine knows it."""

from __future__ import annotations

from typing import Any

from perdure.server.machines.ports import InHand, Kind
from perdure.server.machines.standalone.machine import machine_of
from perdure.server.machines.standalone.state import Standalone
from perdure.server.machines.standalone_activity.decide import decide, run_named_by
from perdure.server.machines.standalone_activity.state import (
    TASK_ID,
    ActivityRun,
    decode_run,
    encode_head,
)
from perdure.server.machines.standalone_activity.turn import ACTIVITIES
from perdure.server.machines.workflow.deadlines import activity_deadline
from perdure.server.machines.workflow.inputs import LoseActivityTask
from perdure.server.machines.workflow.state import AttemptState


def _lost_tasks(run: ActivityRun) -> list[Any]:
    if not run.is_open or run.head.pending.attempt.state != AttemptState.STARTED:
        return []
    return [LoseActivityTask(run.run_id, TASK_ID, run.head.pending.attempt.stamp)]


def _in_hand(activity: Standalone[ActivityRun]) -> InHand:
    run = activity.run
    if run is None or not run.is_open:
        return InHand()
    pending = run.head.pending
    is_with_workers = pending.attempt.state in (AttemptState.SCHEDULED, AttemptState.STARTED)
    return InHand(activity_tasks=int(is_with_workers), next_ns=activity_deadline(pending))


ACTIVITY_MACHINE = machine_of(
    Kind.ACTIVITY,
    ACTIVITIES,
    decide=decide,
    run_named_by=run_named_by,
    encode_head=encode_head,
    decode_run=decode_run,
    in_hand=_in_hand,
    lost_tasks=_lost_tasks,
)
