"""ScheduleActivityTask and RequestCancelActivityTask, as the commands of a completion."""

from __future__ import annotations

import msgspec
import pytest
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import ActivityType, Payload, Payloads, Priority, RetryPolicy
from temporalio.api.enums.v1 import CommandType, EventType
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure.server.machines.ports import DEFAULT_LIMITS, SECOND_NS
from perdure.server.machines.wire import duration_ns
from perdure.server.machines.workflow import inputs
from perdure.server.machines.workflow.effects import OfferTask, TaskKind, WithdrawTask
from perdure.server.machines.workflow.state import AttemptState
from tests.machines.activity_world import (
    QUEUE,
    WORKER,
    World,
    by_id,
    cancel_activity,
    schedule_activity,
    seconds,
)

LONG = "x" * 1001


def altered(**fields: object) -> Command:
    """A good command with some fields set otherwise; None clears one."""
    command = schedule_activity()
    attributes = command.schedule_activity_task_command_attributes
    for name, value in fields.items():
        if value is None:
            attributes.ClearField(name)  # type: ignore[arg-type]
        elif isinstance(value, str):
            setattr(attributes, name, value)
        else:
            getattr(attributes, name).CopyFrom(value)
    return command


# ---- schedule


def test_a_scheduled_activity_is_on_offer() -> None:
    world = World()
    world.complete_task(schedule_activity())
    assert world.types(3) == ["WORKFLOW_TASK_COMPLETED", "ACTIVITY_TASK_SCHEDULED"]
    assert world.offer_of() == OfferTask(
        run_id=world.run.recorded.run_id,
        kind=TaskKind.ACTIVITY,
        queue=QUEUE,
        scheduled_event_id=5,
        stamp=world.pending().attempt.stamp,
        ready_at_ns=world.now_ns,
        priority=3,
    )


