"""What kind of world a seed makes: how large, how hostile, how cramped."""

from __future__ import annotations

import random

import msgspec

from perdure.server.store.faulty import FaultOdds


class Plan(msgspec.Struct, frozen=True):
    """A world before it begins."""

    workflows: int
    clients: int
    requests: int
    """Of each client."""
    pause_seconds_max: float
    workers: int
    schedules: int
    jobs: int
    """Requests of the client of standalone activities; 0: there is none."""
    operations: int
    """Requests of the client of Nexus operations without a workflow."""
    batches: int
    """Batch operations that are begun; 0: there is nobody to begin them."""
    batch_rate: int
    """How many runs they come to in a second, if they do not say."""
    builds: int
    """Versions that have a worker each; 0: there is no worker deployment."""
    retention_seconds: float
    """How long closed runs are kept; 0: for ever."""
    misbehaviour: float
    loss: float
    odds: FaultOdds
    crashes: tuple[float, ...]
    """Virtual times near which the engine crashes."""
    worker_deaths: tuple[float, ...]
    poisonings: tuple[float, ...]
    """When a workflow cannot be written for a while."""
    clock_shifts: tuple[tuple[float, float], ...]
    """(when, by how many seconds)."""
    executions_max: int
    group_writes_max: int
    duration_seconds: float
    """When the faults stop, at the latest."""


def plan_for(dice: random.Random) -> Plan:
    """Draw a world. Some have no faults of one kind, so that others are seen alone."""
    duration = 10.0
    is_faulty = dice.random() < 0.7
    rate = dice.choice((0.02, 0.05, 0.1))
    crashes = dice.choice((0, 1, 1, 2, 3))
    return Plan(
        workflows=dice.randint(1, 4),
        clients=dice.randint(1, 3),
        requests=dice.randint(3, 14),
        pause_seconds_max=dice.choice((0.02, 0.3, 1.5, 4.0)),
        workers=dice.randint(1, 2),
        misbehaviour=dice.choice((0.0, 0.03, 0.1)),
        loss=dice.choice((0.0, 0.02, 0.1)),
        odds=FaultOdds(
            unavailable=rate,
            unknown_done=rate,
            unknown_lost=rate,
            outage=rate / 2,
            read_unavailable=rate,
        )
        if is_faulty
        else FaultOdds(),
        crashes=tuple(sorted(dice.random() * duration for _ in range(crashes))),
        worker_deaths=tuple(
            sorted(dice.random() * duration for _ in range(dice.choice((0, 0, 1, 2))))
        ),
        poisonings=tuple(
            sorted(dice.random() * duration for _ in range(dice.choice((0, 0, 0, 1, 2))))
        ),
        clock_shifts=tuple(
            sorted(
                (dice.random() * duration, dice.choice((-0.5, -2.0, 0.5, 3.0)))
                for _ in range(dice.choice((0, 0, 1, 2)))
            )
        ),
        executions_max=dice.choice((2, 3, 1_000)),
        group_writes_max=dice.choice((1, 2, 500)),
        duration_seconds=duration,
        schedules=dice.choice((0, 0, 1, 2)),
        jobs=dice.choice((0, 0, 4, 12)),
        operations=dice.choice((0, 0, 4, 8)),
        batches=dice.choice((0, 0, 1, 4)),
        batch_rate=dice.choice((5, 50)),
        builds=dice.choice((0, 0, 1, 2)),
        retention_seconds=dice.choice((0.0, 0.0, 0.0, 2.0)),
    )
