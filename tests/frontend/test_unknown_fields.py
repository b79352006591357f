"""Fields that this server's protobuf schema does not know travel through it unharmed: newer clients
and workers talk to each other by them."""

from __future__ import annotations

from google.protobuf.message import Message
from temporalio.api.command.v1 import (
    Command,
    RecordMarkerCommandAttributes,
    ScheduleActivityTaskCommandAttributes,
)
from temporalio.api.common.v1 import (
    ActivityType,
    Header,
    Memo,
    Payload,
    Payloads,
    RetryPolicy,
    WorkflowExecution,
)
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
)

from perdure.server.machines.wire import duration
from tests.frontend.client import NAMESPACE, QUEUE, WORKFLOW_ID, Client

FROM_THE_FUTURE = b"\xfa\xff\x7f\x06future"
"""Field 262143, a string, on the wire."""
SECOND_NS = 1_000_000_000


def _with_more(message: Message) -> Message:
    """The message, and a field that nobody here knows."""
    return type(message).FromString(message.SerializeToString() + FROM_THE_FUTURE)


def _payload() -> Payload:
    payload = _with_more(Payload(data=b"x"))
    assert isinstance(payload, Payload)
    return payload


def _has_more(message: Message) -> bool:
    return FROM_THE_FUTURE in message.SerializeToString()


async def test_in_what_clients_send(client: Client) -> None:
    await client.start(
        input=Payloads(payloads=[_payload()]),
        memo=Memo(fields={"m": _payload()}),
        header=Header(fields={"h": _payload()}),
    )
    signal = SignalWorkflowExecutionRequest(
        namespace=NAMESPACE,
        workflow_execution=WorkflowExecution(workflow_id=WORKFLOW_ID),
        signal_name="s",
        input=Payloads(payloads=[_payload()]),
    )
    await client.call(signal, SignalWorkflowExecutionResponse)
    started, _, signaled = (await client.history()).history.events
    attributes = started.workflow_execution_started_event_attributes
    assert all(map(_has_more, (attributes.input, attributes.memo, attributes.header)))
    assert _has_more(signaled.workflow_execution_signaled_event_attributes.input)
    request = DescribeWorkflowExecutionRequest(
        namespace=NAMESPACE, execution=WorkflowExecution(workflow_id=WORKFLOW_ID)
    )
    described = await client.call(request, DescribeWorkflowExecutionResponse)
    assert _has_more(described.workflow_execution_info.memo)


async def test_in_what_workers_send(client: Client) -> None:
    await client.start()
    task = await client.poll_workflow_task()
    marker = RecordMarkerCommandAttributes(
        marker_name="m", details={"d": Payloads(payloads=[_payload()])}
    )
    activity = ScheduleActivityTaskCommandAttributes(
        activity_id="a",
        activity_type=ActivityType(name="work"),
        task_queue=TaskQueue(name=QUEUE),
        input=Payloads(payloads=[_payload()]),
        header=Header(fields={"h": _payload()}),
        start_to_close_timeout=duration(10 * SECOND_NS),
        retry_policy=RetryPolicy(maximum_attempts=1),
    )
    completion = RespondWorkflowTaskCompletedRequest(
        namespace=NAMESPACE,
        task_token=task.task_token,
        commands=[
            Command(
                command_type=CommandType.COMMAND_TYPE_RECORD_MARKER,
                record_marker_command_attributes=marker,
            ),
            Command(
                command_type=CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK,
                schedule_activity_task_command_attributes=activity,
            ),
        ],
    )
    await client.call(completion, RespondWorkflowTaskCompletedResponse)
    polled = await client.poll_activity_task()
    assert all(map(_has_more, (polled.input, polled.header)))
    failure = _with_more(Failure(message="failed"))
    assert isinstance(failure, Failure)
    failure.application_failure_info.SetInParent()
    request = RespondActivityTaskFailedRequest(
        namespace=NAMESPACE, task_token=polled.task_token, failure=failure
    )
    await client.call(request, RespondActivityTaskFailedResponse)
    events = (await client.history()).history.events
    recorded = next(e for e in events if e.HasField("marker_recorded_event_attributes"))
    failed = next(e for e in events if e.HasField("activity_task_failed_event_attributes"))
    assert _has_more(recorded)
    assert _has_more(failed.activity_task_failed_event_attributes.failure)
