"""Interceptors of a client see every call, may change it, and hand it on."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
import temporalio.client
from temporalio.api.enums.v1 import EventType

import perdure.client
from perdure import converter
from perdure.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    QueryWorkflowInput,
    RPCError,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    StartWorkflowUpdateWithStartInput,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from perdure.common import WorkflowIDConflictPolicy
from perdure.testing import WorkflowEnvironment
from perdure.worker import Worker
from tests.sdk.test_updates import Account, double

CONVERTER = converter.default().payload_converter

NOT_YET = frozenset({"time_skipping_config"})
"""Fields of the official inputs that ours do not have."""


class Tells:
    """An interceptor that notes the name of each call; its own goes first."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        return _Teller(self, next)  # type: ignore[return-value]


class _Teller:
    def __init__(self, owner: Tells, next: OutboundInterceptor) -> None:  # noqa: A002
        self._owner = owner
        self._next = next

    def __getattr__(self, name: str) -> Any:
        self._owner.seen.append(f"{self._owner.name} {name}")
        return getattr(self._next, name)


class Changes(Interceptor):
    """Adds to what is sent."""

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        return _Changer(super().intercept_client(next))


HEADER = {"who": CONVERTER.to_payload("interceptor")}


class _Changer(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        return await super().start_workflow(
            dataclasses.replace(input, memo={"changed": True}, headers=HEADER)
        )

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:  # noqa: A002
        await super().signal_workflow(dataclasses.replace(input, headers=HEADER))

    async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
        return f"{await super().query_workflow(input)} changed"

    async def start_workflow_update(
        self,
        input: StartWorkflowUpdateInput,  # noqa: A002
    ) -> WorkflowUpdateHandle[Any]:
        input.args = [one + 1 for one in input.args]
        input.headers = HEADER
        return await super().start_workflow_update(input)

    async def start_update_with_start_workflow(
        self,
        input: StartWorkflowUpdateWithStartInput,  # noqa: A002
    ) -> WorkflowUpdateHandle[Any]:
        input.start_workflow_input.headers = HEADER
        input.update_workflow_input.headers = HEADER
        return await super().start_update_with_start_workflow(input)


def with_interceptors(client: Client, *interceptors: Any) -> Client:
    config = client.config()
    config["interceptors"] = interceptors
    return Client(**config)


async def test_what_an_interceptor_changes_is_sent(client: Client, queue: str) -> None:
    changing = with_interceptors(client, Changes())
    async with Worker(changing, task_queue=queue, workflows=[Account], activities=[double]):
        handle = await changing.start_workflow(Account.run, id=queue, task_queue=queue)
        assert await handle.execute_update(Account.add, 1) == 2
        total: Any = await handle.query(Account.total)
        assert total == "2 changed"
        operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            Account.run,
            id=queue,
            task_queue=queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        await changing.execute_update_with_start_workflow(
            Account.add, 1, start_workflow_operation=operation
        )
        await handle.signal(Account.close)
        assert await handle.result() == 3
        assert await (await handle.describe()).memo() == {"changed": True}
    headers = []
    for event in (await handle.fetch_history()).events:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                headers.append(event.workflow_execution_started_event_attributes.header)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                headers.append(event.workflow_execution_signaled_event_attributes.header)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                accepted = event.workflow_execution_update_accepted_event_attributes
                headers.append(accepted.accepted_request.input.header)
    assert [dict(one.fields) for one in headers] == [HEADER] * 4


async def test_the_first_interceptor_sees_every_call_first(client: Client, queue: str) -> None:
    seen: list[str] = []
    told = with_interceptors(client, Tells("a", seen), Tells("b", seen))
    handle = await told.start_workflow("Anything", id=queue, task_queue=queue)
    await handle.signal("signal")
    await handle.describe()
    await handle.fetch_history()
    await told.count_workflows()
    assert [run.id async for run in told.list_workflows(f"WorkflowId = '{queue}'")] == [queue]
    await handle.cancel()
    await handle.terminate()
    with pytest.raises(perdure.client.WorkflowFailureError):
        await handle.result()
    with pytest.raises(RPCError):
        await handle.execute_update("update")
    elsewhere = told.get_async_activity_handle(workflow_id=queue, activity_id="1")
    for call in (
        elsewhere.heartbeat(),
        elsewhere.complete(),
        elsewhere.fail(RuntimeError()),
        elsewhere.report_cancellation(),
    ):
        with pytest.raises(RPCError):
            await call
    calls = [
        "start_workflow",
        "signal_workflow",
        "describe_workflow",
        "fetch_workflow_history_events",
        "count_workflows",
        "list_workflows",
        "cancel_workflow",
        "terminate_workflow",
        "fetch_workflow_history_events",
        "start_workflow_update",
        "heartbeat_async_activity",
        "complete_async_activity",
        "fail_async_activity",
        "report_cancellation_async_activity",
    ]
    assert seen == [f"{name} {call}" for call in calls for name in ("a", "b")]


async def test_an_engine_in_the_program_takes_interceptors() -> None:
    seen: list[str] = []
    async with perdure.embedded(interceptors=[Tells("embedded", seen)]) as client:  # type: ignore[list-item]
        await client.count_workflows()
    environment = await WorkflowEnvironment.start_local(
        interceptors=[Tells("tested", seen)]  # type: ignore[list-item]
    )
    async with environment:
        await environment.client.count_workflows()
    assert seen == ["embedded count_workflows", "tested count_workflows"]


def inputs() -> list[str]:
    return [name for name in perdure.client.__all__ if name.endswith("Input")]


@pytest.mark.parametrize("name", inputs())
def test_inputs_have_the_fields_of_the_official_ones(name: str) -> None:
    official = {one.name for one in dataclasses.fields(getattr(temporalio.client, name))}
    ours = {one.name for one in dataclasses.fields(getattr(perdure.client, name))}
    assert ours == official - NOT_YET


def test_interceptors_have_methods_of_the_official_ones() -> None:
    official = temporalio.client.OutboundInterceptor
    for name, method in inspect.getmembers(OutboundInterceptor, inspect.isfunction):
        theirs = getattr(official, name)
        assert list(inspect.signature(method).parameters) == list(
            inspect.signature(theirs).parameters
        )
        assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(theirs)
