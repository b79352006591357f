"""Nexus operations without a workflow, on a server that is killed. The handlers are those of
`nexus_load`, and what is asked of them is the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

from temporalio.api.enums.v1 import NexusOperationWaitStage
from temporalio.api.workflowservice.v1 import (
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
    PollNexusOperationExecutionRequest,
    PollNexusOperationExecutionResponse,
    RequestCancelNexusOperationExecutionRequest,
    RequestCancelNexusOperationExecutionResponse,
    StartNexusOperationExecutionRequest,
    StartNexusOperationExecutionResponse,
)

from tests.crash.connection import Connection
from tests.crash.nexus_load import AT_ONCE, ENDPOINT, OPERATIONS, UNTIL_CANCELED
from tests.crash.reading import NAMESPACE

CLOSED = NexusOperationWaitStage.NEXUS_OPERATION_WAIT_STAGE_CLOSED


class StandaloneLoad:
    """Operations, and how each has ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.run_ids: dict[str, str] = {}
        """Of those whose start was acknowledged, by id."""

    async def start(self, number: int) -> None:
        """Start one of each kind, and ask the last to end; returns when that is acknowledged."""
        for operation in OPERATIONS:
            await self._start(f"{operation} {number}", operation)
        id_ = f"{UNTIL_CANCELED} {number}"
        cancel = RequestCancelNexusOperationExecutionRequest(
            namespace=NAMESPACE, operation_id=id_, run_id=self.run_ids[id_], request_id=id_
        )
        await self._connection.insist(cancel, RequestCancelNexusOperationExecutionResponse)

    async def _start(self, id_: str, operation: str) -> None:
        request = StartNexusOperationExecutionRequest(
            namespace=NAMESPACE,
            operation_id=id_,
            endpoint=ENDPOINT,
            service="service",
            operation=operation,
            request_id=id_,
        )
        response = await self._connection.insist(request, StartNexusOperationExecutionResponse)
        self.run_ids[id_] = response.run_id

    async def problems(self) -> list[str]:
        """What became of an operation that must not, once each has ended."""
        ids = list(self.run_ids)
        ends = await asyncio.gather(*map(self._end, ids))
        found = [problem for id_, end in zip(ids, ends, strict=True) for problem in _of(id_, end)]
        results = Counter(end.result.data for end in ends if end.HasField("result"))
        found += [
            f"{count} have the result {data!r}" for data, count in results.items() if count > 1
        ]
        listed = ListWorkflowExecutionsRequest(namespace=NAMESPACE, page_size=1000)
        page = await self._connection.insist(listed, ListWorkflowExecutionsResponse)
        handled = sum(not id_.startswith(AT_ONCE) for id_ in ids)
        if len(page.executions) != handled:
            found.append(f"handlers ran {len(page.executions)} workflows, not {handled}")
        return found

    async def _end(self, id_: str) -> PollNexusOperationExecutionResponse:
        request = PollNexusOperationExecutionRequest(
            namespace=NAMESPACE, operation_id=id_, run_id=self.run_ids[id_], wait_stage=CLOSED
        )
        while True:
            end = await self._connection.insist(request, PollNexusOperationExecutionResponse)
            if end.wait_stage == CLOSED:
                return end


def _of(id_: str, end: PollNexusOperationExecutionResponse) -> Iterator[str]:
    """What is wrong with an end."""
    is_canceled = end.failure.HasField("canceled_failure_info")
    if id_.startswith(UNTIL_CANCELED) != is_canceled:
        yield f"{id_}: it ended with {end.failure}"
    if not is_canceled and not end.result.data:
        yield f"{id_}: it has no result"
