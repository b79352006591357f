"""Where rules begin and end: what is exactly as long, as many, or as early as is allowed."""

from __future__ import annotations

import msgspec
import pytest
from temporalio.api.command.v1 import Command, StartTimerCommandAttributes
from temporalio.api.common.v1 import Priority
from temporalio.api.enums.v1 import (
    CommandType,
    ContinueAsNewInitiator,
    SuggestContinueAsNewReason,
    TaskQueueKind,
)
from temporalio.api.sdk.v1 import UserMetadata

from perdure.server.machines.activity import attempt, control
from perdure.server.machines.errors import NotFound
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.wire import duration
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.outstanding_task import priority_of
from perdure.server.machines.workflow.state import Attempt, PendingActivity, Update
from perdure.server.machines.workflow.workflow_task import start_to_close, suggest_reasons
from tests.machines import requests, stages
from tests.machines.neighbours import Neighbours, start_child
from tests.machines.world import World

LIMITS = msgspec.structs.replace(DEFAULT_LIMITS, id_length_max=20)
INITIATED = "START_CHILD_WORKFLOW_EXECUTION_INITIATED"


def named(kind: str, length: int) -> Command:
    """A command with a name of so many bytes."""
    name = "x" * length
    if kind == "timer":
        return Command(
            command_type=CommandType.COMMAND_TYPE_START_TIMER,
            start_timer_command_attributes=StartTimerCommandAttributes(
                timer_id=name, start_to_fire_timeout=duration(SECOND_NS)
            ),
        )
    command = Command(command_type=CommandType.COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION)
    attributes = command.continue_as_new_workflow_execution_command_attributes
    attributes.workflow_type.name = name
    return command


@pytest.mark.parametrize("kind", ["timer", "continue"])
def test_a_name_may_be_as_long_as_the_limit_and_no_longer(kind: str) -> None:
    for length, is_refused in ((20, False), (21, True)):
        both = Neighbours(limits=LIMITS)
        both.start("parent")
        both.complete("parent", named(kind, length))
        events = both.world("parent").events()
        failed = [each for each in events if each.HasField("workflow_task_failed_event_attributes")]
        assert bool(failed) is is_refused


def test_nine_tenths_of_all_updates_suggest_to_continue() -> None:
    world = World(limits=msgspec.structs.replace(DEFAULT_LIMITS, updates_max=10))
    world.decide(inputs.StartWorkflow(requests.start({})))
    run, limits = world.run, world.limits
    run.updates = {str(number): Update(str(number)) for number in range(8)}
    assert suggest_reasons(run, limits) == ()
    run.updates["8"] = Update("8")
    too_many = SuggestContinueAsNewReason.SUGGEST_CONTINUE_AS_NEW_REASON_TOO_MANY_UPDATES
    assert suggest_reasons(run, limits) == (too_many,)


def test_a_task_that_always_fails_has_more_time_up_to_ten_minutes() -> None:
    def extra_seconds(attempt: int) -> float:
        default_ns = 10 * SECOND_NS
        return (start_to_close(default_ns, attempt, DEFAULT_LIMITS) - default_ns) / SECOND_NS

    assert [extra_seconds(attempt) for attempt in range(1, 7)] == [0, 0, 0, 5, 10, 20]
    assert [extra_seconds(attempt) for attempt in (10, 11, 1000, 2**40)] == [320, 600, 600, 600]


def test_a_priority_without_a_key_is_the_middle_one() -> None:
    assert priority_of(None) == 3
    assert priority_of(Priority(fairness_key="tenant").SerializeToString()) == 3
    assert priority_of(Priority(priority_key=1).SerializeToString()) == 1


@pytest.mark.parametrize("schedule", ["", "0 * * * *"])
def test_only_a_start_with_a_cron_schedule_says_so(schedule: str) -> None:
    world = World()
    request = requests.start({})
    request.cron_schedule = schedule
    world.decide(inputs.StartWorkflow(request))
    initiator = world.events()[0].workflow_execution_started_event_attributes.initiator
    cron = ContinueAsNewInitiator.CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE
    assert initiator == (cron if schedule else 0)


