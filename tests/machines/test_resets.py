"""Resets: what a run that takes over another's history inherits, and who finds it."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType, ResetReapplyType

from perdure.server.machines.errors import Moved, NotFound
from perdure.server.machines.wire import entries_of
from perdure.server.machines.workflow import inputs, messages, resetting
from perdure.server.machines.workflow.state import Phase
from tests.machines import requests, stages
from tests.machines.neighbours import Neighbours, cancel, signal, start_child
from tests.machines.resetting import reset, unchecked
from tests.machines.stages import message, stage
from tests.machines.world import World

CHILD = "CHILD_WORKFLOW_EXECUTION_"
COMPLETED = EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED
SIGNALED = "WORKFLOW_EXECUTION_SIGNALED"


def parent_with_child() -> Neighbours:
    """A parent that has heard of its child's start, and has gone on."""
    both = Neighbours()
    both.start("parent")
    both.complete("parent", start_child("child"))
    both.deliver()
    both.complete("parent", requests.command("timer t 1h"))
    return both


def finish(both: Neighbours, workflow_id: str) -> None:
    """Let a workflow complete."""
    both.complete(workflow_id, requests.command("done bye"))
    both.deliver()


def test_a_child_that_was_started_before_the_cut_tells_the_new_run() -> None:
    both = parent_with_child()
    world = both.world("parent")
    old = world.run.recorded.run_id
    world.decide(reset(world, 9))
    assert world.run.recorded.run_id != old
    assert not both.waiting(), "the child is told nothing of the end of the old run"
    finish(both, "child")
    assert world.types()[-2:] == ["WORKFLOW_TASK_SCHEDULED", CHILD + "COMPLETED"]
    assert CHILD + "COMPLETED" not in world.types(old)


def test_a_child_finds_its_parent_through_several_resets() -> None:
    both = parent_with_child()
    world = both.world("parent")
    for name in ("one", "two", "three"):
        world.decide(reset(world, 9, request_id=name))
    finish(both, "child")
    assert world.types()[-1] == CHILD + "COMPLETED"


def test_a_child_that_was_started_after_the_cut_tells_nobody() -> None:
    both = parent_with_child()
    world = both.world("parent")
    world.decide(reset(world, 4))
    assert not world.run.children
    finish(both, "child")
    assert CHILD + "COMPLETED" not in world.types()


def test_what_a_child_told_after_the_cut_is_told_again() -> None:
    both = parent_with_child()
    world = both.world("parent")
    finish(both, "child")
    world.decide(reset(world, 9))
    assert not world.run.children
    (heard,) = [event for event in world.events() if event.event_type == COMPLETED]
    attributes = heard.child_workflow_execution_completed_event_attributes
    assert (attributes.initiated_event_id, attributes.started_event_id) == (5, 6)


def test_a_child_that_was_asked_for_and_never_started_is_asked_for_again_as_the_same() -> None:
    both = Neighbours()
    world = both.start("parent")
    both.complete("parent", start_child("child"), more=True)
    asked = world.sent.pop()
    assert isinstance(asked.message, messages.StartChild)
    both.complete("parent", requests.command("timer t 1h"), is_polled=False)
    first = world.run.recorded.run_id
    world.decide(reset(world, 8))
    (again,) = world.sent
    assert isinstance(again.message, messages.StartChild)
    assert again.message.request == asked.message.request, "with the same request id"
    assert again.message.parent.run_id == world.run.recorded.run_id != first
    both.deliver()
    assert world.types()[-1] == CHILD + "STARTED"


def test_signals_and_cancel_requests_without_an_answer_are_sent_again_and_count_once() -> None:
    both = Neighbours()
    other = both.start("other")
    world = both.start("w")
    both.complete("w", signal("other", "hello"), cancel("other"), more=True)
    lost = list(world.sent)
    both.deliver()
    both.complete("w", requests.command("timer t 1h"), is_polled=False)
    assert len(lost) == 2
    world.decide(reset(world, 9))
    both.deliver()
    assert not world.run.external_signals
    assert not world.run.external_cancels
    assert other.types().count(SIGNALED) == 1
    assert other.types().count("WORKFLOW_EXECUTION_CANCEL_REQUESTED") == 1


