"""Nexus operations of workflows: called when that is durable, again until they are answered, and by
whoever comes after a crash; completions reach the workflow that waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from temporalio.api.common.v1 import Link
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure, NexusHandlerFailureInfo

from perdure.server.engine.nexus.breaker import FAILURES_MAX, OPEN_SECONDS, CircuitBreaker
from perdure.server.engine.nexus.calls import (
    CancelCall,
    Completion,
    Endpoint,
    OperationAddress,
    StartCall,
)
from perdure.server.engine.nexus.operations import CALLS_AT_ONCE
from perdure.server.machines.errors import NotFound
from perdure.server.machines.nexus.outcomes import (
    AsyncStarted,
    CancelAccepted,
    CancelOutcome,
    HandlerFailed,
    StartOutcome,
    SyncSuccess,
    Unreachable,
)
from perdure.server.machines.ports import SECOND_NS, Kind
from perdure.server.machines.workflow.inputs import WakeUp
from perdure.server.machines.workflow.nexus.state import CallState, CancelState, PendingOperation
from tests.engine.house import NAMESPACE, House, simulated, turns

AGAIN = HandlerFailed(
    Failure(
        message="not now", nexus_handler_failure_info=NexusHandlerFailureInfo(type="INTERNAL")
    ).SerializeToString(),
    "INTERNAL",
    is_retryable=True,
)


class Handler:
    """The other end of all operations: it answers what it was told to, and then that all is
    well."""

    def __init__(self, house: House, *answers: StartOutcome) -> None:
        self.started: list[StartCall] = []
        self.cancelled: list[CancelCall] = []
        self.answers = list(answers)
        self.cancel_answers: list[CancelOutcome] = []
        self.is_silent = False
        self.is_silent_of_cancels = False
        self.may_answer = asyncio.Event()
        self._news = asyncio.Event()
        house.caller = self

    async def hears(self, count: int) -> None:
        """Returns when it has been called so many times."""
        while len(self.started) < count:
            self._news.clear()
            await self._news.wait()

    def find(self, endpoint: str) -> Endpoint | None:
        return None

    async def start(self, call: StartCall) -> StartOutcome:
        self.started.append(call)
        self._news.set()
        if self.is_silent:
            await self.may_answer.wait()
        return self.answers.pop(0) if self.answers else AsyncStarted("token")

    async def cancel(self, call: CancelCall) -> CancelOutcome:
        self.cancelled.append(call)
        if self.is_silent_of_cancels:
            await asyncio.get_running_loop().create_future()
        return self.cancel_answers.pop(0) if self.cancel_answers else CancelAccepted()


async def begin(house: House, commands: str = "nexus", **options: str) -> str:
    """A workflow whose first task schedules an operation, event 5."""
    started = await house.start("w", **options)
    await house.complete(await house.take(), commands)
    return started.run_id


async def until(house: House, holds: Callable[[PendingOperation], bool]) -> PendingOperation:
    """The operation of event 5, when something holds of it."""
    while True:
        pending = (await house.run("w")).nexus_operations[5]
        if holds(pending):
            return pending
        await asyncio.sleep(0.1)


async def happens(house: House, event_type: str) -> None:
    """Returns when this event has."""
    while True:
        if event_type in await house.types("w"):
            return
        await asyncio.sleep(0.1)


def completion(call: StartCall) -> Completion:
    return Completion(address=call.completion, outcome=SyncSuccess(b""))


@simulated
async def test_a_handler_is_called_with_all_that_it_needs(house: House) -> None:
    handler = Handler(house, SyncSuccess(b""))
    run_id = await begin(house, "nexus input=in header=A-Key:value close=60s", request="first")
    await happens(house, "NEXUS_OPERATION_COMPLETED")
    (call,) = handler.started
    (scheduled,) = [event for event in await house.history("w") if event.event_id == 5]
    attributes = scheduled.nexus_operation_scheduled_event_attributes
    assert (call.endpoint_id, call.service, call.operation) == (
        "endpoint-id",
        "service",
        "operation",
    )
    assert call.payload == attributes.input.SerializeToString()
    assert call.header == {"a-key": "value"}
    assert call.request_id == attributes.request_id
    assert call.completion == OperationAddress(
        NAMESPACE.id, Kind.WORKFLOW, "w", run_id, 5, attributes.request_id
    )
    link = Link.FromString(call.links[0]).workflow_event
    assert (link.namespace, link.workflow_id, link.run_id) == ("default", "w", run_id)
    assert link.event_ref.event_id == 5
    assert link.event_ref.event_type == EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED
    assert call.timeout_ns == 10 * SECOND_NS
    assert call.operation_timeout_ns == 60 * SECOND_NS


@simulated
async def test_nobody_is_called_for_what_is_not_durable(house: House) -> None:
    handler = Handler(house)
    await house.start("w")
    task = await house.take()
    house.wire.hold()
    completed = asyncio.ensure_future(house.complete(task, "nexus"))
    await turns()
    assert not handler.started
    house.wire.release()
    await completed
    await until(house, lambda pending: pending.calls.state == CallState.STARTED)
    assert len(handler.started) == 1


@simulated
async def test_a_handler_that_cannot_is_called_again_and_later(house: House) -> None:
    handler = Handler(house, AGAIN, Unreachable("nobody"), SyncSuccess(b""))
    begun_ns = house.clock.now_ns()
    await begin(house)
    await happens(house, "NEXUS_OPERATION_COMPLETED")
    assert len(handler.started) == 3
    # A second, then two, each less up to a fifth.
    assert house.clock.now_ns() - begun_ns > 2.4 * SECOND_NS
    assert len({call.request_id for call in handler.started}) == 1


@simulated
async def test_a_call_that_dies_with_its_process_is_made_again(house: House) -> None:
    handler = Handler(house)
    handler.is_silent = True
    await begin(house)
    await turns()
    assert len(handler.started) == 1
    handler.is_silent = False
    crashed_ns = house.clock.now_ns()
    await house.crash()
    pending = await until(house, lambda pending: pending.calls.state == CallState.STARTED)
    assert pending.calls.attempt == 1, "the lost call does not count"
    assert pending.calls.started_ns - crashed_ns < SECOND_NS, "at once, not after its timeout"
    assert [call.request_id for call in handler.started] == 2 * [pending.operation.request_id]


@simulated
async def test_a_call_to_cancel_that_dies_with_its_process_is_made_again_at_once(
    house: House,
) -> None:
    handler = Handler(house)
    handler.is_silent_of_cancels = True
    await begin(house, "nexus; cancel_nexus 5")
    await until(house, lambda _: bool(handler.cancelled))
    handler.is_silent_of_cancels = False
    crashed_ns = house.clock.now_ns()
    await house.crash()
    await happens(house, "NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED")
    assert house.clock.now_ns() - crashed_ns < SECOND_NS
    assert [call.operation_token for call in handler.cancelled] == ["token", "token"]
    cancellation = (await house.run("w")).nexus_operations[5].calls.cancellation
    assert cancellation is not None
    assert cancellation.attempt == 1, "the lost call does not count"


@simulated
async def test_an_operation_that_is_started_is_not_called_again_after_a_crash(
    house: House,
) -> None:
    handler = Handler(house)
    await begin(house)
    await until(house, lambda pending: pending.calls.state == CallState.STARTED)
    await house.crash()
    await asyncio.sleep(100)
    assert len(handler.started) == 1


@simulated
async def test_a_call_that_is_made_by_now_is_not_made_twice(house: House) -> None:
    handler = Handler(house)
    handler.is_silent = True
    await begin(house)
    await handler.hears(1)
    await house.crash()
    await handler.hears(2)
    # A second wake-up, and what looks for lost calls, find the one that is under way.
    await house.submit("w", WakeUp("", calls_are_lost=True))
    handler.may_answer.set()
    await until(house, lambda pending: pending.calls.state == CallState.STARTED)
    await asyncio.sleep(100)
    assert len(handler.started) == 2


@simulated
async def test_an_answer_that_is_lost_is_asked_for_again(house: House) -> None:
    handler = Handler(house)
    handler.is_silent = True
    await begin(house)
    await handler.hears(1)
    house.wire.hold()
    handler.may_answer.set()
    await turns()
    await house.crash()
    await until(house, lambda pending: pending.calls.state == CallState.STARTED)
    assert len(handler.started) == 2


@simulated
async def test_a_completion_is_durable_when_its_sender_hears_so(house: House) -> None:
    handler = Handler(house)
    await begin(house)
    await until(house, lambda pending: pending.calls.state == CallState.STARTED)
    told = completion(handler.started[0])
    await house.engine.operations.complete(NAMESPACE, told)
    await house.crash()
    assert "NEXUS_OPERATION_COMPLETED" in await house.types("w")
    with pytest.raises(NotFound, match="stale reference"):
        await house.engine.operations.complete(NAMESPACE, told)


@simulated
async def test_a_completion_for_somebody_else_is_refused(house: House) -> None:
    handler = Handler(house)
    await begin(house)
    await until(house, lambda pending: pending.calls.state == CallState.STARTED)
    address = handler.started[0].completion
    for wrong in (
        OperationAddress(NAMESPACE.id, Kind.SCHEDULE, "w", address.run_id, 5, address.request_id),
        OperationAddress(NAMESPACE.id, Kind.WORKFLOW, "x", address.run_id, 5, address.request_id),
        OperationAddress(NAMESPACE.id, Kind.WORKFLOW, "w", address.run_id, 6, address.request_id),
        OperationAddress(NAMESPACE.id, Kind.WORKFLOW, "w", address.run_id, 5, "another"),
    ):
        with pytest.raises(NotFound):
            await house.engine.operations.complete(
                NAMESPACE, Completion(address=wrong, outcome=SyncSuccess(b""))
            )
    await house.terminate("w")
    with pytest.raises(NotFound, match="already completed"):
        await house.engine.operations.complete(NAMESPACE, completion(handler.started[0]))


@simulated
async def test_a_handler_is_asked_to_cancel_what_it_has_started(house: House) -> None:
    handler = Handler(house)
    handler.cancel_answers = [AGAIN]
    await begin(house, "nexus header=A-Key:value; cancel_nexus 5")
    await happens(house, "NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED")
    assert len(handler.cancelled) == 2
    call = handler.cancelled[0]
    assert (call.operation_token, call.header) == ("token", {"a-key": "value"})
    cancellation = (await house.run("w")).nexus_operations[5].calls.cancellation
    assert cancellation is not None
    assert (cancellation.state, cancellation.attempt) == (CancelState.SUCCEEDED, 2)


@simulated
async def test_nobody_is_called_for_a_workflow_that_is_over(house: House) -> None:
    handler = Handler(house)
    await begin(house, "nexus; done")
    await turns()
    assert not handler.started
    await asyncio.sleep(100)
    assert not handler.started


@simulated
async def test_nobody_is_called_for_an_operation_that_ended_while_there_was_no_room(
    house: House,
) -> None:
    handler = Handler(house)
    handler.is_silent = True
    for name, operations in (("a", 30), ("b", 30), ("c", 30), ("w", CALLS_AT_ONCE - 90 + 1)):
        await house.start(name)
        await house.complete(await house.take(), "; ".join(["nexus"] * operations))
    await handler.hears(CALLS_AT_ONCE)
    waits = max((await house.run("w")).nexus_operations)
    request_id = (await house.run("w")).nexus_operations[waits].operation.request_id
    first = handler.started[-1].completion
    last = msgspec.structs.replace(first, scheduled_event_id=waits, request_id=request_id)
    await house.engine.operations.complete(
        NAMESPACE, Completion(address=last, outcome=SyncSuccess(b""))
    )
    handler.may_answer.set()
    await asyncio.sleep(1)
    assert len(handler.started) == CALLS_AT_ONCE


@simulated
async def test_an_endpoint_that_always_fails_is_left_alone_for_a_while(house: House) -> None:
    handler = Handler(house, *[AGAIN] * (FAILURES_MAX + 1))
    await begin(house, "nexus; nexus; nexus; nexus; nexus; nexus")
    await handler.hears(FAILURES_MAX + 1)
    await asyncio.sleep(5)
    blocked = house.engine.operations.blocked_reason(NAMESPACE, "endpoint-id")
    assert blocked == "The circuit breaker is open."
    assert house.engine.operations.blocked_reason(NAMESPACE, "another") == ""
    await asyncio.sleep(OPEN_SECONDS / 2)
    assert len(handler.started) == FAILURES_MAX + 1
    await asyncio.sleep(OPEN_SECONDS)
    await until(house, lambda pending: pending.calls.state == CallState.STARTED)
    assert house.engine.operations.blocked_reason(NAMESPACE, "endpoint-id") == ""


def test_a_breaker_lets_one_call_try_before_it_closes() -> None:
    breaker = CircuitBreaker()
    for _ in range(FAILURES_MAX):
        assert breaker.allows(0)
        breaker.failed(0)
    assert breaker.state(0) == "closed"
    breaker.failed(0)
    assert breaker.state(1) == "open"
    assert not breaker.allows(OPEN_SECONDS - 1)
    assert breaker.state(OPEN_SECONDS) == "half-open"
    assert breaker.allows(OPEN_SECONDS)
    assert not breaker.allows(OPEN_SECONDS), "one at a time"
    breaker.given_up()
    assert breaker.allows(OPEN_SECONDS)
    breaker.failed(OPEN_SECONDS)
    assert breaker.state(OPEN_SECONDS + 1) == "open", "it failed again"
    assert breaker.allows(2 * OPEN_SECONDS)
    breaker.succeeded()
    assert breaker.state(2 * OPEN_SECONDS) == "closed"


def test_a_success_forgets_failures_before_it() -> None:
    breaker = CircuitBreaker()
    for _ in range(3 * FAILURES_MAX):
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.state(0) == "closed"
