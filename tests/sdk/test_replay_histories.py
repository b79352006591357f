"""Histories that the official SDK wrote on the real server replay here, command for command."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure._replay.api import WorkflowActivation, WorkflowCompletion
from perdure._replay.runner import WorkflowRunner
from tests.sdk.replay_check import differences, options, task_numbers
from tests.sdk.replay_loader import PROGRAMS
from tests.sdk.replay_record import stored

HISTORIES = stored()


def test_there_are_histories_of_every_program() -> None:
    """A program without a history would be tested by nothing."""
    types = {
        events[0].workflow_execution_started_event_attributes.workflow_type.name
        for events in HISTORIES.values()
    }
    assert types == PROGRAMS.keys()


@pytest.mark.parametrize("name", HISTORIES)
def test_commands_are_those_of_the_official_sdk_when_the_run_stays_cached(name: str) -> None:
    """Task after task on one runner, as with a sticky queue."""
    assert differences(PROGRAMS, HISTORIES[name], evicted_before=()) == []


@pytest.mark.parametrize("name", HISTORIES)
def test_commands_are_those_of_the_official_sdk_when_every_task_replays(name: str) -> None:
    """Each task on a fresh runner, from the first event."""
    events = HISTORIES[name]
    assert differences(PROGRAMS, events, evicted_before=task_numbers(events)) == []


@pytest.mark.parametrize("name", HISTORIES)
def test_a_closed_history_replays_at_once(name: str) -> None:
    """As a replayer does before a change is deployed: nothing is left to send."""
    events = HISTORIES[name]
    started = events[0].workflow_execution_started_event_attributes
    task = WorkflowActivation(
        run_id=started.original_execution_run_id,
        workflow_id=started.workflow_id,
        workflow_type=started.workflow_type.name,
        events=events,
        previous_started_event_id=events[-1].event_id,
        started_event_id=events[-1].event_id,
    )
    runner = WorkflowRunner(options(PROGRAMS, task_queue=started.task_queue.name), task)
    completion = runner.activate(task)
    assert isinstance(completion, WorkflowCompletion), completion
    assert completion.commands == []
    runner.evict()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_eviction_at_any_point_changes_no_command(data: st.DataObject) -> None:
    """A run that was evicted before some of its tasks goes on as one that never was."""
    name = data.draw(st.sampled_from(sorted(HISTORIES)))
    events = HISTORIES[name]
    evicted = data.draw(st.sets(st.sampled_from(task_numbers(events))))
    assert differences(PROGRAMS, events, evicted_before=evicted) == []
