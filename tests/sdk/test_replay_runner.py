"""What a run does with its tasks: signals, cancellation, failures, queries, eviction."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.enums.v1 import WorkflowTaskFailedCause

from perdure import __version__, workflow
from perdure._replay.api import HistoryGap, TaskFailure, WorkflowActivation
from perdure._replay.runner import (
    UnknownWorkflowError,
    WorkflowRunner,
    unknown_workflow_failure,
)
from perdure.common import RawValue
from perdure.exceptions import ActivityError, ApplicationError
from tests.sdk.replay_check import options
from tests.sdk.replay_world import RUN_ID, World, failure, kinds, result

LIMIT = timedelta(seconds=10)
BOTH = pytest.mark.parametrize("evict_always", [False, True])


async def call(name: str, *args: Any, **more: Any) -> Any:
    """An activity by its name."""
    return await workflow.execute_activity(name, args=args, start_to_close_timeout=LIMIT, **more)


@workflow.defn
class Steps:
    """Two activities and a timer between them."""

    @workflow.run
    async def run(self, name: str) -> str:
        first = await call("compose", name)
        await workflow.sleep(timedelta(days=30))
        return f"{first} {await call('compose', 'again')}"


@BOTH
def test_a_run_goes_on_where_it_stood(evict_always: bool) -> None:
    world = World(Steps, "you", evict_always=evict_always)
    assert kinds(world.task()) == ["SCHEDULE_ACTIVITY_TASK"]
    world.complete_activity("1", "hello")
    timer = world.task()
    assert kinds(timer) == ["START_TIMER"]
    assert timer.commands[0].start_timer_command_attributes.timer_id == "1"
    world.fire("1")
    assert kinds(world.task()) == ["SCHEDULE_ACTIVITY_TASK"]
    world.complete_activity("2", "bye")
    assert result(world.task()) == "hello bye"


def test_a_task_that_tells_the_code_nothing_has_no_commands() -> None:
    world = World(Steps, "you")
    world.task()
    assert kinds(world.task()) == []


def test_flags_and_sdk_are_told_once() -> None:
    world = World(Steps, "you")
    first = world.task().sdk_metadata
    assert list(first.core_used_flags) == [1, 2, 3, 4]
    assert first.sdk_name
    world.complete_activity("1", "hello")
    second = world.task().sdk_metadata
    assert not second.core_used_flags
    assert not second.sdk_name


def test_a_runner_without_the_beginning_says_so() -> None:
    world = World(Steps, "you")
    world.task()
    world.runner = None
    world.complete_activity("1", "hello")
    with pytest.raises(HistoryGap):
        world.task()


@workflow.defn
class Waits:
    """Collects signals until told to stop."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.stopped = False

    @workflow.run
    async def run(self) -> list[str]:
        self.words.append("run")
        await workflow.wait_condition(lambda: self.stopped)
        return self.words

    @workflow.signal
    def add(self, word: str) -> None:
        self.words.append(word)

    @workflow.signal
    def stop(self) -> None:
        self.stopped = True

    @workflow.query
    def so_far(self) -> list[str]:
        return self.words

    @workflow.query
    async def meddles(self) -> None:
        workflow.upsert_memo({"a": 1})


@BOTH
def test_signals_of_the_first_task_are_handled_before_the_run_method(evict_always: bool) -> None:
    world = World(Waits, evict_always=evict_always)
    world.signal("add", "early")
    world.task()
    world.signal("add", "late")
    world.signal("stop")
    assert result(world.task()) == ["early", "run", "late"]


def test_a_signal_that_nobody_handles_waits_for_a_handler() -> None:
    world = World(SetsHandler)
    world.signal("later", "one")
    world.signal("later", "two")
    assert result(world.task()) == ["one", "two"]


@workflow.defn
class SetsHandler:
    """Gets its handler late."""

    @workflow.run
    async def run(self) -> list[str]:
        heard: list[str] = []

        def collect(word: str) -> None:
            heard.append(word)

        workflow.set_signal_handler("later", collect)
        await workflow.wait_condition(lambda: len(heard) == 2)
        return heard


def test_a_signal_that_cannot_be_decoded_is_dropped() -> None:
    world = World(Waits)
    world.task()
    world.signal("add", {"not": "a string"})
    world.signal("stop")
    assert result(world.task()) == ["run"]


def test_a_query_sees_what_was_done_and_changes_nothing() -> None:
    world = World(Waits)
    world.signal("add", "early")
    world.task()
    answer = world.query("so_far").result
    assert answer.answer.payloads[0].data == b'["early","run"]'
    refused = world.query("meddles").result
    assert "read-only function, action attempted: add command" in refused.error_message
    unknown = world.query("what").result
    assert "known queries: [" in unknown.error_message
    assert "meddles so_far]" in unknown.error_message
    world.signal("stop")
    assert kinds(world.task()) == ["COMPLETE_WORKFLOW_EXECUTION"]


