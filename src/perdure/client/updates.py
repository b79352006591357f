"""Updates: sent to a workflow, and waited for."""

from __future__ import annotations

import asyncio
import uuid
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
from perdure.client.inputs import StartWorkflowUpdateInput
from perdure.client.status import WorkflowUpdateStage
from perdure.service import Metadata, RPCError, RPCStatusCode

Result = TypeVar("Result")

GAVE_UP = frozenset({RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})


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
        await until_completed(self, rpc_metadata or {}, rpc_timeout)
        outcome = self._known_outcome
        assert outcome is not None
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
        except (RPCError, asyncio.CancelledError) as error:
            raised = _update_error(error)
            if raised is error:
                raise
            raise raised from error
        return response.outcome if response.HasField("outcome") else None


async def send_update(
    connection: Connection, update: StartWorkflowUpdateInput
) -> WorkflowUpdateHandle[Any]:
    """Send the update, again until it has come to a stage of which the service can speak."""
    request = await update_request(connection, update)
    response = await _sent(connection, update, request)
    handle: WorkflowUpdateHandle[Any] = WorkflowUpdateHandle(
        connection,
        request.request.meta.update_id,
        update.id,
        workflow_run_id=response.update_ref.workflow_execution.run_id or update.run_id,
        result_type=update.ret_type,
        known_outcome=response.outcome if response.HasField("outcome") else None,
    )
    if update.wait_for_stage is WorkflowUpdateStage.COMPLETED:
        await until_completed(handle, update.rpc_metadata, update.rpc_timeout)
    return handle


async def update_request(
    connection: Connection, update: StartWorkflowUpdateInput
) -> UpdateWorkflowExecutionRequest:
    """What is sent for an update."""
    converter = connection.converter_for(update.id, run_id=update.run_id)
    request = UpdateWorkflowExecutionRequest(
        namespace=connection.namespace,
        workflow_execution=WorkflowExecutionMessage(
            workflow_id=update.id, run_id=update.run_id or ""
        ),
        first_execution_run_id=update.first_execution_run_id or "",
        wait_policy=_until(update.wait_for_stage),
    )
    request.request.meta.update_id = update.update_id or str(uuid.uuid4())
    request.request.meta.identity = connection.identity
    request.request.input.name = update.update
    await connection.write_headers(update.headers, request.request.input.header, converter)
    await write(converter, update.args, request.request.input.args)
    return request


async def until_completed(
    handle: WorkflowUpdateHandle[Any], metadata: Metadata, timeout: timedelta | None
) -> None:
    """Wait until the handle knows the outcome of its update."""
    while handle._known_outcome is None:
        handle._known_outcome = await handle._poll(metadata, timeout)


async def _sent(
    connection: Connection,
    update: StartWorkflowUpdateInput,
    request: UpdateWorkflowExecutionRequest,
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
        except (RPCError, asyncio.CancelledError) as error:
            raised = _update_error(error)
            if raised is error:
                raise
            raise raised from error
        if response.stage >= wanted:
            return response


def _until(stage: WorkflowUpdateStage) -> WaitPolicy:
    return WaitPolicy(
        lifecycle_stage=update_pb2.UpdateWorkflowExecutionLifecycleStage.ValueType(int(stage))
    )


def _update_error(error: RPCError | asyncio.CancelledError) -> Exception:
    if isinstance(error, RPCError) and error.status not in GAVE_UP:
        return error
    return WorkflowUpdateRPCTimeoutOrCancelledError()
