"""Activities from their schedule to their outcome, as plays."""

from __future__ import annotations

import msgspec
import pytest
from temporalio.api.common.v1 import Payload, Payloads, Priority, RetryPolicy, WorkerVersionStamp
from temporalio.api.enums.v1 import EventType, RetryState

from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.ports import SECOND_NS
from perdure.server.machines.wire import timestamp_ns
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.effects import OfferTask, WithdrawTask
from perdure.server.machines.workflow.state import AttemptState
from tests.machines.activity_world import (
    BEGIN_NS,
    WORKER,
    World,
    application_failure,
    by_id,
    cancel_activity,
    payloads,
    schedule_activity,
    seconds,
)

TASK_NOT_FOUND = (
    "^invalid activityID or activity already timed out or invoking workflow is completed$"
)


def scheduled_world(**activity: object) -> World:
    """A world with one activity "a", event 5, on offer."""
    world = World()
    world.complete_task(schedule_activity(**activity))  # type: ignore[arg-type]
    return world


# ---- start


def test_a_start_is_no_event_and_takes_the_task_off_the_queue() -> None:
    world = scheduled_world(heartbeat=3)
    offer = world.offer_of()
    assert offer is not None
    world.now_ns += SECOND_NS
    at = len(world.history)
    task = world.do(world.start_message(offer), inputs.StartedActivityTask)
    assert world.types(at) == []
    assert world.effects == [WithdrawTask(offer.run_id, 5)]
    assert task == inputs.StartedActivityTask(
        token=inputs.TaskToken("namespace-id", "workflow", offer.run_id, 5, 1, offer.stamp),
        workflow_type="Tester",
        activity_type="work",
        attempt=1,
        scheduled_time_ns=BEGIN_NS,
        attempt_scheduled_time_ns=BEGIN_NS,
        started_time_ns=BEGIN_NS + SECOND_NS,
        schedule_to_close_ns=0,
        start_to_close_ns=10 * SECOND_NS,
        heartbeat_ns=3 * SECOND_NS,
        heartbeat_details=b"",
        retry_policy=RetryPolicy(
            initial_interval=seconds(1), backoff_coefficient=2, maximum_interval=seconds(100)
        ).SerializeToString(),
        priority=None,
    )


def test_an_offer_is_good_for_one_start() -> None:
    world = scheduled_world()
    offer = world.offer_of()
    assert offer is not None
    first = world.start_message(offer)
    task = world.do(first, inputs.StartedActivityTask)
    with pytest.raises(NotFound, match=TASK_NOT_FOUND):
        world.do(world.start_message(offer), inputs.StartedActivityTask)
    assert world.do(first, inputs.StartedActivityTask) == task, "the same poller asked again"


def test_an_offer_of_an_activity_that_is_over_is_stale() -> None:
    world = scheduled_world()
    offer = world.offer_of()
    assert offer is not None
    world.complete_activity(by_id())
    assert WithdrawTask(offer.run_id, 5) in world.effects
    with pytest.raises(NotFound, match=TASK_NOT_FOUND):
        world.do(world.start_message(offer), inputs.StartedActivityTask)


def test_an_activity_has_the_priority_of_its_workflow_where_it_names_none() -> None:
    world = World()
    world.run.recorded.priority = Priority(priority_key=2, fairness_key="k").SerializeToString()
    command = schedule_activity()
    command.schedule_activity_task_command_attributes.priority.fairness_weight = 0.5
    world.complete_task(command)
    offer = world.offer_of()
    assert offer is not None
    assert offer.priority == 2
    task = world.do(world.start_message(offer), inputs.StartedActivityTask)
    assert task.priority is not None
    assert Priority.FromString(task.priority) == Priority(
        priority_key=2, fairness_key="k", fairness_weight=0.5
    )


# ---- undelivered


