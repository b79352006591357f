"""The environments of `perdure.testing`: an engine for a test, and an activity alone."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import copy_context
from dataclasses import replace

import pytest

from perdure import activity, workflow
from perdure.client import Client
from perdure.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from perdure.exceptions import CancelledError
from perdure.service import RPCError
from perdure.testing import ActivityEnvironment, WorkflowEnvironment
from perdure.worker import Worker

START_SECONDS_MAX = 0.5  # ten times what it takes on an idle machine


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return f"Hello, {name}!"


async def test_a_local_environment_runs_workflows() -> None:
    async with (
        await WorkflowEnvironment.start_local() as environment,
        Worker(environment.client, task_queue="tests", workflows=[Greeting]),
    ):
        result = await environment.client.execute_workflow(
            Greeting.run, "World", id="greeting", task_queue="tests"
        )
    assert result == "Hello, World!"


async def test_a_local_environment_starts_at_once() -> None:
    async with await WorkflowEnvironment.start_local():
        pass
    started = time.perf_counter()
    async with await WorkflowEnvironment.start_local():
        assert time.perf_counter() - started < START_SECONDS_MAX


async def test_a_local_environment_listens_for_other_clients() -> None:
    async with await WorkflowEnvironment.start_local(namespace="others") as environment:
        other = await environment.connect_client()
        await other.start_workflow(Greeting.run, "World", id="greeting", task_queue="tests")
        description = await environment.client.get_workflow_handle("greeting").describe()
        target = environment.client.service_client.config.target_host
    assert (other.namespace, description.id) == ("others", "greeting")
    with pytest.raises(RuntimeError):
        await Client.connect(target)


async def test_a_local_environment_ends_with_its_block() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        client = environment.client
    with pytest.raises(RPCError, match="shut down"):
        await client.count_workflows()


async def test_a_local_environment_has_the_search_attributes_it_is_given() -> None:
    key = SearchAttributeKey.for_int("Weight")
    attributes = TypedSearchAttributes([SearchAttributePair(key, 12)])
    async with await WorkflowEnvironment.start_local(search_attributes=[key]) as environment:
        handle = await environment.client.start_workflow(
            Greeting.run, "World", id="greeting", task_queue="tests", search_attributes=attributes
        )
        assert (await handle.describe()).typed_search_attributes == attributes


async def test_a_local_environment_takes_settings_and_refuses_what_it_cannot() -> None:
    async with await WorkflowEnvironment.start_local(
        dev_server_extra_args=["--dynamic-config-value", "limit.blobSize.error=1000"]
    ) as environment:
        with pytest.raises(RPCError, match="size exceeds limit"):
            await environment.client.start_workflow(
                Greeting.run, "x" * 2000, id="greeting", task_queue="tests"
            )
    with pytest.raises(ValueError, match="--sqlite-pragma"):
        await WorkflowEnvironment.start_local(dev_server_extra_args=["--sqlite-pragma=a=b"])


async def test_an_environment_of_a_client_leaves_its_service_alone() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        async with WorkflowEnvironment.from_client(environment.client) as borrowed:
            assert not borrowed.supports_time_skipping
            await borrowed.sleep(0)
        assert (await environment.client.count_workflows()).count == 0


async def test_an_async_activity_runs_alone() -> None:
    waiting = asyncio.Event()

    async def wait_forever(param: str) -> str:
        activity.heartbeat(param, activity.info().activity_type)
        try:
            waiting.set()
            await asyncio.Future()
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            assert details is not None
            activity.heartbeat(details.paused)
        return "done"

    environment = ActivityEnvironment()
    environment.info = replace(environment.info, activity_type="waiting")
    heartbeats: list[tuple[object, ...]] = []
    environment.on_heartbeat = lambda *details: heartbeats.append(details)
    running = asyncio.create_task(environment.run(wait_forever, "param"))
    await waiting.wait()
    environment.cancel(activity.ActivityCancellationDetails(paused=True))
    assert await running == "done"
    assert heartbeats == [("param", "waiting"), (True,)]


def test_a_cancellation_is_raised_in_the_thread_of_an_activity() -> None:
    began = threading.Event()
    shielded = False

    def wait_forever() -> None:
        nonlocal shielded
        context = copy_context()
        inner = threading.Thread(target=context.run, args=[activity.heartbeat, "from a thread"])
        inner.start()
        inner.join()
        with activity.shield_thread_cancel_exception():
            began.set()
            activity.wait_for_cancelled_sync()
            shielded = True

    environment = ActivityEnvironment()
    heartbeats: list[tuple[object, ...]] = []
    environment.on_heartbeat = lambda *details: heartbeats.append(details)

    def cancel_when_it_began() -> None:
        began.wait()
        environment.cancel()

    threading.Thread(target=cancel_when_it_began).start()
    with pytest.raises(CancelledError):
        environment.run(wait_forever)
    assert shielded
    assert heartbeats == [("from a thread",)]


async def test_an_environment_that_was_cancelled_cancels_what_it_runs() -> None:
    async def wait_forever() -> None:
        await asyncio.Future()

    environment = ActivityEnvironment()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await environment.run(wait_forever)


async def test_a_worker_shutdown_reaches_the_activity() -> None:
    async def wait() -> bool:
        await activity.wait_for_worker_shutdown()
        return activity.is_worker_shutdown()

    environment = ActivityEnvironment()
    running = asyncio.create_task(environment.run(wait))
    await asyncio.sleep(0)
    environment.worker_shutdown()
    assert await running


async def test_only_an_async_activity_reaches_the_client() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        alone = ActivityEnvironment(environment.client)

        async def ask() -> Client:
            return activity.client()

        assert await alone.run(ask) is environment.client
        with pytest.raises(RuntimeError, match="No client available"):
            alone.run(activity.client)
    with pytest.raises(RuntimeError, match="No client available"):
        await ActivityEnvironment().run(ask)
