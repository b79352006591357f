"""What a worker and a client are told besides what they run."""

from __future__ import annotations

import asyncio
import threading
import typing
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Self

import pytest
from pydantic import BaseModel
from temporalio.api.enums.v1 import EventType
from temporalio.worker import workflow_sandbox as official_sandbox

from perdure import activity, workflow
from perdure.client import WorkflowFailureError
from perdure.common import RawValue, RetryPolicy
from perdure.contrib.pydantic import (
    PydanticPayloadConverter,
    ToJsonOptions,
    pydantic_data_converter,
)
from perdure.exceptions import ApplicationError, ServerError
from perdure.runtime import Runtime, TelemetryConfig
from perdure.testing import WorkflowEnvironment
from perdure.worker import Worker
from perdure.worker.workflow_sandbox import (
    RestrictedWorkflowAccessError,
    SandboxedWorkflowRunner,
    SandboxMatcher,
    SandboxRestrictions,
)


class Point(BaseModel):
    x: int
    y: int = 2


@activity.defn
def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Ticking:
    @workflow.run
    async def run(self) -> None:
        while True:
            await workflow.sleep(0.01)


@workflow.defn
class Old:
    """Its dynamic handlers take their arguments the old way."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    @workflow.run
    async def run(self) -> list[Any]:
        await workflow.wait_condition(lambda: len(self.told) == 2)
        return self.told

    with pytest.warns(DeprecationWarning, match="Dynamic signals with vararg"):

        @workflow.signal(dynamic=True)
        def rest(self, name: str, *args: Any) -> None:
            self.told.append([name, *args])


async def test_dynamic_handlers_may_take_their_arguments_the_old_way() -> None:
    async with (
        await WorkflowEnvironment.start_local() as environment,
        Worker(environment.client, task_queue="tests", workflows=[Old]),
    ):
        handle = await environment.client.start_workflow(Old.run, id="old", task_queue="tests")
        await handle.signal("first", args=[1, "two"])
        await handle.signal("second")
        assert await handle.result() == [["first", 1, "two"], ["second"]]
    with pytest.raises(RuntimeError, match="Dynamic updates do not support"):
        workflow.update(dynamic=True)(lambda self, name, *args: None)


@workflow.defn
class Typed:
    """Its dynamic handler names its arguments as Python did before 3.9."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: bool(self.told))
        return self.told

    @workflow.signal(dynamic=True)
    def rest(self, name: str, args: typing.Sequence[RawValue]) -> None:
        self.told += [name, *(workflow.payload_converter().from_payload(a.payload) for a in args)]


async def test_a_sequence_of_raw_values_has_two_names() -> None:
    async with (
        await WorkflowEnvironment.start_local() as environment,
        Worker(environment.client, task_queue="tests", workflows=[Typed]),
    ):
        handle = await environment.client.start_workflow(Typed.run, id="typed", task_queue="tests")
        await handle.signal("first", args=["one", "two"])
        assert await handle.result() == ["first", "one", "two"]


@activity.defn
class Prefix:
    """Its objects are activities."""

    def __init__(self, prefix: str, *, times: int) -> None:
        self.prefix = prefix * times

    async def __call__(self, point: Point) -> str:
        return f"{self.prefix}{point.x}"


@workflow.defn
class CallsAnObject:
    @workflow.run
    async def run(self: Self, point: Point) -> str:  # type: ignore[redundant-self]
        return str(
            await workflow.execute_activity_class(
                Prefix, point, start_to_close_timeout=timedelta(seconds=5)
            )
        )


async def test_the_objects_of_a_class_can_be_activities() -> None:
    async with (
        await WorkflowEnvironment.start_local() as environment,
        Worker(
            environment.client,
            task_queue="tests",
            workflows=[CallsAnObject],
            activities=[Prefix(">", times=2)],
        ),
    ):
        result = await environment.client.execute_workflow(
            CallsAnObject.run, Point(x=7), id="calls", task_queue="tests"
        )
    assert result == ">>7"


async def test_a_worker_can_be_given_another_client() -> None:
    async with (
        await WorkflowEnvironment.start_local() as one,
        await WorkflowEnvironment.start_local() as other,
        Worker(
            one.client,
            task_queue="tests",
            workflows=[Ticking],
            max_cached_workflows=0,
            max_concurrent_workflow_task_polls=1,
        ) as worker,
    ):
        for environment in (one, other):
            await environment.client.start_workflow(
                Ticking.run, id="ticking", task_queue="tests", task_timeout=timedelta(seconds=1)
            )
        worker.client = other.client
        assert worker.client is other.client
        handle = other.client.get_workflow_handle("ticking")
        events = handle.fetch_history_events(wait_new_event=True)
        async with asyncio.timeout(10):
            while (await anext(events)).event_type != EventType.EVENT_TYPE_TIMER_FIRED:
                """It has not been worked on yet."""