def test_an_undelivered_attempt_is_offered_again_and_not_counted() -> None:
    world = scheduled_world()
    token = world.start_activity()
    world.do(inputs.ActivityTaskUndelivered("", 5, token.stamp), inputs.Done)
    [offer] = world.effects
    assert isinstance(offer, OfferTask)
    assert offer.stamp != token.stamp
    with pytest.raises(NotFound, match=TASK_NOT_FOUND):
        world.complete_activity(token)
    again = world.start_activity()
    assert again.attempt == 1
    world.complete_activity(again)
    assert world.types(5) == [
        "ACTIVITY_TASK_STARTED",
        "ACTIVITY_TASK_COMPLETED",
        "WORKFLOW_TASK_SCHEDULED",
    ]


def test_the_news_that_it_was_undelivered_may_come_too_late() -> None:
    world = scheduled_world()
    token = world.start_activity()
    message = inputs.ActivityTaskUndelivered("", 5, token.stamp)
    world.do(message, inputs.Done)
    world.start_activity()
    world.do(message, inputs.Done)
    assert world.effects == []
    assert world.state() is AttemptState.STARTED
    world.complete_activity(by_id())
    world.do(message, inputs.Done)
    assert world.effects == []


def test_an_undelivered_attempt_that_shall_cancel_is_cancelled() -> None:
    world = World()
    world.complete_task(schedule_activity(), schedule_activity("news"))
    token = world.start_activity()
    world.complete_activity(world.start_activity("news"))
    world.start_task()
    world.complete_task(cancel_activity(5))
    world.do(inputs.ActivityTaskUndelivered("", 5, token.stamp), inputs.Done)
    assert world.types()[-2:] == ["ACTIVITY_TASK_CANCELED", "WORKFLOW_TASK_SCHEDULED"]
    canceled = world.last("ACTIVITY_TASK_CANCELED").activity_task_canceled_event_attributes
    assert canceled.details.payloads[0].data == b'"ACTIVITY_ID_NOT_STARTED"'


# ---- outcomes


def test_the_start_is_recorded_with_the_outcome_but_with_its_own_time() -> None:
    world = scheduled_world()
    world.now_ns += SECOND_NS
    token = world.start_activity()
    world.now_ns += SECOND_NS
    stamp = WorkerVersionStamp(build_id="build").SerializeToString()
    message = inputs.CompleteActivity(token, payloads("done"), "finisher", worker_version=stamp)
    world.do(message, inputs.Done)
    started, completed, scheduled = world.history[-3:]
    assert timestamp_ns(started.event_time) == BEGIN_NS + SECOND_NS
    assert timestamp_ns(completed.event_time) == BEGIN_NS + 2 * SECOND_NS
    attributes = started.activity_task_started_event_attributes
    assert (attributes.scheduled_event_id, attributes.attempt) == (5, 1)
    assert attributes.identity == WORKER
    assert attributes.request_id
    assert not attributes.HasField("last_failure")
    assert attributes.worker_version.build_id == "build"
    outcome = completed.activity_task_completed_event_attributes
    assert outcome.result == payloads("done")
    assert (outcome.scheduled_event_id, outcome.started_event_id) == (5, started.event_id)
    assert outcome.identity == "finisher"
    assert scheduled.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    assert not world.run.activities


def test_a_token_is_good_for_one_outcome() -> None:
    world = scheduled_world()
    token = world.start_activity()
    world.complete_activity(token)
    for message in (
        inputs.CompleteActivity(token, None, WORKER),
        inputs.FailActivity(token, application_failure(), WORKER),
        inputs.CancelActivity(token, None, WORKER),
        inputs.HeartbeatActivity(token, None, WORKER),
    ):
        with pytest.raises(NotFound, match=TASK_NOT_FOUND):
            world.do(message, inputs.Done)


def test_a_token_is_good_for_one_attempt() -> None:
    world = scheduled_world()
    token = world.start_activity()
    world.fail_activity(token)
    world.pass_time(1)
    world.start_activity()
    before = msgspec.msgpack.encode(world.pending())
    with pytest.raises(NotFound, match=TASK_NOT_FOUND):
        world.complete_activity(token)
    assert msgspec.msgpack.encode(world.pending()) == before


