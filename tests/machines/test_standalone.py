"""Standalone activities: the table is whole, and what is stored is all there is."""

from __future__ import annotations

import typing

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.activity.v1 import ActivityExecutionOutcome
from temporalio.api.common.v1 import ActivityType, RetryPolicy
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartActivityExecutionRequest

from perdure.server.machines.effects import DeleteRun
from perdure.server.machines.errors import (
    ActivityAlreadyStarted,
    FailedPrecondition,
    NotFound,
)
from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.standalone.inputs import Delete, Describe, RequestCancel, Terminate
from perdure.server.machines.standalone.state import START_KEY, START_RECORD, Phase, Standalone
from perdure.server.machines.standalone_activity import inputs
from perdure.server.machines.standalone_activity.decide import TABLE, decide
from perdure.server.machines.standalone_activity.machine import ACTIVITY_MACHINE
from perdure.server.machines.standalone_activity.state import (
    TASK_ID,
    ActivityRun,
    Status,
    decode_run,
    encode_head,
)
from perdure.server.machines.workflow.effects import OfferTask, WithdrawTask
from perdure.server.machines.workflow.inputs import (
    ActivityTaskUndelivered,
    CancelActivity,
    CompleteActivity,
    FailActivity,
    HeartbeatActivity,
    LoseActivityTask,
    StartActivityTask,
    StartedActivityTask,
    TaskToken,
    WakeUp,
)
from tests.machines.world import BEGIN_NS, CountingIds

FAILURE = Failure(message="no", application_failure_info=ApplicationFailureInfo(type="T"))


class World:
    """One activity id, its clock, and what is on offer of it."""

    def __init__(self) -> None:
        self.activity = Standalone[ActivityRun]("default", "namespace", "job", None)
        self.now_ns = BEGIN_NS
        self.ids = CountingIds()
        self.offer: OfferTask | None = None

    @property
    def head(self) -> typing.Any:
        assert self.activity.run is not None
        return self.activity.run.head

    @property
    def run_id(self) -> str:
        return str(self.head.run_id)

    def tell(self, message: typing.Any) -> typing.Any:
        """Decide; every state must survive being stored."""
        decision = decide(self.activity, message, self.now_ns, self.ids, DEFAULT_LIMITS)
        for effect in decision.effects:
            if isinstance(effect, OfferTask):
                self.offer = effect
            elif isinstance(effect, WithdrawTask):
                self.offer = None
        run = self.activity.run
        if run is not None:
            stored = decode_run(encode_head(run), [(START_RECORD, START_KEY, run.start)])
            assert (stored.head, stored.start) == (run.head, run.start)
            assert bool(run.wake_at_ns) <= run.is_open
        return decision.reply

    def start(self, request: str = "first", **fields: typing.Any) -> typing.Any:
        message = StartActivityExecutionRequest(
            **{
                "activity_id": "job",
                "activity_type": ActivityType(name="Job"),
                "task_queue": TaskQueue(name="q"),
                "start_to_close_timeout": Duration(seconds=10),
                "retry_policy": RetryPolicy(
                    initial_interval=Duration(seconds=1), backoff_coefficient=2
                ),
                "request_id": request,
                **fields,
            }
        )
        return self.tell(inputs.StartActivity(message))

    def take(self) -> StartedActivityTask:
        """What is on offer goes to a worker."""
        assert self.offer is not None
        message = StartActivityTask(self.run_id, TASK_ID, self.offer.stamp, "poll", "worker")
        task = self.tell(message)
        assert isinstance(task, StartedActivityTask)
        self.is_not_on_offer()
        return task

    def is_not_on_offer(self) -> None:
        """What nobody may take is not on offer."""
        assert self.offer is None

    def wake(self) -> None:
        """Time passes until the wake-up."""
        assert self.head.wake_at_ns, "something is due"
        self.now_ns = max(self.now_ns, self.head.wake_at_ns)
        self.tell(WakeUp(self.run_id))

    def outcome(self) -> ActivityExecutionOutcome:
        return ActivityExecutionOutcome.FromString(self.head.outcome)


def test_every_input_has_a_row_in_every_phase() -> None:
    kinds = typing.get_args(inputs.Input)
    assert set(TABLE) == {(phase, kind) for phase in Phase for kind in kinds}


def test_a_result_ends_it_and_is_kept() -> None:
    world = World()
    started = world.start()
    task = world.take()
    assert (task.token.workflow_id, task.token.run_id) == ("job", started.run_id)
    world.tell(HeartbeatActivity(task.token, None, "worker"))
    world.tell(CompleteActivity(task.token, None, "worker"))
    assert world.head.status == Status.COMPLETED
    assert world.outcome().HasField("result")
    with pytest.raises(NotFound, match="activity not found for ID: job"):
        world.tell(CompleteActivity(task.token, None, "worker"))
    assert ACTIVITY_MACHINE.lost_tasks(world.activity.run) == []


