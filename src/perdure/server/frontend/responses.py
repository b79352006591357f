"""Responses that carry a history, put together from bytes: events are never parsed on their way
out.

A serialised message followed by another one of the same type is their merge. So a response is built
without its history, and the history is appended as one length-delimited field.
"""

from __future__ import annotations

from temporalio.api.enums.v1 import task_queue_pb2
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes, HistoryEvent
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueResponse,
    StartActivityExecutionRequest,
)

from perdure.server.engine.api import (
    ActivityTaskWithInput,
    NamespaceRef,
    QueryTaskWithHistory,
    WorkflowTaskWithHistory,
)
from perdure.server.frontend.tokens import (
    HistoryToken,
    QueryToken,
    encode_history_token,
    encode_query_token,
    encode_task_token,
)
from perdure.server.machines.wire import set_duration, set_timestamp

_POLL_HISTORY = PollWorkflowTaskQueueResponse.HISTORY_FIELD_NUMBER


def embedded(field_number: int, message: bytes) -> bytes:
    """A serialised message as a field of another one."""
    prefix = bytearray()
    for number in (field_number << 3 | 2, len(message)):
        while number > 0x7F:
            prefix.append(number & 0x7F | 0x80)
            number >>= 7
        prefix.append(number)
    return bytes(prefix) + message


def workflow_task(ready: WorkflowTaskWithHistory) -> bytes:
    """The serialised PollWorkflowTaskQueueResponse of a started workflow task."""
    task = ready.task
    token = task.token
    # Field by field, here and below: a constructor with sub-messages costs several times as much.
    response = PollWorkflowTaskQueueResponse()
    response.task_token = encode_task_token(token)
    response.previous_started_event_id = task.previous_started_event_id
    response.started_event_id = task.started_event_id
    response.attempt = task.attempt
    set_timestamp(response.scheduled_time, task.scheduled_time_ns)
    set_timestamp(response.started_time, task.started_time_ns)
    execution = response.workflow_execution
    execution.workflow_id = token.workflow_id
    execution.run_id = token.run_id
    response.workflow_type.name = task.workflow_type
    queue = response.workflow_execution_task_queue
    queue.name = task.task_queue
    queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    for message in task.messages:
        response.messages.add().ParseFromString(message)
    if ready.next_event_id:
        response.next_page_token = encode_history_token(
            HistoryToken(token.run_id, ready.next_event_id, task.history_to, task.unrecorded)
        )
    if ready.poller_advice:
        _advise(response, ready.poller_advice)
    if task.queries:
        for query_id, query in task.queries.items():
            response.queries[query_id].ParseFromString(query)
    return response.SerializeToString() + embedded(_POLL_HISTORY, ready.history)


def _advise(
    response: PollWorkflowTaskQueueResponse | PollActivityTaskQueueResponse, advice: int
) -> None:
    response.poller_scaling_decision.poll_request_delta_suggestion = advice


def query_task(ready: QueryTaskWithHistory) -> bytes:
    """The serialised PollWorkflowTaskQueueResponse of a query: a task that starts nothing."""
    response = PollWorkflowTaskQueueResponse(
        task_token=encode_query_token(QueryToken(ready.namespace_id, ready.queue, ready.task_id)),
        previous_started_event_id=ready.previous_started_event_id,
        attempt=1,
        query=WorkflowQuery.FromString(ready.query),
    )
    response.workflow_execution.workflow_id = ready.workflow_id
    response.workflow_execution.run_id = ready.run_id
    response.workflow_type.name = ready.workflow_type
    response.workflow_execution_task_queue.name = ready.task_queue
    response.workflow_execution_task_queue.kind = task_queue_pb2.TASK_QUEUE_KIND_NORMAL
    if ready.poller_advice:
        _advise(response, ready.poller_advice)
    if ready.next_event_id:
        response.next_page_token = encode_history_token(
            HistoryToken(ready.run_id, ready.next_event_id, ready.last_event_id)
        )
    return response.SerializeToString() + embedded(_POLL_HISTORY, ready.history)


def activity_task(namespace: NamespaceRef, ready: ActivityTaskWithInput) -> bytes:
    """The serialised PollActivityTaskQueueResponse of a started activity attempt."""
    task = ready.task
    token = task.token
    scheduled: ActivityTaskScheduledEventAttributes | StartActivityExecutionRequest
    if task.start:
        scheduled = StartActivityExecutionRequest.FromString(task.start)
    else:
        event = HistoryEvent.FromString(ready.scheduled_event)
        scheduled = event.activity_task_scheduled_event_attributes
    response = PollActivityTaskQueueResponse()
    response.task_token = encode_task_token(token)
    response.workflow_namespace = namespace.name
    response.activity_id = scheduled.activity_id
    response.attempt = task.attempt
    set_timestamp(response.scheduled_time, task.scheduled_time_ns)
    set_timestamp(response.current_attempt_scheduled_time, task.attempt_scheduled_time_ns)
    set_timestamp(response.started_time, task.started_time_ns)
    set_duration(response.schedule_to_close_timeout, task.schedule_to_close_ns)
    set_duration(response.start_to_close_timeout, task.start_to_close_ns)
    set_duration(response.heartbeat_timeout, task.heartbeat_ns)
    if scheduled.HasField("header"):
        response.header.CopyFrom(scheduled.header)
    if scheduled.HasField("input"):
        response.input.CopyFrom(scheduled.input)
    execution = response.workflow_execution
    execution.SetInParent()
    if task.start:
        response.activity_run_id = token.run_id
    else:
        response.workflow_type.name = task.workflow_type
        execution.workflow_id = token.workflow_id
        execution.run_id = token.run_id
    response.activity_type.name = task.activity_type
    if task.heartbeat_details:
        response.heartbeat_details.ParseFromString(task.heartbeat_details)
    response.retry_policy.SetInParent()
    if task.retry_policy:
        response.retry_policy.ParseFromString(task.retry_policy)
    if task.priority is not None:
        response.priority.SetInParent()
        response.priority.ParseFromString(task.priority)
    elif scheduled.HasField("priority"):
        response.priority.CopyFrom(scheduled.priority)
    if ready.poller_advice:
        _advise(response, ready.poller_advice)
    return response.SerializeToString()
