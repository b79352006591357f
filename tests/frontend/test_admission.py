"""Requests are let in at the rates that are set, and so many may wait; the words are those of
Temporal's server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest
from google.protobuf.message import Message
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.enums.v1 import ResourceExhaustedCause as Cause
from temporalio.api.enums.v1 import ResourceExhaustedScope as Scope
from temporalio.api.errordetails.v1 import ResourceExhaustedFailure
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    CountWorkflowExecutionsResponse,
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    GetSystemInfoRequest,
    GetSystemInfoResponse,
    GetWorkflowExecutionHistoryRequest,
    ListSchedulesRequest,
    ListWorkflowExecutionsRequest,
    PollActivityTaskQueueRequest,
    PollNexusTaskQueueRequest,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    QueryWorkflowRequest,
)

from perdure.server.frontend.admission import FINDING, WAITING
from perdure.server.frontend.dispatch import RPCS, handlers_of
from perdure.server.frontend.services import Services
from perdure.server.machines.ports import SECOND_NS
from perdure.transport import CallFailed, Code
from tests.frontend.client import NAMESPACE, WORKFLOW_ID, Client, detail_of

BY_NAMESPACE = ResourceExhaustedFailure(
    cause=Cause.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT,
    scope=Scope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE,
)
BY_ALL = ResourceExhaustedFailure(
    cause=Cause.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, scope=Scope.RESOURCE_EXHAUSTED_SCOPE_SYSTEM
)
BY_PLACES = ResourceExhaustedFailure(
    cause=Cause.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT,
    scope=Scope.RESOURCE_EXHAUSTED_SCOPE_NAMESPACE,
)
ASK = DescribeNamespaceRequest(namespace=NAMESPACE)
COUNT = CountWorkflowExecutionsRequest(namespace=NAMESPACE)


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The time it was moved to."""
        return self._now_ns

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._now_ns += round(seconds * SECOND_NS)


@pytest.fixture
def clock(services: Services) -> Iterator[HandClock]:
    """That of what limits the requests; the engine keeps its own."""
    own = services.clock
    services.clock = by_hand = HandClock(own.now_ns())
    yield by_hand
    services.clock = own


def limited(services: Services, **limits: int) -> Client:
    """A client of the service with these limits."""
    services.limits = msgspec.structs.replace(services.limits, **limits)
    return Client(handlers_of(services))


def check(failure: CallFailed, message: str, detail: Message) -> None:
    """It is refused in these words and for this cause."""
    assert (failure.code, failure.message) == (Code.RESOURCE_EXHAUSTED, message)
    assert detail_of(failure) == detail


def test_the_methods_are_there() -> None:
    assert set(RPCS) >= WAITING | FINDING


async def test_a_namespace_has_its_rate(services: Services, clock: HandClock) -> None:
    client = limited(services, namespace_requests_per_second=3)
    for _ in range(3):
        await client.call(ASK, DescribeNamespaceResponse)
    check(await client.refusal(ASK), "namespace rate limit exceeded", BY_NAMESPACE)
    # What is of no namespace, or only looks for workflows, has other limits.
    await client.call(GetSystemInfoRequest(), GetSystemInfoResponse)
    await client.call(COUNT, CountWorkflowExecutionsResponse)
    clock.move(0.34)
    await client.call(ASK, DescribeNamespaceResponse)
    check(await client.refusal(ASK), "namespace rate limit exceeded", BY_NAMESPACE)


async def test_unknown_namespaces_take_nothing_from_known_ones(
    services: Services, clock: HandClock
) -> None:
    client = limited(services, namespace_requests_per_second=1)
    unknown = DescribeNamespaceRequest(namespace="unknown")
    assert (await client.refusal(unknown)).code is Code.NOT_FOUND
    unknown.namespace = "another"
    assert (await client.refusal(unknown)).code is Code.RESOURCE_EXHAUSTED
    await client.call(ASK, DescribeNamespaceResponse)


async def test_what_looks_for_workflows_has_a_rate_of_its_own(
    services: Services, clock: HandClock
) -> None:
    client = limited(services, finding_requests_per_second=1)
    await client.call(COUNT, CountWorkflowExecutionsResponse)
    for request in (
        COUNT,
        ListWorkflowExecutionsRequest(namespace=NAMESPACE),
        ListSchedulesRequest(namespace=NAMESPACE),
    ):
        refusal = await client.refusal(request)
        check(refusal, "namespace rate limit exceeded", BY_NAMESPACE)
    for _ in range(3):
        await client.call(ASK, DescribeNamespaceResponse)
    clock.move(1)
    await client.call(COUNT, CountWorkflowExecutionsResponse)


async def test_the_service_has_its_rate(services: Services, clock: HandClock) -> None:
    client = limited(services, requests_per_second=2)
    await client.call(GetSystemInfoRequest(), GetSystemInfoResponse)
    await client.call(ASK, DescribeNamespaceResponse)
    for request in (ASK, GetSystemInfoRequest(), COUNT):
        check(await client.refusal(request), "service rate limit exceeded", BY_ALL)


WORKFLOW = WorkflowExecution(workflow_id=WORKFLOW_ID)
IDLE = TaskQueue(name="nobody-uses-it")
WAITS: list[Message] = [
    PollActivityTaskQueueRequest(namespace=NAMESPACE, task_queue=IDLE),
    PollWorkflowTaskQueueRequest(namespace=NAMESPACE, task_queue=IDLE),
    PollNexusTaskQueueRequest(namespace=NAMESPACE, task_queue=IDLE),
    GetWorkflowExecutionHistoryRequest(
        namespace=NAMESPACE,
        execution=WORKFLOW,
        wait_new_event=True,
        history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
    ),
    QueryWorkflowRequest(namespace=NAMESPACE, execution=WORKFLOW, query={"query_type": "q"}),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("request_", WAITS, ids=[type(one).__name__ for one in WAITS])
async def test_so_many_of_each_method_may_wait(services: Services, request_: Message) -> None:
    client = limited(services, waiting_requests_max=1)
    await client.start()
    first = asyncio.create_task(client.call(request_, type(request_)))
    await asyncio.sleep(0)
    refusal = await client.refusal(request_)
    check(refusal, "namespace concurrent poller limit exceeded", BY_PLACES)
    assert not first.done()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    # Its place is free again.
    again = asyncio.create_task(client.call(request_, type(request_)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


async def test_other_methods_and_reads_that_do_not_wait_have_places(services: Services) -> None:
    client = limited(services, waiting_requests_max=1)
    await client.start()
    waits = [asyncio.create_task(client.call(one, type(one))) for one in WAITS[:4]]
    await asyncio.sleep(0)
    assert len((await client.history()).history.events) == 2
    await client.terminate()
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_a_poll_that_was_answered_has_given_its_place_back(services: Services) -> None:
    client = limited(services, waiting_requests_max=1)
    for number in range(3):
        await client.start(f"workflow-{number}")
        assert (await client.poll_workflow_task()).task_token


async def test_nothing_is_limited_until_it_is_set(services: Services) -> None:
    client = Client(handlers_of(services))
    polls: list[asyncio.Task[PollWorkflowTaskQueueResponse]] = []
    request = PollWorkflowTaskQueueRequest(namespace=NAMESPACE, task_queue=IDLE)
    for _ in range(1300):
        polls.append(asyncio.create_task(client.call(request, PollWorkflowTaskQueueResponse)))
    for _ in range(5000):
        await client.call(GetSystemInfoRequest(), GetSystemInfoResponse)
    assert not any(poll.done() for poll in polls)
    for poll in polls:
        poll.cancel()
    await asyncio.gather(*polls, return_exceptions=True)
