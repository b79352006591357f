"""Nexus operations as the official SDK calls and handles them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import nexusrpc
import nexusrpc.handler
from temporalio import nexus, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest
from temporalio.exceptions import ApplicationError, NexusOperationError
from temporalio.workflow import NexusOperationCancellationType

from tests.interop.stage import Stage

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
CANCELED = EventType.EVENT_TYPE_NEXUS_OPERATION_CANCELED
STARTED = EventType.EVENT_TYPE_NEXUS_OPERATION_STARTED
CANCEL_KNOWN = EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED


@nexusrpc.service
class Desk:
    """What the handler does for callers."""

    greet: nexusrpc.Operation[str, str]
    fail: nexusrpc.Operation[str, str]
    serve: nexusrpc.Operation[str, str]


@workflow.defn(name="Served")
class Served:
    """The workflow behind an operation."""

    def __init__(self) -> None:
        self._goes_on = False

    @workflow.run
    async def run(self, how: str) -> str:
        """Says how, when it may go on."""
        try:
            await workflow.wait_condition(lambda: self._goes_on)
        except asyncio.CancelledError:
            await workflow.wait_condition(lambda: self._goes_on)
            raise
        if how == "fail":
            raise ApplicationError("served badly", "detail", type="Bad", non_retryable=True)
        return f"served {how}"

    @workflow.signal
    def go_on(self) -> None:
        """It may."""
        self._goes_on = True


@nexusrpc.handler.service_handler(service=Desk)
class DeskHandler:
    """Its handler."""

    @nexusrpc.handler.sync_operation
    async def greet(self, ctx: nexusrpc.handler.StartOperationContext, name: str) -> str:
        """At once."""
        return f"hello {name}"

    @nexusrpc.handler.sync_operation
    async def fail(self, ctx: nexusrpc.handler.StartOperationContext, how: str) -> str:
        """Never returns."""
        match how:
            case "application":
                raise ApplicationError("no way", "detail", type="T", non_retryable=True)
            case "failed" | "canceled":
                state = nexusrpc.OperationErrorState(how)
                raise nexusrpc.OperationError("so it ends", state=state)
            case _:
                kind = nexusrpc.HandlerErrorType[how]
                raise nexusrpc.HandlerError("cannot", type=kind, retryable_override=False)

    @nexus.workflow_run_operation
    async def serve(
        self, ctx: nexus.WorkflowRunOperationContext, given: str
    ) -> nexus.WorkflowHandle[str]:
        """By a workflow."""
        workflow_id, how = given.split("|")
        return await ctx.start_workflow(Served.run, how, id=workflow_id)


@workflow.defn(name="Calls")
class Calls:
    """Calls one operation, and says what came of it."""

    @workflow.run
    async def run(self, endpoint: str, operation: str, given: str, close_seconds: float) -> str:
        """The result, or the chain of errors."""
        client = workflow.create_nexus_client(service=Desk, endpoint=endpoint)
        timeout = timedelta(seconds=close_seconds) if close_seconds else None
        try:
            result = await client.execute_operation(
                operation, given, output_type=str, schedule_to_close_timeout=timeout
            )
        except NexusOperationError as error:
            return _chain(error)
        return str(result)


@workflow.defn(name="Cancels")
class Cancels:
    """Cancels an operation as soon as it is started, in one of the four ways."""

    def __init__(self) -> None:
        self._is_over = False

    @workflow.run
    async def run(self, endpoint: str, given: str, how: str) -> str:
        """What came of it, once nobody has anything to hear any more."""
        client = workflow.create_nexus_client(service=Desk, endpoint=endpoint)
        handle: Any = await client.start_operation(
            Desk.serve, given, cancellation_type=NexusOperationCancellationType[how]
        )
        handle.cancel()
        try:
            result = str(await handle)
        except NexusOperationError as error:
            result = _chain(error)
        await workflow.wait_condition(lambda: self._is_over)
        return result

    @workflow.signal
    def end(self) -> None:
        """Nobody has."""
        self._is_over = True


def _chain(error: BaseException | None) -> str:
    names = []
    while error is not None:
        names.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return " < ".join(names)


async def _endpoint(stage: Stage) -> str:
    """An endpoint that leads to the queue "handlers"."""
    name = f"{stage.program}-{stage.nonce}".replace("_", "-")
    worker = EndpointTarget.Worker(namespace=stage.namespace, task_queue=stage.queue("handlers"))
    await stage.client.operator_service.create_nexus_endpoint(
        CreateNexusEndpointRequest(
            spec=EndpointSpec(name=name, target=EndpointTarget(worker=worker))
        )
    )
    return name


async def _history(stage: Stage, label: str, handle: Any) -> None:
    """Keeps it, but for tokens: what is in them is their maker's own affair."""
    for event in await stage.fetch(handle):
        if token := event.nexus_operation_started_event_attributes.operation_token:
            stage.hide(token)
        for callback in event.workflow_execution_started_event_attributes.completion_callbacks:
            for name in ("nexus-operation-token", "temporal-callback-token"):
                stage.hide(callback.nexus.header[name])
    await stage.history(label, handle)