async def test_another_client_must_be_of_the_same_runtime() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        worker = Worker(environment.client, task_queue="tests", workflows=[Ticking])
        runtime = Runtime(telemetry=TelemetryConfig())
        other = await environment.connect_client(runtime=runtime)
        with pytest.raises(ValueError, match="not on the same runtime"):
            worker.client = other


async def test_a_client_may_be_used_on_several_loops() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        client = await environment.connect_client()
        await client.count_workflows()
        counts: list[int] = []

        async def count() -> None:
            counts.append((await client.count_workflows()).count)

        thread = threading.Thread(target=lambda: asyncio.run(count()))
        thread.start()
        await asyncio.to_thread(thread.join)
        await count()
    assert counts == [0, 0]


async def test_few_threads_for_many_activities_are_worth_a_warning() -> None:
    async with await WorkflowEnvironment.start_local() as environment:
        with (
            ThreadPoolExecutor(2) as threads,
            pytest.warns(UserWarning, match="is 100 but activity_executor's max_workers is only 2"),
        ):
            Worker(
                environment.client,
                task_queue="tests",
                activities=[greet],
                activity_executor=threads,
            )
        with pytest.raises(RuntimeError, match="does not have a service definition"):
            Worker(
                environment.client,
                task_queue="tests",
                workflows=[Ticking],
                nexus_service_handlers=[object()],
            )


@activity.defn
async def make_large() -> str:
    return "x" * 2000


@workflow.defn
class Large:
    @workflow.run
    async def run(self) -> int:
        made = await workflow.execute_activity(
            make_large,
            start_to_close_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
        return len(made)


@pytest.mark.parametrize("disable", [False, True])
async def test_who_refuses_large_values_can_be_chosen(disable: bool) -> None:
    async with (
        await WorkflowEnvironment.start_local(
            dev_server_extra_args=["--dynamic-config-value=limit.blobSize.error=1000"]
        ) as environment,
        Worker(
            environment.client,
            task_queue="tests",
            workflows=[Large],
            activities=[make_large],
            disable_payload_error_limit=disable,
        ),
    ):
        with pytest.raises(WorkflowFailureError) as caught:
            await environment.client.execute_workflow(Large.run, id="large", task_queue="tests")
    refused = caught.value.__cause__
    assert refused is not None
    assert isinstance(refused.__cause__, ServerError if disable else ApplicationError)


def test_what_is_said_to_the_sandbox_is_kept() -> None:
    inner = SandboxMatcher(use={"read"})
    matcher = SandboxMatcher(children={"files": inner}) | SandboxMatcher(children={"net": inner})
    assert matcher.child_matcher("files") == inner
    assert matcher.child_matcher("files", "read") is None
    assert matcher.with_child_unrestricted("files", "read").child_matcher("files") == (
        SandboxMatcher()
    )
    assert matcher.with_child_unrestricted("files").child_matcher("files") is None
    restrictions = SandboxRestrictions.default.with_passthrough_modules("one", "two")
    runner = SandboxedWorkflowRunner(restrictions=restrictions.with_passthrough_all_modules())
    assert runner.guarded
    assert runner.restrictions.passthrough_modules >= {"one", "two", "asyncio"}
    assert runner.restrictions.passthrough_all_modules
    assert RestrictedWorkflowAccessError is workflow.NondeterministicCallError


def test_what_is_refused_is_told_to_those_who_take_something_out() -> None:
    refused = SandboxRestrictions.invalid_module_members_default
    theirs = official_sandbox.SandboxRestrictions.invalid_module_members_default
    ours = refused.children
    assert ours.keys() <= theirs.children.keys()
    assert {"datetime", "random", "time", "uuid"} <= ours.keys()
    assert refused.with_child_unrestricted("datetime").child_matcher("datetime") is None
    assert SandboxRestrictions.default.invalid_module_members == refused


async def test_pydantic_converts_both_ways() -> None:
    converter = pydantic_data_converter.payload_converter
    [payload] = converter.to_payloads([[Point(x=1)]])
    assert payload.metadata["encoding"] == b"json/plain"
    assert payload.data == b'[{"x":1,"y":2}]'
    assert converter.from_payloads([payload], [list[Point]]) == [[Point(x=1)]]
    assert converter.from_payloads([payload]) == [[{"x": 1, "y": 2}]]
    short = PydanticPayloadConverter(ToJsonOptions(exclude_unset=True), max_cached_type_adapters=0)
    [payload] = short.to_payloads([Point(x=1)])
    assert payload.data == b'{"x":1}'
    assert short.from_payloads([payload], [Point]) == [Point(x=1)]
    assert short.from_payloads(short.to_payloads([b"bytes", None])) == [b"bytes", None]
