"""Nexus operations as the code sees them: a handle that can be awaited and cancelled.

This module does without the `nexusrpc` package: a workflow that calls no Nexus operation never pays
for its import, and one that does has imported it along with the service that it calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import timedelta
from typing import Any, Generic, TypeVar

from temporalio.api.command.v1 import Command, ScheduleNexusOperationCommandAttributes
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import CommandType
from temporalio.api.failure.v1 import Failure

from perdure._replay.activities import write_duration
from perdure._replay.commands.nexus import NexusOperationMachine, OperationListener
from perdure._replay.context import WorkflowContext
from perdure._replay.interceptors import StartNexusOperationInput
from perdure._replay.system_payloads import SYSTEM_ENDPOINT, SystemPayloadConverter
from perdure.converter import NexusSerializationContext, PayloadConverter
from perdure.converter.context import in_context

_Output_co = TypeVar("_Output_co", covariant=True)

_TIMEOUTS = ("schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout")


class NexusOperationHandle(Generic[_Output_co]):
    """The handle of a started operation: await it for the result, cancel it to cancel it."""

    def cancel(self) -> bool:
        """Asks for the cancellation of the operation; false when it is over already."""
        raise LookupError("only a started operation has a handle to use")

    def __await__(self) -> Generator[Any, Any, _Output_co]:
        """The result. Raises NexusOperationError when the operation failed."""
        raise LookupError("only a started operation has a handle to use")

    @property
    def operation_token(self) -> str | None:
        """What its handler knows the operation by; None when it was answered at once."""
        raise LookupError("only a started operation has a handle to use")


class _Operation(NexusOperationHandle[Any]):
    """The one that is made; the base class is what the code may name."""

    def __init__(self, context: WorkflowContext, asked: StartNexusOperationInput[Any, Any]) -> None:
        self._context = context
        self._output_type = asked.output_type
        self._started: asyncio.Future[str | None] = context.loop.create_future()
        self._outcome: asyncio.Future[Any] = context.loop.create_future()
        serialization = NexusSerializationContext(
            endpoint=asked.endpoint, service=asked.service, operation=asked.operation_name
        )
        self._converter = context.converter_for(serialization)
        if asked.endpoint == SYSTEM_ENDPOINT:
            self._converter = SystemPayloadConverter()
        self._failure_converter = in_context(context.options.failure_converter, serialization)
        command = _schedule_command(asked, self._converter)
        context.mark(command, asked.event_groups)
        self._task = context.loop.create_task(
            self._run(), name=f"nexus: {asked.service}/{asked.operation_name}"
        )
        self._machine = NexusOperationMachine(
            context.machine,
            command,
            cancellation_type=int(asked.cancellation_type),
            listener=OperationListener(self._on_started, self._on_completed, self._on_failed),
        )

    def cancel(self) -> bool:
        """Asks for the cancellation of the operation; false when it is over already."""
        if not self._context.evicting:
            self._context.check_not_read_only("cancel a Nexus operation")
        return self._task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        """The result."""
        return self._task.__await__()

    @property
    def operation_token(self) -> str | None:
        """What its handler knows the operation by."""
        done = self._started.done() and not self._started.cancelled()
        if not done or self._started.exception() is not None:
            return None
        return self._started.result()

    async def until_started(self) -> None:
        """Waits until the operation was started. Raises what kept it from starting."""
        await self._context.await_operation(
            self._started, self._on_cancelled, leave_when_cancelled=True
        )

    async def _run(self) -> Any:
        return await self._context.await_operation(self._outcome, self._on_cancelled)

    def _on_cancelled(self, _: asyncio.CancelledError) -> None:
        self._context.check_not_read_only("cancel a Nexus operation")
        self._machine.cancel()

    def _on_started(self, token: str | None) -> None:
        self._started.set_result(token)

    def _on_completed(self, payload: Payload | None) -> None:
        value = None
        if payload is not None:
            hints = None if self._output_type is None else [self._output_type]
            value = self._context.decode([payload], hints, self._converter)[0]
        self._outcome.set_result(value)

    def _on_failed(self, failure: Failure) -> None:
        error = self._failure_converter.from_failure(failure, self._converter)
        if self._started.done():
            self._outcome.set_exception(error)
        else:
            self._started.set_exception(error)
            self._outcome.set_result(None)  # nobody has the handle to await it


async def start_operation(
    context: WorkflowContext, asked: StartNexusOperationInput[Any, Any]
) -> NexusOperationHandle[Any]:
    """Starts an operation, through the interceptors if there are any, and waits for its start."""
    if context.outbound is None:
        return await schedule_operation(context, asked)
    return await context.outbound.start_nexus_operation(asked)


async def schedule_operation(
    context: WorkflowContext, asked: StartNexusOperationInput[Any, Any]
) -> NexusOperationHandle[Any]:
    """Schedules an operation and waits until it was started."""
    context.check_not_read_only("start a Nexus operation")
    operation = _Operation(context, asked)
    await operation.until_started()
    return operation


def _schedule_command(
    asked: StartNexusOperationInput[Any, Any], converter: PayloadConverter
) -> Command:
    attributes = ScheduleNexusOperationCommandAttributes(
        endpoint=asked.endpoint,
        service=asked.service,
        operation=asked.operation_name,
        input=converter.to_payload(asked.input),
        nexus_header=asked.headers or {},
    )
    for name in _TIMEOUTS:
        timeout: timedelta | None = getattr(asked, name)
        if timeout is not None:
            write_duration(timeout, getattr(attributes, name))
    command = Command(
        command_type=CommandType.COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION,
        schedule_nexus_operation_command_attributes=attributes,
    )
    if asked.summary:
        command.user_metadata.summary.CopyFrom(converter.to_payload(asked.summary))
    return command
