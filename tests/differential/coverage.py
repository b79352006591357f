"""How often each kind of command, event and failure occurred, and which of them must.

Whatever the contract names must occur, but for what stands in `NEVER`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.message import Message
from temporalio.api.enums.v1 import (
    ActivityExecutionStatus,
    CommandType,
    EventType,
    PendingActivityState,
    RetryState,
    StartChildWorkflowExecutionFailedCause,
    TimeoutType,
    WorkflowExecutionStatus,
    WorkflowTaskFailedCause,
)
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.service import RPCError
from temporalio.workflow import NexusOperationCancellationType

from tests.differential.deployments import DEPLOYMENT_ACTIONS
from tests.differential.jobs import CALLS as JOB_CALLS
from tests.differential.program import Operation, Program, actions_of, steps_of
from tests.differential.seen import Seen

COMMAND_OF_EVENT: Mapping[str, str] = {
    "ACTIVITY_TASK_SCHEDULED": "SCHEDULE_ACTIVITY_TASK",
    "ACTIVITY_TASK_CANCEL_REQUESTED": "REQUEST_CANCEL_ACTIVITY_TASK",
    "TIMER_STARTED": "START_TIMER",
    "TIMER_CANCELED": "CANCEL_TIMER",
    "WORKFLOW_EXECUTION_COMPLETED": "COMPLETE_WORKFLOW_EXECUTION",
    "WORKFLOW_EXECUTION_FAILED": "FAIL_WORKFLOW_EXECUTION",
    "WORKFLOW_EXECUTION_CANCELED": "CANCEL_WORKFLOW_EXECUTION",
    "WORKFLOW_EXECUTION_CONTINUED_AS_NEW": "CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
    "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": (
        "REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION"
    ),
    "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED": "SIGNAL_EXTERNAL_WORKFLOW_EXECUTION",
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": "START_CHILD_WORKFLOW_EXECUTION",
    "MARKER_RECORDED": "RECORD_MARKER",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES",
    "WORKFLOW_PROPERTIES_MODIFIED": "MODIFY_WORKFLOW_PROPERTIES",
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED": "PROTOCOL_MESSAGE",
    "WORKFLOW_EXECUTION_UPDATE_COMPLETED": "PROTOCOL_MESSAGE",
    "NEXUS_OPERATION_SCHEDULED": "SCHEDULE_NEXUS_OPERATION",
    "NEXUS_OPERATION_CANCEL_REQUESTED": "REQUEST_CANCEL_NEXUS_OPERATION",
}
"""A completed workflow task leaves exactly one event of each command."""

FAILURE_KINDS = tuple(field.name for field in Failure.DESCRIPTOR.oneofs[0].fields)

NEVER: Mapping[str, str] = {
    "event WORKFLOW_EXECUTION_UPDATE_REJECTED": "a rejected update leaves no trace",
    "event WORKFLOW_PROPERTIES_MODIFIED_EXTERNALLY": "no RPC makes it",
    "event ACTIVITY_PROPERTIES_MODIFIED_EXTERNALLY": "no RPC makes it",
    "event WORKFLOW_EXECUTION_PAUSED": "the stock server has it switched off",
    "event WORKFLOW_EXECUTION_UNPAUSED": "the stock server has it switched off",
    "event WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED": "the stock server has it switched off",
    "failure server_failure_info": "only written when the server has a fault of its own",
    "status PAUSED": "the stock server has it switched off",
    "retry state INTERNAL_SERVER_ERROR": "only when the server has a fault of its own",
}
"""What no program can bring about, with the reason."""

WANTED_CAUSES = (
    "task failed UNHANDLED_COMMAND",
    "task failed WORKFLOW_WORKER_UNHANDLED_FAILURE",
    "task failed RESET_WORKFLOW",
    "child not started WORKFLOW_ALREADY_EXISTS",
    "refused NOT_FOUND",
    "refused ALREADY_EXISTS",
)


_CALLED: Mapping[str, Iterable[str]] = {"jobs": JOB_CALLS, "deployments": DEPLOYMENT_ACTIONS}
"""What clients call, by kind of program."""
_MARKS: Mapping[str, tuple[str, ...]] = {
    "jobs": ("activity ", "attempt ", "jobs call "),
    "nexus": ("NEXUS", "nexus", "cancellation "),
    "deployments": ("deployments call ",),
}
"""What is wanted of programs of a kind has one of these in its name; of workflows, none."""


def wanted(kind: str = "") -> list[str]:
    """All that a run of many programs of a kind must have seen; "" for the kinds that are carried
    out where nobody asks for one."""
    names = [(name, _kind_of(name)) for name in _wanted()]
    return [name for name, of in names if (of == kind if kind else of != "deployments")]


def _kind_of(name: str) -> str:
    kinds = (kind for kind, marks in _MARKS.items() if any(mark in name for mark in marks))
    return next(kinds, "workflows")


def _wanted() -> list[str]:
    names = [f"event {_short(name)}" for name in EventType.DESCRIPTOR.values_by_name]
    names += [f"command {_short(name)}" for name in CommandType.DESCRIPTOR.values_by_name]
    names += [f"failure {name}" for name in FAILURE_KINDS]
    names += [f"timeout {_short(name)}" for name in TimeoutType.DESCRIPTOR.values_by_name]
    names += [f"retry state {_short(name)}" for name in RetryState.DESCRIPTOR.values_by_name]
    names += [
        f"status {_short(name)}" for name in WorkflowExecutionStatus.DESCRIPTOR.values_by_name
    ]
    names += [
        f"activity {_short(name)}" for name in ActivityExecutionStatus.DESCRIPTOR.values_by_name
    ]
    names += [f"attempt {_short(name)}" for name in PendingActivityState.DESCRIPTOR.values_by_name]
    names += [f"cancellation {each.name}" for each in NexusOperationCancellationType]
    names += [f"{kind} call {call}" for kind, calls in _CALLED.items() for call in calls]
    names += WANTED_CAUSES
    return [name for name in names if not name.endswith("UNSPECIFIED") and name not in NEVER]


def count(program: Program, seen: Seen) -> Counter[str]:
    """What occurred in one program on one server."""
    counts = Counter(f"{program.kind} call {call.kind}" for call in program.calls)
    if program.kind in _CALLED:
        counts.update(f"{program.kind} call {action.kind}" for action in actions_of(program))
    for step in steps_of(program):
        if isinstance(step, Operation):
            counts[f"cancellation {step.cancellation}"] += 1
    for run in seen.runs:
        counts.update(_status(run.description))
        for event in run.events:
            counts.update(_of_event(event))
        for message in run.description.pending_activities:
            counts.update(_within(message))
    for _, answer in seen.answers:
        if isinstance(answer, RPCError):
            counts[f"refused {answer.status.name}"] += 1
        else:
            counts.update(_within(answer))
        if isinstance(answer, DescribeWorkflowExecutionResponse):
            counts.update(_status(answer))
    return counts


def _status(description: DescribeWorkflowExecutionResponse) -> Iterator[str]:
    status = description.workflow_execution_info.status
    yield f"status {_short(WorkflowExecutionStatus.Name(status))}"


def _of_event(event: HistoryEvent) -> Iterator[str]:
    name = _short(EventType.Name(event.event_type))
    yield f"event {name}"
    if name in COMMAND_OF_EVENT:
        yield f"command {COMMAND_OF_EVENT[name]}"
    if event.HasField("workflow_task_failed_event_attributes"):
        cause = event.workflow_task_failed_event_attributes.cause
        yield f"task failed {_short(WorkflowTaskFailedCause.Name(cause))}"
    if event.HasField("start_child_workflow_execution_failed_event_attributes"):
        why = event.start_child_workflow_execution_failed_event_attributes.cause
        yield f"child not started {_short(StartChildWorkflowExecutionFailedCause.Name(why))}"
    yield from _within(event)


def _within(message: Message) -> Iterator[str]:
    """Failures, timeouts and retry states, however deep."""
    if isinstance(message, Failure):
        kind = message.WhichOneof("failure_info")
        if kind is not None:
            yield f"failure {kind}"
    for field, value in message.ListFields():
        if field.enum_type is TimeoutType.DESCRIPTOR:
            yield f"timeout {_short(TimeoutType.Name(value))}"
        elif field.enum_type is RetryState.DESCRIPTOR:
            yield f"retry state {_short(RetryState.Name(value))}"
        elif field.enum_type is ActivityExecutionStatus.DESCRIPTOR:
            yield f"activity {_short(ActivityExecutionStatus.Name(value))}"
        elif field.enum_type is PendingActivityState.DESCRIPTOR:
            yield f"attempt {_short(PendingActivityState.Name(value))}"
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for inner in value if field.is_repeated else (value,):
                yield from _within(inner)


_PREFIXES = (
    "EVENT_TYPE_",
    "COMMAND_TYPE_",
    "TIMEOUT_TYPE_",
    "RETRY_STATE_",
    "ACTIVITY_EXECUTION_STATUS_",
    "PENDING_ACTIVITY_STATE_",
    "WORKFLOW_EXECUTION_STATUS_",
    "WORKFLOW_TASK_FAILED_CAUSE_",
    "START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_",
)


def _short(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
