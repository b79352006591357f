"""Standalone activities that are reset while a worker has them, and what is refused meanwhile."""

from __future__ import annotations

import typing

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import Payloads, RetryPolicy
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure

from perdure.server.machines.errors import FailedPrecondition, NotFound, Rejected
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.standalone.inputs import RequestCancel
from perdure.server.machines.standalone_activity import inputs
from perdure.server.machines.standalone_activity.state import Status
from perdure.server.machines.workflow.inputs import (
    CompleteActivity,
    FailActivity,
    HeartbeatActivity,
    LoseActivityTask,
    TaskToken,
)
from tests.machines.test_standalone import FAILURE, World

FATAL = Failure(
    message="fatal", application_failure_info=ApplicationFailureInfo(type="T", non_retryable=True)
)
OPTIONS = inputs.SetOptions(
    "", ActivityOptions(start_to_close_timeout=Duration(seconds=77)), ("start_to_close_timeout",)
)


def reset(**fields: typing.Any) -> inputs.Reset:
    """A reset of whichever run is current."""
    wanted = {"resets_heartbeat": False, "keeps_paused": False, "restores_options": False} | fields
    return inputs.Reset("", 0, **wanted)


def last_failure(world: World) -> Failure:
    return Failure.FromString(world.head.pending.attempt.last_failure)


@pytest.mark.parametrize("failure", [FAILURE, FATAL])
def test_what_a_worker_has_is_reset_once_its_attempt_has_failed_however(failure: Failure) -> None:
    world = World()
    soon = Duration(seconds=1)
    world.start(retry_policy=RetryPolicy(initial_interval=soon, maximum_attempts=2))
    world.tell(FailActivity(world.take().token, FAILURE, "worker"))
    world.wake()
    task = world.take()
    world.tell(reset())
    assert world.head.pending.attempt.attempt == 2
    assert world.tell(HeartbeatActivity(task.token, None, "worker")).activity_reset
    world.tell(FailActivity(task.token, failure, "worker"))
    assert world.take().attempt == 1
    assert last_failure(world).message == failure.message


def test_a_timeout_and_the_loss_of_the_worker_lead_to_the_first_attempt_too() -> None:
    world = World()
    world.start(retry_policy=RetryPolicy(maximum_attempts=1))
    world.take()
    world.tell(reset())
    world.wake()
    assert (last_failure(world).message, last_failure(world).source) == (
        "activity StartToClose timeout",
        "",
    )
    task = world.take()
    assert task.attempt == 1
    world.tell(reset())
    world.tell(LoseActivityTask(world.run_id, task.token.scheduled_event_id, task.token.stamp))
    assert world.take().attempt == 1


def test_a_reset_gives_back_options_and_forgets_heartbeats_only_then() -> None:
    world = World()
    world.start()
    task = world.take()
    world.tell(OPTIONS)
    details = Payloads()
    details.payloads.add(data=b"beat")
    world.tell(HeartbeatActivity(task.token, details, "worker"))
    world.tell(reset(restores_options=True, resets_heartbeat=True))
    assert world.head.pending.options.start_to_close_ns == 77 * SECOND_NS
    assert world.head.pending.attempt.heartbeat_details
    world.tell(FailActivity(task.token, FAILURE, "worker"))
    assert world.head.pending.options.start_to_close_ns == 10 * SECOND_NS
    assert not world.take().heartbeat_details


def test_a_reset_may_leave_it_paused() -> None:
    world = World()
    world.start()
    task = world.take()
    world.tell(inputs.Pause("", "operator", "one", "wait"))
    world.tell(reset(keeps_paused=True))
    world.tell(FailActivity(task.token, FAILURE, "worker"))
    world.is_not_on_offer()
    assert world.activity.run is not None
    assert world.activity.run.shown_status == Status.PAUSED
    world.tell(inputs.Unpause("", 0))
    assert world.take().attempt == 1
    assert last_failure(world).message == "no"


