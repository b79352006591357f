"""Random programs: small, and such that each of them ends by itself."""

from __future__ import annotations

import random
from collections.abc import Sequence

from temporalio.api.enums.v1 import ParentClosePolicy, VersioningBehavior

from sim.workload.facts import ActivityPlan, OperationPlan, Program, Stage

STAGES_MAX = 3
LONG_MS = 25_000
"""A child that takes so long is still there when its parent closes."""
_KINDS = ("activities", "activities", "timer", "signals", "race", "marker")
_RELATED_KINDS = (*_KINDS, "upsert", "child", "child", "external", "operation", "operation")
_CLOSE_POLICIES = (
    ParentClosePolicy.PARENT_CLOSE_POLICY_TERMINATE,
    ParentClosePolicy.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
    ParentClosePolicy.PARENT_CLOSE_POLICY_ABANDON,
)
_BEHAVIORS = (
    VersioningBehavior.VERSIONING_BEHAVIOR_PINNED,
    VersioningBehavior.VERSIONING_BEHAVIOR_AUTO_UPGRADE,
)
_ATTEMPTS = (
    ("ok",),
    ("ok",),
    ("fail", "ok"),
    ("hang", "ok"),
    ("fail",),
    ("fatal",),
    ("beat",),
    ("hang", "beat"),
    ("async",),
)


def random_program(dice: random.Random, workflow_ids: Sequence[str]) -> Program:
    """A program of a few stages, some of which have to do with these workflows or with children."""
    return Program(
        stages=[_stage(dice, workflow_ids) for _ in range(dice.randint(1, STAGES_MAX))],
        ending=dice.choice(("complete", "complete", "fail", "continue")),
        continues=dice.randint(1, 2),
        is_cancellable=dice.random() < 0.8,
        behavior=dice.choice(_BEHAVIORS),
        initial_behavior=dice.choice((0, 0, 1, 2)),
    )


def _stage(dice: random.Random, workflow_ids: Sequence[str]) -> Stage:
    kind = dice.choice(_RELATED_KINDS if workflow_ids else _KINDS)
    count = dice.randint(1, 3) if kind == "activities" else 1
    stage = Stage(
        kind=kind,
        activities=[random_activity(dice) for _ in range(count)]
        if kind in ("activities", "race")
        else [],
        timer_ms=dice.choice((1, 100, 700, 2_500)),
        signals=dice.randint(1, 2),
    )
    if kind == "child":
        _add_child(dice, stage)
    elif kind == "external":
        stage.target = dice.choice(workflow_ids)
        stage.is_cancel = dice.random() < 0.2
    elif kind == "operation":
        stage.operation = random_operation(dice)
    return stage


def _add_child(dice: random.Random, stage: Stage) -> None:
    stage.wait = dice.choice(("start", "end", "race"))
    stage.close_policy = dice.choice(_CLOSE_POLICIES)
    if stage.wait != "end" and dice.random() < 0.4:
        stages = [Stage("timer", timer_ms=LONG_MS)]
        stage.child = Program(
            stages, is_cancellable=dice.random() < 0.8, behavior=dice.choice(_BEHAVIORS)
        )
    else:
        stage.child = random_program(dice, ())


def random_operation(dice: random.Random) -> OperationPlan:
    """An operation that ends by itself."""
    return OperationPlan(
        kind=dice.choice(("now", "later", "later", "later", "refuse", "hang")),
        takes_ms=dice.choice((1, 200, 2_000)),
        fails=dice.random() < 0.2,
        failures=dice.choice((0, 0, 1, 2)),
        schedule_to_close_ms=dice.choice((1_500, 20_000)),
        schedule_to_start_ms=dice.choice((0, 0, 1_000)),
        start_to_close_ms=dice.choice((0, 0, 900)),
    )


def random_activity(dice: random.Random) -> ActivityPlan:
    """An activity that ends by itself."""
    return ActivityPlan(
        attempts=dice.choice(_ATTEMPTS),
        start_to_close_ms=dice.choice((500, 1_500)),
        schedule_to_close_ms=dice.choice((0, 2_000, 6_000)),
        schedule_to_start_ms=dice.choice((0, 0, 1_500)),
        heartbeat_ms=dice.choice((0, 300, 900)),
        attempts_max=dice.randint(1, 3),
        is_eager=dice.random() < 0.4,
    )
