"""Requests of operators of standalone activities that come twice: the second changes nothing."""

from __future__ import annotations

import pytest

from perdure.server.machines.errors import FailedPrecondition
from perdure.server.machines.standalone.inputs import Terminate
from perdure.server.machines.standalone_activity import inputs
from perdure.server.machines.workflow.state import AttemptState
from tests.machines.test_standalone import World

PAUSE = inputs.Pause("", "operator", "pause", "wait")
UNPAUSE = inputs.Unpause("", 0, "unpause")
RESET = inputs.Reset(
    "",
    0,
    resets_heartbeat=False,
    keeps_paused=False,
    restores_options=False,
    request_id="reset",
)
END = Terminate("", "operator", "because", "end")


def state(world: World) -> AttemptState:
    return AttemptState(world.head.pending.attempt.state)


def test_an_unpause_that_comes_twice_takes_back_no_later_pause() -> None:
    world = World()
    world.start()
    world.tell(PAUSE)
    world.tell(UNPAUSE)
    world.tell(inputs.Pause("", "operator", "another pause", "wait"))
    world.tell(UNPAUSE)
    assert state(world) is AttemptState.PAUSED
    world.tell(inputs.Unpause("", 0, "another"))
    assert state(world) is AttemptState.SCHEDULED
    with pytest.raises(FailedPrecondition, match="non-unpausable state Scheduled"):
        world.tell(UNPAUSE)


def test_a_reset_that_comes_twice_is_asked_for_once() -> None:
    world = World()
    world.start()
    world.take()
    world.tell(RESET)
    world.tell(RESET)
    with pytest.raises(FailedPrecondition, match="pending reset"):
        world.tell(inputs.Reset("", 0, False, False, False, "another"))


def test_what_was_done_before_it_ended_is_not_refused_afterwards() -> None:
    world = World()
    world.start()
    world.tell(PAUSE)
    world.tell(UNPAUSE)
    world.tell(RESET)
    world.tell(END)
    world.tell(UNPAUSE)
    world.tell(RESET)
    with pytest.raises(FailedPrecondition, match="terminal state"):
        world.tell(inputs.Unpause("", 0, "another"))
    with pytest.raises(FailedPrecondition, match="not running"):
        world.tell(inputs.Reset("", 0, False, False, False, "another"))
