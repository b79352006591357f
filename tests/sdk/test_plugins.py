"""Plugins: what they change of clients, workers and replayers, and what they run around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

import perdure
import perdure.client
import perdure.worker
from perdure import activity, workflow
from perdure.client import Client, ClientConfig, OutboundInterceptor, WorkflowHistory
from perdure.contrib.pydantic import pydantic_data_converter
from perdure.converter import DataConverter
from perdure.plugin import SimplePlugin
from perdure.runtime import Runtime, TelemetryConfig
from perdure.service import ConnectConfig, ServiceClient
from perdure.testing import WorkflowEnvironment
from perdure.worker import (
    ExecuteWorkflowInput,
    Replayer,
    ReplayerConfig,
    Worker,
    WorkerConfig,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowReplayResult,
)


@activity.defn
async def rest() -> None:
    """Does nothing."""


@workflow.defn
class Hello:
    @workflow.run
    async def run(self, name: str) -> str:
        return f"Hello, {name}!"


class Everywhere(perdure.client.Plugin, perdure.worker.Plugin):
    """Changes everything, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def configure_client(self, config: ClientConfig) -> ClientConfig:
        config["namespace"] = "elsewhere"
        return config

    async def connect_service_client(
        self,
        config: ConnectConfig,
        next: Callable[[ConnectConfig], Awaitable[ServiceClient]],  # noqa: A002
    ) -> ServiceClient:
        config.identity = "plugged"
        return await next(config)

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        config["workflows"] = [*config["workflows"], Hello]
        return config

    async def run_worker(
        self,
        worker: Worker,
        next: Callable[[Worker], Awaitable[None]],  # noqa: A002
    ) -> None:
        self.asked.append("run")
        await next(worker)
        self.asked.append("ran")

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        config["workflows"] = [Hello]
        return config

    @asynccontextmanager
    async def run_replayer(
        self,
        replayer: Replayer,
        histories: AsyncIterator[WorkflowHistory],
        next: Callable[  # noqa: A002
            [Replayer, AsyncIterator[WorkflowHistory]],
            AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]],
        ],
    ) -> AsyncIterator[AsyncIterator[WorkflowReplayResult]]:
        self.asked.append("replay")
        async with next(replayer, histories) as results:
            yield results


@pytest.fixture
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_local(namespace="elsewhere") as found:
        yield found


async def test_a_plugin_of_a_client_reaches_its_workers(environment: WorkflowEnvironment) -> None:
    plugin = Everywhere()
    target = environment.client.service_client.config.target_host
    client = await Client.connect(target, plugins=[plugin])
    assert (client.namespace, client.identity) == ("elsewhere", "plugged")
    assert client.config()["namespace"] == "default"
    assert client.config(active_config=True)["namespace"] == "elsewhere"
    worker = Worker(client, task_queue="tests", activities=[rest])
    assert worker.config()["workflows"] == ()
    assert worker.config(active_config=True)["workflows"] == [Hello]
    async with worker:
        handle = await client.start_workflow(Hello.run, "you", id="hello", task_queue="tests")
        assert await handle.result() == "Hello, you!"
        assert plugin.asked == ["run"]
    assert plugin.asked == ["run", "ran"]
    replayer = Replayer(workflows=[], plugins=[plugin])
    assert (await replayer.replay_workflow(await handle.fetch_history())).replay_failure is None
    assert plugin.asked == ["run", "ran", "replay"]
    assert replayer.config(active_config=True)["workflows"] == [Hello]
    assert plugin.name() == f"{__name__}.Everywhere"


async def test_the_same_plugin_on_both_sides_is_worth_a_warning(
    environment: WorkflowEnvironment,
) -> None:
    config = environment.client.config()
    config["plugins"] = [Everywhere()]
    client = Client(**config)
    other = SimplePlugin("other", workflows=lambda _: [])
    Worker(client, task_queue="tests", activities=[rest], plugins=[other])
    with (
        pytest.warns(UserWarning, match="The same plugin type"),
        pytest.raises(ValueError, match="More than one"),
    ):
        Worker(client, task_queue="tests", activities=[rest], plugins=[Everywhere()])