def test_a_childs_queue_is_a_normal_one_and_its_metadata_that_of_the_command() -> None:
    both = Neighbours()
    both.start("parent")
    command = start_child("child")
    metadata = UserMetadata(summary=requests.payload("a child"))
    command.user_metadata.CopyFrom(metadata)
    both.complete("parent", command)
    both.deliver()
    initiated = both.last("parent", INITIATED)
    queue = initiated.start_child_workflow_execution_initiated_event_attributes.task_queue
    assert queue.kind == TaskQueueKind.TASK_QUEUE_KIND_NORMAL
    assert initiated.user_metadata == metadata
    assert both.last("child", "WORKFLOW_EXECUTION_STARTED").user_metadata == metadata


def test_a_child_cannot_be_on_a_queue_of_the_service() -> None:
    both = Neighbours()
    both.start("parent")
    command = start_child("child")
    queue = command.start_child_workflow_execution_command_attributes.task_queue
    queue.name = "temporal-sys-per-ns-tq"
    both.complete("parent", command)
    failed = both.world("parent").events()[-1].workflow_task_failed_event_attributes
    assert "cannot use internal per-namespace task queue" in failed.failure.message


def test_a_query_is_as_urgent_as_its_workflow() -> None:
    world = World()
    request = requests.start({})
    request.priority.priority_key = 5
    world.decide(inputs.StartWorkflow(request))
    stages.poll(world)
    stages.complete(world, "timer t 60s")
    asked = world.decide(stages.message(world, inputs.QueryWorkflow)).reply
    assert isinstance(asked, inputs.AskDirectly)
    assert asked.priority == 5


def test_what_one_reset_forgets_the_next_one_does_not_remember() -> None:
    world = World()
    world.decide(inputs.StartWorkflow(requests.start({})))
    stages.poll(world)
    stages.complete(world, "activity a start_to_close=10s")
    world.decide(stages.message(world, inputs.StartActivityTask))
    (pending,) = world.run.activities.values()
    for resets_heartbeat in (True, False):
        reset = control.Reset(world.now_ns, world.now_ns, resets_heartbeat=resets_heartbeat)
        after = attempt.step(pending, reset, DEFAULT_LIMITS)
        assert isinstance(after, Attempt)
        assert after.forgets_heartbeat
        pending = PendingActivity(pending.activity, after)


def test_a_worker_that_was_given_up_does_not_answer_for_the_next_one() -> None:
    world = World()
    world.decide(inputs.StartWorkflow(requests.start({})))
    stages.poll(world)
    stages.complete(world, "activity a start_to_close=10s")
    world.decide(stages.message(world, inputs.StartActivityTask))
    given_up = stages.activity_token(world)
    world.decide(stages.message(world, inputs.ActivityTaskUndelivered))
    world.decide(stages.message(world, inputs.StartActivityTask))
    next_one = stages.activity_token(world)
    assert (given_up.attempt, next_one.attempt) == (1, 1), "it counts as no attempt"
    for token, is_refused in ((given_up, True), (next_one, False)):
        complete = inputs.CompleteActivity(token, None, "worker")
        if is_refused:
            with pytest.raises(NotFound, match="activity already timed out"):
                world.decide(complete)
        else:
            world.decide(complete)
    assert not world.run.activities


def test_a_signal_is_known_again_by_its_id_whether_it_was_recorded_or_buffered() -> None:
    for is_buffered in (False, True):
        world = World()
        world.decide(inputs.StartWorkflow(requests.start({})))
        if is_buffered:
            stages.poll(world)
        for _ in range(2):
            world.decide(inputs.SignalWorkflow("", requests.signal("go", {"request": "one"})))
        if is_buffered:
            stages.complete(world, "")
        assert world.types().count("WORKFLOW_EXECUTION_SIGNALED") == 1
