"""What our client asks of a service is what the official client asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
import temporalio.client
import temporalio.common
import temporalio.service
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryResponse,
    SignalWithStartWorkflowExecutionResponse,
    StartWorkflowExecutionResponse,
    UpdateWorkflowExecutionResponse,
)

import perdure.client
import perdure.common
import perdure.converter
from tests.sdk.recording_service import RecordingService

Program = Callable[[Any, ModuleType, ModuleType], Awaitable[None]]


async def start_with_little(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    await client.start_workflow("Type", id="w", task_queue="q")


async def start_with_everything(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    key = common.SearchAttributeKey
    await client.start_workflow(
        "Type",
        args=[1, None, "three", b"four", {"five": [6]}],
        id="w",
        task_queue="q",
        execution_timeout=timedelta(days=1),
        run_timeout=timedelta(hours=1),
        task_timeout=timedelta(milliseconds=1500),
        id_reuse_policy=common.WorkflowIDReusePolicy.REJECT_DUPLICATE,
        id_conflict_policy=common.WorkflowIDConflictPolicy.USE_EXISTING,
        retry_policy=common.RetryPolicy(
            initial_interval=timedelta(seconds=3),
            maximum_attempts=7,
            non_retryable_error_types=["Fatal"],
        ),
        cron_schedule="0 * * * *",
        memo={"a": 1, "raw": common.RawValue(Payload(data=b"as it is"))},
        search_attributes=common.TypedSearchAttributes(
            [
                common.SearchAttributePair(key.for_keyword("k"), "v"),
                common.SearchAttributePair(key.for_float("f"), 1.5),
                common.SearchAttributePair(key.for_bool("b"), True),
                common.SearchAttributePair(key.for_keyword_list("l"), ["x", "y"]),
                common.SearchAttributePair(key.for_datetime("d"), datetime(2026, 1, 2, tzinfo=UTC)),
            ]
        ),
        static_summary="a summary",
        static_details="some details",
        start_delay=timedelta(0),
        priority=common.Priority(priority_key=2, fairness_key="tenant", fairness_weight=0.5),
        versioning_override=common.PinnedVersioningOverride(
            common.WorkerDeploymentVersion("deployment", "build")
        ),
    )


async def start_with_signal(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    await client.start_workflow(
        "Type",
        None,
        id="w",
        task_queue="q",
        start_signal="go",
        start_signal_args=[1, 2],
        versioning_override=common.AutoUpgradeVersioningOverride(),
    )


async def control_what_was_started(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    handle = await client.start_workflow("Type", id="w", task_queue="q")
    await handle.signal("s", 1)
    await handle.cancel()
    await handle.terminate("detail", reason="because")
    await handle.describe()


async def control_a_run(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    handle = client.get_workflow_handle("w", run_id="r", first_execution_run_id="f")
    await handle.signal("s", args=[1, 2])
    await handle.cancel(reason="enough")
    await handle.terminate()
    await handle.describe()
    await handle.query("q", 1, reject_condition=common.QueryRejectCondition.NOT_OPEN)


async def read_a_history(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    handle = client.get_workflow_handle("w", run_id="r")
    await handle.fetch_history(skip_archival=True)
    async for _ in handle.fetch_history_events(
        page_size=7,
        next_page_token=b"token",
        wait_new_event=True,
        event_filter_type=of_client.WorkflowHistoryEventFilterType.CLOSE_EVENT,
    ):
        pass


async def wait_for_a_result(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    await client.get_workflow_handle("w", run_id="r").result()


async def find_workflows(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    async for _ in client.list_workflows("WorkflowType = 'x'", page_size=3, next_page_token=b"t"):
        pass
    async for _ in client.list_workflows(limit=2):
        pass
    await client.count_workflows("WorkflowType = 'x'")


async def update_a_workflow(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    handle = client.get_workflow_handle("w", run_id="r", first_execution_run_id="f")
    stage = of_client.WorkflowUpdateStage.ACCEPTED
    await handle.start_update("u", 1, wait_for_stage=stage, id="update")


async def complete_by_token(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    await _complete(client.get_async_activity_handle(task_token=b"token"))


async def complete_by_id(client: Any, of_client: ModuleType, common: ModuleType) -> None:
    await _complete(client.get_async_activity_handle(workflow_id="w", run_id="r", activity_id="a"))
    await client.get_async_activity_handle(workflow_id="w", activity_id="a").complete()


async def _complete(handle: Any) -> None:
    await handle.heartbeat(1, "two")
    await handle.complete()
    await handle.complete(None)
    await handle.complete([1])
    await handle.fail(ValueError("wrong"), last_heartbeat_details=[3])
    await handle.report_cancellation("four")


PROGRAMS: list[Program] = [
    start_with_little,
    start_with_everything,
    start_with_signal,
    control_what_was_started,
    control_a_run,
    read_a_history,
    wait_for_a_result,
    find_workflows,
    update_a_workflow,
    complete_by_token,
    complete_by_id,
]


def _answers() -> dict[str, Any]:
    completed = HistoryEvent(event_id=1, event_type=2)  # type: ignore[arg-type]
    completed.workflow_execution_completed_event_attributes.SetInParent()
    return {
        "StartWorkflowExecution": StartWorkflowExecutionResponse(
            run_id="run", first_execution_run_id="first", started=True
        ),
        "SignalWithStartWorkflowExecution": SignalWithStartWorkflowExecutionResponse(run_id="run"),
        "GetWorkflowExecutionHistory": GetWorkflowExecutionHistoryResponse(
            history=History(events=[completed])
        ),
        "UpdateWorkflowExecution": UpdateWorkflowExecutionResponse(stage=2),  # type: ignore[arg-type]
    }


async def _asked_by_the_official_client(program: Program) -> list[tuple[str, Message]]:
    service = RecordingService(_answers())
    async with service.over_grpc() as address:
        client = await temporalio.client.Client.connect(address, identity="me", namespace="ns")
        await program(client, temporalio.client, temporalio.common)
    return service.requests


async def _asked_by_ours(program: Program) -> list[tuple[str, Message]]:
    service = RecordingService(_answers())
    async with service.over_grpc() as address:
        client = await perdure.client.Client.connect(address, identity="me", namespace="ns")
        try:
            await program(client, perdure.client, perdure.common)
        finally:
            await client.service_client.close()
    return service.requests


def _comparable(requests: list[tuple[str, Any]]) -> list[tuple[str, Message]]:
    for _, request in requests:
        if hasattr(request, "request_id"):
            assert request.request_id, "a request without an id is not the same when tried again"
            request.request_id = "id"
    return requests


@pytest.mark.interop
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
async def test_both_clients_ask_the_same_of_a_service(program: Program) -> None:
    official = _comparable(await _asked_by_the_official_client(program))
    ours = _comparable(await _asked_by_ours(program))
    assert len(official) > 1, "the program asked nothing"
    assert ours == official


async def test_the_clients_headers_name_the_namespace_and_carry_the_callers_own() -> None:
    service = RecordingService(_answers())
    client = perdure.client.Client._over(service.in_process(), namespace="ns")
    client.rpc_metadata = {"Of-All": "calls", "shadowed": "no"}
    client.api_key = "secret"
    await client.start_workflow(
        "Type", id="w", task_queue="q", rpc_metadata={"shadowed": "yes", "Of-One": "call"}
    )
    headers = service.headers[0]
    assert {name: headers.header(name) for name in ("of-all", "of-one", "shadowed")} == {
        "of-all": "calls",
        "of-one": "call",
        "shadowed": "yes",
    }
    assert headers.header("temporal-namespace") == "ns"
    assert headers.header("authorization") == "Bearer secret"


async def test_a_handle_knows_the_run_it_was_started_with() -> None:
    service = RecordingService(_answers())
    client = perdure.client.Client._over(service.in_process())
    handle = await client.start_workflow("Type", id="w", task_queue="q")
    assert handle.id == "w"
    assert handle.run_id is None
    assert handle.result_run_id == "run"
    assert handle.first_execution_run_id == "first"


async def test_one_argument_and_several_at_once_are_refused() -> None:
    client = perdure.client.Client._over(RecordingService().in_process())
    with pytest.raises(ValueError, match="arg and args"):
        await client.start_workflow("Type", 1, args=[2], id="w", task_queue="q")


def test_an_activity_is_named_by_its_token_or_by_its_id() -> None:
    client = perdure.client.Client._over(RecordingService().in_process())
    with pytest.raises(ValueError, match="Task token"):
        client.get_async_activity_handle(task_token=b"t", activity_id="a")
    with pytest.raises(ValueError, match="must be present"):
        client.get_async_activity_handle(workflow_id="w")


class Contextual(
    perdure.converter.DefaultPayloadConverter, perdure.converter.WithSerializationContext
):
    """Another one in every context."""

    def with_context(self, context: perdure.converter.SerializationContext) -> Contextual:
        """A new one."""
        return Contextual()


class Handle(perdure.client.AsyncActivityHandle):
    """A handle with more to it."""


class HandleWithConstructor(perdure.client.AsyncActivityHandle):
    """A handle that only itself can make."""

    def __init__(self, client: perdure.client.Client, name: str) -> None:
        super().__init__(client, b"token")
        self.name = name


def test_a_handle_in_a_context_is_of_the_same_class_or_refused() -> None:
    context = perdure.converter.WorkflowSerializationContext("default", "w")
    config = perdure.client.Client._over(RecordingService().in_process()).config()
    plain = HandleWithConstructor(perdure.client.Client(**config), "mine")
    assert plain.with_context(context) is plain
    config["data_converter"] = perdure.converter.DataConverter(payload_converter_class=Contextual)
    client = perdure.client.Client(**config)
    handle = Handle(client, b"token")
    told = handle.with_context(context)
    assert isinstance(told, Handle)
    assert told is not handle
    with pytest.raises(TypeError, match="must override with_context"):
        HandleWithConstructor(client, "mine").with_context(context)


async def test_an_activity_that_makes_no_sense_is_refused_before_anything_is_sent() -> None:
    service = RecordingService()
    client = perdure.client.Client._over(service.in_process())
    with pytest.raises(ValueError, match="start_to_close_timeout or schedule_to_close_timeout"):
        await client.start_activity("Type", id="a", task_queue="q")
    with pytest.raises(ValueError, match="start_delay must be non-negative"):
        await client.start_activity(
            "Type",
            id="a",
            task_queue="q",
            start_to_close_timeout=timedelta(seconds=1),
            start_delay=timedelta(seconds=-1),
        )
    assert service.named("StartActivityExecution") == []
