"""What is checked after every turn has teeth."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.machines.workflow.invariants import check_segment, check_turn
from perdure.server.machines.workflow.state import (
    BufferedEvent,
    Phase,
    RecordKind,
    Run,
    Status,
    Timer,
    Update,
)
from perdure.server.machines.workflow.turn import Segment, Turn
from tests.machines.stages import stage
from tests.machines.world import CountingIds

Spoil = Callable[[Run], None]


def completed_unseen(run: Run) -> None:
    run.updates["u"] = Update("u", completed_event_id=7)


def completed_before_accepted(run: Run) -> None:
    run.updates["u"] = Update("u", accepted_event_id=8, completed_event_id=7)


def forgotten_timer(run: Run) -> None:
    run.timers["t"] = Timer("t", 5, due_ns=1)


def buffered_for_nobody(run: Run) -> None:
    run.buffered[1] = BufferedEvent(1, b"")


def shared_activity_id(run: Run) -> None:
    run.activity_ids["again"] = 5


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (completed_unseen, "U1"),
        (completed_before_accepted, "U1"),
        (forgotten_timer, "T3"),
        (buffered_for_nobody, "W4"),
        (shared_activity_id, "A1"),
    ],
)
def test_an_open_run_that_is_spoiled_is_noticed(spoil: Spoil, complaint: str) -> None:
    run = stage(Phase.IDLE).run
    touched: set[tuple[RecordKind, int | str]] = {(RecordKind.UPDATE, "u")}
    segment = Segment(run, is_new=False, touched=touched)
    check_segment(segment, is_last=True)
    spoil(run)
    with pytest.raises(InvariantViolation, match=complaint):
        check_segment(segment, is_last=True)


def closed_with_a_wakeup(run: Run) -> None:
    run.pending.wake_at_ns = 1


def closed_with_a_buffer(run: Run) -> None:
    run.buffered[1] = BufferedEvent(1, b"")


def closed_with_a_timer(run: Run) -> None:
    run.timers["t"] = Timer("t", 5, due_ns=1)


def closed_and_going_on(run: Run) -> None:
    run.recorded.next_event_id += 1


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (closed_with_a_wakeup, "T4"),
        (closed_with_a_buffer, "S2"),
        (closed_with_a_timer, "T1"),
        (closed_and_going_on, "W1"),
    ],
)
def test_a_closed_run_that_is_spoiled_is_noticed(spoil: Spoil, complaint: str) -> None:
    run = stage(Phase.CLOSED).run
    segment = Segment(run, is_new=False)
    check_segment(segment, is_last=True)
    spoil(run)
    with pytest.raises(InvariantViolation, match=complaint):
        check_segment(segment, is_last=True)


def test_a_successor_that_its_predecessor_does_not_name_is_noticed() -> None:
    world = stage(Phase.CLOSED)
    turn = Turn(world.workflow, world.now_ns, CountingIds(9), DEFAULT_LIMITS)
    successor = stage(Phase.IDLE).run
    successor.recorded.run_id = "successor"
    successor.recorded.continued_run_id = world.run.recorded.run_id
    turn.segments.append(Segment(successor, is_new=True))
    with pytest.raises(InvariantViolation, match="W3"):
        check_turn(turn)
    world.run.recorded.successor_run_id = "successor"
    check_turn(turn)


def test_a_run_that_stays_open_beside_its_successor_is_noticed() -> None:
    run = stage(Phase.IDLE).run
    assert run.recorded.status == Status.RUNNING
    with pytest.raises(InvariantViolation, match="W1"):
        check_segment(Segment(run, is_new=False), is_last=False)
