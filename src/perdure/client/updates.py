"""Updates: sent to a workflow, and waited for."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast

from temporalio.api.common.v1 import WorkflowExecution as WorkflowExecutionMessage
from temporalio.api.enums.v1 import update_pb2
from temporalio.api.update.v1 import Outcome, UpdateRef, WaitPolicy
from temporalio.api.workflowservice.v1 import (
    PollWorkflowExecutionUpdateRequest,
    PollWorkflowExecutionUpdateResponse,
    UpdateWorkflowExecutionRequest,
    UpdateWorkflowExecutionResponse,
)

from perdure.client.connection import Connection, write
from perdure.client.errors import (
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from perdure.client.status import WorkflowUpdateStage
from perdure.service import Metadata, RPCError, RPCStatusCode

Result = TypeVar("Result")

_GAVE_UP = frozenset({RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})


@dataclass(frozen=True, kw_only=True)
class Update:
    """An update to be sent."""

    workflow_id: str
    run_id: str | None
    first_execution_run_id: str | None
    name: str
    args: Sequence[Any]
    id: str | None
    result_type: Any
    wait_for_stage: WorkflowUpdateStage
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


class WorkflowUpdateHandle(Generic[Result]):
    """An update that was sent. Made by `WorkflowHandle.start_update` and `get_update_handle`."""

    def __init__(
        self,
        connection: Connection,
        id: str,  # noqa: A002 -- the mirrored name
        workflow_id: str,
        *,
        workflow_run_id: str | None = None,
        result_type: Any = None,
        known_outcome: Outcome | None = None,
    ) -> None:
        self._connection = connection
        self._id = id
        self._workflow_id = workflow_id
        self._workflow_run_id = workflow_run_id
        self._result_type = result_type
        self._known_outcome = known_outcome

    @property
    def id(self) -> str:
        """The id of the update."""
        return self._id

    @property
    def workflow_id(self) -> str:
        """The workflow that it was sent to."""
        return self._workflow_id

    @property
    def workflow_run_id(self) -> str | None:
        """The run that it was sent to, if known."""
        return self._workflow_run_id

    async def result(
        self, *, rpc_metadata: Metadata | None = None, rpc_timeout: timedelta | None = None
    ) -> Result:
        """Wait for the result. Raises WorkflowUpdateFailedError when the update failed.

        The timeout is that of each poll; one that ends without an outcome is followed by another.
        """
        while self._known_outcome is None:
            self._known_outcome = await self._poll(rpc_metadata or {}, rpc_timeout)
        outcome = self._known_outcome
        converter = self._connection.converter_for(self._workflow_id)
        if outcome.HasField("failure"):
            raise WorkflowUpdateFailedError(await converter.decode_failure(outcome.failure))
        hints = None if self._result_type is None else [self._result_type]
        values: list[Any] = await converter.decode_wrapper(outcome.success, hints)
        return cast(Result, values[0] if values else None)

    async def _poll(self, metadata: Metadata, timeout: timedelta | None) -> Outcome | None:
        try:
            response = await self._connection.call(
                "PollWorkflowExecutionUpdate",
                PollWorkflowExecutionUpdateRequest(
                    namespace=self._connection.namespace,
                    update_ref=UpdateRef(
                        workflow_execution=WorkflowExecutionMessage(
                            workflow_id=self._workflow_id, run_id=self._workflow_run_id or ""
                        ),
                        update_id=self._id,
                    ),
                    identity=self._connection.identity,
                    wait_policy=_until(WorkflowUpdateStage.COMPLETED),
                ),
                PollWorkflowExecutionUpdateResponse,
                metadata,
                timeout,
                long_poll=True,
            )
        except RPCError as error:
            raise _update_error(error) from error
        return response.outcome if response.HasField("outcome") else None


async def send_update(connection: Connection, update: Update) -> WorkflowUpdateHandle[Any]:
    """Send the update, again until it has come to a stage of which the service can speak."""
    converter = connection.converter_for(update.workflow_id)
    request = UpdateWorkflowExecutionRequest(
        namespace=connection.namespace,
        workflow_execution=WorkflowExecutionMessage(
            workflow_id=update.workflow_id, run_id=update.run_id or ""
        ),
        first_execution_run_id=update.first_execution_run_id or "",
        wait_policy=_until(update.wait_for_stage),
    )
    request.request.meta.update_id = update.id or str(uuid.uuid4())
    request.request.meta.identity = connection.identity
    request.request.input.name = update.name
    await write(converter, update.args, request.request.input.args)
    response = await _sent(connection, update, request)
    handle: WorkflowUpdateHandle[Any] = WorkflowUpdateHandle(
        connection,
        request.request.meta.update_id,
        update.workflow_id,
        workflow_run_id=response.update_ref.workflow_execution.run_id or update.run_id,
        result_type=update.result_type,
        known_outcome=response.outcome if response.HasField("outcome") else None,
    )
    if update.wait_for_stage is WorkflowUpdateStage.COMPLETED and not response.HasField("outcome"):
        handle._known_outcome = await _outcome(handle, update)
    return handle


async def _sent(
    connection: Connection, update: Update, request: UpdateWorkflowExecutionRequest
) -> UpdateWorkflowExecutionResponse:
    wanted = min(update.wait_for_stage, WorkflowUpdateStage.ACCEPTED)
    while True:
        try:
            response = await connection.call(
                "UpdateWorkflowExecution",
                request,
                UpdateWorkflowExecutionResponse,
                update.rpc_metadata,
                update.rpc_timeout,
                long_poll=True,
            )
        except RPCError as error:
            raise _update_error(error) from error
        if response.stage >= wanted:
            return response


async def _outcome(handle: WorkflowUpdateHandle[Any], update: Update) -> Outcome:
    while True:
        outcome = await handle._poll(update.rpc_metadata, update.rpc_timeout)
        if outcome is not None:
            return outcome


def _until(stage: WorkflowUpdateStage) -> WaitPolicy:
    return WaitPolicy(
        lifecycle_stage=update_pb2.UpdateWorkflowExecutionLifecycleStage.ValueType(int(stage))
    )


def _update_error(error: RPCError) -> Exception:
    return WorkflowUpdateRPCTimeoutOrCancelledError() if error.status in _GAVE_UP else error