def test_after_the_run_no_activity_goes_on() -> None:
    world = World(run_timeout_s=5)
    world.complete_task(schedule_activity())
    token = world.start_activity()
    world.pass_time(5)
    with pytest.raises(NotFound, match=r"^workflow execution already completed$"):
        world.complete_activity(token)


def test_a_failed_attempt_is_followed_by_another_when_its_time_has_come() -> None:
    world = scheduled_world()
    at = len(world.history)
    first = world.start_activity()
    world.fail_activity(first, application_failure("first"))
    assert world.types(at) == []
    assert world.state() is AttemptState.BACKING_OFF
    assert world.offer_of() is None
    world.pass_time(0.999)
    assert world.offer_of() is None
    world.pass_time(0.001)
    offer = world.offer_of()
    assert offer is not None
    assert offer.ready_at_ns == BEGIN_NS + SECOND_NS
    second = world.start_activity()
    assert (second.attempt, first.attempt) == (2, 1)
    world.fail_activity(second, application_failure("second"))
    world.pass_time(1.999)
    assert world.offer_of() is None
    world.pass_time(0.001)
    world.complete_activity(world.start_activity())
    started = world.last("ACTIVITY_TASK_STARTED").activity_task_started_event_attributes
    assert started.attempt == 3
    assert started.last_failure == application_failure("second")


def test_the_last_failure_is_recorded_whole_with_the_reason_why_it_was_the_last() -> None:
    world = scheduled_world(retry=RetryPolicy(maximum_attempts=1))
    failure = application_failure("m" * 10_000)
    world.fail_activity(world.start_activity(), failure)
    assert world.types(5) == [
        "ACTIVITY_TASK_STARTED",
        "ACTIVITY_TASK_FAILED",
        "WORKFLOW_TASK_SCHEDULED",
    ]
    failed = world.last("ACTIVITY_TASK_FAILED").activity_task_failed_event_attributes
    assert failed.failure == failure
    assert failed.retry_state == RetryState.RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED
    assert (failed.scheduled_event_id, failed.started_event_id) == (5, 6)
    assert failed.identity == WORKER


def test_a_failure_may_name_the_delay_itself_beyond_the_policys_maximum() -> None:
    world = scheduled_world()
    world.fail_activity(world.start_activity(), application_failure(delay_s=3600))
    world.pass_time(3599)
    assert world.offer_of() is None
    world.pass_time(1)
    assert world.offer_of() is not None


def test_the_next_attempt_gets_what_the_last_one_reported() -> None:
    world = scheduled_world(heartbeat=5)
    token = world.start_activity()
    assert not world.heartbeat(token, "half way")
    assert world.effects == []
    world.fail_activity(token)
    world.pass_time(1)
    offer = world.offer_of()
    assert offer is not None
    task = world.do(world.start_message(offer), inputs.StartedActivityTask)
    assert Payloads.FromString(task.heartbeat_details) == payloads("half way")


def test_a_cancellation_that_nobody_asked_for_is_refused() -> None:
    world = scheduled_world()
    token = world.start_activity()
    with pytest.raises(InvalidArgument, match=r"^unable to mark activity as canceled without"):
        world.do(inputs.CancelActivity(token, None, WORKER), inputs.Done)
    assert world.state() is AttemptState.STARTED


# ---- by id


def test_an_activity_can_be_named_by_its_id() -> None:
    world = scheduled_world()
    world.start_activity()
    assert not world.heartbeat(by_id(), "x")
    world.complete_activity(by_id())
    assert world.types()[-3:-1] == ["ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_COMPLETED"]


