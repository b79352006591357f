"""StartTimer and CancelTimer, as the commands of a completion."""

from __future__ import annotations

import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import CommandType
from temporalio.api.sdk.v1 import UserMetadata

from perdure.server.machines.ports import SECOND_NS
from tests.machines.activity_world import (
    BEGIN_NS,
    WORKER,
    World,
    cancel_timer,
    schedule_activity,
    start_timer,
)

LONG = "x" * 1001
STATE = "invalid history builder state for action: "


def test_a_timer_is_armed_with_its_start() -> None:
    world = World()
    command = start_timer("t", 60)
    command.user_metadata.CopyFrom(UserMetadata(summary=Payload(data=b"tea")))
    world.complete_task(command)
    assert world.types(3) == ["WORKFLOW_TASK_COMPLETED", "TIMER_STARTED"]
    started = world.last("TIMER_STARTED")
    attributes = started.timer_started_event_attributes
    assert (attributes.timer_id, attributes.workflow_task_completed_event_id) == ("t", 4)
    assert attributes.start_to_fire_timeout.seconds == 60
    assert started.user_metadata.summary.data == b"tea"
    world.pass_time(59.999)
    assert "TIMER_FIRED" not in world.types()
    assert world.run.pending.wake_at_ns == BEGIN_NS + 60 * SECOND_NS
    world.pass_time(0.001)
    assert world.types()[-2:] == ["TIMER_FIRED", "WORKFLOW_TASK_SCHEDULED"]


def test_a_timer_of_more_than_a_century_is_one() -> None:
    world = World()
    world.complete_task(start_timer("t", 200 * 365 * 86400))
    attributes = world.last("TIMER_STARTED").timer_started_event_attributes
    assert attributes.start_to_fire_timeout.seconds == 100 * 365 * 86400


def test_a_timer_without_a_time_is_recorded_without_one() -> None:
    world = World()
    command = start_timer()
    command.start_timer_command_attributes.ClearField("start_to_fire_timeout")
    world.complete_task(command)
    attributes = world.last("TIMER_STARTED").timer_started_event_attributes
    assert not attributes.HasField("start_to_fire_timeout")


def test_a_cancelled_timer_never_fires() -> None:
    world = World()
    world.complete_task(start_timer("t", 60), schedule_activity())
    world.complete_activity(world.start_activity())
    world.start_task()
    at = len(world.history)
    world.complete_task(cancel_timer("t"))
    assert world.types(at) == ["WORKFLOW_TASK_COMPLETED", "TIMER_CANCELED"]
    attributes = world.last("TIMER_CANCELED").timer_canceled_event_attributes
    assert (attributes.timer_id, attributes.started_event_id) == ("t", 5)
    assert (attributes.workflow_task_completed_event_id, attributes.identity) == (at + 1, WORKER)
    world.pass_time(60)
    assert "TIMER_FIRED" not in world.types()


def fired_unseen() -> World:
    """A world whose timer "t", event 5, has fired while a worker had the workflow task."""
    world = World()
    world.complete_task(start_timer("t", 5), start_timer("u", 60), schedule_activity())
    world.complete_activity(world.start_activity())
    world.start_task()
    world.pass_time(5)
    assert world.run.timers["t"].is_fired
    assert len(world.run.buffered) == 1
    return world


def test_a_timer_that_fired_unseen_can_still_be_cancelled() -> None:
    world = fired_unseen()
    at = len(world.history)
    world.complete_task(cancel_timer("t"))
    assert world.types(at) == ["WORKFLOW_TASK_COMPLETED", "TIMER_CANCELED"], "and no new task"
    attributes = world.last("TIMER_CANCELED").timer_canceled_event_attributes
    assert attributes.started_event_id == 5
    assert not world.run.buffered
    assert set(world.run.timers) == {"u"}


def test_cancelling_the_only_news_lets_the_workflow_close() -> None:
    world = fired_unseen()
    close = Command(command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION)
    close.complete_workflow_execution_command_attributes.SetInParent()
    world.complete_task(cancel_timer("t"), close)
    assert world.types()[-1] == "WORKFLOW_EXECUTION_COMPLETED"


def test_cancelling_another_timer_leaves_the_news() -> None:
    world = fired_unseen()
    at = len(world.history)
    world.complete_task(cancel_timer("u"))
    assert world.types(at) == [
        "WORKFLOW_TASK_COMPLETED",
        "TIMER_CANCELED",
        "TIMER_FIRED",
        "WORKFLOW_TASK_SCHEDULED",
    ]


@pytest.mark.parametrize("world", [World(), fired_unseen()], ids=["running", "fired unseen"])
def test_the_id_of_a_cancelled_timer_is_free_within_the_completion(world: World) -> None:
    commands = [] if world.run.timers else [start_timer("t", 60)]
    world.complete_task(*commands, cancel_timer("t"), start_timer("t", 7))
    assert world.types()[-2:] == ["TIMER_CANCELED", "TIMER_STARTED"]
    assert world.run.timers["t"].due_ns == world.now_ns + 7 * SECOND_NS


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        (
            [Command(command_type=CommandType.COMMAND_TYPE_START_TIMER)],
            "BadStartTimerAttributes: StartTimerCommandAttributes is not set on StartTimerCommand.",
        ),
        ([start_timer("")], "BadStartTimerAttributes: TimerId is not set on StartTimerCommand."),
        (
            [start_timer(LONG)],
            (
                "BadStartTimerAttributes: TimerId on StartTimerCommand exceeds length limit."
                f" TimerId={LONG} Length=1001 Limit=1000"
            ),
        ),
        (
            [start_timer("t", -1)],
            (
                "BadStartTimerAttributes: An invalid StartToFireTimeout is set on"
                " StartTimerCommand: negative duration. TimerId=t"
            ),
        ),
        (
            [start_timer("t"), start_timer("t")],
            f"StartTimerDuplicateId: {STATE}add-timer-started-event, TimerID: t",
        ),
        (
            [Command(command_type=CommandType.COMMAND_TYPE_CANCEL_TIMER)],
            (
                "BadCancelTimerAttributes: CancelTimerCommandAttributes is not set on"
                " CancelTimerCommand."
            ),
        ),
        ([cancel_timer("")], "BadCancelTimerAttributes: TimerId is not set on CancelTimerCommand."),
        (
            [cancel_timer(LONG)],
            (
                "BadCancelTimerAttributes: TimerId on CancelTimerCommand exceeds length limit."
                f" TimerId={LONG} Length=1001 Limit=1000"
            ),
        ),
        (
            [cancel_timer("t")],
            f"BadCancelTimerAttributes: {STATE}add-timer-canceled-event, TimerID: t",
        ),
        (
            [start_timer("t"), cancel_timer("t"), cancel_timer("t")],
            f"BadCancelTimerAttributes: {STATE}add-timer-canceled-event, TimerID: t",
        ),
    ],
)
def test_bad_commands_are_refused_in_the_words_of_the_real_server(
    commands: list[Command], message: str
) -> None:
    world = World()
    assert world.refusal_of(*commands) == message
    assert not world.run.timers
