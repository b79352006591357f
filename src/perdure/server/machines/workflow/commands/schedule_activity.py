"""ScheduleActivityTask: recorded with all timeouts filled in, and offered, unless the worker wants
to run it at once.

    schedule-to-close given: bounds the other two, and is what they are when they are not given
    only start-to-close given: the others are the run timeout (0, and so none, when the run has
    none) neither given: refused no timeout is longer than the run timeout; the heartbeat's is not
    longer than start-to-close
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from temporalio.api.command.v1 import Command, ScheduleActivityTaskCommandAttributes
from temporalio.api.common.v1 import Priority
from temporalio.api.common.v1 import RetryPolicy as RetryPolicyMessage
from temporalio.api.enums.v1 import failed_cause_pb2, task_queue_pb2
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue

from perdure.server.machines import durations
from perdure.server.machines.activity import retry
from perdure.server.machines.wire import set_duration
from perdure.server.machines.workflow import activity_task, events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
)
from perdure.server.machines.workflow.turn import Turn

BAD_ATTRIBUTES = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_ACTIVITY_ATTRIBUTES
FAIRNESS_KEY_BYTES_MAX = 64
RESERVED_QUEUE_PREFIX = "/_sys/"
INTERNAL_QUEUE_PREFIX = "temporal-sys-per-ns-tq"


def check(context: CheckContext, command: Command) -> None:
    """Raises CommandRefused when the activity cannot be scheduled."""
    if not command.HasField("schedule_activity_task_command_attributes"):
        raise CommandRefused(
            BAD_ATTRIBUTES,
            "ScheduleActivityTaskCommandAttributes is not set on ScheduleActivityTaskCommand.",
        )
    attributes = command.schedule_activity_task_command_attributes
    workflow_queue = context.run.recorded.task_queue
    if problem := problem_of(attributes, workflow_queue, context.limits.id_length_max):
        raise CommandRefused(BAD_ATTRIBUTES, problem)
    limits = context.limits
    if attributes.input.ByteSize() > limits.blob_size_bytes_max:
        raise CommandRefused(
            BAD_ATTRIBUTES,
            "ScheduleActivityTaskCommandAttributes.Input exceeds size limit.",
            terminate=True,
        )
    if 0 < limits.pending_activities_max <= context.pending_activities:
        raise CommandRefused(
            failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_PENDING_ACTIVITIES_LIMIT_EXCEEDED,
            f"the number of pending activities, {context.pending_activities},"
            f" has reached the per-workflow limit of {limits.pending_activities_max}",
        )
    if attributes.activity_id in context.activity_ids:
        raise CommandRefused(
            failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_SCHEDULE_ACTIVITY_DUPLICATE_ID,
            "invalid history builder state for action: add-activitytask-scheduled-event,"
            f" ActivityID: {attributes.activity_id}",
        )
    context.activity_ids.add(attributes.activity_id)
    context.pending_activities += 1


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record the activity and offer its first attempt; one to be started eagerly is left to the
    completion.
    """
    attributes = command.schedule_activity_task_command_attributes
    event = scheduled_event(
        attributes, context.completed_event_id, turn.run.recorded.run_timeout_ns
    )
    event_id = turn.record(events.with_command_metadata(event, command))
    if attributes.request_eager_execution:
        context.eager_activities.append(event_id)
    else:
        activity_task.offer(turn, turn.run.activities[event_id])


def scheduled_event(
    command: ScheduleActivityTaskCommandAttributes, completed_event_id: int, run_timeout_ns: int
) -> HistoryEvent:
    """What is recorded of a command that was checked: all defaults applied, all that the two share
    copied whole.
    """
    event = events.activity_scheduled()
    attributes = event.activity_task_scheduled_event_attributes
    attributes.activity_id = command.activity_id
    attributes.activity_type.CopyFrom(command.activity_type)
    attributes.task_queue.CopyFrom(command.task_queue)
    attributes.workflow_task_completed_event_id = completed_event_id
    attributes.use_workflow_build_id = command.use_workflow_build_id
    attributes.retry_policy.CopyFrom(command.retry_policy)
    retry.with_defaults(attributes.retry_policy)
    # Cuts its intervals; what it has to say was said when the command was checked.
    retry.validate(attributes.retry_policy)
    if attributes.task_queue.kind == task_queue_pb2.TASK_QUEUE_KIND_UNSPECIFIED:
        attributes.task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    if command.HasField("header"):
        attributes.header.CopyFrom(command.header)
    if command.HasField("input"):
        attributes.input.CopyFrom(command.input)
    if command.HasField("priority"):
        attributes.priority.CopyFrom(command.priority)
    close_ns, start_ns, run_ns, heartbeat_ns = timeouts_of(command, run_timeout_ns)
    set_duration(attributes.schedule_to_close_timeout, close_ns)
    set_duration(attributes.schedule_to_start_timeout, start_ns)
    set_duration(attributes.start_to_close_timeout, run_ns)
    set_duration(attributes.heartbeat_timeout, heartbeat_ns)
    return event


