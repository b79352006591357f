"""Nexus operations without a workflow: called when that is durable, by whoever comes after a crash
too, and completed where they are waited for. Endpoints are shared with operations of workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from temporalio.api.common.v1 import Link, Payload
from temporalio.api.workflowservice.v1 import StartNexusOperationExecutionRequest

from perdure.server.engine.nexus.breaker import FAILURES_MAX
from perdure.server.machines.errors import InvalidArgument, NotFound
from perdure.server.machines.nexus.outcomes import SyncSuccess
from perdure.server.machines.ports import SECOND_NS, Address, Kind
from perdure.server.machines.standalone.inputs import Describe, Described, RequestCancel
from perdure.server.machines.standalone_nexus.inputs import (
    StartOperation,
)
from perdure.server.machines.standalone_nexus.state import OperationRun, Status
from perdure.server.machines.workflow.nexus.state import CallState, CancelState
from tests.engine.house import NAMESPACE, House, simulated, turns
from tests.engine.test_nexus_operations import AGAIN, Handler, begin, completion

INPUT = Payload(data=b"in")


async def start(house: House, name: str = "order") -> None:
    request = StartNexusOperationExecutionRequest(
        operation_id=name,
        endpoint="endpoint",
        service="service",
        operation="operation",
        request_id="first",
        input=INPUT,
        nexus_header={"a-key": "value"},
    )
    whom = Address(Kind.NEXUS_OPERATION, name)
    await house.engine.ask(NAMESPACE, whom, StartOperation(request, "endpoint-id"))


async def until(
    house: House, holds: Callable[[OperationRun], bool], name: str = "order"
) -> OperationRun:
    """The operation, when something holds of it."""
    whom = Address(Kind.NEXUS_OPERATION, name)
    while True:
        reply = await house.engine.ask(NAMESPACE, whom, Describe(""))
        assert isinstance(reply, Described)
        run = reply.run
        assert isinstance(run, OperationRun)
        if holds(run):
            return run
        await asyncio.sleep(0.1)


def is_started(run: OperationRun) -> bool:
    return run.head.pending.calls.state == CallState.STARTED


@simulated
async def test_a_handler_is_called_with_all_that_it_needs(house: House) -> None:
    handler = Handler(house, SyncSuccess(b"x"))
    await start(house)
    run = await until(house, lambda run: not run.is_open)
    assert run.head.result == b"x"
    (call,) = handler.started
    assert (call.endpoint_id, call.service, call.operation) == (
        "endpoint-id",
        "service",
        "operation",
    )
    assert (call.payload, call.header) == (INPUT.SerializeToString(), {"a-key": "value"})
    assert (call.completion.kind, call.completion.id) == (Kind.NEXUS_OPERATION, "order")
    link = Link.FromString(call.links[0]).nexus_operation
    assert (link.namespace, link.operation_id, link.run_id) == ("default", "order", run.run_id)


@simulated
async def test_a_call_that_dies_with_its_process_is_made_again(house: House) -> None:
    handler = Handler(house)
    handler.is_silent = True
    await start(house)
    await turns()
    assert len(handler.started) == 1
    handler.is_silent = False
    crashed_ns = house.clock.now_ns()
    await house.crash()
    run = await until(house, is_started)
    calls = run.head.pending.calls
    assert calls.attempt == 1, "the lost call does not count"
    assert calls.started_ns - crashed_ns < SECOND_NS, "at once, not after its timeout"
    assert len({call.request_id for call in handler.started}) == 1


@simulated
async def test_a_completion_is_durable_when_its_sender_hears_so(house: House) -> None:
    handler = Handler(house)
    await start(house)
    await until(house, is_started)
    told = completion(handler.started[0])
    await house.engine.operations.complete(NAMESPACE, told)
    await house.crash()
    assert (await until(house, lambda run: True)).head.status == Status.COMPLETED
    with pytest.raises(InvalidArgument, match="bad request"):
        await house.engine.operations.complete(NAMESPACE, told)


@simulated
async def test_a_handler_is_asked_again_to_cancel(house: House) -> None:
    handler = Handler(house)
    handler.cancel_answers = [AGAIN]
    await start(house)
    await until(house, is_started)
    whom = Address(Kind.NEXUS_OPERATION, "order")
    begun_ns = house.clock.now_ns()
    await house.engine.ask(NAMESPACE, whom, RequestCancel("", "me", "one", "enough"))

    def is_canceled(run: OperationRun) -> bool:
        cancellation = run.head.pending.calls.cancellation
        return cancellation is not None and cancellation.state == CancelState.SUCCEEDED

    await until(house, is_canceled)
    assert [call.operation_token for call in handler.cancelled] == ["token", "token"]
    assert house.clock.now_ns() - begun_ns >= SECOND_NS // 2


@simulated
async def test_one_breaker_serves_all_operations_at_an_endpoint(house: House) -> None:
    handler = Handler(house, *[AGAIN] * (FAILURES_MAX + 1))
    await begin(house, "nexus; nexus; nexus; nexus; nexus; nexus")
    await handler.hears(FAILURES_MAX + 1)
    await turns()
    await start(house)
    await asyncio.sleep(5)
    assert len(handler.started) == FAILURES_MAX + 1
    await until(house, is_started)  # Once it lets calls through again.


@simulated
async def test_nobody_completes_what_is_deleted(house: House) -> None:
    handler = Handler(house)
    await start(house)
    run = await until(house, is_started)
    await house.engine.delete(NAMESPACE, Address(Kind.NEXUS_OPERATION, "order"), run.run_id)
    with pytest.raises(NotFound, match="operation not found for ID: order"):
        await house.engine.operations.complete(NAMESPACE, completion(handler.started[0]))