def test_what_is_reset_while_it_waits_paused_begins_with_the_end_of_the_pause() -> None:
    world = World()
    world.start(retry_policy=RetryPolicy(initial_interval=Duration(seconds=60)))
    world.tell(FailActivity(world.take().token, FAILURE, "worker"))
    world.tell(inputs.Pause("", "operator", "one", "wait"))
    for _ in range(2):  # Nothing of the first one is left to be done.
        world.tell(reset(keeps_paused=True))
    world.tell(inputs.Unpause("", 0))
    assert world.take().attempt == 1


def test_a_reset_during_the_start_delay_does_not_cut_it_short() -> None:
    world = World()
    world.start(start_delay=Duration(seconds=60))
    world.tell(reset())
    world.is_not_on_offer()


PAUSE = inputs.Pause("", "operator", "one", "wait")
UNPAUSE = inputs.Unpause("", 0)
CANCEL = RequestCancel("", "client", "cancel", "why")


@pytest.mark.parametrize(
    ("before", "message", "refusal"),
    [
        (reset(), reset(), "cannot reset an activity with a pending reset"),
        (reset(), PAUSE, "activity is in non-pausable state ResetRequested"),
        (reset(), UNPAUSE, "activity is in non-unpausable state ResetRequested"),
        (reset(), OPTIONS, "Cannot update options for activity in state ResetRequested"),
        (CANCEL, reset(), "cannot reset an activity with a pending cancellation"),
        (CANCEL, PAUSE, "activity is in non-pausable state CancelRequested"),
        (CANCEL, UNPAUSE, "activity is in non-unpausable state CancelRequested"),
        (CANCEL, OPTIONS, "Cannot update options for activity in state CancelRequested"),
    ],
)
def test_who_is_about_to_be_reset_or_cancelled_is_left_alone(
    before: typing.Any, message: typing.Any, refusal: str
) -> None:
    world = World()
    world.start()
    world.take()
    world.tell(before)
    with pytest.raises(FailedPrecondition) as refused:
        world.tell(message)
    assert str(refused.value) == refusal


def test_a_cancellation_comes_before_the_reset_that_was_asked_for() -> None:
    world = World()
    world.start()
    task = world.take()
    world.tell(reset())
    world.tell(CANCEL)
    world.tell(FailActivity(task.token, FAILURE, "worker"))
    assert world.head.status == Status.FAILED


@pytest.mark.parametrize(
    ("message", "error", "refusal"),
    [
        (CANCEL, FailedPrecondition, "activity is in terminal state Completed"),
        (OPTIONS, FailedPrecondition, "Cannot update options for activity in state Completed"),
        (reset(), FailedPrecondition, "activity execution is not running"),
        (
            CompleteActivity(TaskToken("namespace", "job", "", 0, 0, 0), None, "someone"),
            FailedPrecondition,
            "invalid transition from Completed",
        ),
        (
            FailActivity(TaskToken("namespace", "job", "", 0, 0, 0), FAILURE, "someone"),
            NotFound,
            "activity not found for ID: job",
        ),
    ],
)
def test_what_comes_too_late_is_told_so(
    message: typing.Any, error: type[Rejected], refusal: str
) -> None:
    world = World()
    world.start()
    world.tell(CompleteActivity(world.take().token, None, "worker"))
    with pytest.raises(error) as refused:
        world.tell(message)
    assert str(refused.value) == refusal


def test_the_schedule_to_close_timeout_of_what_runs_is_not_a_failure_of_its_attempt() -> None:
    world = World()
    world.start(schedule_to_close_timeout=Duration(seconds=5))
    world.tell(FailActivity(world.take().token, FAILURE, "worker"))
    world.wake()
    world.take()
    while world.head.status == Status.RUNNING:
        world.wake()
    assert world.outcome().failure.message == "activity ScheduleToClose timeout"
    assert last_failure(world).message == "no"
