"""ListWorkflowExecutions."""

from __future__ import annotations

from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)

from perdure.server.frontend.responses import embedded
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import decode_list_token, encode_list_token
from perdure.server.machines.errors import InvalidArgument
from perdure.transport import Caller

PAGE_SIZE_MAX = 1000  # frontend.visibilityMaxPageSize

_EXECUTIONS = ListWorkflowExecutionsResponse.EXECUTIONS_FIELD_NUMBER


async def list_workflow_executions(
    services: Services, request: ListWorkflowExecutionsRequest, caller: Caller
) -> bytes:
    """A page of runs: open ones first, newest first."""
    namespace = services.bind(request.namespace)
    if request.query.strip():
        raise InvalidArgument(
            "invalid query: the query language is not built yet, only an empty query is answered"
        )
    after = decode_list_token(request.next_page_token) if request.next_page_token else None
    size = request.page_size if 0 < request.page_size <= PAGE_SIZE_MAX else PAGE_SIZE_MAX
    page = await services.store.list_executions(namespace.number, after, size)
    parts = [embedded(_EXECUTIONS, info) for info in page.infos]
    if page.next is not None:
        parts.append(
            ListWorkflowExecutionsResponse(
                next_page_token=encode_list_token(page.next)
            ).SerializeToString()
        )
    return b"".join(parts)
