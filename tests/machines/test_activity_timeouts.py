"""The four timeouts of an activity."""

from __future__ import annotations

import pytest
from temporalio.api.common.v1 import RetryPolicy
from temporalio.api.enums.v1 import RetryState, TimeoutType
from temporalio.api.failure.v1 import Failure, TimeoutFailureInfo
from temporalio.api.history.v1 import ActivityTaskTimedOutEventAttributes

from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.deadlines import activity_deadline
from perdure.server.machines.workflow.effects import WithdrawTask
from perdure.server.machines.workflow.from_time.activities import BACKOFF, deadlines_of
from perdure.server.machines.workflow.state import AttemptState
from tests.machines.activity_world import (
    BEGIN_NS,
    World,
    application_failure,
    payloads,
    schedule_activity,
)

ONCE = RetryPolicy(maximum_attempts=1)
START_TO_CLOSE = TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE
SCHEDULE_TO_START = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START
SCHEDULE_TO_CLOSE = TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE
HEARTBEAT = TimeoutType.TIMEOUT_TYPE_HEARTBEAT
NO_TIME_LEFT = (
    "Not enough time to schedule next retry before activity ScheduleToClose timeout,"
    " giving up retrying"
)


def failure_of(
    message: str, timeout_type: TimeoutType.ValueType, cause: Failure | None = None
) -> Failure:
    """A timeout's failure, as the real server makes it."""
    return Failure(
        message=message,
        source="Server",
        cause=cause,
        timeout_failure_info=TimeoutFailureInfo(timeout_type=timeout_type),
    )


def world_with(**activity: object) -> World:
    """A world with one activity "a", event 5, on offer."""
    world = World()
    world.complete_task(schedule_activity(**activity))  # type: ignore[arg-type]
    return world


def timed_out(world: World) -> ActivityTaskTimedOutEventAttributes:
    """The outcome, which must be a timeout that the workflow hears of."""
    assert world.types()[-2:] == ["ACTIVITY_TASK_TIMED_OUT", "WORKFLOW_TASK_SCHEDULED"]
    assert not world.run.activities
    return world.history[-2].activity_task_timed_out_event_attributes


def test_start_to_close_is_of_one_attempt() -> None:
    world = world_with(start_to_close=2, retry=ONCE)
    world.pass_time(100)
    world.start_activity()
    world.pass_time(1.999)
    assert world.state() is AttemptState.STARTED
    world.pass_time(0.001)
    assert timed_out(world) == ActivityTaskTimedOutEventAttributes(
        failure=failure_of("activity StartToClose timeout", START_TO_CLOSE),
        scheduled_event_id=5,
        started_event_id=6,
        retry_state=RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED,
    )


def test_an_attempt_that_timed_out_is_followed_by_another() -> None:
    world = world_with(start_to_close=2, retry=RetryPolicy(maximum_attempts=2))
    late = world.start_activity()
    world.pass_time(2)
    assert world.state() is AttemptState.BACKING_OFF
    world.pass_time(1)
    world.start_activity()
    with pytest.raises(Exception, match="invalid activityID"):
        world.complete_activity(late)
    world.pass_time(2)
    once = failure_of("activity StartToClose timeout", START_TO_CLOSE)
    started = world.last("ACTIVITY_TASK_STARTED").activity_task_started_event_attributes
    assert (started.attempt, started.last_failure) == (2, once)
    assert timed_out(world).failure == failure_of(
        "activity StartToClose timeout", START_TO_CLOSE, cause=once
    )


def test_the_end_of_a_backoff_is_no_transition_of_the_run_but_a_timeout_is() -> None:
    world = world_with(start_to_close=2, retry=RetryPolicy(maximum_attempts=2))
    world.start_activity()
    started = world.run.pending.transitions
    world.pass_time(2)
    assert world.run.pending.transitions == started + 1
    world.pass_time(1)
    assert world.state() is AttemptState.SCHEDULED
    assert world.run.pending.transitions == started + 1


def test_a_policy_may_forbid_another_attempt_after_a_timeout() -> None:
    policy = RetryPolicy(non_retryable_error_types=["TemporalTimeout:StartToClose"])
    world = world_with(start_to_close=2, retry=policy)
    world.start_activity()
    world.pass_time(2)
    assert timed_out(world).retry_state == RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE


def test_schedule_to_start_ends_an_activity_that_nobody_polls() -> None:
    world = world_with(schedule_to_start=2)
    world.pass_time(2)
    assert timed_out(world) == ActivityTaskTimedOutEventAttributes(
        failure=failure_of("activity ScheduleToStart timeout", SCHEDULE_TO_START),
        scheduled_event_id=5,
        retry_state=RetryState.RETRY_STATE_TIMEOUT,
    )
    assert WithdrawTask(world.run.recorded.run_id, 5) in world.effects
    assert world.types()[-3] == "ACTIVITY_TASK_SCHEDULED", "it never started"


def test_schedule_to_start_counts_anew_for_each_attempt_from_the_end_of_its_backoff() -> None:
    world = world_with(schedule_to_start=2)
    world.pass_time(1.5)
    world.fail_activity(world.start_activity())
    world.pass_time(1)
    world.pass_time(1.999)
    assert world.state() is AttemptState.SCHEDULED
    world.pass_time(0.001)
    assert timed_out(world).failure.cause == application_failure()


