"""Queries: asked of a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution as WorkflowExecutionMessage
from temporalio.api.enums.v1 import query_pb2
from temporalio.api.errordetails.v1 import QueryFailedFailure
from temporalio.api.workflowservice.v1 import QueryWorkflowRequest, QueryWorkflowResponse

from perdure.client.connection import Connection, write
from perdure.client.errors import WorkflowQueryFailedError, WorkflowQueryRejectedError
from perdure.client.status import WorkflowExecutionStatus
from perdure.common import QueryRejectCondition
from perdure.service import Metadata, RPCError, RPCStatusCode


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query to be asked."""

    workflow_id: str
    run_id: str | None
    name: str
    args: Sequence[Any]
    result_type: Any
    reject_condition: QueryRejectCondition | None
    rpc_metadata: Metadata
    rpc_timeout: timedelta | None


async def ask(connection: Connection, query: Query) -> Any:
    """The answer. Raises WorkflowQueryRejectedError, WorkflowQueryFailedError or RPCError."""
    converter = connection.converter_for(query.workflow_id)
    condition = query.reject_condition or connection.default_workflow_query_reject_condition
    request = QueryWorkflowRequest(
        namespace=connection.namespace,
        execution=WorkflowExecutionMessage(
            workflow_id=query.workflow_id, run_id=query.run_id or ""
        ),
        query_reject_condition=query_pb2.QueryRejectCondition.ValueType(int(condition or 0)),
    )
    request.query.query_type = query.name
    await write(converter, query.args, request.query.query_args)
    try:
        response = await connection.call(
            "QueryWorkflow", request, QueryWorkflowResponse, query.rpc_metadata, query.rpc_timeout
        )
    except RPCError as error:
        raise _query_error(error) from error
    if response.HasField("query_rejected"):
        status = response.query_rejected.status
        known = status in WorkflowExecutionStatus._value2member_map_
        raise WorkflowQueryRejectedError(WorkflowExecutionStatus(status) if known else None)
    hints = None if query.result_type is None else [query.result_type]
    values = await converter.decode_wrapper(response.query_result, hints)
    return values[0] if values else None


def _query_error(error: RPCError) -> Exception:
    """A handler's failure arrives as an invalid argument with a detail that says so."""
    failed = error.status is RPCStatusCode.INVALID_ARGUMENT and any(
        detail.Is(QueryFailedFailure.DESCRIPTOR) for detail in error.grpc_status.details
    )
    return WorkflowQueryFailedError(error.message) if failed else error
