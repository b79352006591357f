"""Operations of the server's own Nexus endpoint: their input and result are messages of its API.

A message is sent as it is, and marked: codecs are for the values within it, which another workflow
will read, and never for the message, which the server does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio.api.command.v1 import Command, ScheduleNexusOperationCommandAttributes
from temporalio.api.common.v1 import Memo, Payload, Payloads, WorkflowType
from temporalio.api.common.v1 import SearchAttributes as SearchAttributesMessage
from temporalio.api.enums.v1 import CommandType
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionResponse,
)

from perdure._replay.activities import duration_of
from perdure._replay.context import WorkflowContext
from perdure._replay.interceptors import StartNexusOperationInput
from perdure._replay.nexus_operations import start_operation
from perdure._replay.search_attributes import encoded
from perdure._replay.system_payloads import SYSTEM_ENDPOINT, is_marked
from perdure.common import Priority, RetryPolicy, TypedSearchAttributes, VersioningOverride
from perdure.converter import PayloadConverter, WorkflowSerializationContext

SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
SIGNAL_WITH_START = "SignalWithStartWorkflowExecution"
_WAIT_COMPLETED = 0


@dataclass(kw_only=True)
class SignalWithStart:
    """A workflow that is to be signalled, and started if it is not there."""

    workflow: str
    args: Sequence[Any]
    id: str
    task_queue: str
    signal: str
    signal_args: Sequence[Any]
    execution_timeout: timedelta | None = None
    run_timeout: timedelta | None = None
    task_timeout: timedelta | None = None
    id_reuse_policy: int = 1
    id_conflict_policy: int = 0
    retry_policy: RetryPolicy | None = None
    cron_schedule: str = ""
    memo: Mapping[str, Any] | None = None
    search_attributes: TypedSearchAttributes | None = None
    priority: Priority = field(default_factory=Priority)
    versioning_override: VersioningOverride | None = None
    start_delay: timedelta | None = None
    static_summary: str | None = None
    static_details: str | None = None


async def signal_with_start(context: WorkflowContext, asked: SignalWithStart) -> str:
    """Signals a workflow, starting it first if need be; the id of its run. Raises
    NexusOperationError."""
    namespace = context.options.namespace
    converter = context.converter_for(WorkflowSerializationContext(namespace, asked.id))
    operation: StartNexusOperationInput[Any, Any] = StartNexusOperationInput(
        endpoint=SYSTEM_ENDPOINT,
        service=SERVICE,
        operation=SIGNAL_WITH_START,
        input=_request(asked, namespace, converter),
        schedule_to_close_timeout=None,
        schedule_to_start_timeout=None,
        start_to_close_timeout=None,
        cancellation_type=_WAIT_COMPLETED,
        headers=None,
        summary=None,
        output_type=SignalWithStartWorkflowExecutionResponse,
    )
    response: SignalWithStartWorkflowExecutionResponse = await (
        await start_operation(context, operation)
    )
    return response.run_id


def _request(
    asked: SignalWithStart, namespace: str, converter: PayloadConverter
) -> SignalWithStartWorkflowExecutionRequest:
    memo = {key: converter.to_payload(value) for key, value in (asked.memo or {}).items()}
    request = SignalWithStartWorkflowExecutionRequest(
        namespace=namespace,
        workflow_id=asked.id,
        workflow_type=WorkflowType(name=asked.workflow),
        task_queue=TaskQueue(name=asked.task_queue),
        input=_payloads(asked.args, converter),
        workflow_execution_timeout=duration_of(asked.execution_timeout),
        workflow_run_timeout=duration_of(asked.run_timeout),
        workflow_task_timeout=duration_of(asked.task_timeout),
        workflow_id_reuse_policy=asked.id_reuse_policy,  # type: ignore[arg-type]
        workflow_id_conflict_policy=asked.id_conflict_policy,  # type: ignore[arg-type]
        signal_name=asked.signal,
        signal_input=_payloads(asked.signal_args, converter),
        cron_schedule=asked.cron_schedule,
        memo=Memo(fields=memo) if memo else None,
        workflow_start_delay=duration_of(asked.start_delay),
    )
    if asked.priority != Priority():
        asked.priority.apply_to_proto(request.priority)
    if asked.retry_policy is not None:
        asked.retry_policy.apply_to_proto(request.retry_policy)
    if asked.search_attributes:
        fields = encoded(asked.search_attributes)
        request.search_attributes.CopyFrom(SearchAttributesMessage(indexed_fields=fields))
    if asked.versioning_override is not None:
        request.versioning_override.CopyFrom(asked.versioning_override.to_proto())
    summary, details = asked.static_summary, asked.static_details
    if summary or details:
        metadata = UserMetadata(
            summary=converter.to_payload(summary) if summary else None,
            details=converter.to_payload(details) if details else None,
        )
        request.user_metadata.CopyFrom(metadata)
    return request


def _payloads(args: Sequence[Any], converter: PayloadConverter) -> Payloads | None:
    return Payloads(payloads=converter.to_payloads(args)) if args else None


def message_in(
    command: Command,
) -> tuple[ScheduleNexusOperationCommandAttributes, SignalWithStartWorkflowExecutionRequest] | None:
    """The message that a command sends to the server itself; None when it sends none."""
    if command.command_type != CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION:
        return None
    attributes = command.schedule_nexus_operation_command_attributes
    if not is_marked(attributes.input) or attributes.operation != SIGNAL_WITH_START:
        return None
    return attributes, SignalWithStartWorkflowExecutionRequest.FromString(attributes.input.data)


def put_message(payload: Payload, message: Message) -> None:
    """Send this message instead."""
    payload.data = message.SerializeToString(deterministic=True)
