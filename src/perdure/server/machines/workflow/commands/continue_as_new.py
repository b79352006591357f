"""ContinueAsNewWorkflowExecution: the run ends and its successor begins, with new input."""

from __future__ import annotations

from temporalio.api.command.v1 import Command, ContinueAsNewWorkflowExecutionCommandAttributes
from temporalio.api.enums.v1 import (
    TaskQueueKind,
    WorkflowTaskFailedCause,
    failed_cause_pb2,
    task_queue_pb2,
)

from perdure.server.machines import durations, search_attributes
from perdure.server.machines.activity import retry
from perdure.server.machines.activity.failures import cut_causes
from perdure.server.machines.schedule import cron
from perdure.server.machines.wire import duration, duration_ns
from perdure.server.machines.workflow import chain
from perdure.server.machines.workflow.commands.closing import check_may_close
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
    snake_case,
)
from perdure.server.machines.workflow.commands.schedule_activity import RESERVED_QUEUE_PREFIX
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES
_BAD_SEARCH_ATTRIBUTES = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
_NAME = "ContinueAsNewWorkflowExecutionCommand"


def check(context: CheckContext, command: Command) -> None:
    """Nothing may be waiting for the workflow; attributes are completed from the run and held to
    the limits."""
    check_may_close(context)
    require_attributes(
        command,
        "ContinueAsNewWorkflowExecution",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_CONTINUE_AS_NEW_ATTRIBUTES,
    )
    attributes = command.continue_as_new_workflow_execution_command_attributes
    _inherit(context, attributes)
    workflow_type, length_max = attributes.workflow_type.name, context.limits.id_length_max
    length = len(workflow_type.encode())
    if length > length_max:
        raise CommandRefused(
            _BAD,
            f"WorkflowType on {_NAME} exceeds length limit. WorkflowType={workflow_type}"
            f" Length={length} Limit={length_max}",
        )
    _check_queue(attributes, length_max)
    for field in ("WorkflowRunTimeout", "WorkflowTaskTimeout", "BackoffStartInterval"):
        value = getattr(attributes, snake_case(field))
        if (problem := durations.problem_of(value)) is not None:
            raise _refused(attributes, problem, f"Invalid {field} on")
        durations.cap(value)
    _default_timeouts(context, attributes)
    limits = context.limits
    if attributes.HasField("retry_policy"):
        retry.with_defaults(attributes.retry_policy)
        if (problem := retry.validate(attributes.retry_policy)) is not None:
            raise _refused(attributes, problem, "invalid WorkflowRetryPolicy on")
    if attributes.cron_schedule:
        problem = cron.validate(attributes.cron_schedule)
        if problem is not None:
            raise CommandRefused(_BAD, problem)
    problem = context.problem_of(attributes.search_attributes)
    if problem is not None:
        raise _refused(
            attributes, problem, "invalid SearchAttributes on", cause=_BAD_SEARCH_ATTRIBUTES
        )
    cut_causes(attributes.failure, limits.failure_depth_max)
    if attributes.input.ByteSize() > limits.blob_size_bytes_max:
        raise CommandRefused(
            _BAD,
            "ContinueAsNewWorkflowExecutionCommandAttributes. Input exceeds size limit.",
            terminate=True,
        )
    if attributes.memo.ByteSize() > limits.memo_size_bytes_max:
        raise CommandRefused(
            _BAD,
            "ContinueAsNewWorkflowExecutionCommandAttributes. Memo exceeds size limit.",
            terminate=True,
        )
    problem = search_attributes.size_problem_of(attributes.search_attributes, limits)
    if problem is not None:
        raise CommandRefused(_BAD, problem, terminate=True)
    context.has_closed = True


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Close as continued; the successor begins in the same turn."""
    attributes = command.continue_as_new_workflow_execution_command_attributes
    served = context.served.get(attributes.task_queue.name, frozenset())
    chain.continue_as_new(turn, context.completed_event_id, command, served)


def _check_queue(
    attributes: ContinueAsNewWorkflowExecutionCommandAttributes, length_max: int
) -> None:
    name, problem = attributes.task_queue.name, ""
    if len(name.encode()) > length_max:
        problem = "taskQueue length exceeds limit"
    elif name.startswith(RESERVED_QUEUE_PREFIX):
        problem = f"task queue name cannot start with reserved prefix {RESERVED_QUEUE_PREFIX}"
    if problem:
        raise CommandRefused(
            _BAD,
            f"error validating {_NAME} TaskQueue: {problem}. {_described(attributes)}",
        )


def _refused(
    attributes: ContinueAsNewWorkflowExecutionCommandAttributes,
    problem: str,
    what: str,
    cause: WorkflowTaskFailedCause.ValueType = _BAD,
) -> CommandRefused:
    return CommandRefused(cause, f"{what} {_NAME}: {problem}. {_described(attributes)}")


def _described(attributes: ContinueAsNewWorkflowExecutionCommandAttributes) -> str:
    queue = attributes.task_queue
    return (
        f"WorkflowType={attributes.workflow_type.name}"
        f' TaskQueue=name:"{queue.name}"  kind:{TaskQueueKind.Name(queue.kind)}'
    )


def _inherit(
    context: CheckContext, attributes: ContinueAsNewWorkflowExecutionCommandAttributes
) -> None:
    """The type and the queue are the run's, unless the command says otherwise."""
    recorded = context.run.recorded
    if not attributes.workflow_type.name:
        attributes.workflow_type.name = recorded.workflow_type
    if not attributes.task_queue.name:
        attributes.task_queue.name = recorded.task_queue
    if not attributes.task_queue.kind:
        attributes.task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL


def _default_timeouts(
    context: CheckContext, attributes: ContinueAsNewWorkflowExecutionCommandAttributes
) -> None:
    """So are the timeouts; a run timeout never exceeds the execution's, nor a task timeout the
    run's."""
    recorded, limits = context.run.recorded, context.limits
    run_ns = duration_ns(attributes.workflow_run_timeout) or recorded.run_timeout_ns
    if recorded.execution_timeout_ns:
        run_ns = min(run_ns or recorded.execution_timeout_ns, recorded.execution_timeout_ns)
    attributes.workflow_run_timeout.CopyFrom(duration(run_ns))
    task_ns = duration_ns(attributes.workflow_task_timeout) or recorded.workflow_task_timeout_ns
    task_ns = min(task_ns, limits.workflow_task_timeout_ns_max)
    attributes.workflow_task_timeout.CopyFrom(duration(min(task_ns, run_ns) if run_ns else task_ns))
