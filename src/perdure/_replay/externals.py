"""Other workflows as the code sees them: it can signal them and ask for their cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from temporalio.api.command.v1 import Command, SignalExternalWorkflowExecutionCommandAttributes
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure

from perdure._replay.commands.external import ExternalMachine, cancel_command
from perdure._replay.context import WorkflowContext
from perdure._replay.event_groups import EventGroup
from perdure.converter import WorkflowSerializationContext


async def signal_workflow(
    context: WorkflowContext,
    *,
    workflow_id: str,
    run_id: str,
    name: str,
    args: Sequence[Any],
    child_only: bool,
    groups: Sequence[EventGroup] | None,
) -> None:
    """Signals another workflow and waits until it was recorded there."""
    context.check_not_read_only("signal another workflow")
    converter = context.converter_for(
        WorkflowSerializationContext(context.options.namespace, workflow_id)
    )
    command = Command(
        command_type=CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
        signal_external_workflow_execution_command_attributes=(
            SignalExternalWorkflowExecutionCommandAttributes(
                namespace=context.options.namespace,
                execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
                signal_name=name,
                input=Payloads(payloads=converter.to_payloads(args)) if args else None,
                child_workflow_only=child_only,
            )
        ),
    )
    context.mark(command, groups)
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
    context.check_not_read_only("cancel another workflow")
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