async def test_a_simple_plugin_adds_replaces_and_computes(
    environment: WorkflowEnvironment,
) -> None:
    def convert(known: DataConverter | None) -> DataConverter:
        assert known == DataConverter.default
        return pydantic_data_converter

    config = environment.client.config()
    config["plugins"] = [SimplePlugin("computes", data_converter=convert)]
    assert Client(**config).data_converter is pydantic_data_converter
    plugin = SimplePlugin(
        "simple",
        data_converter=pydantic_data_converter,
        workflows=[Hello],
        activities=lambda known: [*(known or ()), rest],
        workflow_failure_exception_types=[KeyError],
    )
    worker = Worker(environment.client, task_queue="tests", plugins=[plugin])
    active = worker.config(active_config=True)
    assert (active["workflows"], active["activities"]) == ([Hello], [rest])
    assert active["workflow_failure_exception_types"] == [KeyError]
    replayer = Replayer(workflows=[], plugins=[plugin])
    assert replayer.config(active_config=True)["data_converter"] is pydantic_data_converter
    assert plugin.name() == "simple"


class Counting(perdure.client.Interceptor, perdure.worker.Interceptor):
    """An interceptor of both sides."""

    def __init__(self) -> None:
        self.starts = self.runs = 0

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        counting = self

        class Outbound(OutboundInterceptor):
            async def start_workflow(self, input: Any) -> Any:  # noqa: A002
                counting.starts += 1
                return await super().start_workflow(input)

        return Outbound(next)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor] | None:
        counting = self

        class Inbound(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
                counting.runs += 1
                return await super().execute_workflow(input)

        return Inbound


@pytest.mark.parametrize("on_client", [False, True])
async def test_an_interceptor_of_a_plugin_stands_in_each_chain_once(
    environment: WorkflowEnvironment, on_client: bool
) -> None:
    counting = Counting()
    contexts: list[str] = []

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        contexts.append("in")
        yield
        contexts.append("out")

    plugin = SimplePlugin("counting", interceptors=[counting], run_context=around)
    config = environment.client.config()
    if on_client:
        config["plugins"] = [plugin]
    client = Client(**config)
    plugins = [] if on_client else [plugin]
    async with Worker(client, task_queue="tests", workflows=[Hello], plugins=plugins):
        await client.execute_workflow(Hello.run, "you", id="hello", task_queue="tests")
    assert (counting.starts, counting.runs) == (int(on_client), 1)
    assert contexts == ["in", "out"]
    handle = client.get_workflow_handle("hello")
    replayer = Replayer(workflows=[Hello], plugins=[plugin])
    await replayer.replay_workflow(await handle.fetch_history())
    assert counting.runs == 2
    assert contexts == ["in", "out", "in", "out"]


@pytest.mark.parametrize("patience", [timedelta(), None], ids=["none", "all"])
async def test_what_plugins_do_after_the_worker_is_cancelled_in_the_end(
    patience: timedelta | None,
) -> None:
    ends: list[str] = []
    tidied = asyncio.Event()

    class Tidying(Everywhere):
        async def run_worker(
            self,
            worker: Worker,
            next: Callable[[Worker], Awaitable[None]],  # noqa: A002
        ) -> None:
            await next(worker)
            try:
                if patience is None:
                    asyncio.get_running_loop().call_soon(tidied.set)
                await tidied.wait()
                ends.append("tidied")
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

    async with (
        await WorkflowEnvironment.start_time_skipping() as env,
        Worker(
            env.client,
            task_queue="q",
            plugins=[Tidying()],
            plugin_shutdown_timeout=patience,
        ),
    ):
        result = await env.client.execute_workflow(Hello.run, "you", id="w", task_queue="q")
    assert result == "Hello, you!"
    assert ends == ["tidied" if patience is None else "cancelled"]


@pytest.mark.parametrize("thread", [False, True])
async def test_a_plugin_takes_part_in_an_engine_of_the_program(thread: bool) -> None:
    everywhere = Everywhere()
    runtime = Runtime(telemetry=TelemetryConfig())
    async with perdure.embedded(
        namespace="elsewhere", thread=thread, runtime=runtime, plugins=[everywhere]
    ) as client:
        assert (client.namespace, client.identity) == ("elsewhere", "plugged")
        assert client.service_client.config.runtime is runtime
        async with Worker(client, task_queue="tests", activities=[rest]):
            handle = await client.start_workflow(Hello.run, "you", id="hello", task_queue="tests")
            assert await handle.result() == "Hello, you!"
    assert everywhere.asked == ["run", "ran"]
