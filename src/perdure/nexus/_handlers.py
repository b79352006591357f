"""Handlers of operations that are Temporal's: how they are started, and cancelled by their token.

The token says what an operation is, so it does not matter which worker, of which SDK, started it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from nexusrpc import HandlerError, HandlerErrorType
from nexusrpc.handler import (
    CancelOperationContext,
    OperationHandler,
    StartOperationContext,
    StartOperationResultAsync,
    StartOperationResultSync,
)

from perdure.nexus._client import OperationClient, TemporalNexusClient, TemporalOperationResult
from perdure.nexus._contexts import (
    TemporalCancelOperationContext,
    TemporalStartOperationContext,
    WorkflowRunOperationContext,
)
from perdure.nexus._running import client
from perdure.nexus._token import OperationToken, OperationTokenType, WorkflowHandle

_Input_contra = TypeVar("_Input_contra", contravariant=True)
_Output_co = TypeVar("_Output_co", covariant=True)


class WorkflowRunOperationHandler(OperationHandler[_Input_contra, _Output_co]):
    """Handles an operation that is a workflow."""

    def __init__(
        self,
        start: Callable[
            [WorkflowRunOperationContext, _Input_contra], Awaitable[WorkflowHandle[_Output_co]]
        ],
    ) -> None:
        self._start = start

    async def start(
        self,
        ctx: StartOperationContext,
        input: _Input_contra,  # noqa: A002 -- the mirrored name
    ) -> StartOperationResultAsync:
        """Starts the workflow. Raises RuntimeError when the method returns something else."""
        handle = await self._start(
            WorkflowRunOperationContext._from_start_operation_context(ctx), input
        )
        if not isinstance(handle, WorkflowHandle):
            raise RuntimeError(
                f"Expected {handle} to be a nexus.WorkflowHandle, but got {type(handle)}. "
                "When using @workflow_run_operation you must use "
                "WorkflowRunOperationContext.start_workflow() to start a workflow that will "
                "deliver the result of the Nexus operation, and you must return the "
                "nexus.WorkflowHandle that it returns. It is not possible to use "
                "client.Client.start_workflow() and client.WorkflowHandle for this purpose."
            )
        return StartOperationResultAsync(handle.to_token())

    async def cancel(self, ctx: CancelOperationContext, token: str) -> None:
        """Asks the workflow to stop. Raises HandlerError when the token is not a workflow's."""
        del ctx
        try:
            handle = WorkflowHandle.from_token(token)
        except TypeError as error:
            raise HandlerError(
                "Failed to decode operation token as a workflow operation token. "
                "Canceling non-workflow operations is not supported.",
                type=HandlerErrorType.NOT_FOUND,
            ) from error
        try:
            workflow = handle._to_client_workflow_handle(client())
        except ValueError as error:
            raise HandlerError(
                "Failed to construct workflow handle from workflow operation token",
                type=HandlerErrorType.NOT_FOUND,
            ) from error
        await workflow.cancel()


@dataclass(frozen=True)
class CancelWorkflowRunOptions:
    """Which workflow is to stop."""

    workflow_id: str


@dataclass(frozen=True)
class CancelUpdateWorkflowOptions:
    """Which update is to stop."""

    workflow_id: str
    update_id: str
    run_id: str
    """The run that accepted it."""


@dataclass(frozen=True)
class CancelActivityOptions:
    """Which activity is to stop."""

    activity_id: str
    run_id: str


class TemporalOperationHandler(OperationHandler[_Input_contra, _Output_co], ABC):
    """Handles an operation that is a workflow, an update, or an activity. Override
    `start_operation`, and what cancels it if that is not to be the cancellation of all that."""

    @abstractmethod
    async def start_operation(
        self,
        ctx: TemporalStartOperationContext,
        client: TemporalNexusClient,
        input: _Input_contra,  # noqa: A002 -- the mirrored name
    ) -> TemporalOperationResult[_Output_co]:
        """Starts the operation by means of the client, and returns what that returned."""

    async def start(
        self,
        ctx: StartOperationContext,
        input: _Input_contra,  # noqa: A002 -- the mirrored name
    ) -> StartOperationResultSync[_Output_co] | StartOperationResultAsync:
        """Starts the operation."""
        result = await self.start_operation(
            TemporalStartOperationContext._from_start_operation_context(ctx),
            OperationClient(ctx),
            input,
        )
        return result._to_nexus_result()

    async def cancel(self, ctx: CancelOperationContext, token: str) -> None:
        """Asks what the token names to stop. Raises HandlerError for a token that is none."""
        try:
            decoded = OperationToken.decode(token)
        except TypeError as error:
            raise _broken_token("Unable to decode operation token to cancel") from error
        context = TemporalCancelOperationContext._from_cancel_operation_context(ctx)
        match decoded.type:
            case OperationTokenType.WORKFLOW:
                options = CancelWorkflowRunOptions(workflow_id=decoded.workflow_id or "")
                await self.cancel_workflow_run(context, options)
            case OperationTokenType.UPDATE_WORKFLOW:
                await self.cancel_workflow_update(
                    context,
                    CancelUpdateWorkflowOptions(
                        workflow_id=decoded.workflow_id or "",
                        update_id=decoded.update_id or "",
                        run_id=decoded.run_id or "",
                    ),
                )
            case OperationTokenType.ACTIVITY:
                if not decoded.run_id:
                    raise _broken_token(
                        "Expected operation token of type ACTIVITY to have a valid run id."
                    )
                activity = CancelActivityOptions(
                    activity_id=decoded.activity_id or "", run_id=decoded.run_id
                )
                await self.cancel_activity(context, activity)

    async def cancel_workflow_run(
        self, ctx: TemporalCancelOperationContext, options: CancelWorkflowRunOptions
    ) -> None:
        """Asks the workflow to stop."""
        del ctx
        await client().get_workflow_handle(options.workflow_id).cancel()

    async def cancel_workflow_update(
        self, ctx: TemporalCancelOperationContext, options: CancelUpdateWorkflowOptions
    ) -> None:
        """Refuses: an update that was accepted stops only by what its own handler does."""
        del ctx, options
        raise HandlerError(
            "There is no native way to cancel an accepted Update, so cancellation depends on the "
            "Update handler itself. Override this method and coordinate with the specific Update "
            "handler to trigger a cancellation.",
            type=HandlerErrorType.NOT_IMPLEMENTED,
        )

    async def cancel_activity(
        self, ctx: TemporalCancelOperationContext, options: CancelActivityOptions
    ) -> None:
        """Asks the activity to stop."""
        del ctx
        await client().get_activity_handle(options.activity_id, run_id=options.run_id).cancel()


def _broken_token(message: str) -> HandlerError:
    return HandlerError(message, type=HandlerErrorType.INTERNAL, retryable_override=False)


class StartingMethod(TemporalOperationHandler[Any, Any]):
    """The handler of an operation of which only the start is the user's."""

    def __init__(
        self,
        start: Callable[
            [TemporalStartOperationContext, TemporalNexusClient, Any],
            Awaitable[TemporalOperationResult[Any]],
        ],
    ) -> None:
        self._start_method = start

    async def start_operation(
        self,
        ctx: TemporalStartOperationContext,
        client: TemporalNexusClient,
        input: Any,  # noqa: A002 -- the mirrored name
    ) -> TemporalOperationResult[Any]:
        """Starts the operation."""
        return await self._start_method(ctx, client, input)