def timeouts_of(
    command: ScheduleActivityTaskCommandAttributes, run_timeout_ns: int
) -> tuple[int, int, int, int]:
    """Schedule-to-close, schedule-to-start, start-to-close and heartbeat timeout, in nanoseconds; 0
    is none.
    """
    close_ns = durations.capped_ns(command.schedule_to_close_timeout)
    start_ns = durations.capped_ns(command.schedule_to_start_timeout)
    attempt_ns = durations.capped_ns(command.start_to_close_timeout)
    heartbeat_ns = durations.capped_ns(command.heartbeat_timeout)
    if close_ns:
        start_ns = min(start_ns, close_ns) if start_ns else close_ns
        attempt_ns = min(attempt_ns, close_ns) if attempt_ns else close_ns
    else:
        close_ns = run_timeout_ns
        start_ns = start_ns or run_timeout_ns
    if run_timeout_ns:
        close_ns, start_ns, attempt_ns, heartbeat_ns = (
            min(timeout_ns, run_timeout_ns)
            for timeout_ns in (close_ns, start_ns, attempt_ns, heartbeat_ns)
        )
    return close_ns, start_ns, attempt_ns, min(heartbeat_ns, attempt_ns)


def problem_of(
    attributes: ScheduleActivityTaskCommandAttributes, workflow_queue: str, length_max: int
) -> str | None:
    """The first thing that is wrong with the attributes, in the order and the words of the real
    server.
    """
    return (
        _queue_problem(attributes, workflow_queue, length_max)
        or _name_problem(attributes)
        or _policy_problem(attributes)
        or _length_problem(attributes, length_max)
        or _priority_problem(attributes)
        or _timeout_problem(attributes)
        or (
            "Activity with UseCompatibleVersion cannot run on different task queue."
            if attributes.use_workflow_build_id and attributes.task_queue.name != workflow_queue
            else None
        )
    )


def _queue_problem(
    attributes: ScheduleActivityTaskCommandAttributes, workflow_queue: str, length_max: int
) -> str | None:
    if not attributes.HasField("task_queue"):
        return "taskQueue is not set"
    queue: TaskQueue = attributes.task_queue
    if not queue.name:
        return "missing task queue name"
    if len(queue.name.encode()) > length_max:
        return "taskQueue length exceeds limit"
    if queue.name.startswith(RESERVED_QUEUE_PREFIX):
        return f"task queue name cannot start with reserved prefix {RESERVED_QUEUE_PREFIX}"
    if queue.name.startswith(INTERNAL_QUEUE_PREFIX) and not workflow_queue.startswith(
        INTERNAL_QUEUE_PREFIX
    ):
        return (
            f"cannot use internal per-namespace task queue:{queue.name}"
            f" (in parent component task queue: {workflow_queue})"
        )
    return None


def _name_problem(attributes: ScheduleActivityTaskCommandAttributes) -> str | None:
    if not attributes.activity_id:
        return "activityId is not set"
    if not attributes.activity_type.name:
        return "activityType is not set"
    return None


def _policy_problem(attributes: ScheduleActivityTaskCommandAttributes) -> str | None:
    if not attributes.HasField("retry_policy"):
        return None  # The default one is right.
    policy = RetryPolicyMessage()
    policy.CopyFrom(attributes.retry_policy)
    retry.with_defaults(policy)
    return retry.validate(policy)


def _length_problem(
    attributes: ScheduleActivityTaskCommandAttributes, length_max: int
) -> str | None:
    for name, value in (
        ("activityId", attributes.activity_id),
        ("activityType", attributes.activity_type.name),
    ):
        length = len(value.encode())
        if length > length_max:
            return f"{name} exceeds length limit. Length={length} Limit={length_max}"
    return None


def _priority_problem(attributes: ScheduleActivityTaskCommandAttributes) -> str | None:
    priority: Priority = attributes.priority
    if priority.priority_key < 0:
        return "invalid priorities: priority key can't be negative"
    if len(priority.fairness_key.encode()) > FAIRNESS_KEY_BYTES_MAX:
        return "invalid priorities: fairness key length exceeds limit"
    if priority.fairness_weight < 0:
        return "invalid priorities: must be greater than zero"
    return None


def _timeout_problem(attributes: ScheduleActivityTaskCommandAttributes) -> str | None:
    timeouts: tuple[tuple[str, Duration], ...] = (
        ("ScheduleToCloseTimeout", attributes.schedule_to_close_timeout),
        ("ScheduleToStartTimeout", attributes.schedule_to_start_timeout),
        ("StartToCloseTimeout", attributes.start_to_close_timeout),
        ("HeartbeatTimeout", attributes.heartbeat_timeout),
    )
    for name, value in timeouts:
        if problem := durations.problem_of(value):
            return f"invalid {name}: {problem}"
    if not durations.capped_ns(attributes.schedule_to_close_timeout) and not durations.capped_ns(
        attributes.start_to_close_timeout
    ):
        return (
            "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity."
            f" ActivityId={attributes.activity_id} ActivityType={attributes.activity_type.name}"
        )
    return None
