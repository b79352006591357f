"""StartChildWorkflowExecution: recorded with all defaults filled in, and sent to the workflow id
that the child is to have."""

from __future__ import annotations

from temporalio.api.command.v1 import Command, StartChildWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import Priority
from temporalio.api.enums.v1 import (
    TaskQueueKind,
    WorkflowTaskFailedCause,
    failed_cause_pb2,
    task_queue_pb2,
    workflow_pb2,
)
from temporalio.api.history.v1 import (
    HistoryEvent,
    StartChildWorkflowExecutionInitiatedEventAttributes,
)
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest

from perdure.server.machines import durations, search_attributes
from perdure.server.machines.activity import retry
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.schedule import cron
from perdure.server.machines.wire import duration, duration_ns
from perdure.server.machines.workflow import child_events, events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    require_attributes,
    snake_case,
)
from perdure.server.machines.workflow.commands.external import check_count, check_same_namespace
from perdure.server.machines.workflow.commands.schedule_activity import (
    FAIRNESS_KEY_BYTES_MAX,
    INTERNAL_QUEUE_PREFIX,
    RESERVED_QUEUE_PREFIX,
)
from perdure.server.machines.workflow.messages import Parent, StartChild, child_request_id
from perdure.server.machines.workflow.overrides import check_override, to_new_form
from perdure.server.machines.workflow.turn import Turn
from perdure.server.machines.workflow.versioning import override_of, passed_to_child

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_START_CHILD_EXECUTION_ATTRIBUTES
_BAD_SEARCH_ATTRIBUTES = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES
_NAME = "StartChildWorkflowExecutionCommand"

_Attributes = StartChildWorkflowExecutionCommandAttributes


