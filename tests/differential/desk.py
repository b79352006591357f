"""What handles the Nexus operations of all programs, on a stock worker.

`Operation.how` says what comes of one:

- ``ok``, and ``retried``: a result at once, or after an attempt that failed
- ``failed``, ``canceled``, ``application``: it ends so at once
- a type of `nexusrpc.HandlerErrorType`: the handler fails for good
- ``hang``: no answer until the call is given up
- ``held``: the handler waits for the driver, and is ``ok`` then
- ``serve``: a workflow is started, which does what `Operation.plan` says
- ``open``, ``open deaf``, ``open slow``: it is started, and nobody will ever end it. Its
  cancellation is heard of at once, refused, or heard of at the second time. ``held open``: the
  driver lets the handler start it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import msgspec
import nexusrpc
import nexusrpc.handler
from temporalio import nexus
from temporalio.exceptions import ApplicationError

from tests.differential import program as steps
from tests.differential.board import Waiting, board_of

HANG_SECONDS = 8.0
HELD_SECONDS_MAX = 60.0


@dataclasses.dataclass
class Order:
    """What the caller tells: who it is, and the step."""

    workflow_id: str
    run_id: str
    step: dict[str, Any]


@nexusrpc.service
class Desk:
    """The operations."""

    answer: nexusrpc.Operation[Order, str]
    serve: nexusrpc.Operation[Order, list[str]]
    open: nexusrpc.Operation[Order, str]


def endpoint_of(nonce: str) -> str:
    """The endpoint of a program."""
    return f"desk-{nonce}"


def dead_endpoint_of(nonce: str) -> str:
    """One that leads to a queue without a worker."""
    return f"dead-{nonce}"


def operation_of(step: steps.Operation) -> str:
    """The operation that can do what the step wants."""
    kind = step.how.rpartition(" ")[2] if step.how.startswith("held") else step.how.split()[0]
    return kind if kind in ("serve", "open") else "answer"


class _Open(nexusrpc.handler.OperationHandler[Order, str]):
    """Started, and never ended."""

    async def start(
        self, ctx: nexusrpc.handler.StartOperationContext, order: Order
    ) -> nexusrpc.handler.StartOperationResultAsync:
        if order.step["how"] == "held open":
            await _held(order, msgspec.convert(order.step, steps.Operation))
        return nexusrpc.handler.StartOperationResultAsync(
            f"{order.step['how']}|{order.step['name']}|{order.workflow_id}"
        )

    async def cancel(self, ctx: nexusrpc.handler.CancelOperationContext, token: str) -> None:
        how, name, workflow_id = token.split("|")
        board = board_of(workflow_id)
        board.attempts[f"cancel {name}"] += 1
        if how == "open deaf":
            raise nexusrpc.HandlerError(
                "would not", type=nexusrpc.HandlerErrorType.BAD_REQUEST, retryable_override=False
            )
        if how == "open slow" and board.attempts[f"cancel {name}"] == 1:
            raise nexusrpc.HandlerError("later", type=nexusrpc.HandlerErrorType.UNAVAILABLE)


@nexusrpc.handler.service_handler(service=Desk)
class DeskHandler:
    """Their handler."""

    @nexusrpc.handler.sync_operation
    async def answer(self, ctx: nexusrpc.handler.StartOperationContext, order: Order) -> str:
        """Ends at once, one way or another."""
        step = msgspec.convert(order.step, steps.Operation)
        board = board_of(order.workflow_id)
        board.attempts[step.name] += 1
        match step.how:
            case "ok":
                pass
            case "held":
                await _held(order, step)
            case "hang":
                await asyncio.sleep(HANG_SECONDS)
            case "retried":
                if board.attempts[step.name] == 1:
                    raise nexusrpc.HandlerError(
                        "not yet", type=nexusrpc.HandlerErrorType.UNAVAILABLE
                    )
            case "application":
                raise ApplicationError("no way", "detail", type="T", non_retryable=True)
            case "failed" | "canceled":
                state = nexusrpc.OperationErrorState(step.how)
                raise nexusrpc.OperationError("so it ends", state=state)
            case _:
                kind = nexusrpc.HandlerErrorType[step.how]
                raise nexusrpc.HandlerError("cannot", type=kind, retryable_override=False)
        return f"answered {step.name} at attempt {board.attempts[step.name]}"

    @nexus.workflow_run_operation
    async def serve(
        self, ctx: nexus.WorkflowRunOperationContext, order: Order
    ) -> nexus.WorkflowHandle[list[str]]:
        """By a workflow."""
        step = msgspec.convert(order.step, steps.Operation)
        nonce = order.workflow_id.rpartition("-")[2]
        return await ctx.start_workflow(
            "Program",
            msgspec.to_builtins(step.plan),
            id=f"{step.name}-{nonce}",
            result_type=list,
        )

    @nexusrpc.handler.operation_handler
    def open(self) -> nexusrpc.handler.OperationHandler[Order, str]:
        """By nobody."""
        return _Open()


async def _held(order: Order, step: steps.Operation) -> None:
    """Waits for the driver."""
    board = board_of(order.workflow_id)
    loop = asyncio.get_running_loop()
    released = asyncio.Event()
    waiting = Waiting("operation", order.workflow_id, order.run_id, step.name, step.actions)
    waiting.release = lambda how: loop.call_soon_threadsafe(released.set)  # type: ignore[assignment]
    board.tell(waiting)
    try:
        async with asyncio.timeout(HELD_SECONDS_MAX):
            await released.wait()
    finally:
        board.drop(waiting)
