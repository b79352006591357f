"""Our client against real services, with workflows that the official worker runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import temporalio.client
import temporalio.worker

from perdure.client import (
    AsyncActivityHandle,
    Client,
    RPCError,
    RPCStatusCode,
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHistoryEventFilterType,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from perdure.common import (
    QueryRejectCondition,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from perdure.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TerminatedError,
    WorkflowAlreadyStartedError,
)
from perdure.exceptions import TimeoutError as WorkflowTimeoutError
from tests.interop.servers import SERVERS
from tests.sdk.client_programs import ACTIVITIES, WORKFLOWS, Parcel

pytestmark = pytest.mark.interop

PARCEL = Parcel(1.5, ["fragile"])
QUEUE = "our-client"


@pytest.fixture(scope="module", params=sorted(SERVERS))
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    with SERVERS[request.param]() as running:
        yield running


Test = Callable[..., Awaitable[None]]


def _may_be_unbuilt(test: Test) -> Test:
    """Skips the test when it meets an RPC that our service says it has not built yet."""

    @functools.wraps(test)
    async def wrapped(**fixtures: Any) -> None:
        try:
            await test(**fixtures)
        except RPCError as error:
            if "not built yet in this server" not in error.message:
                raise
            pytest.skip(error.message)

    return wrapped


@pytest.fixture
async def client(address: str) -> AsyncIterator[Client]:
    """Our client; the official worker serves `QUEUE`."""
    official = await temporalio.client.Client.connect(address)
    ours = await Client.connect(address)
    worker = temporalio.worker.Worker(
        official,
        task_queue=QUEUE,
        workflows=WORKFLOWS,
        activities=ACTIVITIES,
        workflow_runner=temporalio.worker.UnsandboxedWorkflowRunner(),
    )
    async with worker:
        yield ours
    await ours.service_client.close()


@contextlib.contextmanager
def _raises_failure() -> Iterator[list[Any]]:
    """Notes the cause of the workflow's failure."""
    causes: list[Any] = []
    with pytest.raises(WorkflowFailureError) as caught:
        yield causes
    causes.append(caught.value.cause)


def _id() -> str:
    return f"ours-{uuid.uuid4()}"


async def test_a_result_is_read_as_its_type(client: Client) -> None:
    result = await client.execute_workflow(
        "Echo", PARCEL, id=_id(), task_queue=QUEUE, result_type=Parcel
    )
    assert result == PARCEL


async def test_a_failure_comes_with_its_causes_and_details(client: Client) -> None:
    with _raises_failure() as causes:
        await client.execute_workflow("Failing", PARCEL, id=_id(), task_queue=QUEUE)
    (error,) = causes
    assert isinstance(error, ActivityError)
    assert error.activity_type == "fail_with_details"
    assert isinstance(error.cause, ApplicationError)
    assert (error.cause.message, error.cause.type) == ("too heavy", "Heavy")
    assert error.cause.details[0] == {"weight": 1.5, "labels": ["fragile"]}
    assert isinstance(error.cause.cause, ApplicationError)
    assert error.cause.cause.type == "ValueError"


async def test_signals_arrive_with_their_arguments(client: Client) -> None:
    handle = await client.start_workflow("Waiting", id=_id(), task_queue=QUEUE)
    await handle.signal("say", args=["one", "two"])
    await handle.signal("finish")
    assert await handle.result() == ["one", "two"]


async def test_the_ways_to_stop_a_workflow_and_their_errors(client: Client) -> None:
    cancelled = await client.start_workflow("Waiting", id=_id(), task_queue=QUEUE)
    await cancelled.cancel(reason="enough")
    with _raises_failure() as causes:
        await cancelled.result()
    assert isinstance(causes[0], CancelledError)

    terminated = await client.start_workflow("Waiting", id=_id(), task_queue=QUEUE)
    await terminated.terminate("detail", 7, reason="a reason")
    with _raises_failure() as causes:
        await terminated.result()
    assert isinstance(causes[0], TerminatedError)
    assert (causes[0].message, list(causes[0].details)) == ("a reason", ["detail", 7])

    timed_out = await client.start_workflow(
        "Waiting", id=_id(), task_queue=QUEUE, run_timeout=timedelta(seconds=1)
    )
    with _raises_failure() as causes:
        await timed_out.result()
    assert isinstance(causes[0], WorkflowTimeoutError)


