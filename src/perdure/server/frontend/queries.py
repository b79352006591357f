"""QueryWorkflow and RespondQueryTaskCompleted."""

from __future__ import annotations

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import query_pb2
from temporalio.api.query.v1 import WorkflowQueryResult
from temporalio.api.workflowservice.v1 import (
    QueryWorkflowRequest,
    QueryWorkflowResponse,
    RespondQueryTaskCompletedRequest,
    RespondQueryTaskCompletedResponse,
)

from perdure.server.frontend.services import Services
from perdure.server.frontend.sessions import held_by
from perdure.server.frontend.validation import check_execution
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.workflow.inputs import QueryWorkflow
from perdure.transport import Caller

QUERY_SECONDS_MAX = 30.0
"""How long a query waits at most, whatever the caller's patience."""
TAIL_SECONDS = 0.05
"""A query is given up so long before its caller does, so that the reason still arrives."""
TOO_LARGE = "Blob data size exceeds limit."


async def query_workflow(
    services: Services, request: QueryWorkflowRequest, caller: Caller
) -> bytes:
    """Ask a workflow's worker something."""
    namespace = services.bind(request.namespace)
    check_execution(request.HasField("execution"), request.execution)
    if not request.HasField("query"):
        raise InvalidArgument("WorkflowQuery is not set on request.")
    if not request.query.query_type:
        raise InvalidArgument("QueryType is not set on request.")
    if request.query.query_args.ByteSize() > services.limits.blob_size_bytes_max:
        raise InvalidArgument(TOO_LARGE)
    remaining = caller.time_remaining()
    seconds = QUERY_SECONDS_MAX
    if remaining is not None:
        seconds = min(seconds, max(remaining - TAIL_SECONDS, 0.0))
    answer = await services.engine.query(
        namespace,
        request.execution.workflow_id,
        QueryWorkflow(
            request.execution.run_id,
            request.query.SerializeToString(),
            request.query_reject_condition,
        ),
        seconds,
    )
    response = QueryWorkflowResponse()
    if answer.rejected_status:
        response.query_rejected.status = answer.rejected_status  # type: ignore[assignment]
    elif answer.answer is not None:
        response.query_result.CopyFrom(Payloads.FromString(answer.answer))
    return response.SerializeToString()


async def respond_query_task_completed(
    services: Services, request: RespondQueryTaskCompletedRequest, caller: Caller
) -> bytes:
    """A worker answers a query."""
    _, token = services.bind_query_token(request.task_token, request.namespace)
    result = WorkflowQueryResult(
        result_type=request.completed_type,
        answer=request.query_result if request.HasField("query_result") else None,
        error_message=request.error_message,
        failure=request.failure if request.HasField("failure") else None,
    )
    if request.query_result.ByteSize() > services.limits.blob_size_bytes_max:
        result = WorkflowQueryResult(
            result_type=query_pb2.QUERY_RESULT_TYPE_FAILED, error_message=TOO_LARGE
        )
    held = held_by(caller.session)
    if held is not None:
        held.release_query(token.task_id)
    services.engine.answer_query(token.task_id, result)
    return RespondQueryTaskCompletedResponse().SerializeToString()
