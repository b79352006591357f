"""A client for tests: messages in, messages out, over any transport."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TypeVar

import pytest
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from temporalio.api import errordetails
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    StartWorkflowExecutionRequest,
    StartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
    TerminateWorkflowExecutionResponse,
)

from perdure.transport import CallFailed, Code, Handler, InProcessTransport, Transport

SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
OPERATOR_SERVICE = "/temporal.api.operatorservice.v1.OperatorService/"
NAMESPACE = "default"
WORKFLOW_ID = "a-workflow"
QUEUE = "a-queue"

Response = TypeVar("Response", bound=Message)


class Client:
    """Calls the methods of WorkflowService and OperatorService."""

    def __init__(self, service: Mapping[str, Handler] | Transport) -> None:
        self.transport: Transport = (
            InProcessTransport(service) if isinstance(service, Mapping) else service
        )

    async def call(
        self,
        request: Message,
        response: type[Response],
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = 70.0,
    ) -> Response:
        """The answer to a request, whose class names the method."""
        is_operator = "operatorservice" in request.DESCRIPTOR.full_name
        service = OPERATOR_SERVICE if is_operator else SERVICE
        method = service + type(request).__name__.removesuffix("Request")
        answer = await self.transport.call(
            method, request.SerializeToString(), headers, timeout_seconds
        )
        return response.FromString(answer)

    async def refusal(
        self, request: Message, *, timeout_seconds: float | None = 70.0
    ) -> CallFailed:
        """How a request is refused."""
        with pytest.raises(CallFailed) as caught:
            await self.call(request, type(request), timeout_seconds=timeout_seconds)
        return caught.value

    async def start(self, workflow_id: str = WORKFLOW_ID, **fields: object) -> str:
        """Start a workflow; its run id."""
        response = await self.call(
            start_request(workflow_id=workflow_id, **fields), StartWorkflowExecutionResponse
        )
        return response.run_id

    async def signal(self, name: str, workflow_id: str = WORKFLOW_ID) -> None:
        """Send a signal."""
        request = SignalWorkflowExecutionRequest(
            namespace=NAMESPACE,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            signal_name=name,
        )
        await self.call(request, SignalWorkflowExecutionResponse)

    async def terminate(self, workflow_id: str = WORKFLOW_ID) -> None:
        """End a workflow."""
        request = TerminateWorkflowExecutionRequest(
            namespace=NAMESPACE, workflow_execution=WorkflowExecution(workflow_id=workflow_id)
        )
        await self.call(request, TerminateWorkflowExecutionResponse)

    async def poll_workflow_task(self) -> PollWorkflowTaskQueueResponse:
        """The next workflow task."""
        request = PollWorkflowTaskQueueRequest(
            namespace=NAMESPACE, identity="worker", task_queue=TaskQueue(name=QUEUE)
        )
        return await self.call(request, PollWorkflowTaskQueueResponse)

    async def poll_activity_task(self) -> PollActivityTaskQueueResponse:
        """The next activity attempt."""
        request = PollActivityTaskQueueRequest(
            namespace=NAMESPACE, identity="worker", task_queue=TaskQueue(name=QUEUE)
        )
        return await self.call(request, PollActivityTaskQueueResponse)

    async def history(
        self, *, headers: Mapping[str, str] | None = None, **fields: object
    ) -> GetWorkflowExecutionHistoryResponse:
        """A page of history."""
        request = GetWorkflowExecutionHistoryRequest(
            namespace=NAMESPACE,
            execution=WorkflowExecution(workflow_id=WORKFLOW_ID),
            **fields,  # type: ignore[arg-type]
        )
        return await self.call(request, GetWorkflowExecutionHistoryResponse, headers=headers)


def start_request(**fields: object) -> StartWorkflowExecutionRequest:
    """A start that nothing is wrong with, but for what is given."""
    request: dict[str, object] = {
        "namespace": NAMESPACE,
        "workflow_id": WORKFLOW_ID,
        "workflow_type": WorkflowType(name="Type"),
        "task_queue": TaskQueue(name=QUEUE),
        "identity": "client",
        **fields,
    }
    return StartWorkflowExecutionRequest(**request)  # type: ignore[arg-type]


def detail_of(failure: CallFailed) -> Message:
    """The typed detail of a refusal, whose status must repeat its code and its message."""
    status = Status.FromString(failure.details)
    assert (Code(status.code), status.message) == (failure.code, failure.message)
    [packed] = status.details
    prefix, _, name = packed.type_url.rpartition("/")
    assert prefix == "type.googleapis.com"
    package, _, kind = name.rpartition(".")
    assert package == "temporal.api.errordetails.v1"
    details = importlib.import_module(f"{errordetails.__name__}.v1")
    message: Message = getattr(details, kind).FromString(packed.value)
    return message