async def test_both_clients_say_the_same_of_how_a_workflow_ended(
    client: Client, address: str
) -> None:
    official = await temporalio.client.Client.connect(address)
    for stop in ("cancel", "terminate"):
        handle = await client.start_workflow("Waiting", id=_id(), task_queue=QUEUE)
        await getattr(handle, stop)()
        with _raises_failure() as causes:
            await handle.result()
        with pytest.raises(temporalio.client.WorkflowFailureError) as theirs:
            await official.get_workflow_handle(handle.id).result()
        assert type(causes[0]).__name__ == type(theirs.value.cause).__name__
        assert str(causes[0]) == str(theirs.value.cause)


async def test_runs_are_followed_through_continue_as_new(client: Client) -> None:
    handle = await client.start_workflow("CountDown", 2, id=_id(), task_queue=QUEUE)
    assert await handle.result() == "done"
    with pytest.raises(WorkflowContinuedAsNewError) as caught:
        await handle.result(follow_runs=False)
    following = client.get_workflow_handle(handle.id, run_id=caught.value.new_execution_run_id)
    assert (await following.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW


async def test_policies_decide_about_an_id_that_is_in_use(client: Client) -> None:
    handle = await client.start_workflow("Waiting", id=_id(), task_queue=QUEUE)
    with pytest.raises(WorkflowAlreadyStartedError) as caught:
        await client.start_workflow("Waiting", id=handle.id, task_queue=QUEUE)
    assert caught.value.run_id == handle.result_run_id
    same = await client.start_workflow(
        "Waiting",
        id=handle.id,
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    assert same.result_run_id == handle.result_run_id
    await handle.signal("finish")
    await handle.result()
    with pytest.raises(WorkflowAlreadyStartedError):
        await client.start_workflow(
            "Waiting",
            id=handle.id,
            task_queue=QUEUE,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )


async def test_a_description_tells_what_the_workflow_was_started_with(client: Client) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    handle = await client.start_workflow(
        "Waiting",
        id=_id(),
        task_queue=QUEUE,
        memo={"number": 1, "parcel": PARCEL},
        static_summary="a summary",
        static_details="some details",
    )
    running = await handle.describe()
    assert running.status is WorkflowExecutionStatus.RUNNING
    assert running.close_time is None
    assert (running.workflow_type, running.task_queue) == ("Waiting", QUEUE)
    assert before < running.start_time < datetime.now(UTC) + timedelta(seconds=5)
    assert (await running.memo())["number"] == 1
    assert await running.memo_value("parcel", type_hint=Parcel) == PARCEL
    assert await running.memo_value("missing", 3) == 3
    with pytest.raises(KeyError):
        await running.memo_value("missing")
    assert await running.static_summary() == "a summary"
    assert await running.static_details() == "some details"
    await handle.signal("finish")
    await handle.result()
    closed = await handle.describe()
    assert closed.status is WorkflowExecutionStatus.COMPLETED
    assert closed.close_time is not None


async def test_a_history_is_read_whole_by_pages_and_by_its_last_event(
    client: Client, address: str
) -> None:
    handle = await client.start_workflow("Echo", PARCEL, id=_id(), task_queue=QUEUE)
    events = [event async for event in handle.fetch_history_events(wait_new_event=True)]
    whole = await handle.fetch_history()
    assert list(whole.events) == events
    assert whole.run_id == handle.result_run_id
    paged = [event async for event in handle.fetch_history_events(page_size=2)]
    assert paged == events
    last = WorkflowHistoryEventFilterType.CLOSE_EVENT
    closing = await handle.fetch_history(event_filter_type=last)
    assert list(closing.events) == events[-1:]
    official = await temporalio.client.Client.connect(address)
    theirs = await official.get_workflow_handle(handle.id).fetch_history()
    assert whole.to_json() == theirs.to_json()


@_may_be_unbuilt
async def test_workflows_are_found_by_a_query(client: Client) -> None:
    handle = await client.start_workflow("Echo", PARCEL, id=_id(), task_queue=QUEUE)
    await handle.result()
    query = f"WorkflowId = '{handle.id}' AND ExecutionStatus = 'Completed'"
    async with asyncio.timeout(10):
        while True:  # visibility is eventually consistent
            if (await client.count_workflows(query)).count == 1:
                break
            await asyncio.sleep(0.02)
    (found,) = [one async for one in client.list_workflows(query, page_size=1)]
    assert (found.id, found.run_id) == (handle.id, handle.result_run_id)
    (history,) = [one async for one in client.list_workflows(query).map_histories()]
    assert list(history.events) == list((await handle.fetch_history()).events)


async def _outside(client: Client) -> tuple[Any, AsyncActivityHandle]:
    """A workflow whose activity waits to be completed from outside."""
    handle = await client.start_workflow("Outsourced", 1, id=_id(), task_queue=QUEUE)
    async with asyncio.timeout(10):
        while True:
            pending = (await handle.describe()).raw_description.pending_activities
            if pending and pending[0].attempt and pending[0].HasField("last_started_time"):
                break
            await asyncio.sleep(0.02)
    activity = client.get_async_activity_handle(
        workflow_id=handle.id, run_id=handle.result_run_id, activity_id="outside"
    )
    return handle, activity


async def test_an_activity_is_completed_from_outside(client: Client) -> None:
    handle, activity = await _outside(client)
    await activity.heartbeat({"progress": 1})
    await activity.complete(PARCEL)
    assert await handle.result() == {"weight": 1.5, "labels": ["fragile"]}


async def test_an_activity_is_failed_from_outside(client: Client) -> None:
    handle, activity = await _outside(client)
    await activity.fail(ApplicationError("no", type="Kind", non_retryable=True))
    with _raises_failure() as causes:
        await handle.result()
    assert isinstance(causes[0], ActivityError)
    assert isinstance(causes[0].cause, ApplicationError)
    assert causes[0].cause.type == "Kind"


async def test_what_does_not_exist_is_not_found(client: Client) -> None:
    handle = client.get_workflow_handle(_id())
    for call in (handle.describe, handle.cancel, handle.terminate, handle.result):
        with pytest.raises(RPCError) as caught:
            await call()
        assert caught.value.status is RPCStatusCode.NOT_FOUND


@_may_be_unbuilt
async def test_a_query_is_answered_rejected_or_fails(client: Client) -> None:
    handle = await client.start_workflow("Waiting", id=_id(), task_queue=QUEUE)
    await handle.signal("say", args=["one", "two"])
    assert await handle.query("said", result_type=list[str]) == ["one", "two"]
    with pytest.raises(WorkflowQueryFailedError):
        await handle.query("broken")
    await handle.terminate()
    with pytest.raises(WorkflowQueryRejectedError) as caught:
        await handle.query("said", reject_condition=QueryRejectCondition.NOT_OPEN)
    assert caught.value.status is WorkflowExecutionStatus.TERMINATED


@_may_be_unbuilt
async def test_an_update_returns_what_its_handler_returns(client: Client) -> None:
    handle = await client.start_workflow("Waiting", id=_id(), task_queue=QUEUE)
    await handle.signal("say", args=["one", "two"])
    assert await handle.execute_update("replace", ["three"]) == ["one", "two"]
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update("replace", [])
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.message == "no words"
    await handle.signal("finish")
    assert await handle.result() == ["three"]


@_may_be_unbuilt
async def test_a_workflow_is_started_by_a_signal(client: Client) -> None:
    handle = await client.start_workflow(
        "Waiting",
        id=_id(),
        task_queue=QUEUE,
        start_signal="say",
        start_signal_args=["one", "two"],
    )
    await handle.signal("finish")
    assert await handle.result() == ["one", "two"]