def test_attempts_follow_each_other_by_the_policy_until_there_are_no_more() -> None:
    world = World()
    policy = RetryPolicy(
        initial_interval=Duration(seconds=1), backoff_coefficient=3, maximum_attempts=3
    )
    world.start(retry_policy=policy)
    for attempt, wait_seconds in ((1, 1), (2, 3)):
        task = world.take()
        assert task.attempt == attempt
        failed_ns = world.now_ns
        world.tell(FailActivity(task.token, FAILURE, "worker"))
        with pytest.raises(NotFound):
            world.tell(HeartbeatActivity(task.token, None, "worker"))
        while world.offer is None:
            world.wake()
        assert world.now_ns - failed_ns == wait_seconds * SECOND_NS
    task = world.take()
    world.tell(FailActivity(task.token, FAILURE, "worker"))
    assert world.head.status == Status.FAILED
    assert world.outcome().failure.message == "no"


@pytest.mark.parametrize(
    ("fields", "is_taken", "seconds"),
    [
        ({"start_to_close_timeout": Duration(seconds=2)}, True, 2),
        ({"heartbeat_timeout": Duration(seconds=3)}, True, 3),
        ({"schedule_to_start_timeout": Duration(seconds=4)}, False, 4),
        ({"schedule_to_close_timeout": Duration(seconds=5)}, False, 5),
        ({"schedule_to_close_timeout": Duration(seconds=6)}, True, 6),
    ],
)
def test_each_timeout_ends_it_in_time(
    fields: dict[str, typing.Any], is_taken: bool, seconds: int
) -> None:
    world = World()
    world.start("first", retry_policy=RetryPolicy(maximum_attempts=1), **fields)
    if is_taken:
        world.take()
    while world.head.status == Status.RUNNING:
        world.wake()
    assert world.head.status == Status.TIMED_OUT
    assert world.now_ns - BEGIN_NS == seconds * SECOND_NS
    assert world.offer is None


def test_a_timeout_is_news_though_the_backoff_before_it_was_not_looked_at() -> None:
    world = World()
    world.start(schedule_to_close_timeout=Duration(seconds=20))
    world.tell(FailActivity(world.take().token, FAILURE, "worker"))
    known = world.head.transitions
    world.now_ns += 60 * SECOND_NS  # Nobody was there to wake it up in time.
    world.tell(WakeUp(world.run_id))
    assert world.head.status == Status.TIMED_OUT
    assert world.head.transitions == known + 1


def test_a_start_delay_comes_before_everything() -> None:
    world = World()
    world.start(start_delay=Duration(seconds=7), schedule_to_close_timeout=Duration(seconds=9))
    world.is_not_on_offer()
    world.wake()
    assert world.offer is not None
    assert world.now_ns - BEGIN_NS == 7 * SECOND_NS
    while world.head.status == Status.RUNNING:
        world.wake()
    assert world.now_ns - BEGIN_NS == 16 * SECOND_NS


def test_a_cancellation_is_heard_of_by_a_heartbeat_and_ends_what_nobody_has() -> None:
    world = World()
    world.start()
    task = world.take()
    with pytest.raises(Exception, match="without activity being request canceled"):
        world.tell(CancelActivity(task.token, None, "worker"))
    world.tell(RequestCancel("", "somebody", "one", "why not"))
    assert world.tell(HeartbeatActivity(task.token, None, "worker")).cancel_requested
    with pytest.raises(FailedPrecondition, match="request ID one"):
        world.tell(RequestCancel("", "somebody", "two", ""))
    world.tell(CancelActivity(task.token, None, "worker"))
    assert world.head.status == Status.CANCELED
    other = World()
    other.start()
    other.tell(RequestCancel("", "somebody", "one", "why not"))
    assert (other.head.status, other.offer) == (Status.CANCELED, None)


def test_who_had_asked_to_cancel_may_ask_again_when_it_is_over_and_nobody_else() -> None:
    world = World()
    world.start()
    world.tell(RequestCancel(world.run_id, "me", "cancel", "why"))
    assert world.head.status == Status.CANCELED
    world.tell(RequestCancel(world.run_id, "me", "cancel", "why"))
    with pytest.raises(FailedPrecondition, match="activity is in terminal state"):
        world.tell(RequestCancel(world.run_id, "me", "another", "why"))


def test_who_begins_again_with_the_same_request_gets_the_run_that_is_over() -> None:
    world = World()
    first = world.start()
    world.tell(Terminate(world.run_id, "me", "end", "why"))
    again = world.start()
    assert (again.run_id, again.is_new) == (first.run_id, False)
    assert world.start("second").is_new


def test_a_worker_that_is_lost_costs_an_attempt_and_an_undelivered_task_none() -> None:
    world = World()
    world.start()
    task = world.take()
    world.tell(ActivityTaskUndelivered(world.run_id, TASK_ID, task.token.stamp))
    again = world.take()
    assert (again.attempt, again.token.stamp > task.token.stamp) == (1, True)
    [lost] = ACTIVITY_MACHINE.lost_tasks(world.activity.run)
    assert isinstance(lost, LoseActivityTask)
    world.tell(lost)
    assert world.take().attempt == 2
    with pytest.raises(NotFound):
        world.tell(CompleteActivity(again.token, None, "worker"))


