"""ListWorkflowExecutions."""

from __future__ import annotations

import asyncio

from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)

from perdure.server.frontend.responses import embedded
from perdure.server.frontend.services import Services
from perdure.server.frontend.tokens import decode_list_token, encode_list_token
from perdure.server.machines.errors import InvalidArgument
from perdure.server.machines.workflow.codec import decode_run, record_key
from perdure.server.machines.workflow.state import BlobName, RecordKind
from perdure.server.store.codec import unseal
from perdure.server.store.ports import ListedRun, RecordName
from perdure.server.visibility.execution_info import execution_info
from perdure.transport import Caller

PAGE_SIZE_MAX = 1000  # frontend.visibilityMaxPageSize
RUNS_WITHOUT_PAUSE = 50
"""How many runs are turned into messages (a few milliseconds) before others have their turn."""

SHOWN_RECORDS: tuple[RecordName, ...] = (
    (RecordKind.BLOB, record_key(RecordKind.BLOB, BlobName.MEMO)),
    (RecordKind.BLOB, record_key(RecordKind.BLOB, BlobName.SEARCH_ATTRIBUTES)),
)
"""What a list shows of a run that is not in its head."""

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
    page = await services.store.list_executions(namespace.number, after, size, SHOWN_RECORDS)
    parts: list[bytes] = []
    for listed in page.runs:
        if len(parts) % RUNS_WITHOUT_PAUSE == RUNS_WITHOUT_PAUSE - 1:
            await asyncio.sleep(0)
        parts.append(embedded(_EXECUTIONS, _info(listed)))
    if page.next is not None:
        parts.append(
            ListWorkflowExecutionsResponse(
                next_page_token=encode_list_token(page.next)
            ).SerializeToString()
        )
    return b"".join(parts)


def _info(listed: ListedRun) -> bytes:
    """The serialised `WorkflowExecutionInfo` of a run. Raises CorruptBlob."""
    run = decode_run(
        unseal(listed.head),
        [(record.kind, record.key, unseal(record.blob)) for record in listed.records],
    )
    return execution_info(run, listed.identity.workflow_id)