def test_every_workflow_says_where_it_waits_and_what_it_can_be_told() -> None:
    world = World(Waits)
    world.task()
    trace = world.query("__stack_trace").result.answer.payloads[0].data.decode()
    assert "in run" in trace
    assert "await workflow.wait_condition(lambda: self.stopped)" in trace
    enhanced = json.loads(world.query("__enhanced_stack_trace").result.answer.payloads[0].data)
    assert enhanced["sdk"] == {"name": "perdure-python", "version": __version__}
    [stack] = enhanced["stacks"]
    [location] = stack["locations"]
    assert location["functionName"] == "run"
    lines = enhanced["sources"][location["filePath"]]["content"].splitlines()
    assert "wait_condition" in lines[location["line"] - 1]
    payload = world.query("__temporal_workflow_metadata").result.answer.payloads[0]
    names = [one["name"] for one in json.loads(payload.data)["definition"]["signalDefinitions"]]
    assert names == ["add", "stop"]


def test_a_query_on_an_evicted_run_replays_it_first() -> None:
    world = World(Waits)
    world.signal("add", "early")
    world.task()
    world.evict()
    assert world.query("so_far").result.answer.payloads[0].data == b'["early","run"]'


@workflow.defn
class Sleeps:
    """Sleeps, and cleans up when cancelled."""

    @workflow.run
    async def run(self) -> str:
        try:
            await workflow.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.create_task(call("clean up")))
            raise
        return "woke"


@BOTH
def test_cancellation_is_delivered_and_ends_the_run_as_cancelled(evict_always: bool) -> None:
    world = World(Sleeps, evict_always=evict_always)
    world.task()
    world.cancel()
    assert kinds(world.task()) == ["CANCEL_TIMER", "SCHEDULE_ACTIVITY_TASK"]
    world.complete_activity("1")
    assert kinds(world.task()) == ["CANCEL_WORKFLOW_EXECUTION"]


@workflow.defn
class RunsOne:
    """One activity, cancelled in one of three ways."""

    @workflow.run
    async def run(self, cancellation_type: int) -> str:
        kind = workflow.ActivityCancellationType(cancellation_type)
        try:
            await call("hang", cancellation_type=kind)
        except ActivityError as error:
            return type(error.cause).__name__
        return "completed"


@pytest.mark.parametrize(
    ("kind", "at_once"),
    [
        (
            workflow.ActivityCancellationType.TRY_CANCEL,
            ["REQUEST_CANCEL_ACTIVITY_TASK", "COMPLETE_WORKFLOW_EXECUTION"],
        ),
        (
            workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            ["REQUEST_CANCEL_ACTIVITY_TASK"],
        ),
        (workflow.ActivityCancellationType.ABANDON, ["COMPLETE_WORKFLOW_EXECUTION"]),
    ],
)
@BOTH
def test_what_a_cancelled_activity_does(
    kind: workflow.ActivityCancellationType, at_once: list[str], evict_always: bool
) -> None:
    world = World(RunsOne, int(kind), evict_always=evict_always)
    world.task()
    world.cancel()
    completion = world.task()
    assert kinds(completion) == at_once
    if not completion.closed:
        world.cancel_activity("1")
        completion = world.task()
    assert result(completion) == "CancelledError"


@workflow.defn
class CancelsTwice:
    """Cancels an activity and a timer in the task that made them."""

    @workflow.run
    async def run(self) -> list[str]:
        handle = workflow.start_activity("never", start_to_close_timeout=LIMIT)
        sleeper = asyncio.create_task(workflow.sleep(5))
        await asyncio.sleep(0)
        handle.cancel()
        sleeper.cancel()
        ends = await asyncio.gather(handle, sleeper, return_exceptions=True)
        return [type(end).__name__ for end in ends]


def test_what_is_cancelled_before_it_was_sent_is_never_sent() -> None:
    completion = World(CancelsTwice).task()
    assert kinds(completion) == ["COMPLETE_WORKFLOW_EXECUTION"]
    assert result(completion) == ["ActivityError", "CancelledError"]