def test_when_both_are_due_schedule_to_start_comes_before_schedule_to_close() -> None:
    world = world_with(schedule_to_close=2, start_to_close=0)
    world.pass_time(2)
    assert timed_out(world).failure == failure_of(
        "activity ScheduleToStart timeout", SCHEDULE_TO_START
    )


def test_schedule_to_close_ends_all_attempts() -> None:
    world = world_with(schedule_to_close=3, start_to_close=0)
    world.pass_time(1)
    world.start_activity()
    world.pass_time(2)
    assert timed_out(world) == ActivityTaskTimedOutEventAttributes(
        failure=failure_of(NO_TIME_LEFT, SCHEDULE_TO_CLOSE),
        scheduled_event_id=5,
        started_event_id=6,
        retry_state=RetryState.RETRY_STATE_TIMEOUT,
    )


def test_schedule_to_close_ends_a_backoff() -> None:
    world = world_with(schedule_to_close=5, start_to_close=0)
    world.pass_time(1)
    world.fail_activity(world.start_activity(), application_failure(delay_s=4))
    assert world.state() is AttemptState.BACKING_OFF
    world.run.activities[5].activity.schedule_to_close_ns -= 1
    world.pass_time(4)
    assert timed_out(world).failure == failure_of(
        NO_TIME_LEFT, SCHEDULE_TO_CLOSE, cause=application_failure(delay_s=4)
    )
    assert "ACTIVITY_TASK_STARTED" not in world.types()


def test_a_failure_is_the_end_when_the_next_attempt_would_begin_too_late() -> None:
    world = world_with(schedule_to_close=2, start_to_close=0)
    world.pass_time(1.5)
    world.fail_activity(world.start_activity())
    failed = world.last("ACTIVITY_TASK_FAILED").activity_task_failed_event_attributes
    assert failed.retry_state == RetryState.RETRY_STATE_TIMEOUT
    assert failed.failure == application_failure()


def test_a_timeout_is_schedule_to_close_when_the_next_attempt_would_begin_too_late() -> None:
    world = world_with(schedule_to_close=3, start_to_close=2.5)
    world.start_activity()
    world.pass_time(2.5)
    assert timed_out(world).failure == failure_of(NO_TIME_LEFT, SCHEDULE_TO_CLOSE)


def test_a_silent_activity_times_out_with_what_it_said_last() -> None:
    world = world_with(heartbeat=2, retry=ONCE)
    token = world.start_activity()
    world.pass_time(1.5)
    world.heartbeat(token, "alive")
    world.pass_time(1.999)
    assert world.state() is AttemptState.STARTED
    world.pass_time(0.001)
    expected = failure_of("activity Heartbeat timeout", HEARTBEAT)
    expected.timeout_failure_info.last_heartbeat_details.CopyFrom(payloads("alive"))
    assert timed_out(world).failure == expected


def test_heartbeats_of_an_earlier_attempt_do_not_shorten_the_next_one() -> None:
    world = world_with(heartbeat=2)
    token = world.start_activity()
    world.heartbeat(token, "alive")
    world.pass_time(2)
    world.pass_time(1)
    world.start_activity()
    world.pass_time(1.999)
    assert world.state() is AttemptState.STARTED
    world.pass_time(0.001)
    assert world.pending().attempt.attempt == 3


def test_an_attempt_that_is_new_by_now_is_not_timed_out_for_the_last_one() -> None:
    world = world_with(start_to_close=2, heartbeat=2)
    world.start_activity()
    world.pass_time(10)
    assert world.pending().attempt.attempt == 2
    assert world.state() is AttemptState.BACKING_OFF, "both timeouts were due, and one counts"


def test_many_deadlines_in_one_wake_up_come_in_the_order_in_which_they_were_due() -> None:
    world = World()
    world.complete_task(
        schedule_activity("late", schedule_to_start=3),
        schedule_activity("early", schedule_to_start=2),
        schedule_activity("same", schedule_to_start=3),
        schedule_activity("never", schedule_to_start=60),
    )
    at = len(world.history)
    world.pass_time(5)
    ended = [
        event.activity_task_timed_out_event_attributes.scheduled_event_id
        for event in world.history[at:]
    ]
    assert ended == [6, 5, 7, 0]
    assert world.types(at)[-1] == "WORKFLOW_TASK_SCHEDULED"
    assert world.state("never") is AttemptState.SCHEDULED


def test_the_earliest_deadline_is_the_one_that_a_wake_up_is_armed_for() -> None:
    world = world_with(schedule_to_close=60, schedule_to_start=5, start_to_close=20, heartbeat=9)

    def kinds() -> dict[int, float]:
        deadlines = deadlines_of(world.pending())
        assert min(d.time_ns for d in deadlines) == activity_deadline(world.pending())
        return {d.kind: (d.time_ns - BEGIN_NS) / SECOND_NS for d in deadlines}

    assert kinds() == {SCHEDULE_TO_CLOSE: 60, SCHEDULE_TO_START: 5}
    world.pass_time(1)
    token = world.start_activity()
    assert kinds() == {SCHEDULE_TO_CLOSE: 60, START_TO_CLOSE: 21, HEARTBEAT: 10}
    world.pass_time(1)
    world.do(inputs.HeartbeatActivity(token, None, "w"), inputs.Heartbeat)
    assert kinds() == {SCHEDULE_TO_CLOSE: 60, START_TO_CLOSE: 21, HEARTBEAT: 11}
    world.fail_activity(token)
    assert kinds() == {SCHEDULE_TO_CLOSE: 60, BACKOFF: 3}
