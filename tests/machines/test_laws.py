"""The laws that `World` checks after every decision have teeth, and hold for every play."""

from __future__ import annotations

import pathlib
import typing

import pytest
from temporalio.api.history.v1 import History

from perdure.server.machines.errors import InvariantViolation
from perdure.server.machines.ports import DEFAULT_LIMITS
from perdure.server.machines.workflow import changes, evolve, inputs
from perdure.server.machines.workflow.codec import all_records, copy_run, encode_head
from perdure.server.machines.workflow.decide import decide
from perdure.server.machines.workflow.evolve import evolve_event, evolve_pending
from perdure.server.machines.workflow.state import Phase, RecordKind
from tests.machines.play import Play, inputs_of
from tests.machines.stages import message, stage
from tests.machines.world import (
    CountingIds,
    check_folds,
    fold_events,
    recorded_view,
    run_bytes,
)

PLAYS = sorted(pathlib.Path(__file__).with_name("plays").glob("*.txt"))


@pytest.mark.parametrize("path", PLAYS, ids=lambda path: path.stem)
def test_every_run_of_a_play_can_be_made_again_from_what_was_stored(path: pathlib.Path) -> None:
    play = Play()
    for line in inputs_of(path.read_text()):
        play.perform(line)
    assert play.world.runs
    for stored in play.world.runs.values():
        run = stored.decode()
        check_folds(run, stored)
        assert run_bytes(copy_run(run)) == run_bytes(run)
        assert len(stored.history) == run.recorded.history_size_bytes


@pytest.mark.parametrize("phase", list(Phase)[1:])
def test_a_decision_on_a_loaded_run_is_the_same_bytes(phase: Phase) -> None:
    world = stage(phase)
    loaded = world.clone()
    loaded.workflow.run = world.stored.decode()
    sent = message(world, inputs.WakeUp)
    first = decide(world.workflow, sent, world.now_ns, CountingIds(9), DEFAULT_LIMITS)
    second = decide(loaded.workflow, sent, world.now_ns, CountingIds(9), DEFAULT_LIMITS)
    assert first == second
    assert run_bytes(world.run) == run_bytes(loaded.run)


def test_a_part_that_changed_and_was_not_touched_is_noticed() -> None:
    world = stage(Phase.STARTED)
    world.run.activities[5].attempt.identity = "somebody else"
    with pytest.raises(AssertionError, match="was not touched"):
        world.decide(message(world, inputs.SignalWorkflow))


def test_a_recorded_state_that_no_event_explains_is_noticed() -> None:
    world = stage(Phase.STARTED)
    world.run.recorded.signals += 1
    with pytest.raises(AssertionError, match="H3: the history folds"):
        world.decide(message(world, inputs.SignalWorkflow))


def test_a_pending_state_that_no_change_explains_is_noticed() -> None:
    world = stage(Phase.STARTED)
    world.run.pending.cancel_request_id = "who"
    with pytest.raises(AssertionError, match="H3: pending"):
        world.decide(message(world, inputs.SignalWorkflow))


def test_an_offer_that_is_not_expected_is_noticed() -> None:
    world = stage(Phase.SCHEDULED)
    del world.stored.rows[0]
    with pytest.raises(AssertionError, match="F3"):
        world.decide(message(world, inputs.SignalWorkflow))


def test_a_run_that_is_closed_twice_is_noticed() -> None:
    world = stage(Phase.CLOSED)
    events = world.events()
    events.append(events[-1])
    with pytest.raises(InvariantViolation, match="was recorded where"):
        fold_events(events)


def test_events_alone_do_not_make_what_is_pending() -> None:
    world = stage(Phase.STARTED)
    world.decide(message(world, inputs.SignalWorkflow))
    folded = fold_events(world.events())
    assert recorded_view(folded) == recorded_view(world.run)
    assert not folded.buffered, "a buffered event is in no history"
    assert world.run.buffered


def test_an_event_out_of_order_is_refused_by_the_fold() -> None:
    world = stage(Phase.IDLE)
    event = world.events()[-1]
    with pytest.raises(InvariantViolation, match="was recorded where"):
        evolve_event(world.run, event, 1, set())


def test_each_change_of_what_is_pending_has_a_fold() -> None:
    assert set(evolve._PENDING) == set(typing.get_args(changes.Change))


def test_a_change_touches_exactly_the_row_that_it_changes() -> None:
    world = stage(Phase.STARTED)
    before = {(kind, key) for kind, key, _ in all_records(world.run)}
    touched: set[tuple[RecordKind, int | str]] = set()
    evolve_pending(world.run, changes.EventBuffered(1, b"event"), touched)
    after = {(kind, key) for kind, key, _ in all_records(world.run)}
    assert touched == {(RecordKind.BUFFERED, 0)}
    assert after - before == {(int(RecordKind.BUFFERED), bytes(8))}


def test_the_head_does_not_grow_with_what_is_pending() -> None:
    world = stage(Phase.STARTED)
    small = len(encode_head(world.run))
    for _ in range(50):
        world.decide(message(world, inputs.SignalWorkflow))
    assert len(encode_head(world.run)) < small + 32
    assert (
        len(History.FromString(world.stored.history).events) == world.run.recorded.next_event_id - 1
    )