@pytest.mark.parametrize(
    ("run_timeout", "given", "expected"),
    [
        # given and expected: schedule-to-close, schedule-to-start, start-to-close, heartbeat
        (0, (0, 0, 5, 0), (0, 0, 5, 0)),
        (0, (5, 0, 0, 0), (5, 5, 5, 0)),
        (0, (5, 0, 7, 0), (5, 5, 5, 0)),
        (0, (500, 0, 5, 0), (500, 500, 5, 0)),
        (0, (0, 3, 5, 0), (0, 3, 5, 0)),
        (0, (5, 9, 0, 0), (5, 5, 5, 0)),
        (0, (0, 0, 5, 2), (0, 0, 5, 2)),
        (0, (0, 0, 5, 9), (0, 0, 5, 5)),
        (100, (0, 0, 5, 0), (100, 100, 5, 0)),
        (100, (0, 0, 500, 0), (100, 100, 100, 0)),
        (100, (5, 0, 0, 0), (5, 5, 5, 0)),
        (100, (500, 0, 5, 0), (100, 100, 5, 0)),
        (100, (0, 500, 5, 0), (100, 100, 5, 0)),
        (100, (0, 0, 500, 400), (100, 100, 100, 100)),
    ],
)
def test_timeouts_are_filled_in_from_each_other_and_the_run(
    run_timeout: float, given: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    world = World(run_timeout_s=run_timeout)
    close, start, attempt, heartbeat = given
    world.complete_task(
        schedule_activity(
            schedule_to_close=close,
            schedule_to_start=start,
            start_to_close=attempt,
            heartbeat=heartbeat,
        )
    )
    event = world.last("ACTIVITY_TASK_SCHEDULED").activity_task_scheduled_event_attributes
    timeouts = [
        event.schedule_to_close_timeout,
        event.schedule_to_start_timeout,
        event.start_to_close_timeout,
        event.heartbeat_timeout,
    ]
    assert [duration_ns(timeout) / SECOND_NS for timeout in timeouts] == list(expected)
    for name in ("schedule_to_close_timeout", "schedule_to_start_timeout", "heartbeat_timeout"):
        assert event.HasField(name), "SDKs read them without looking whether they are there"


def test_a_timeout_of_more_than_a_century_is_one() -> None:
    world = World()
    world.complete_task(altered(start_to_close_timeout=seconds(200 * 365 * 86400)))
    event = world.last("ACTIVITY_TASK_SCHEDULED").activity_task_scheduled_event_attributes
    assert event.start_to_close_timeout.seconds == 100 * 365 * 86400


def test_the_retry_policy_is_recorded_with_its_defaults() -> None:
    world = World()
    world.complete_task(schedule_activity(retry=RetryPolicy(initial_interval=seconds(3))))
    policy = world.last("ACTIVITY_TASK_SCHEDULED").activity_task_scheduled_event_attributes
    assert policy.retry_policy == RetryPolicy(
        initial_interval=seconds(3), backoff_coefficient=2, maximum_interval=seconds(300)
    )


def test_what_command_and_event_share_is_copied() -> None:
    world = World()
    command = altered(
        input=Payloads(payloads=[Payload(data=b"in")]), priority=Priority(priority_key=1)
    )
    command.schedule_activity_task_command_attributes.header.fields["h"].data = b"header"
    command.schedule_activity_task_command_attributes.use_workflow_build_id = True
    command.user_metadata.CopyFrom(UserMetadata(summary=Payload(data=b"why")))
    world.complete_task(command)
    event = world.last("ACTIVITY_TASK_SCHEDULED")
    attributes = event.activity_task_scheduled_event_attributes
    assert attributes.input.payloads[0].data == b"in"
    assert attributes.header.fields["h"].data == b"header"
    assert attributes.use_workflow_build_id
    assert attributes.priority.priority_key == 1
    assert attributes.workflow_task_completed_event_id == 4
    assert event.user_metadata.summary.data == b"why"
    offer = world.offer_of()
    assert offer is not None
    assert offer.priority == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            Command(command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK),
            "ScheduleActivityTaskCommandAttributes is not set on ScheduleActivityTaskCommand.",
        ),
        (altered(activity_id=None), "activityId is not set"),
        (altered(activity_type=None), "activityType is not set"),
        (altered(task_queue=None), "taskQueue is not set"),
        (altered(task_queue=TaskQueue()), "missing task queue name"),
        (altered(task_queue=TaskQueue(name=LONG)), "taskQueue length exceeds limit"),
        (
            altered(task_queue=TaskQueue(name="/_sys/x")),
            "task queue name cannot start with reserved prefix /_sys/",
        ),
        (
            altered(task_queue=TaskQueue(name="temporal-sys-per-ns-tq")),
            (
                "cannot use internal per-namespace task queue:temporal-sys-per-ns-tq"
                " (in parent component task queue: queue)"
            ),
        ),
        (altered(activity_id=LONG), "activityId exceeds length limit. Length=1001 Limit=1000"),
        (
            altered(activity_type=ActivityType(name="é" * 501)),
            "activityType exceeds length limit. Length=1002 Limit=1000",
        ),
        (
            altered(start_to_close_timeout=None),
            (
                "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity."
                " ActivityId=a ActivityType=work"
            ),
        ),
        (
            altered(start_to_close_timeout=seconds(-1)),
            "invalid StartToCloseTimeout: negative duration",
        ),
        (altered(heartbeat_timeout=seconds(-1)), "invalid HeartbeatTimeout: negative duration"),
        (
            altered(retry_policy=RetryPolicy(backoff_coefficient=0.5)),
            "BackoffCoefficient cannot be less than 1 on retry policy.",
        ),
        (
            altered(priority=Priority(priority_key=-1)),
            "invalid priorities: priority key can't be negative",
        ),
        (
            altered(priority=Priority(fairness_key="x" * 65)),
            "invalid priorities: fairness key length exceeds limit",
        ),
        (
            altered(priority=Priority(fairness_weight=-1)),
            "invalid priorities: must be greater than zero",
        ),
    ],
)
def test_bad_attributes_are_refused_in_the_words_of_the_real_server(
    command: Command, message: str
) -> None:
    world = World()
    assert world.refusal_of(command) == f"BadScheduleActivityAttributes: {message}"
    assert not world.run.activities


def test_an_activity_bound_to_the_workers_build_stays_on_its_queue() -> None:
    command = altered(task_queue=TaskQueue(name="other"))
    command.schedule_activity_task_command_attributes.use_workflow_build_id = True
    assert World().refusal_of(command) == (
        "BadScheduleActivityAttributes: Activity with UseCompatibleVersion cannot run on different"
        " task queue."
    )


def test_an_id_is_used_once_at_a_time() -> None:
    message = (
        "ScheduleActivityDuplicateId: invalid history builder state for action:"
        " add-activitytask-scheduled-event, ActivityID: a"
    )
    assert World().refusal_of(schedule_activity(), schedule_activity()) == message
    world = World()
    world.complete_task(schedule_activity())
    world.complete_activity(world.start_activity())
    world.start_task()
    world.complete_task(schedule_activity())
    assert world.state() is AttemptState.SCHEDULED


