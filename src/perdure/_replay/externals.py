"""Other workflows as the code sees them: it can signal them and ask for their cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from temporalio.api.command.v1 import Command, SignalExternalWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import Header, Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure

from perdure._replay.commands.external import ExternalMachine, cancel_command
from perdure._replay.context import WorkflowContext
from perdure._replay.event_groups import EventGroup
from perdure._replay.interceptors import SignalChildWorkflowInput, SignalExternalWorkflowInput
from perdure.converter import WorkflowSerializationContext


@dataclass(frozen=True, kw_only=True)
class ExternalSignal:
    """A signal to another workflow."""

    workflow_id: str
    run_id: str
    name: str
    args: Sequence[Any]
    child_only: bool
    groups: Sequence[EventGroup] | None
    headers: Mapping[str, Payload] = field(default_factory=dict)
    namespace: str = ""
    """If it is another than that of this workflow."""


async def signal_workflow(context: WorkflowContext, signal: ExternalSignal) -> None:
    """Signals another workflow, through the interceptors if there are any."""
    outbound = context.outbound
    if outbound is None:
        await send_signal(context, signal)
    elif signal.child_only:
        await outbound.signal_child_workflow(
            SignalChildWorkflowInput(
                signal=signal.name,
                args=signal.args,
                child_workflow_id=signal.workflow_id,
                headers=signal.headers,
                event_groups=signal.groups,
            )
        )
    else:
        await outbound.signal_external_workflow(
            SignalExternalWorkflowInput(
                signal=signal.name,
                args=signal.args,
                namespace=context.options.namespace,
                workflow_id=signal.workflow_id,
                workflow_run_id=signal.run_id or None,
                headers=signal.headers,
                event_groups=signal.groups,
            )
        )


async def send_signal(context: WorkflowContext, signal: ExternalSignal) -> None:
    """Signals another workflow and waits until it was recorded there."""
    context.check_not_read_only("signal external handle")
    namespace = signal.namespace or context.options.namespace
    converter = context.converter_for(WorkflowSerializationContext(namespace, signal.workflow_id))
    execution = WorkflowExecution(workflow_id=signal.workflow_id, run_id=signal.run_id)
    payloads = converter.to_payloads(signal.args) if signal.args else None
    command = Command(
        command_type=CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
        signal_external_workflow_execution_command_attributes=(
            SignalExternalWorkflowExecutionCommandAttributes(
                namespace=namespace,
                execution=execution,
                signal_name=signal.name,
                input=None if payloads is None else Payloads(payloads=payloads),
                child_workflow_only=signal.child_only,
                header=Header(fields=signal.headers) if signal.headers else None,
            )
        ),
    )
    context.mark(command, signal.groups)
    delivered: asyncio.Future[None] = context.loop.create_future()
    machine = ExternalMachine(context.machine, command, partial(_tell, context, delivered))
    await context.await_operation(delivered, lambda _: machine.cancel())


async def cancel_workflow(
    context: WorkflowContext,
    *,
    workflow_id: str,
    run_id: str,
    reason: str,
    groups: Sequence[EventGroup] | None,
) -> None:
    """Asks for the cancellation of another workflow and waits until it was recorded there."""
    context.check_not_read_only("cancel external handle")
    command = cancel_command(
        namespace=context.options.namespace,
        workflow_id=workflow_id,
        run_id=run_id,
        reason=f"Cancel requested by workflow with run id {context.run_id} with reason: {reason}",
        child_only=False,
    )
    context.mark(command, groups)
    delivered: asyncio.Future[None] = context.loop.create_future()
    ExternalMachine(context.machine, command, partial(_tell, context, delivered))
    await delivered


def _tell(
    context: WorkflowContext, delivered: asyncio.Future[None], failure: Failure | None
) -> None:
    if delivered.cancelled():
        return
    if failure is None:
        delivered.set_result(None)
    else:
        delivered.set_exception(context.error_of(failure))
