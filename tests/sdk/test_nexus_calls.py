"""Nexus calls from end to end, on an engine in this process."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import nexusrpc
import nexusrpc.handler
import pytest
from nexusrpc import Content, HandlerError, HandlerErrorType
from temporalio.api.common.v1 import Payload

import perdure
from perdure import nexus, workflow
from perdure.client import Client, WorkflowFailureError
from perdure.converter import DataConverter, PayloadCodec
from perdure.converter.external_storage import is_reference
from perdure.exceptions import CancelledError, NexusOperationError
from perdure.testing import WorkflowEnvironment
from perdure.worker import (
    ExecuteNexusOperationStartInput,
    Interceptor,
    NexusOperationInboundInterceptor,
    StartNexusOperationInput,
    Worker,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from perdure.worker.nexus_task import InputSerializer
from tests.sdk.storing import LARGE, Memory, storing

ENDPOINT = "calls"


@workflow.defn
class Echoes:
    """What the operation is."""

    @workflow.run
    async def run(self, word: str) -> str:
        """The word."""
        if word == "wait":
            await workflow.wait_condition(lambda: False)
        return word


@nexusrpc.service
class Service:
    """What is called."""

    colour: nexusrpc.Operation[str, str]
    echo: nexusrpc.Operation[str, str]


@nexusrpc.handler.service_handler(service=Service)
class Handler:
    """What answers."""

    @nexusrpc.handler.sync_operation
    async def colour(self, ctx: nexusrpc.handler.StartOperationContext, word: str) -> str:
        """A header, and the word."""
        return f"{word} is {ctx.headers.get('colour')}"

    @nexus.workflow_run_operation
    async def echo(
        self, ctx: nexus.WorkflowRunOperationContext, word: str
    ) -> nexus.WorkflowHandle[str]:
        """A workflow of a known id."""
        return await ctx.start_workflow(Echoes.run, word, id=f"echo-{word[:10]}")


@workflow.defn
class Calls:
    """Calls one operation."""

    @workflow.run
    async def run(self, operation: str, word: str) -> str:
        """Its result."""
        client = workflow.create_nexus_client(service=Service, endpoint=ENDPOINT)
        return await client.execute_operation(operation, word, output_type=str)


class Paints(Interceptor):
    """Adds a header where an operation is called, and changes the input where it is handled."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 -- the mirrored name
    ) -> type[WorkflowInboundInterceptor]:
        return PaintsInbound

    def intercept_nexus_operation(
        self,
        next: NexusOperationInboundInterceptor,  # noqa: A002 -- the mirrored name
    ) -> NexusOperationInboundInterceptor:
        return Louder(next)


class PaintsInbound(WorkflowInboundInterceptor):
    """Puts the other one in."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(PaintsOutbound(outbound))


class PaintsOutbound(WorkflowOutboundInterceptor):
    """Adds the header."""

    async def start_nexus_operation(
        self,
        input: StartNexusOperationInput[Any, Any],  # noqa: A002 -- the mirrored name
    ) -> workflow.NexusOperationHandle[Any]:
        assert (input.endpoint, input.service) == (ENDPOINT, "Service")
        input.headers = {**(input.headers or {}), "colour": f"green ({input.operation_name})"}
        return await super().start_nexus_operation(input)


class Louder(NexusOperationInboundInterceptor):
    """Changes the input."""

    async def execute_nexus_operation_start(self, input: ExecuteNexusOperationStartInput) -> Any:  # noqa: A002
        input.input = input.input.upper()
        return await super().execute_nexus_operation_start(input)


class Hides(PayloadCodec):
    """Nothing can be read that went through it."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            Payload(
                metadata={"encoding": b"hidden"}, data=base64.b64encode(one.SerializeToString())
            )
            for one in payloads
        ]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        assert all(one.metadata["encoding"] == b"hidden" for one in payloads)
        return [Payload.FromString(base64.b64decode(one.data)) for one in payloads]


def _worker(client: Client, **options: Any) -> Worker:
    return Worker(
        client,
        task_queue="calls",
        workflows=[Calls, Echoes],
        nexus_service_handlers=[Handler()],
        **options,
    )


async def _lead(client: Client) -> None:
    await WorkflowEnvironment.from_client(client).create_nexus_endpoint(ENDPOINT, "calls")