def test_a_signal_of_another_workflow_is_heard_again_without_its_sender() -> None:
    both = Neighbours()
    both.start("parent")
    both.start("child")
    both.complete("parent", signal("child"))
    world = both.world("child")
    both.complete("child", requests.command("timer t 1h"))
    both.deliver()
    old = world.run.recorded.run_id
    sent = both.last("child", SIGNALED).workflow_execution_signaled_event_attributes
    assert sent.external_workflow_execution.workflow_id == "parent"
    world.decide(reset(world, 4))
    assert world.run.recorded.run_id != old
    again = both.last("child", SIGNALED).workflow_execution_signaled_event_attributes
    assert not again.HasField("external_workflow_execution")
    sent.ClearField("external_workflow_execution")
    assert again == sent


def test_a_cancel_request_before_the_cut_still_stands_and_one_after_it_does_not() -> None:
    world = World()
    world.decide(inputs.StartWorkflow(requests.start({})))
    stages.poll(world)
    stages.complete(world, "timer t 1h")
    world.decide(inputs.CancelWorkflow("", requests.cancel({"request": "why"})))
    stages.poll(world)
    stages.complete(world, "timer u 1h")
    first = world.run.recorded.run_id
    world.decide(reset(world, 8))
    assert world.run.pending.is_cancel_requested
    world.decide(reset(world, 4, first, request_id="another"))
    assert not world.run.pending.is_cancel_requested


def test_reset_points_and_the_chain_are_those_of_the_new_run() -> None:
    world = stage(Phase.STARTED)
    first = world.run.recorded.run_id
    world.decide(reset(world, world.run.recorded.next_event_id - 1))
    recorded = world.run.recorded
    assert [point.run_id for point in recorded.reset_points] == [recorded.run_id]
    assert recorded.first_execution_run_id == first
    assert recorded.original_start_time_ns
    assert world.run.pending.sticky_queue == ""


@pytest.mark.parametrize("movement", [inputs.SignalWorkflow, inputs.TerminateWorkflow])
def test_a_reset_that_was_made_from_an_older_state_is_to_be_made_anew(movement: type) -> None:
    world = stage(Phase.SCHEDULED)
    made = unchecked(world, 4)
    world.decide(message(world, movement))
    with pytest.raises(Moved):
        world.decide(made)


def test_a_reset_of_a_run_that_is_not_the_current_one_any_more_is_to_be_made_anew() -> None:
    world = stage(Phase.CLOSED)
    made = unchecked(world, 4)
    made.seen_event_id = 0
    with pytest.raises(Moved):
        world.decide(made)


def test_an_answer_for_a_run_that_was_not_reset_into_this_one_is_for_nobody() -> None:
    both = parent_with_child()
    world = both.world("parent")
    world.decide(reset(world, 9))
    stranger = messages.ChildClosed("somebody", 5, "child", "run", "run", 2, b"")
    with pytest.raises(NotFound):
        world.decide(stranger)


SIGNAL = ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL
UPDATE = ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, set()),
        ({"reset_reapply_exclude_types": [SIGNAL]}, {SIGNAL}),
        ({"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_NONE}, {SIGNAL, UPDATE}),
        ({"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_SIGNAL}, {UPDATE}),
        ({"reset_reapply_type": ResetReapplyType.RESET_REAPPLY_TYPE_ALL_ELIGIBLE}, set()),
    ],
)
def test_the_old_choice_of_what_is_done_again_means_exclusions(
    fields: dict[str, Any], expected: set[int]
) -> None:
    made = unchecked(stage(Phase.IDLE), 4, **fields)
    assert resetting.excluded_types(made.request) == expected


def test_a_fold_in_pieces_is_the_fold() -> None:
    entries = entries_of(stage(Phase.CLOSED).stored.history)
    whole, pieces = resetting.Fold(), resetting.Fold()
    whole.feed(entries)
    for entry in entries:
        pieces.feed([entry])
    assert whole == pieces
