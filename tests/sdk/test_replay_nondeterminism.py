"""A workflow whose code no longer fits its history is reported so that a person can act on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio.api.enums.v1 import WorkflowTaskFailedCause

from perdure import workflow
from perdure._definitions import workflow_definition_of
from perdure._replay.api import TaskFailure
from tests.sdk.replay_world import World, failure, kinds

LIMIT = timedelta(seconds=10)


@workflow.defn(name="Changing")
class Before:
    """As it was when the run began."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("charge", 100, start_to_close_timeout=LIMIT)
        await workflow.sleep(1)


@workflow.defn(name="Changing")
class SleepsFirst:
    """Another command at the same place."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(timedelta(days=1))
        await workflow.execute_activity("charge", 100, start_to_close_timeout=LIMIT)


@workflow.defn(name="Changing")
class WaitsFirst:
    """No command at the same place."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


@workflow.defn(name="Changing")
class ChargesOther:
    """The same kind of command, for another activity."""

    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("refund", 100, start_to_close_timeout=LIMIT)


@workflow.defn(name="Changing")
class PatchedFirst:
    """Changed with care."""

    @workflow.run
    async def run(self) -> None:
        if workflow.patched("sleep first"):
            await workflow.sleep(timedelta(days=1))
        await workflow.execute_activity("charge", 100, start_to_close_timeout=LIMIT)
        await workflow.sleep(1)


@workflow.defn(name="Changing", failure_exception_types=[workflow.NondeterminismError])
class FailsOnMismatch:
    """Wants to fail rather than to wait for a fix."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(timedelta(days=1))


def changed_to(workflow_class: type) -> World:
    """A run begun by `Before`, whose next task falls to a worker with changed code."""
    world = World(Before)
    world.task()
    world.evict()
    changed = World(workflow_class, definition=workflow_definition_of(workflow_class))
    changed.events = world.events
    changed._scheduled = world._scheduled
    changed._previous = world._previous
    changed.complete_activity("1")
    return changed


def message_of(workflow_class: type) -> str:
    """What the worker says of the mismatch."""
    outcome: Any = changed_to(workflow_class).attempt()
    assert isinstance(outcome, TaskFailure)
    assert outcome.cause == (
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
    )
    return outcome.failure.message


def test_the_report_names_event_command_and_line() -> None:
    message = message_of(SleepsFirst)
    assert message.startswith("[TMPRL1100] Nondeterminism error: ")
    assert 'event 5 ActivityTaskScheduled {activity_id: "1" activity_type { name: "charge" }' in (
        message
    )
    assert 'command StartTimer {timer_id: "1" start_to_fire_timeout { seconds: 86400 }}' in message
    assert "test_replay_nondeterminism.py:" in message
    assert "in SleepsFirst.run: await workflow.sleep(timedelta(days=1))" in message
    assert "'workflow'" in message


def test_without_a_command_the_report_names_the_line_that_waits() -> None:
    message = message_of(WaitsFirst)
    assert "the code issued no command for this event" in message
    assert "WaitsFirst.run: await workflow.wait_condition(lambda: False)" in message


def test_another_activity_is_a_mismatch_too() -> None:
    message = message_of(ChargesOther)
    assert "the history has the activity type 'charge', the code 'refund'" in message


def test_a_command_that_history_lacks_is_found_at_the_next_event() -> None:
    world = World(Before)
    world.task()
    world.complete_activity("1")
    world.task()
    world.events[-1].timer_started_event_attributes.timer_id = "7"
    world.fire("1")
    world.events[-1].timer_fired_event_attributes.timer_id = "7"
    world.evict()
    outcome = world.attempt()
    assert isinstance(outcome, TaskFailure)
    assert "the history has the timer id '7', the code '1'" in outcome.failure.message


def test_a_patched_change_replays() -> None:
    world = changed_to(PatchedFirst)
    assert kinds(world.task()) == ["START_TIMER"]


def test_a_workflow_may_ask_to_fail_by_it() -> None:
    completion = changed_to(FailsOnMismatch).task()
    assert kinds(completion) == ["FAIL_WORKFLOW_EXECUTION"]
    failed = failure(completion)
    assert failed.application_failure_info.type == "NondeterminismError"
    assert "TMPRL1100" in failed.message