async def _call(client: Client, operation: str, word: str, **options: Any) -> str:
    return await client.execute_workflow(
        Calls.run, args=[operation, word], id=f"call-{word[:10]}", task_queue="calls", **options
    )


async def test_interceptors_stand_on_both_sides_of_a_call() -> None:
    async with perdure.embedded() as client:
        await _lead(client)
        async with _worker(client, interceptors=[Paints()]):
            assert await _call(client, "colour", "grass") == "GRASS is green (colour)"


async def test_a_codec_hides_what_goes_to_a_handler_and_comes_back() -> None:
    async with perdure.embedded() as plain:
        converter = replace(DataConverter.default, payload_codec=Hides())
        client = Client(plain.service_client, data_converter=converter)
        await _lead(client)
        async with _worker(client):
            assert await _call(client, "colour", "sky") == "sky is None"
            assert await _call(client, "echo", "hill") == "hill"
        for workflow_id in ("call-sky", "call-hill"):
            history = await client.get_workflow_handle(workflow_id).fetch_history()
            payloads = [
                payload
                for event in history.events
                for payload in (
                    event.nexus_operation_scheduled_event_attributes.input,
                    event.nexus_operation_completed_event_attributes.result,
                )
                if payload.data
            ]
            assert [one.metadata["encoding"] for one in payloads] == [b"hidden", b"hidden"]


async def test_what_is_large_is_kept_elsewhere_on_its_way_to_a_handler_and_back() -> None:
    async with perdure.embedded() as plain:
        driver = Memory()
        converter = replace(storing(driver), payload_codec=Hides())
        client = Client(plain.service_client, data_converter=converter)
        await _lead(client)
        async with _worker(client):
            assert await _call(client, "colour", LARGE) == f"{LARGE} is None"
            assert await _call(client, "echo", LARGE + "y") == LARGE + "y"
        history = await client.get_workflow_handle(f"call-{LARGE[:10]}").fetch_history()
    kept = [
        is_reference(payload)
        for event in history.events
        for payload in (
            event.nexus_operation_scheduled_event_attributes.input,
            event.nexus_operation_completed_event_attributes.result,
        )
        if payload.data
    ]
    assert kept == [True, True]
    assert driver.retrieved


async def test_an_input_that_cannot_be_fetched_may_be_asked_for_again() -> None:
    driver = Memory()
    converter = storing(driver)
    [reference] = await converter.encode([LARGE])
    for reader in (DataConverter.default, converter):
        driver.kept.clear()
        with pytest.raises(HandlerError) as refused:
            await InputSerializer(reference, reader).deserialize(Content({}, b""))
        assert str(refused.value) == (
            "Failed to retrieve Nexus operation input from external storage"
        )
        assert (refused.value.type, refused.value.retryable) == (HandlerErrorType.INTERNAL, True)


async def test_the_cancellation_of_the_caller_reaches_the_operations_workflow() -> None:
    async with perdure.embedded() as client:
        await _lead(client)
        async with _worker(client):
            caller = await client.start_workflow(
                Calls.run, args=["echo", "wait"], id="caller", task_queue="calls"
            )
            callee = client.get_workflow_handle("echo-wait")
            await _until_started(caller)
            await caller.cancel()
            with pytest.raises(WorkflowFailureError) as failed:
                await caller.result()
            with pytest.raises(WorkflowFailureError) as stopped:
                await callee.result()
    assert isinstance(failed.value.cause, CancelledError)
    assert isinstance(stopped.value.cause, CancelledError)


async def _until_started(caller: Any) -> None:
    """Waits for the event that says so."""
    async for event in caller.fetch_history_events(wait_new_event=True):
        if event.HasField("nexus_operation_started_event_attributes"):
            return


async def test_an_operation_that_is_called_twice_by_one_id_fails_once() -> None:
    async with perdure.embedded() as client:
        await _lead(client)
        async with _worker(client):
            await client.start_workflow(Echoes.run, "wait", id="echo-wait", task_queue="calls")
            with pytest.raises(WorkflowFailureError) as failed:
                await _call(client, "echo", "wait")
    assert isinstance(failed.value.cause, NexusOperationError)
    handler_error: Any = failed.value.cause.cause
    assert handler_error.type is nexusrpc.HandlerErrorType.INTERNAL
    assert handler_error.message == "Workflow execution already started"
