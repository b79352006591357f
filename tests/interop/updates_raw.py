"""The messages of updates, by hand."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message as ProtoMessage
from temporalio.api.command.v1 import Command, ProtocolMessageCommandAttributes
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import CommandType
from temporalio.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage as Stages
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.protocol.v1 import Message
from temporalio.api.update.v1 import (
    Acceptance,
    Input,
    Meta,
    Outcome,
    Rejection,
    Request,
    Response,
    UpdateRef,
    WaitPolicy,
)
from temporalio.api.workflowservice.v1 import (
    PollWorkflowExecutionUpdateRequest,
    PollWorkflowExecutionUpdateResponse,
    PollWorkflowTaskQueueResponse,
    UpdateWorkflowExecutionRequest,
    UpdateWorkflowExecutionResponse,
)
from temporalio.service import RPCError, RPCStatusCode

from tests.interop.stage import CLIENT_IDENTITY, WAIT_SECONDS, Stage, payloads

ACCEPTED = Stages.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED
ADMITTED = Stages.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ADMITTED
COMPLETED = Stages.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED


def update_request(
    stage: Stage, execution: WorkflowExecution, update_id: str, **fields: Any
) -> UpdateWorkflowExecutionRequest:
    """An update named ``change`` that waits for its completion, unless told otherwise."""
    wait = fields.pop("wait", COMPLETED)
    return UpdateWorkflowExecutionRequest(
        **{
            "namespace": stage.namespace,
            "workflow_execution": execution,
            "wait_policy": WaitPolicy(lifecycle_stage=wait),
            "request": Request(
                meta=Meta(update_id=update_id, identity=CLIENT_IDENTITY),
                input=Input(name="change", args=payloads(update_id)),
            ),
            **fields,
        }
    )


def update(
    stage: Stage, execution: WorkflowExecution, update_id: str, **fields: Any
) -> asyncio.Task[UpdateWorkflowExecutionResponse]:
    """Sends it; the task is done when it is answered."""
    request = update_request(stage, execution, update_id, **fields)
    return asyncio.create_task(_sent(stage, request))


async def _sent(
    stage: Stage, request: UpdateWorkflowExecutionRequest
) -> UpdateWorkflowExecutionResponse:
    return await stage.service.update_workflow_execution(request)


def poll_update(
    stage: Stage, execution: WorkflowExecution, update_id: str, **fields: Any
) -> asyncio.Task[PollWorkflowExecutionUpdateResponse]:
    """Asks for the outcome of an update."""
    if (wait := fields.pop("wait", COMPLETED)) is not None:
        fields["wait_policy"] = WaitPolicy(lifecycle_stage=wait)
    request = PollWorkflowExecutionUpdateRequest(
        **{
            "namespace": stage.namespace,
            "update_ref": UpdateRef(workflow_execution=execution, update_id=update_id),
            "identity": CLIENT_IDENTITY,
            **fields,
        }
    )

    async def call() -> PollWorkflowExecutionUpdateResponse:
        return await stage.service.poll_workflow_execution_update(request)

    return asyncio.create_task(call())


def accept(task: PollWorkflowTaskQueueResponse, index: int = 0, **fields: Any) -> Message:
    """The acceptance of an update that came with a task."""
    request = task.messages[index]
    body = Acceptance(
        **{
            "accepted_request_message_id": request.id,
            "accepted_request_sequencing_event_id": request.event_id,
            "accepted_request": request_of(request),
            **fields,
        }
    )
    return answer(request.protocol_instance_id, "accept", body)


def reject(task: PollWorkflowTaskQueueResponse, index: int = 0) -> Message:
    """The rejection of an update that came with a task."""
    request = task.messages[index]
    body = Rejection(
        rejected_request_message_id=request.id,
        rejected_request_sequencing_event_id=request.event_id,
        rejected_request=request_of(request),
        failure=failure("no"),
    )
    return answer(request.protocol_instance_id, "reject", body)


def respond(update_id: str, outcome: Outcome | None = None) -> Message:
    """The outcome of an update."""
    body = Response(
        meta=Meta(update_id=update_id, identity=CLIENT_IDENTITY),
        outcome=outcome or Outcome(success=payloads(f"{update_id} done")),
    )
    return answer(update_id, "complete", body)


def answer(update_id: str, verb: str, body: ProtoMessage) -> Message:
    """A protocol message, named as the official SDKs do."""
    packed = AnyMessage()
    packed.Pack(body)
    return Message(id=f"{update_id}/{verb}", protocol_instance_id=update_id, body=packed)


def request_of(message: Message) -> Request:
    """The request in a message of the server."""
    request = Request()
    assert message.body.Unpack(request)
    return request


def commands_of(*messages: Message) -> list[Command]:
    """The commands that say when each message happens."""
    return [
        Command(
            command_type=CommandType.COMMAND_TYPE_PROTOCOL_MESSAGE,
            protocol_message_command_attributes=ProtocolMessageCommandAttributes(
                message_id=message.id
            ),
        )
        for message in messages
    ]


def failure(text: str) -> Failure:
    """A failure of the application."""
    return Failure(
        message=text, source="interop", application_failure_info=ApplicationFailureInfo(type="No")
    )


async def admitted(stage: Stage, execution: WorkflowExecution, update_id: str) -> None:
    """Waits until the server knows an update that was sent a moment ago."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await poll_update(stage, execution, update_id, wait=None)
                return
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.02)