def check(context: CheckContext, command: Command) -> None:
    """In the order of the real server; attributes are completed on the way."""
    require_attributes(command, "StartChildWorkflowExecution", _BAD)
    attributes = command.start_child_workflow_execution_command_attributes
    check_same_namespace(context, attributes.namespace, _BAD)
    attributes.namespace = context.namespace
    problem = context.problem_of(attributes.search_attributes)
    if problem is not None and problem.startswith("Namespace"):
        raise CommandRefused(_BAD_SEARCH_ATTRIBUTES, problem)  # Names are looked up first of all.
    _check_names(attributes, context.limits.id_length_max)
    _check_times(attributes)
    if problem is not None:
        raise _refused(
            attributes,
            f"invalid SearchAttributes on StartChildWorkflowCommand: {problem}",
            cause=_BAD_SEARCH_ATTRIBUTES,
        )
    if problem := _priority_problem(attributes.priority):
        raise CommandRefused(_BAD, problem)
    _check_queue(context, attributes)
    _check_override(attributes)
    _check_build_ids(context, attributes)
    _default_timeouts(context, attributes)
    _check_sizes(context, attributes)
    check_count(
        context.pending_children,
        context.limits.pending_children_max,
        "pending child workflow executions",
        failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_PENDING_CHILD_WORKFLOWS_LIMIT_EXCEEDED,
    )
    if not attributes.parent_close_policy:
        attributes.parent_close_policy = workflow_pb2.PARENT_CLOSE_POLICY_TERMINATE
    if not attributes.workflow_id_reuse_policy:
        attributes.workflow_id_reuse_policy = workflow_pb2.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
    context.initiated_children.add(attributes.workflow_id)
    context.pending_children += 1


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record it and send it."""
    event = child_events.child_initiated(
        context.completed_event_id,
        turn.workflow.namespace_id,
        command.start_child_workflow_execution_command_attributes,
    )
    event_id = turn.record(events.with_command_metadata(event, command))
    send(turn, event_id, event, turn.run.recorded.run_id)


def send(turn: Turn, event_id: int, event: HistoryEvent, initiator_run_id: str) -> None:
    """Ask for the child that an event of the current run has initiated; `initiator_run_id` is the
    run that asked for it first."""
    workflow, recorded = turn.workflow, turn.run.recorded
    attributes = event.start_child_workflow_execution_initiated_event_attributes
    request = _start_request(attributes, child_request_id(initiator_run_id, event_id))
    if event.HasField("user_metadata"):
        request.user_metadata.CopyFrom(event.user_metadata)
    priority = _merged_priority(recorded.priority, attributes)
    if priority is not None:
        request.priority.CopyFrom(priority)
    parent = Parent(
        namespace=workflow.namespace,
        namespace_id=workflow.namespace_id,
        workflow_id=workflow.workflow_id,
        run_id=recorded.run_id,
        initiated_event_id=event_id,
        root_workflow_id=recorded.root_workflow_id or workflow.workflow_id,
        root_run_id=recorded.root_run_id or recorded.run_id,
        inherited=passed_to_child(turn.run),
    )
    override = None
    if attributes.HasField("versioning_override"):
        override = override_of(attributes.versioning_override)
    turn.send(
        attributes.workflow_id,
        StartChild(
            parent,
            request.SerializeToString(deterministic=True),
            attributes.control,
            pinned_to=None if override is None else override.version,
        ),
    )


def _refused(
    attributes: _Attributes, text: str, cause: WorkflowTaskFailedCause.ValueType = _BAD
) -> CommandRefused:
    return CommandRefused(
        cause,
        f"{text}. WorkflowId={attributes.workflow_id}"
        f" WorkflowType={attributes.workflow_type.name} Namespace={attributes.namespace}",
    )


def _check_names(attributes: _Attributes, length_max: int) -> None:
    workflow_id, workflow_type = attributes.workflow_id, attributes.workflow_type.name
    namespace = attributes.namespace
    if not workflow_id:
        raise CommandRefused(
            _BAD,
            f"Required field WorkflowId is not set on {_NAME}."
            f" WorkflowType={workflow_type} Namespace={namespace}",
        )
    if not workflow_type:
        raise CommandRefused(
            _BAD,
            f"Required field WorkflowType is not set on {_NAME}."
            f" WorkflowId={workflow_id} Namespace={namespace}",
        )
    length = len(workflow_id.encode())
    if length > length_max:
        raise CommandRefused(
            _BAD,
            f"WorkflowId on {_NAME} exceeds length limit. WorkflowId={workflow_id} Length={length}"
            f" Limit={length_max} WorkflowType={workflow_type} Namespace={namespace}",
        )
    length = len(workflow_type.encode())
    if length > length_max:
        raise CommandRefused(
            _BAD,
            f"WorkflowType on {_NAME} exceeds length limit. WorkflowId={workflow_id}"
            f" WorkflowType={workflow_type} Length={length} Limit={length_max}"
            f" Namespace={namespace}",
        )


def _check_times(attributes: _Attributes) -> None:
    for name in ("WorkflowExecutionTimeout", "WorkflowRunTimeout", "WorkflowTaskTimeout"):
        field = snake_case(name)
        if not attributes.HasField(field):  # type: ignore[arg-type]
            continue
        value = getattr(attributes, field)
        if problem := durations.problem_of(value):
            raise _refused(attributes, f"Invalid {name} on {_NAME}: {problem}")
        durations.cap(value)
    if attributes.HasField("retry_policy"):
        retry.with_defaults(attributes.retry_policy)
        if problem := retry.validate(attributes.retry_policy):
            raise _refused(attributes, f"invalid WorkflowRetryPolicy on {_NAME}: {problem}")
    if problem := cron.validate(attributes.cron_schedule):
        raise _refused(attributes, f"invalid CronSchedule on {_NAME}: {problem}")


def _priority_problem(priority: Priority) -> str | None:
    if priority.priority_key < 0:
        return "priority key can't be negative"
    if len(priority.fairness_key.encode()) > FAIRNESS_KEY_BYTES_MAX:
        return "fairness key length exceeds limit"
    if priority.fairness_weight < 0:
        return "must be greater than zero"
    return None


def _check_override(attributes: _Attributes) -> None:
    """It is recorded in its newest form."""
    if not attributes.HasField("versioning_override"):
        return
    try:
        check_override(attributes.versioning_override)
    except InvalidArgument as error:
        raise CommandRefused(_BAD, str(error)) from error
    to_new_form(attributes.versioning_override)


def _check_queue(context: CheckContext, attributes: _Attributes) -> None:
    """The queue is the parent's, unless the command names another."""
    queue, own = attributes.task_queue, context.run.recorded.task_queue
    if not queue.kind:
        queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    if not queue.name:
        queue.name = own
    problem = None
    if len(queue.name.encode()) > context.limits.id_length_max:
        problem = "taskQueue length exceeds limit"
    elif queue.name.startswith(RESERVED_QUEUE_PREFIX):
        problem = f"task queue name cannot start with reserved prefix {RESERVED_QUEUE_PREFIX}"
    elif queue.name.startswith(INTERNAL_QUEUE_PREFIX) and not own.startswith(INTERNAL_QUEUE_PREFIX):
        problem = (
            f"cannot use internal per-namespace task queue:{queue.name}"
            f" (in parent component task queue: {own})"
        )
    if problem is not None:
        refusal = _refused(attributes, f"invalid TaskQueue on {_NAME}: {problem}")
        raise CommandRefused(
            _BAD,
            f"{refusal.message}"
            f' TaskQueue=name:"{queue.name}"  kind:{TaskQueueKind.Name(queue.kind)}',
        )