def test_only_a_result_may_come_by_id_before_the_start() -> None:
    world = scheduled_world()
    for message in (
        inputs.FailActivity(by_id(), application_failure(), "someone"),
        inputs.CancelActivity(by_id(), None, "someone"),
        inputs.HeartbeatActivity(by_id(), None, "someone"),
    ):
        with pytest.raises(NotFound, match=TASK_NOT_FOUND):
            world.do(message, inputs.Done)
    world.do(inputs.CompleteActivity(by_id(), None, "someone"), inputs.Done)
    started = world.last("ACTIVITY_TASK_STARTED").activity_task_started_event_attributes
    assert (started.identity, started.request_id) == ("someone", "")


def test_an_unknown_or_empty_id_is_refused() -> None:
    world = scheduled_world()
    with pytest.raises(
        NotFound,
        match=r"^cannot find pending activity with ActivityID b,"
        " check workflow execution history for more details$",
    ):
        world.complete_activity(by_id("b"))
    with pytest.raises(InvalidArgument, match=r"^activityID cannot be empty$"):
        world.complete_activity(by_id(""))


# ---- while a workflow task is started


def buffering_world(**activity: object) -> tuple[World, inputs.TaskToken]:
    """A world whose activity "a" and workflow task are both started."""
    world = World()
    world.complete_task(schedule_activity(**activity), schedule_activity("news"))  # type: ignore[arg-type]
    token = world.start_activity()
    world.complete_activity(world.start_activity("news"))
    world.start_task()
    return world, token


def test_an_outcome_waits_for_the_workflow_task_to_close() -> None:
    world, token = buffering_world()
    at = len(world.history)
    world.now_ns += SECOND_NS
    world.complete_activity(token)
    assert world.types(at) == []
    assert world.state() is AttemptState.OUTCOME_BUFFERED
    world.now_ns += SECOND_NS
    world.complete_task()
    assert world.types(at) == [
        "WORKFLOW_TASK_COMPLETED",
        "ACTIVITY_TASK_STARTED",
        "ACTIVITY_TASK_COMPLETED",
        "WORKFLOW_TASK_SCHEDULED",
    ]
    started, completed = world.history[at + 1 : at + 3]
    assert timestamp_ns(started.event_time) == BEGIN_NS
    assert timestamp_ns(completed.event_time) == BEGIN_NS + SECOND_NS, "when it arrived"
    outcome = completed.activity_task_completed_event_attributes
    assert outcome.started_event_id == started.event_id
    assert not world.run.activities


def test_what_has_ended_unseen_is_over_for_everybody_else() -> None:
    world, token = buffering_world(heartbeat=1)
    world.complete_activity(token)
    with pytest.raises(NotFound, match=TASK_NOT_FOUND):
        world.heartbeat(token)
    with pytest.raises(NotFound, match=r"^cannot find pending activity with ActivityID a"):
        world.complete_activity(by_id())
    world.pass_time(9)
    assert world.state() is AttemptState.OUTCOME_BUFFERED, "no timeout applies any more"


def test_a_retry_needs_no_event_and_does_not_wait() -> None:
    world, token = buffering_world()
    world.fail_activity(token)
    world.pass_time(1)
    assert world.offer_of() is not None
    assert not world.run.buffered


def test_a_timeout_is_buffered_like_any_outcome() -> None:
    world, _ = buffering_world(start_to_close=3, retry=RetryPolicy(maximum_attempts=1))
    at = len(world.history)
    world.pass_time(3)
    assert world.state() is AttemptState.OUTCOME_BUFFERED
    world.complete_task()
    assert world.types(at)[1:3] == ["ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_TIMED_OUT"]


def test_a_payload_is_never_looked_into() -> None:
    world = scheduled_world()
    result = Payloads(payloads=[Payload(metadata={"encoding": b"\xff"}, data=b"\x00\xff")])
    world.do(inputs.CompleteActivity(world.start_activity(), result, WORKER), inputs.Done)
    completed = world.last("ACTIVITY_TASK_COMPLETED").activity_task_completed_event_attributes
    assert completed.result == result
