"""Interceptors of a worker: where they stand, what they may change, and what they are called."""

from __future__ import annotations

import dataclasses
import inspect
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import temporalio.worker

import perdure.worker
from perdure import activity, converter, workflow
from perdure.client import Client, WorkflowHistory
from perdure.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    Interceptor,
    Replayer,
    StartActivityInput,
    StartLocalActivityInput,
    Worker,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

CONVERTER = converter.default().payload_converter
LIMIT = timedelta(seconds=20)


@activity.defn
def in_thread(word: str) -> str:
    """Says where it is."""
    activity.heartbeat("from the thread")
    return f"{word} {activity.info().activity_type}"


@workflow.defn
class Calls:
    """Calls an activity when it is told to."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, word: str) -> str:
        """What the activity says."""
        await workflow.wait_condition(lambda: bool(self.words))
        said = await workflow.execute_activity(in_thread, word, start_to_close_timeout=LIMIT)
        return f"{said} {self.words} {workflow.info().workflow_type}"

    @workflow.signal
    def tell(self, word: str) -> None:
        """On."""
        self.words.append(word)


class Order(Interceptor):
    """Notes when its calls begin and end; another of the kind shows who comes first."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Ordered(next, self)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor]:
        name, seen = self.name, self.seen

        class Ordered(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
                seen.append(f"{name} workflow")
                return await super().execute_workflow(input)

        return Ordered


class _Ordered(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, owner: Order) -> None:  # noqa: A002
        super().__init__(next)
        self._owner = owner

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        super().init(_Reports(outbound, self._owner))

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        self._owner.seen.append(f"{self._owner.name} activity")
        return await super().execute_activity(input)


class _Reports(ActivityOutboundInterceptor):
    def __init__(self, next: ActivityOutboundInterceptor, owner: Order) -> None:  # noqa: A002
        super().__init__(next)
        self._owner = owner

    def info(self) -> activity.Info:
        return dataclasses.replace(super().info(), activity_type=f"{self._owner.name}'s")

    def heartbeat(self, *details: Any) -> None:
        self._owner.seen.append(f"{self._owner.name} heartbeat {details}")
        super().heartbeat(*details)


async def test_interceptors_of_the_client_come_first(client: Client, queue: str) -> None:
    seen: list[str] = []
    config = client.config()
    config["interceptors"] = [_ForBoth("client", seen), perdure.client.Interceptor()]
    async with Worker(
        Client(**config),
        task_queue=queue,
        workflows=[Calls],
        activities=[in_thread],
        interceptors=[Order("worker", seen)],
    ):
        handle = await client.start_workflow(Calls.run, "hi", id=queue, task_queue=queue)
        await handle.signal(Calls.tell, "on")
        # What the code says passes them in the opposite order, so that this one has the last word.
        assert await handle.result() == "hi worker's ['on'] Calls"
    assert seen == [
        "client workflow",
        "worker workflow",
        "client activity",
        "worker activity",
        "worker heartbeat ('from the thread',)",
        "client heartbeat ('from the thread',)",
    ]


class _ForBoth(Order, perdure.client.Interceptor):
    """For the client and for its workers."""


class Changes(Interceptor):
    """Gives other arguments, another function, another signal, another activity."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Replaces(next)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor]:
        return _Changing


class _Replaces(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        assert isinstance(input.executor, Executor)
        with ThreadPoolExecutor(1, "of the interceptor") as executor:
            return await super().execute_activity(
                dataclasses.replace(input, args=["changed"], executor=executor)
            )


class _Changing(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        assert workflow.info().workflow_type == "Calls"
        super().init(_Asks(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        assert (input.type, input.run_fn) == (Calls, Calls.run)
        input.args = [f"{input.args[0]} changed"]
        return f"{await super().execute_workflow(input)}, changed"

    async def handle_signal(self, input: HandleSignalInput) -> None:  # noqa: A002
        input.args = [input.args[0].upper()]
        await super().handle_signal(input)


class _Asks(WorkflowOutboundInterceptor):
    def info(self) -> workflow.Info:
        return dataclasses.replace(super().info(), workflow_type="changed")

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.args = [f"{input.args[0]} asked"]
        return super().start_activity(input)


@workflow.defn
class CallsNearby:
    """Calls a local activity."""

    @workflow.run
    async def run(self) -> str:
        """What the activity says."""
        return await workflow.execute_local_activity(
            in_thread, "near", start_to_close_timeout=LIMIT
        )


class Nearby(Interceptor):
    """Passes a header to local activities."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _ReadsHeader(next)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor]:
        return _SendsNearby


class _ReadsHeader(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        who = CONVERTER.from_payload(input.headers["who"])
        return f"{await super().execute_activity(input)} for {who}"


class _SendsNearby(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_StartsNearby(outbound))


class _StartsNearby(WorkflowOutboundInterceptor):
    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        input.headers = {"who": CONVERTER.to_payload("you")}
        return super().start_local_activity(input)


class Asked(Interceptor):
    """Counts how often it is asked for a class."""

    count = 0

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor] | None:
        self.count += 1
        return None


async def test_interceptors_are_asked_for_their_class_when_the_worker_is_made(
    client: Client, queue: str
) -> None:
    asked = Asked()
    worker = Worker(client, task_queue=queue, workflows=[Calls], interceptors=[asked])
    assert asked.count == 1
    async with worker:
        pass
    assert asked.count == 1
    Worker(client, task_queue=queue, activities=[in_thread], interceptors=[asked])
    assert asked.count == 1, "there are no workflows"


async def test_local_activities_are_intercepted_too(client: Client, queue: str) -> None:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[CallsNearby],
        activities=[in_thread],
        interceptors=[Nearby()],
    ):
        said = await client.execute_workflow(CallsNearby.run, id=queue, task_queue=queue)
    assert said == "near in_thread for you"


@pytest.mark.parametrize("cached", [1000, 0], ids=["in memory", "replayed"])
async def test_what_an_interceptor_changes_is_what_runs(
    client: Client, queue: str, cached: int
) -> None:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Calls],
        activities=[in_thread],
        interceptors=[Changes()],
        max_cached_workflows=cached,
    ):
        handle = await client.start_workflow(Calls.run, "hi", id=queue, task_queue=queue)
        await handle.signal(Calls.tell, "on")
        result = await handle.result()
    # The one that asks "Calls" of the info comes before the one that changes it.
    assert result == "changed in_thread ['ON'] changed, changed"
    history: WorkflowHistory = await handle.fetch_history()
    await Replayer(workflows=[Calls], interceptors=[Changes()]).replay_workflow(history)


CLASSES = (
    "Interceptor",
    "ActivityInboundInterceptor",
    "ActivityOutboundInterceptor",
    "WorkflowInboundInterceptor",
    "WorkflowOutboundInterceptor",
)


@pytest.mark.parametrize("name", [one for one in perdure.worker.__all__ if one.endswith("Input")])
def test_inputs_have_the_fields_of_the_official_ones(name: str) -> None:
    official = {one.name for one in dataclasses.fields(getattr(temporalio.worker, name))}
    assert {one.name for one in dataclasses.fields(getattr(perdure.worker, name))} == official


@pytest.mark.parametrize("name", CLASSES)
def test_interceptors_have_methods_of_the_official_ones(name: str) -> None:
    for method_name, method in inspect.getmembers(
        getattr(perdure.worker, name), inspect.isfunction
    ):
        theirs = getattr(getattr(temporalio.worker, name), method_name)
        assert list(inspect.signature(method).parameters) == list(
            inspect.signature(theirs).parameters
        )
        assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(theirs)