def test_who_names_it_by_its_id_may_complete_it_before_it_has_begun() -> None:
    world = World()
    world.start()
    by_id = TaskToken("namespace", "job", "", 0, 0, 0, activity_id="job")
    world.tell(CompleteActivity(by_id, None, "somebody"))
    assert (world.head.status, world.offer) == (Status.COMPLETED, None)


def test_ids_are_taken_while_it_runs_and_free_as_the_policy_says() -> None:
    world = World()
    first = world.start()
    assert world.start().run_id == first.run_id
    with pytest.raises(ActivityAlreadyStarted) as taken:
        world.start("other")
    assert (taken.value.run_id, taken.value.start_request_id) == (first.run_id, "first")
    assert not world.start("other", id_conflict_policy=2).is_new
    world.tell(Terminate("", "somebody", "end", "enough"))
    assert world.outcome().failure.message == "enough"
    second = world.start("other", id_reuse_policy=2)
    assert second.is_new
    world.tell(Terminate(second.run_id, "somebody", "end", ""))
    with pytest.raises(ActivityAlreadyStarted):
        world.start("third", id_reuse_policy=3)


def test_a_pause_keeps_it_from_workers_until_it_is_unpaused() -> None:
    world = World()
    world.start()
    world.tell(inputs.Pause("", "operator", "one", "wait"))
    assert world.offer is None
    with pytest.raises(FailedPrecondition, match="non-pausable state Paused"):
        world.tell(inputs.Pause("", "operator", "two", "wait"))
    world.tell(inputs.Unpause("", 0))
    task = world.take()
    world.tell(inputs.Pause("", "operator", "three", "wait"))
    assert world.tell(HeartbeatActivity(task.token, None, "worker")).activity_paused
    world.tell(FailActivity(task.token, FAILURE, "worker"))
    assert world.offer is None
    world.tell(inputs.Reset("", 0, False, False, False))
    assert world.take().attempt == 1


def paused_at_work(**fields: typing.Any) -> tuple[World, StartedActivityTask]:
    """A worker has it when it is paused."""
    world = World()
    world.start(**fields)
    task = world.take()
    world.tell(inputs.Pause("", "operator", "pause", "wait"))
    return world, task


def test_a_pause_gives_nobody_another_attempt() -> None:
    world, task = paused_at_work(retry_policy=RetryPolicy(maximum_attempts=1))
    world.tell(FailActivity(task.token, FAILURE, "worker"))
    assert world.head.status == Status.FAILED


def test_a_backoff_goes_on_behind_a_pause() -> None:
    world, task = paused_at_work()
    world.tell(FailActivity(task.token, FAILURE, "worker"))
    failed_ns = world.now_ns
    world.tell(inputs.Unpause("", 0))
    world.is_not_on_offer()
    world.wake()
    assert world.now_ns == failed_ns + SECOND_NS
    assert world.take().attempt == 2


def test_a_backoff_that_is_paused_goes_on_behind_the_pause() -> None:
    world = World()
    world.start()
    world.tell(FailActivity(world.take().token, FAILURE, "worker"))
    failed_ns = world.now_ns
    world.tell(inputs.Pause("", "operator", "pause", "wait"))
    world.tell(inputs.Unpause("", 0))
    world.wake()
    assert world.now_ns == failed_ns + SECOND_NS
    assert world.take().attempt == 2


def test_a_pause_does_not_stop_what_runs_from_timing_out() -> None:
    world, _ = paused_at_work(retry_policy=RetryPolicy(maximum_attempts=1))
    world.wake()
    assert world.head.status == Status.TIMED_OUT
    world, _ = paused_at_work()
    world.wake()
    assert world.head.status == Status.RUNNING
    assert world.head.pending.attempt.attempt == 2
    world.is_not_on_offer()


def test_who_is_paused_must_be_over_in_time_but_need_not_begin() -> None:
    world = World()
    world.start(
        schedule_to_close_timeout=Duration(seconds=9), schedule_to_start_timeout=Duration(seconds=3)
    )
    began_ns = world.now_ns
    world.tell(inputs.Pause("", "operator", "pause", "wait"))
    world.now_ns += 3 * SECOND_NS
    world.tell(WakeUp(world.run_id))
    assert world.head.status == Status.RUNNING
    world.wake()
    assert world.head.status == Status.TIMED_OUT
    assert world.now_ns == began_ns + 9 * SECOND_NS


def test_a_deleted_run_is_gone_and_an_open_one_ends_first() -> None:
    world = World()
    started = world.start()
    decision = decide(
        world.activity, Delete(started.run_id), world.now_ns, world.ids, DEFAULT_LIMITS
    )
    assert decision.segments[0].run.head.status == Status.TERMINATED
    assert any(isinstance(effect, WithdrawTask) for effect in decision.effects)
    assert any(isinstance(effect, DeleteRun) for effect in decision.effects)
    assert world.activity.run is None
    with pytest.raises(NotFound):
        world.tell(Describe(""))
