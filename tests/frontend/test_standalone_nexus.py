"""Nexus operations without a workflow, through the service: started, waited for, found, and gone on
with after a crash."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from temporalio.api import workflowservice
from temporalio.api.common.v1 import SearchAttributes
from temporalio.api.enums.v1 import nexus_pb2
from temporalio.api.errordetails.v1 import NexusOperationExecutionAlreadyStartedFailure
from temporalio.api.nexus.v1 import StartOperationResponse
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    StartNexusOperationExecutionRequest,
)

from perdure.server.app import Service
from perdure.server.config import Settings, parse_overrides
from perdure.server.frontend.dispatch import handlers_of
from perdure.server.frontend.services import Services
from perdure.transport import Code
from tests.frontend.client import NAMESPACE, Client, detail_of
from tests.frontend.nexus_worker import SYNC, answering, endpoint
from tests.frontend.test_search_attributes import add, payload

STARTED = nexus_pb2.NEXUS_OPERATION_WAIT_STAGE_STARTED
ASYNC = StartOperationResponse(async_success=StartOperationResponse.Async(operation_token="token"))
SWITCH = "nexusoperation.enableStandalone=true"


@pytest.fixture
def orders(services: Services) -> Client:
    """A client of a service that has them."""
    services.limits = msgspec.structs.replace(services.limits, is_standalone_nexus_enabled=True)
    return Client(handlers_of(services))


async def call(client: Client, method: str, **fields: Any) -> Any:
    request = getattr(workflowservice.v1, f"{method}Request")(namespace=NAMESPACE, **fields)
    return await client.call(request, getattr(workflowservice.v1, f"{method}Response"))


def start_request(operation_id: str = "order", **fields: Any) -> Any:
    return StartNexusOperationExecutionRequest(
        **{
            "namespace": NAMESPACE,
            "operation_id": operation_id,
            "endpoint": "endpoint",
            "service": "service",
            "operation": "operation",
            **fields,
        }
    )


async def start(client: Client, operation_id: str = "order", **fields: Any) -> str:
    response = await client.call(
        start_request(operation_id, **fields),
        workflowservice.v1.StartNexusOperationExecutionResponse,
    )
    return str(response.run_id)


async def test_a_caller_waits_for_each_stage(orders: Client) -> None:
    await endpoint(orders)
    run_id = await start(orders)
    waiting = [
        asyncio.create_task(
            call(orders, "PollNexusOperationExecution", operation_id="order", wait_stage=stage)
        )
        for stage in (STARTED, nexus_pb2.NEXUS_OPERATION_WAIT_STAGE_CLOSED)
    ]
    async with answering(orders, ASYNC):
        told = await waiting[0]
    assert (told.run_id, told.wait_stage, told.operation_token) == (run_id, STARTED, "token")
    assert not waiting[1].done()
    await call(orders, "TerminateNexusOperationExecution", operation_id="order", reason="enough")
    assert (await waiting[1]).failure.message == "enough"


async def test_a_description_with_a_token_waits_for_news(orders: Client) -> None:
    await endpoint(orders)
    run_id = await start(orders, nexus_header={"A-Key": "value"})
    before = await call(orders, "DescribeNexusOperationExecution", operation_id="order")
    assert dict(before.info.nexus_header) == {"a-key": "value"}
    waiting = asyncio.create_task(
        call(
            orders,
            "DescribeNexusOperationExecution",
            operation_id="order",
            run_id=run_id,
            long_poll_token=before.long_poll_token,
            include_outcome=True,
        )
    )
    await asyncio.sleep(0)
    assert not waiting.done()
    async with answering(orders, SYNC):
        after = await waiting
    assert after.result.data == b'"result"'


async def test_an_id_that_is_taken_is_refused_with_the_run_that_has_it(orders: Client) -> None:
    await endpoint(orders)
    run_id = await start(orders, request_id="one")
    refusal = await orders.refusal(start_request(request_id="two"))
    assert refusal.code == Code.ALREADY_EXISTS
    assert detail_of(refusal) == NexusOperationExecutionAlreadyStartedFailure(
        start_request_id="one", run_id=run_id
    )


async def test_they_are_found_by_queries(orders: Client) -> None:
    await add(orders, K=2)
    await endpoint(orders)
    for name, value in (("a", "x"), ("b", "y"), ("c", "x")):
        attributes = SearchAttributes(indexed_fields={"K": payload(value)})
        await start(orders, name, search_attributes=attributes, service=f"s{name}")
    await call(orders, "TerminateNexusOperationExecution", operation_id="a")

    async def found(query: str) -> list[str]:
        listed = await call(orders, "ListNexusOperationExecutions", query=query)
        return [run.operation_id for run in listed.operations]

    assert await found("") == ["c", "b", "a"]
    assert await found("K = 'x' AND ExecutionStatus = 'Running'") == ["c"]
    assert await found("Endpoint = 'endpoint' AND Service IN ('sa', 'sb')") == ["b", "a"]
    assert await found("OperationId = 'b' OR Operation = 'nothing'") == ["b"]
    first = await call(orders, "ListNexusOperationExecutions", page_size=2)
    rest = await call(
        orders,
        "ListNexusOperationExecutions",
        page_size=2,
        next_page_token=first.next_page_token,
    )
    assert [run.operation_id for run in [*first.operations, *rest.operations]] == ["c", "b", "a"]
    counted = await call(orders, "CountNexusOperationExecutions", query="GROUP BY ExecutionStatus")
    assert [(group.group_values[0].data, group.count) for group in counted.groups] == [
        (b'"Running"', 2),
        (b'"Terminated"', 1),
    ]
    await call(orders, "DeleteNexusOperationExecution", operation_id="b")
    assert await found("") == ["c", "a"]
    assert not (await call(orders, "ListWorkflowExecutions")).executions


async def test_they_are_off_unless_they_are_switched_on(client: Client) -> None:
    refusal = await client.refusal(start_request())
    assert (refusal.code, str(refusal.message)) == (
        Code.UNIMPLEMENTED,
        "Standalone Nexus operation is disabled",
    )


async def opened(path: Path) -> tuple[Service, Client]:
    settings = Settings(database=str(path), limits=parse_overrides([SWITCH]))
    service = await Service.open(settings, on_lease_lost=lambda: None)
    return service, Client(service.handlers)


async def test_it_goes_on_when_the_server_comes_back(tmp_path: Path) -> None:
    service, client = await opened(tmp_path / "x.db")
    request = DescribeNamespaceRequest(namespace=NAMESPACE)
    described = await client.call(request, DescribeNamespaceResponse)
    assert described.namespace_info.capabilities.standalone_nexus_operation
    await endpoint(client)
    run_id = await start(client)
    await service.close()
    service, client = await opened(tmp_path / "x.db")
    told = await call(client, "DescribeNexusOperationExecution", operation_id="order")
    assert (told.run_id, told.info.attempt, told.info.endpoint) == (run_id, 1, "endpoint")
    await service.close()
