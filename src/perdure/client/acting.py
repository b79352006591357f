"""Acting on a workflow that exists: signals, cancellation, termination, description, counts."""

from __future__ import annotations

import uuid

from temporalio.api.common.v1 import WorkflowExecution as WorkflowExecutionMessage
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    RequestCancelWorkflowExecutionRequest,
    RequestCancelWorkflowExecutionResponse,
    SignalWorkflowExecutionRequest,
    SignalWorkflowExecutionResponse,
    TerminateWorkflowExecutionRequest,
    TerminateWorkflowExecutionResponse,
)

from perdure.client.connection import Connection, write
from perdure.client.executions import WorkflowExecutionCount, WorkflowExecutionDescription
from perdure.client.inputs import (
    CancelWorkflowInput,
    CountWorkflowsInput,
    DescribeWorkflowInput,
    SignalWorkflowInput,
    TerminateWorkflowInput,
)


async def cancel(connection: Connection, asked: CancelWorkflowInput) -> None:
    """Ask the workflow to stop."""
    await connection.call(
        "RequestCancelWorkflowExecution",
        RequestCancelWorkflowExecutionRequest(
            namespace=connection.namespace,
            workflow_execution=_execution(asked.id, asked.run_id),
            identity=connection.identity,
            request_id=str(uuid.uuid4()),
            first_execution_run_id=asked.first_execution_run_id or "",
            reason=asked.reason,
        ),
        RequestCancelWorkflowExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def terminate(connection: Connection, asked: TerminateWorkflowInput) -> None:
    """Stop the workflow at once."""
    request = TerminateWorkflowExecutionRequest(
        namespace=connection.namespace,
        workflow_execution=_execution(asked.id, asked.run_id),
        reason=asked.reason or "",
        identity=connection.identity,
        first_execution_run_id=asked.first_execution_run_id or "",
    )
    await write(
        connection.converter_for(asked.id, run_id=asked.run_id), asked.args, request.details
    )
    await connection.call(
        "TerminateWorkflowExecution",
        request,
        TerminateWorkflowExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def signal(connection: Connection, asked: SignalWorkflowInput) -> None:
    """Send a signal. It is stored when this returns."""
    request = SignalWorkflowExecutionRequest(
        namespace=connection.namespace,
        workflow_execution=_execution(asked.id, asked.run_id),
        signal_name=asked.signal,
        identity=connection.identity,
        request_id=str(uuid.uuid4()),
    )
    converter = connection.converter_for(asked.id, run_id=asked.run_id)
    await connection.write_headers(asked.headers, request.header, converter)
    await write(converter, asked.args, request.input)
    await connection.call(
        "SignalWorkflowExecution",
        request,
        SignalWorkflowExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )


async def describe(
    connection: Connection, asked: DescribeWorkflowInput
) -> WorkflowExecutionDescription:
    """What the service knows of the workflow."""
    response = await connection.call(
        "DescribeWorkflowExecution",
        DescribeWorkflowExecutionRequest(
            namespace=connection.namespace, execution=_execution(asked.id, asked.run_id)
        ),
        DescribeWorkflowExecutionResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    return WorkflowExecutionDescription._from_response(response, connection)


async def count(connection: Connection, asked: CountWorkflowsInput) -> WorkflowExecutionCount:
    """How many runs a visibility query finds."""
    response = await connection.call(
        "CountWorkflowExecutions",
        CountWorkflowExecutionsRequest(namespace=connection.namespace, query=asked.query or ""),
        CountWorkflowExecutionsResponse,
        asked.rpc_metadata,
        asked.rpc_timeout,
    )
    return WorkflowExecutionCount._from_response(response)


def _execution(workflow_id: str, run_id: str | None) -> WorkflowExecutionMessage:
    return WorkflowExecutionMessage(workflow_id=workflow_id, run_id=run_id or "")
