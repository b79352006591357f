"""Workflows that a schedule has started: it hears of their start and of the end of their chain."""

from __future__ import annotations

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import Failure

from perdure.server.machines.errors import AlreadyStarted
from perdure.server.machines.ports import SECOND_NS, Address, Kind
from perdure.server.machines.schedule.messages import (
    ActionClosed,
    ActionFailed,
    ActionStarted,
    Sender,
    StartScheduled,
    ToSchedule,
)
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.from_workflows.answers import answer_to
from perdure.server.machines.workflow.state import Phase
from tests.machines import requests, stages
from tests.machines.resetting import reset
from tests.machines.world import World

SENDER = Sender("schedule", "run of the schedule", 7)


def start(**options: str) -> StartScheduled:
    """What a schedule asks."""
    return StartScheduled(SENDER, requests.start(options).SerializeToString())


def scheduled(**options: str) -> World:
    """A workflow that a schedule has started."""
    world = World()
    world.decide(start(**options))
    return world


def finish(world: World, commands: str) -> None:
    """A worker takes the workflow task, and completes it."""
    stages.poll(world)
    stages.complete(world, commands)


def told(world: World) -> list[ToSchedule]:
    """What the schedule was told since the last look."""
    sent, world.sent = world.sent, []
    assert all((one.kind, one.workflow_id) == (Kind.SCHEDULE, "schedule") for one in sent)
    return [one.message for one in sent]


def test_a_schedule_hears_of_the_start() -> None:
    world = scheduled()
    (message,) = told(world)
    run_id = world.run.recorded.run_id
    assert message == ActionStarted(SENDER.run_id, 7, "w", run_id, world.now_ns)


@pytest.mark.parametrize(
    ("commands", "status"),
    [("done bye", 2), ("fail boom", 3), ("cancelled", 4)],
)
def test_a_schedule_hears_of_the_end_and_what_it_left(commands: str, status: int) -> None:
    world = scheduled()
    told(world)
    finish(world, commands)
    (message,) = told(world)
    assert isinstance(message, ActionClosed)
    assert (message.run_id, message.number, message.status) == (SENDER.run_id, 7, status)
    assert bool(Payloads.FromString(message.result).payloads) == (status == 2)
    assert bool(Failure.FromString(message.failure).message) == (status == 3)


def test_terminations_and_timeouts_are_ends_too() -> None:
    world = scheduled(run_timeout="10s")
    told(world)
    other = world.clone()
    world.decide(inputs.TerminateWorkflow("", requests.terminate({})))
    assert [message.status for message in told(world)] == [5]  # type: ignore[union-attr]
    other.now_ns += 11 * SECOND_NS
    other.decide(inputs.WakeUp(other.run.recorded.run_id))
    assert [message.status for message in told(other)] == [7]  # type: ignore[union-attr]


def test_only_the_last_run_of_a_chain_is_an_end() -> None:
    world = scheduled()
    told(world)
    finish(world, "continue")
    assert told(world) == []
    world.now_ns += 2 * SECOND_NS
    world.decide(inputs.WakeUp(world.run.recorded.run_id))
    finish(world, "done bye")
    assert [message.status for message in told(world)] == [2]  # type: ignore[union-attr]


def test_a_start_that_comes_twice_is_answered_again() -> None:
    world = scheduled(request="once")
    told(world)
    decision = world.decide(start(request="once"))
    assert not decision.has_changes
    answer = answer_to(start(request="once"), decision.reply)
    assert answer is not None
    whom, message = answer
    assert whom == Address(Kind.SCHEDULE, "schedule")
    assert isinstance(message, ActionStarted)
    assert message.workflow_run_id == world.run.recorded.run_id


def test_an_id_that_is_taken_is_no_start() -> None:
    world = stages.stage(Phase.IDLE)
    with pytest.raises(AlreadyStarted) as refusal:
        world.decide(start(request="other"))
    answer = answer_to(start(request="other"), refusal.value)
    assert answer == (Address(Kind.SCHEDULE, "schedule"), ActionFailed(SENDER.run_id, 7))


def test_a_run_that_was_reset_goes_on_for_the_schedule() -> None:
    world = scheduled()
    told(world)
    finish(world, "timer t 1h")
    world.decide(reset(world, 4))
    assert told(world) == []
    finish(world, "done bye")
    assert [message.status for message in told(world)] == [2]  # type: ignore[union-attr]
