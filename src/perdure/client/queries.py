"""Queries: asked of a workflow."""

from __future__ import annotations

from typing import Any

from temporalio.api.common.v1 import WorkflowExecution as WorkflowExecutionMessage
from temporalio.api.enums.v1 import query_pb2
from temporalio.api.errordetails.v1 import QueryFailedFailure
from temporalio.api.workflowservice.v1 import QueryWorkflowRequest, QueryWorkflowResponse

from perdure.client.connection import Connection, write
from perdure.client.errors import WorkflowQueryFailedError, WorkflowQueryRejectedError
from perdure.client.inputs import QueryWorkflowInput
from perdure.client.status import WorkflowExecutionStatus
from perdure.service import RPCError, RPCStatusCode


async def ask(connection: Connection, query: QueryWorkflowInput) -> Any:
    """The answer. Raises WorkflowQueryRejectedError, WorkflowQueryFailedError or RPCError."""
    converter = connection.converter_for(query.id, run_id=query.run_id)
    condition = query.reject_condition or connection.default_workflow_query_reject_condition
    request = QueryWorkflowRequest(
        namespace=connection.namespace,
        execution=WorkflowExecutionMessage(workflow_id=query.id, run_id=query.run_id or ""),
        query_reject_condition=query_pb2.QueryRejectCondition.ValueType(int(condition or 0)),
    )
    request.query.query_type = query.query
    await connection.write_headers(query.headers, request.query.header, converter)
    await write(converter, query.args, request.query.query_args)
    try:
        response = await connection.call(
            "QueryWorkflow", request, QueryWorkflowResponse, query.rpc_metadata, query.rpc_timeout
        )
    except RPCError as error:
        raised = _query_error(error)
        if raised is error:
            raise
        raise raised from error
    if response.HasField("query_rejected"):
        status = response.query_rejected.status
        known = status in WorkflowExecutionStatus._value2member_map_
        raise WorkflowQueryRejectedError(WorkflowExecutionStatus(status) if known else None)
    hints = None if query.ret_type is None else [query.ret_type]
    values = await converter.decode_wrapper(response.query_result, hints)
    return values[0] if values else None


def _query_error(error: RPCError) -> Exception:
    """A handler's failure arrives as an invalid argument with a detail that says so."""
    failed = error.status is RPCStatusCode.INVALID_ARGUMENT and any(
        detail.Is(QueryFailedFailure.DESCRIPTOR) for detail in error.grpc_status.details
    )
    return WorkflowQueryFailedError(error.message) if failed else error