@workflow.defn(failure_exception_types=[KeyError])
class Fails:
    """Fails in the way that it is told."""

    @workflow.run
    async def run(self, kind: str) -> None:
        if kind == "application":
            raise ApplicationError("on purpose", type="Purpose")
        if kind == "declared":
            raise KeyError("declared")
        if kind == "timeout":
            raise TimeoutError("late")
        if kind == "activity":
            await call("fails")
        raise ValueError("a bug")


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [("application", "Purpose"), ("declared", "KeyError"), ("timeout", "TimeoutError")],
)
def test_some_exceptions_fail_the_workflow(kind: str, error_type: str) -> None:
    completion = World(Fails, kind).task()
    assert kinds(completion) == ["FAIL_WORKFLOW_EXECUTION"]
    assert failure(completion).application_failure_info.type == error_type


def test_a_failed_activity_fails_the_workflow_with_its_cause() -> None:
    world = World(Fails, "activity")
    world.task()
    world.fail_activity("1", "no money", "Broke")
    failed = failure(world.task())
    assert failed.activity_failure_info.activity_type.name == "fails"
    assert failed.cause.message == "no money"
    assert failed.cause.application_failure_info.type == "Broke"


def test_other_exceptions_fail_the_task_and_it_is_tried_again() -> None:
    world = World(Fails, "bug")
    failed = world.failed_task()
    assert failed.failure.message == "a bug"
    assert "replay_runner" in failed.failure.stack_trace
    assert "_replay" not in failed.failure.stack_trace.replace("test_replay_runner", "")
    assert failed.cause == (
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE
    )
    assert isinstance(world.attempt(), TaskFailure)


def test_the_worker_may_declare_what_fails_a_workflow() -> None:
    completion = World(Fails, "bug", failure_exception_types=[ValueError]).task()
    assert kinds(completion) == ["FAIL_WORKFLOW_EXECUTION"]


def test_an_argument_that_cannot_be_decoded_fails_the_task() -> None:
    assert "decoding" in World(Steps, {"not": "a string"}).failed_task().failure.message


def test_an_unknown_workflow_type_is_answered_with_those_that_are_known() -> None:
    world = World(Steps, "you")
    worker = options({"Steps": world.definition, "Another": world.definition})
    with pytest.raises(UnknownWorkflowError) as raised:
        WorkflowRunner(worker, _task_of_type("Missing", world))
    failed = unknown_workflow_failure(worker, raised.value)
    assert failed.failure.message == (
        "Workflow class Missing is not registered on this worker, "
        "available workflows: Another, Steps"
    )


def _task_of_type(workflow_type: str, world: World) -> Any:
    return WorkflowActivation(
        run_id=RUN_ID,
        workflow_id="workflow",
        workflow_type=workflow_type,
        events=world.events,
        previous_started_event_id=0,
        started_event_id=3,
    )


@workflow.defn
class Finally:
    """Has a `finally` that would act."""

    torn: list[str] = []  # noqa: RUF012 -- the test looks at it from outside

    @workflow.run
    async def run(self) -> None:
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            self.torn.append("cancelled")
        finally:
            self.torn.append("finally")
            await call("harm")
            self.torn.append("harmed")


def test_an_evicted_run_is_torn_down_without_being_able_to_act() -> None:
    Finally.torn.clear()
    world = World(Finally)
    world.task()
    world.evict()
    assert Finally.torn == ["finally"]
    world.signal("whatever")
    assert kinds(world.task()) == []
    world.evict()


@workflow.defn
class Continues:
    """Goes on as a new run."""

    @workflow.run
    async def run(self, number: int) -> None:
        workflow.continue_as_new(number + 1, run_timeout=timedelta(minutes=1))


def test_continue_as_new_carries_its_arguments() -> None:
    completion = World(Continues, 1).task()
    attributes = completion.commands[-1].continue_as_new_workflow_execution_command_attributes
    assert attributes.input.payloads[0].data == b"2"
    assert attributes.workflow_type.name == "Continues"
    assert attributes.task_queue.name == "queue"
    assert attributes.workflow_run_timeout.seconds == 60
    assert completion.closed


@workflow.defn
class Abandons:
    """Ends while a handler runs."""

    @workflow.run
    async def run(self) -> str:
        return "done"

    @workflow.signal
    async def work(self) -> None:
        await workflow.sleep(5)


def test_ending_while_a_handler_runs_is_warned_of() -> None:
    world = World(Abandons)
    world.signal("work")
    with pytest.warns(workflow.UnfinishedSignalHandlersWarning, match="work"):
        completion = world.task()
    assert kinds(completion) == ["START_TIMER", "COMPLETE_WORKFLOW_EXECUTION"]


@workflow.defn(dynamic=True)
class Anything:
    """Serves every type."""

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> str:
        values = [workflow.payload_converter().from_payload(arg.payload) for arg in args]
        return f"{workflow.info().workflow_type}: {values}"


def test_a_dynamic_workflow_gets_raw_values() -> None:
    assert result(World(Anything, "one", 2).task()) == "Whatever: ['one', 2]"