async def nexus_calls(stage: Stage) -> None:
    """Operations that end well or badly, at once or by a workflow."""
    endpoint = await _endpoint(stage)
    failures = ("application", "failed", "canceled", "BAD_REQUEST", "NOT_FOUND", "INTERNAL")
    served = {how: stage.workflow_id(f"served {how}") for how in ("well", "fail")}
    calls = {
        "at once": ("greet", "you", 0.0),
        **{how: ("fail", how, 0.0) for how in failures},
        "by a workflow": ("serve", f"{served['well']}|well", 30.0),
        "by a workflow that fails": ("serve", f"{served['fail']}|fail", 0.0),
        "no such operation": ("dance", "you", 0.0),
    }
    async with (
        stage.worker([Calls]),
        stage.worker([Served], nexus_service_handlers=[DeskHandler()], queue="handlers"),
    ):
        for label, (operation, given, seconds) in calls.items():
            handle = await stage.start(Calls.run, endpoint, operation, given, seconds, name=label)
            if operation == "serve":
                # Else the end might come while the caller still hears of the beginning.
                await stage.event(handle, TASK_COMPLETED, 2)
                callee = stage.client.get_workflow_handle(given.partition("|")[0])
                await stage.event(callee, TASK_COMPLETED)
                await callee.signal("go_on")
            stage.observe(f"{label}: result", stage.text(await handle.result()))
            await _history(stage, label, handle)
        for how, workflow_id in served.items():
            await _history(stage, f"served {how}", stage.client.get_workflow_handle(workflow_id))
        unknown = await stage.start(Calls.run, "nowhere", "greet", "you", 0.0, name="nowhere")
        failed = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        events = await stage.event(unknown, failed)
        stage.message("nowhere", next(one for one in events if one.event_type == failed))


async def nexus_cancels(stage: Stage) -> None:
    """All four ways to cancel an operation."""
    endpoint = await _endpoint(stage)
    async with (
        stage.worker([Cancels]),
        stage.worker([Served], nexus_service_handlers=[DeskHandler()], queue="handlers"),
    ):
        for how in NexusOperationCancellationType.__members__:
            served = stage.workflow_id(f"served {how}")
            handle = await stage.start(Cancels.run, endpoint, f"{served}|wait", how, name=how)
            callee = stage.client.get_workflow_handle(served)
            await stage.event(handle, STARTED)
            await stage.event(callee, TASK_COMPLETED)
            await stage.event(handle, TASK_COMPLETED, 2)
            if how == "ABANDON":
                await callee.cancel()
            else:
                await stage.event(handle, CANCEL_KNOWN)
                await stage.event(handle, TASK_COMPLETED, 3)
            await stage.event(callee, TASK_COMPLETED, 2)
            await callee.signal("go_on")
            await stage.event(handle, CANCELED)
            await stage.event(handle, TASK_COMPLETED, 3 if how == "ABANDON" else 4)
            await handle.signal("end")
            stage.observe(f"{how}: result", stage.text(await handle.result()))
            await _history(stage, how, handle)
            await stage.closed(callee)
            await _history(stage, f"{how}: callee", callee)