def test_an_input_beyond_the_limit_ends_the_run() -> None:
    world = World(limits=msgspec.structs.replace(DEFAULT_LIMITS, blob_size_bytes_max=100))
    world.complete_task(altered(input=Payloads(payloads=[Payload(data=b"x" * 101)])))
    assert world.history[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED
    assert world.history[-1].workflow_execution_terminated_event_attributes.reason == (
        "BadScheduleActivityAttributes:"
        " ScheduleActivityTaskCommandAttributes.Input exceeds size limit."
    )


def test_only_so_many_activities_are_pending() -> None:
    world = World(limits=msgspec.structs.replace(DEFAULT_LIMITS, pending_activities_max=2))
    world.complete_task(schedule_activity("a"), schedule_activity("b"))
    world.complete_activity(world.start_activity("a"))
    world.start_task()
    assert world.refusal_of(schedule_activity("c"), schedule_activity("d")) == (
        "PendingActivitiesLimitExceeded: the number of pending activities, 2, has reached the"
        " per-workflow limit of 2"
    )


def test_an_eager_activity_comes_back_with_the_answer_and_is_never_on_offer() -> None:
    world = World()
    reply = world.complete_task(schedule_activity(eager=True), schedule_activity("b"))
    assert isinstance(reply, inputs.WorkflowTaskCompleted)
    [task] = reply.activity_tasks
    assert (task.token.scheduled_event_id, task.attempt, task.activity_type) == (5, 1, "work")
    assert world.state() is AttemptState.STARTED
    assert not any(effect.scheduled_event_id == 5 for effect in world.effects)
    assert world.offer_of("b") is not None
    world.complete_activity(task.token)
    started = world.last("ACTIVITY_TASK_STARTED").activity_task_started_event_attributes
    assert (started.identity, started.attempt) == (WORKER, 1)


# ---- cancel


def world_with_news(*commands: Command) -> World:
    """A world that applied commands, and whose worker has the next task."""
    world = World()
    world.complete_task(*commands, schedule_activity("news"))
    world.complete_activity(world.start_activity("news"))
    world.start_task()
    return world


def test_what_no_worker_has_is_cancelled_at_once_and_the_workflow_hears_of_it() -> None:
    world = world_with_news(schedule_activity())
    at = len(world.history)
    world.complete_task(cancel_activity(5))
    assert world.types(at) == [
        "WORKFLOW_TASK_COMPLETED",
        "ACTIVITY_TASK_CANCEL_REQUESTED",
        "ACTIVITY_TASK_CANCELED",
        "WORKFLOW_TASK_SCHEDULED",
    ]
    canceled = world.last("ACTIVITY_TASK_CANCELED").activity_task_canceled_event_attributes
    assert canceled.details.payloads[0].data == b'"ACTIVITY_ID_NOT_STARTED"'
    assert canceled.details.payloads[0].metadata["encoding"] == b"json/plain"
    assert canceled.latest_cancel_requested_event_id == canceled.scheduled_event_id + 7
    assert canceled.started_event_id == 0
    assert canceled.identity == WORKER
    assert WithdrawTask(world.run.recorded.run_id, 5) in world.effects


def test_what_backs_off_is_cancelled_at_once() -> None:
    world = World()
    world.complete_task(schedule_activity(), schedule_activity("news"))
    world.fail_activity(world.start_activity())
    world.complete_activity(world.start_activity("news"))
    world.start_task()
    world.complete_task(cancel_activity(5))
    assert world.types()[-3:-1] == ["ACTIVITY_TASK_CANCEL_REQUESTED", "ACTIVITY_TASK_CANCELED"]
    assert not world.run.activities


def test_what_runs_learns_of_it_when_it_heartbeats() -> None:
    world = World()
    world.complete_task(schedule_activity(), schedule_activity("news"))
    token = world.start_activity()
    world.complete_activity(world.start_activity("news"))
    world.start_task()
    assert not world.heartbeat(token)
    world.complete_task(cancel_activity(5))
    assert world.types()[-1] == "ACTIVITY_TASK_CANCEL_REQUESTED"
    assert world.heartbeat(token)
    world.do(inputs.CancelActivity(token, None, WORKER), inputs.Done)
    assert world.types()[-3:] == [
        "ACTIVITY_TASK_STARTED",
        "ACTIVITY_TASK_CANCELED",
        "WORKFLOW_TASK_SCHEDULED",
    ]
    canceled = world.last("ACTIVITY_TASK_CANCELED").activity_task_canceled_event_attributes
    assert canceled.started_event_id == world.last("ACTIVITY_TASK_STARTED").event_id
    assert canceled.latest_cancel_requested_event_id == canceled.started_event_id - 1


def test_of_what_has_ended_unseen_only_the_request_is_recorded() -> None:
    world = world_with_news(schedule_activity())
    world.complete_activity(world.start_activity())
    assert world.state() is AttemptState.OUTCOME_BUFFERED
    at = len(world.history)
    world.complete_task(cancel_activity(5))
    assert world.types(at) == [
        "WORKFLOW_TASK_COMPLETED",
        "ACTIVITY_TASK_CANCEL_REQUESTED",
        "ACTIVITY_TASK_STARTED",
        "ACTIVITY_TASK_COMPLETED",
        "WORKFLOW_TASK_SCHEDULED",
    ]
    completed = world.last("ACTIVITY_TASK_COMPLETED").activity_task_completed_event_attributes
    assert completed.started_event_id == world.last("ACTIVITY_TASK_STARTED").event_id


REFUSED = "BadRequestCancelActivityAttributes: "
UNKNOWN = (
    REFUSED + "invalid history builder state for action:"
    " add-activitytask-cancel-requested-event, ScheduledEventID: "
)


def test_what_is_not_there_cannot_be_cancelled() -> None:
    assert World().refusal_of(cancel_activity(4711)) == UNKNOWN + "4711"
    assert World().refusal_of(cancel_activity(0)) == (
        REFUSED + "ScheduledEventId is not set on RequestCancelActivityTaskCommand."
    )
    bare = Command(command_type=CommandType.COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK)
    assert World().refusal_of(bare) == (
        REFUSED + "RequestCancelActivityTaskCommandAttributes is not set on"
        " RequestCancelActivityTaskCommand."
    )


def test_what_ended_and_was_seen_cannot_be_cancelled() -> None:
    world = World()
    world.complete_task(schedule_activity())
    world.complete_activity(world.start_activity())
    world.start_task()
    assert world.refusal_of(cancel_activity(5)) == UNKNOWN + "5"


def test_what_runs_is_cancelled_once() -> None:
    world = world_with_news(schedule_activity(), schedule_activity("more"))
    world.start_activity()
    assert world.refusal_of(cancel_activity(5), cancel_activity(5)) == UNKNOWN + "5"
    world.start_task()
    world.complete_task(cancel_activity(5))
    world.complete_activity(world.start_activity("more"))
    world.start_task()
    assert world.refusal_of(cancel_activity(5)) == UNKNOWN + "5"


def test_a_second_request_in_one_completion_for_what_no_worker_has_is_only_recorded() -> None:
    world = world_with_news(schedule_activity())
    world.complete_task(cancel_activity(5), cancel_activity(5))
    assert world.types()[-4:] == [
        "ACTIVITY_TASK_CANCEL_REQUESTED",
        "ACTIVITY_TASK_CANCEL_REQUESTED",
        "ACTIVITY_TASK_CANCELED",
        "WORKFLOW_TASK_SCHEDULED",
    ]


def test_the_id_of_what_was_cancelled_is_free_in_the_next_completion() -> None:
    world = world_with_news(schedule_activity())
    message = world.refusal_of(cancel_activity(5), schedule_activity())
    assert message.startswith("ScheduleActivityDuplicateId")
    world.start_task()
    world.complete_task(cancel_activity(5))
    world.start_task()
    world.complete_task(schedule_activity())
    assert world.pending().activity.scheduled_event_id > 5


def test_a_workflow_may_cancel_its_activities_and_close_in_one_completion() -> None:
    world = world_with_news(schedule_activity(), schedule_activity("b"))
    world.start_activity("b")
    at = len(world.history)
    close = Command(command_type=CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION)
    close.complete_workflow_execution_command_attributes.SetInParent()
    world.complete_task(cancel_activity(5), cancel_activity(6), close)
    assert world.types(at) == [
        "WORKFLOW_TASK_COMPLETED",
        "ACTIVITY_TASK_CANCEL_REQUESTED",
        "ACTIVITY_TASK_CANCEL_REQUESTED",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]
    assert set(world.run.activities) == {5, 6}, "they are described as they were"
    assert world.offers == {}


def test_a_cancelled_activity_cannot_be_completed_by_its_id() -> None:
    world = world_with_news(schedule_activity())
    world.complete_task(cancel_activity(5))
    message = inputs.CompleteActivity(by_id(), None, "someone")
    with pytest.raises(Exception, match="cannot find pending activity with ActivityID a"):
        world.do(message, inputs.Done)
