"""Operations of the server's own Nexus endpoint: off in the stock server, and switched on."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import MessageToJson
from temporalio.api.command.v1 import Command
from temporalio.api.common.v1 import Payload, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import EventType, WorkflowIdReusePolicy
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    SignalWithStartWorkflowExecutionRequest,
    SignalWithStartWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
)

from tests.interop.programs.nexus_by_hand import schedule
from tests.interop.raw import HandWorker
from tests.interop.stage import Stage, payloads

COMPLETED = EventType.EVENT_TYPE_NEXUS_OPERATION_COMPLETED
SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
REJECT = WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
OPERATION = "SignalWithStartWorkflowExecution"


def _call(input_: Payload | None, **fields: Any) -> Command:
    names = {"service": SERVICE, "operation": OPERATION, **fields}
    return schedule("__temporal_system", input=input_, **names)


def _request(stage: Stage, **fields: Any) -> SignalWithStartWorkflowExecutionRequest:
    return SignalWithStartWorkflowExecutionRequest(
        **{
            "namespace": stage.namespace,
            "workflow_id": stage.workflow_id("target"),
            "workflow_type": WorkflowType(name="ByHand"),
            "task_queue": TaskQueue(name=stage.queue("targets")),
            "signal_name": "signal",
            "signal_input": payloads("in"),
            **fields,
        }
    )


def _binary(request: SignalWithStartWorkflowExecutionRequest) -> Payload:
    name = request.DESCRIPTOR.full_name.encode()
    return Payload(
        metadata={"encoding": b"binary/protobuf", "messageType": name},
        data=request.SerializeToString(),
    )


def _json(request: SignalWithStartWorkflowExecutionRequest) -> Payload:
    name = request.DESCRIPTOR.full_name.encode()
    return Payload(
        metadata={"encoding": b"json/protobuf", "messageType": name},
        data=MessageToJson(request).encode(),
    )


async def system_operations_off(stage: Stage) -> None:
    """What the stock server answers."""
    commands = {
        "switched off": _call(_binary(_request(stage))),
        "switched off, and bad": _call(_binary(_request(stage, workflow_id=""))),
        "switched off, and empty": _call(None),
        "unknown service": _call(None, service="Workflow"),
        "unknown operation": _call(None, operation="StartWorkflowExecution"),
    }
    for label, command in commands.items():
        worker = HandWorker(stage, label)
        execution = await worker.start(label)
        await stage.outcome(label, worker.complete(await worker.poll(), command))
        await stage.history(f"{label}: history", execution)


async def system_operations(stage: Stage) -> None:
    """A workflow signals another with start."""
    for label, encoded in (("binary", _binary(_request(stage))), ("json", _json(_request(stage)))):
        worker = HandWorker(stage, label)
        execution = await worker.start(label)
        await worker.complete(await worker.poll(), _call(encoded))
        events = await stage.event(execution, COMPLETED)
        result = events[5].nexus_operation_completed_event_attributes.result
        response = SignalWithStartWorkflowExecutionResponse.FromString(result.data)
        stage.message(f"{label}: response", response)
        result.ClearField("data")  # It is compared as a message.
        stage.message(f"{label}: completed", events[5])
    target = WorkflowExecution(workflow_id=stage.workflow_id("target"))
    await stage.history("the target", target)
    bad = {
        "no id": _call(_binary(_request(stage, workflow_id=""))),
        "no signal": _call(_binary(_request(stage, signal_name=""))),
        "no type": _call(_binary(_request(stage, workflow_type=None))),
        "no queue": _call(_binary(_request(stage, task_queue=None))),
        "no input": _call(None),
    }
    for label, command in bad.items():
        worker = HandWorker(stage, label)
        execution = await worker.start(label)
        await stage.outcome(label, worker.complete(await worker.poll(), command))
        await stage.history(f"{label}: history", execution)
    await stage.service.terminate_workflow_execution(
        TerminateWorkflowExecutionRequest(namespace=stage.namespace, workflow_execution=target)
    )
    worker = HandWorker(stage, "refused")
    execution = await worker.start("refused")
    command = _call(_binary(_request(stage, workflow_id_reuse_policy=REJECT)))
    await worker.complete(await worker.poll(), command)
    await stage.event(execution, EventType.EVENT_TYPE_NEXUS_OPERATION_FAILED)
    await stage.history("refused", execution)