def _check_build_ids(context: CheckContext, attributes: _Attributes) -> None:
    own = context.run.recorded.task_queue
    if attributes.inherit_build_id and attributes.task_queue.name != own:
        raise CommandRefused(
            _BAD,
            "StartChildWorkflowExecution with UseCompatibleVersion cannot run on different task"
            " queue.",
        )


def _default_timeouts(context: CheckContext, attributes: _Attributes) -> None:
    """A run is not longer than its execution, nor a workflow task than its run."""
    limits = context.limits
    execution_ns = duration_ns(attributes.workflow_execution_timeout)
    run_ns = duration_ns(attributes.workflow_run_timeout)
    if execution_ns:
        run_ns = min(run_ns or execution_ns, execution_ns)
    attributes.workflow_run_timeout.CopyFrom(duration(run_ns))
    task_ns = duration_ns(attributes.workflow_task_timeout) or limits.workflow_task_timeout_ns
    task_ns = min(task_ns, limits.workflow_task_timeout_ns_max)
    attributes.workflow_task_timeout.CopyFrom(duration(min(task_ns, run_ns) if run_ns else task_ns))


def _check_sizes(context: CheckContext, attributes: _Attributes) -> None:
    limits = context.limits
    if attributes.input.ByteSize() > limits.blob_size_bytes_max:
        raise CommandRefused(
            _BAD,
            "StartChildWorkflowExecutionCommandAttributes. Input exceeds size limit.",
            terminate=True,
        )
    if attributes.memo.ByteSize() > limits.memo_size_bytes_max:
        raise CommandRefused(
            _BAD,
            "StartChildWorkflowExecutionCommandAttributes.Memo exceeds size limit.",
            terminate=True,
        )
    problem = search_attributes.size_problem_of(attributes.search_attributes, limits)
    if problem is not None:
        raise CommandRefused(_BAD, problem, terminate=True)


def _start_request(
    initiated: StartChildWorkflowExecutionInitiatedEventAttributes, request_id: str
) -> StartWorkflowExecutionRequest:
    """The start as a client would ask for it."""
    request = StartWorkflowExecutionRequest(
        namespace=initiated.namespace,
        workflow_id=initiated.workflow_id,
        request_id=request_id,
        workflow_id_reuse_policy=initiated.workflow_id_reuse_policy,
        workflow_id_conflict_policy=workflow_pb2.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        cron_schedule=initiated.cron_schedule,
    )
    for name in (
        "workflow_type",
        "task_queue",
        "header",
        "input",
        "workflow_execution_timeout",
        "workflow_run_timeout",
        "workflow_task_timeout",
        "retry_policy",
        "memo",
        "search_attributes",
        "versioning_override",
    ):
        if initiated.HasField(name):
            getattr(request, name).CopyFrom(getattr(initiated, name))
    return request


def _merged_priority(
    serialised: bytes | None, initiated: StartChildWorkflowExecutionInitiatedEventAttributes
) -> Priority | None:
    """The child's priority: each part its own, or else the parent's."""
    if serialised is None:
        return initiated.priority if initiated.HasField("priority") else None
    merged = Priority.FromString(serialised)
    own = initiated.priority
    if own.priority_key:
        merged.priority_key = own.priority_key
    if own.fairness_key:
        merged.fairness_key = own.fairness_key
    if own.fairness_weight:
        merged.fairness_weight = own.fairness_weight
    return merged
