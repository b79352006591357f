"""ScheduleNexusOperation: recorded with the endpoint's id, and called at once.

No timeout of an operation is longer than its schedule-to-close timeout, nor that than the run
timeout, which it is when it is not given.
"""

from __future__ import annotations

import json

from temporalio.api.command.v1 import Command, ScheduleNexusOperationCommandAttributes
from temporalio.api.enums.v1 import failed_cause_pb2

from perdure.server.machines import durations
from perdure.server.machines.workflow import events
from perdure.server.machines.workflow.commands.context import (
    ApplyContext,
    CheckContext,
    CommandRefused,
    snake_case,
)
from perdure.server.machines.workflow.nexus import events as nexus_events
from perdure.server.machines.workflow.nexus import operations
from perdure.server.machines.workflow.nexus.due import call_to_start
from perdure.server.machines.workflow.turn import Turn

_BAD = failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_BAD_SCHEDULE_NEXUS_OPERATION_ATTRIBUTES
_NAME = "ScheduleNexusOperationCommandAttributes"
_TIMEOUTS = ("ScheduleToCloseTimeout", "ScheduleToStartTimeout", "StartToCloseTimeout")
SYSTEM_ENDPOINT = "__temporal_system"
"""The server's own."""
SYSTEM_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
SYSTEM_OPERATION = "SignalWithStartWorkflowExecution"
"""The one that it has for workflows."""
DISALLOWED_HEADERS = frozenset(
    (
        "request-timeout",
        "xdc-redirection",
        "xdc-redirection-api",
        "caller-name",
        "caller-type",
        "call-initiation",
    )
)
"""What the server itself tells a handler."""


def check(context: CheckContext, command: Command) -> None:
    """In the order of the real server."""
    if not command.HasField("schedule_nexus_operation_command_attributes"):
        raise CommandRefused(_BAD, f"empty {_NAME}")
    attributes = command.schedule_nexus_operation_command_attributes
    if attributes.endpoint == SYSTEM_ENDPOINT:
        _check_system(context, attributes)
    if attributes.endpoint not in context.endpoints:
        raise CommandRefused(_BAD, f"endpoint {_quoted(attributes.endpoint)} not found")
    _check_names(context, attributes)
    for name in _TIMEOUTS:
        if problem := durations.problem_of(getattr(attributes, snake_case(name))):
            raise CommandRefused(_BAD, f"{_NAME}.{name} is invalid: {problem}")
    if attributes.input.ByteSize() > context.limits.blob_size_bytes_max:
        raise CommandRefused(_BAD, f"{_NAME}.Input exceeds size limit", terminate=True)
    _check_header(context, attributes)
    limit = context.limits.pending_nexus_operations_max
    if context.pending_nexus_operations >= limit:
        raise CommandRefused(
            failed_cause_pb2.WORKFLOW_TASK_FAILED_CAUSE_PENDING_NEXUS_OPERATIONS_LIMIT_EXCEEDED,
            f"workflow has reached the pending nexus operation limit of {limit} for this namespace",
        )
    context.pending_nexus_operations += 1
    context.scheduled_operations.add(context.next_event_id)


def apply(turn: Turn, context: ApplyContext, command: Command) -> None:
    """Record it, and have its handler called."""
    attributes = command.schedule_nexus_operation_command_attributes
    event = nexus_events.scheduled(
        context.completed_event_id,
        attributes,
        endpoint_id=context.endpoints[attributes.endpoint],
        request_id=turn.ids.uuid(),
        timeouts_ns=timeouts_of(attributes, turn.run.recorded.run_timeout_ns),
    )
    event_id = turn.record(events.with_command_metadata(event, command))
    pending = turn.run.nexus_operations[event_id]
    if call := call_to_start(pending, turn.now_ns, turn.limits):
        operations.call(turn, pending, call)
    # Else the wake-up has it time out: a command has one event.


def timeouts_of(
    command: ScheduleNexusOperationCommandAttributes, run_timeout_ns: int
) -> tuple[int, int, int]:
    """Schedule-to-close, schedule-to-start and start-to-close timeout, in nanoseconds; 0 is
    none."""
    close_ns = durations.capped_ns(command.schedule_to_close_timeout)
    start_ns = durations.capped_ns(command.schedule_to_start_timeout)
    work_ns = durations.capped_ns(command.start_to_close_timeout)
    if run_timeout_ns:
        close_ns = min(close_ns or run_timeout_ns, run_timeout_ns)
    if close_ns:
        start_ns, work_ns = min(start_ns, close_ns), min(work_ns, close_ns)
    return close_ns, start_ns, work_ns


def _check_system(
    context: CheckContext, attributes: ScheduleNexusOperationCommandAttributes
) -> None:
    if attributes.service != SYSTEM_SERVICE:
        raise CommandRefused(_BAD, f"service {_quoted(attributes.service)} not found")
    if attributes.operation != SYSTEM_OPERATION:
        raise CommandRefused(_BAD, f"operation {_quoted(attributes.operation)} not found")
    content = attributes.input.SerializeToString(deterministic=True)
    if problem := context.system_problems.get(content):
        raise CommandRefused(_BAD, problem)


def _check_names(
    context: CheckContext, attributes: ScheduleNexusOperationCommandAttributes
) -> None:
    limit = context.limits.nexus_name_length_max
    for name, value in (("Service", attributes.service), ("Operation", attributes.operation)):
        if len(value.encode()) > limit:
            raise CommandRefused(_BAD, f"{_NAME}.{name} exceeds length limit of {limit}")


def _check_header(
    context: CheckContext, attributes: ScheduleNexusOperationCommandAttributes
) -> None:
    size_bytes = 0
    for name, value in attributes.nexus_header.items():
        if name.lower() in DISALLOWED_HEADERS:
            raise CommandRefused(
                _BAD, f"{_NAME}.NexusHeader contains a disallowed header key: {_quoted(name)}"
            )
        size_bytes += len(name.encode()) + len(value.encode())
    if size_bytes > context.limits.nexus_header_bytes_max:
        raise CommandRefused(_BAD, f"{_NAME}.NexusHeader exceeds size limit")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
