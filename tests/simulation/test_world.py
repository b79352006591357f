"""What a living world itself watches: invariants in the core, answers before their commit, answers
that never come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from perdure.server.engine.engine import Engine
from perdure.server.store.faulty import FaultOdds
from perdure.server.store.ports import Commit, CommitResult
from sim.namespace import NAMESPACE
from sim.plan import Plan
from sim.world import Broken, World

QUIET = Plan(
    workflows=2,
    clients=1,
    requests=6,
    pause_seconds_max=1.0,
    workers=1,
    schedules=0,
    jobs=0,
    batches=0,
    operations=0,
    builds=0,
    batch_rate=50,
    retention_seconds=0.0,
    misbehaviour=0.0,
    loss=0.0,
    odds=FaultOdds(),
    crashes=(),
    worker_deaths=(),
    poisonings=(),
    clock_shifts=(),
    executions_max=100,
    group_writes_max=500,
    duration_seconds=8.0,
)


def broken_by(disturb: Callable[[World], None]) -> list[Broken]:
    world = World(1, QUIET)
    world.loop.call_later(0.5, disturb, world)
    return world.run().broken


def engine_of(world: World) -> Engine:
    assert world.engine is not None
    return world.engine


def test_what_is_in_memory_beyond_its_bound_is_noticed() -> None:
    def let_grow(world: World) -> None:
        vars(engine_of(world).cache)["_executions_max"] = 1_000
        world.plan = msgspec.structs.replace(world.plan, executions_max=1)

    assert "B1" in {each.invariant for each in broken_by(let_grow)}


def test_what_is_pinned_for_nobody_is_noticed() -> None:
    def pin(world: World) -> None:
        for execution in engine_of(world).cache.executions():
            execution.pins += 1
            return
        world.loop.call_later(0.1, pin, world)

    assert "B1" in {each.invariant for each in broken_by(pin)}


def test_a_world_without_faults_ends_well() -> None:
    assert broken_by(lambda world: None) == []


class Nonsense(msgspec.Struct):
    """An input that no table knows."""

    run_id: str = ""


def test_a_decision_that_breaks_an_invariant_fails_the_world() -> None:
    def disturb(world: World) -> None:
        engine = engine_of(world)

        async def ask_nonsense() -> None:
            await engine.submit(NAMESPACE, "nobody", Nonsense())  # type: ignore[arg-type]

        world.loop.spawn(world.process, ask_nonsense())

    assert "C" in {broken.invariant for broken in broken_by(disturb)}


def test_an_answer_before_its_commit_is_noticed() -> None:
    """A store that says "done" and forgets it."""

    async def forget(commit: Commit) -> CommitResult:
        return CommitResult()

    found = broken_by(lambda world: setattr(world.platter, "commit", forget))
    assert "H6" in {broken.invariant for broken in found}


def test_an_answer_that_never_comes_is_noticed() -> None:
    async def hang(commit: Commit) -> CommitResult:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("it never comes")

    found = broken_by(lambda world: setattr(world.platter, "commit", hang))
    assert "L1" in {broken.invariant for broken in found}


def test_a_change_in_memory_that_was_not_written_is_noticed() -> None:
    def disturb(world: World) -> None:
        for execution in engine_of(world).cache.executions():
            if execution.workflow.run is not None and execution.group is None:
                execution.workflow.run.pending.start_request_id = "changed behind its back"
                world.loop.call_soon(world._crash)
                return
        world.loop.call_later(0.1, disturb, world)

    assert "H3" in {broken.invariant for broken in broken_by(disturb)}
