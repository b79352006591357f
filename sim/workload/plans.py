"""Random programs: small, and such that each of them ends by itself."""

from __future__ import annotations

import random

from sim.workload.facts import ActivityPlan, Program, Stage

STAGES_MAX = 3
_KINDS = ("activities", "activities", "timer", "signals", "race", "marker")
_ATTEMPTS = (
    ("ok",),
    ("ok",),
    ("fail", "ok"),
    ("hang", "ok"),
    ("fail",),
    ("fatal",),
    ("beat",),
    ("hang", "beat"),
)


def random_program(dice: random.Random) -> Program:
    """A program of a few stages."""
    return Program(
        stages=[_stage(dice) for _ in range(dice.randint(1, STAGES_MAX))],
        ending=dice.choice(("complete", "complete", "fail", "continue")),
        continues=dice.randint(1, 2),
        is_cancellable=dice.random() < 0.8,
    )


def _stage(dice: random.Random) -> Stage:
    kind = dice.choice(_KINDS)
    count = dice.randint(1, 3) if kind == "activities" else 1
    return Stage(
        kind=kind,
        activities=[_activity(dice) for _ in range(count)]
        if kind in ("activities", "race")
        else [],
        timer_ms=dice.choice((1, 100, 700, 2_500)),
        signals=dice.randint(1, 2),
    )


def _activity(dice: random.Random) -> ActivityPlan:
    return ActivityPlan(
        attempts=dice.choice(_ATTEMPTS),
        start_to_close_ms=dice.choice((500, 1_500)),
        schedule_to_close_ms=dice.choice((0, 2_000, 6_000)),
        schedule_to_start_ms=dice.choice((0, 0, 1_500)),
        heartbeat_ms=dice.choice((0, 300, 900)),
        attempts_max=dice.randint(1, 3),
        is_eager=dice.random() < 0.4,
    )
