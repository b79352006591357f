"""Rule: workflows of either SDK signal others with start in the same way, and see the same."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import temporalio.client
import temporalio.converter
import temporalio.worker
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import SignalWithStartWorkflowExecutionRequest

import perdure.client
import perdure.converter
import perdure.worker
from perdure import workflow
from perdure.nexus.system import TEMPORAL_SYSTEM_ENDPOINT, is_system_endpoint
from tests.interop.servers import server
from tests.interop.stage import silent_runtime
from tests.sdk import system_programs as official_programs
from tests.sdk.replay_loader import load_source

OURS = load_source(
    Path(__file__).with_name("system_programs.py"), "tests.sdk.system_programs_of_ours"
)
SDKS: dict[str, tuple[Any, Any, Any, Any]] = {
    "official": (
        temporalio.client,
        temporalio.worker,
        temporalio.converter,
        official_programs,
    ),
    "ours": (perdure.client, perdure.worker, perdure.converter, OURS),
}
SWITCH = ("history.enableSignalWithStartFromWorkflow=true",)
SCHEDULED = EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED


@pytest.mark.interop
def test_both_ask_for_the_same_and_see_the_same() -> None:
    seen: dict[tuple[str, str], Any] = {}
    for target, sdks in (("real", ("official", "ours")), ("ours", ("official", "ours"))):
        with server(target, SWITCH) as address:
            for sdk in sdks:
                seen[target, sdk] = asyncio.run(_run(address, sdk))
    expected = seen["real", "official"]
    assert [(who, told) for who, told in seen.items() if told != expected] == []
    assert expected["plain"][0] == [True, True]
    assert "already finished" in expected["refused"][0][1]


async def _run(address: str, sdk: str) -> dict[str, Any]:
    """The results and requests of a caller, by what it does."""
    clients, workers, converters, programs = SDKS[sdk]
    converter = dataclasses.replace(
        converters.DataConverter.default, payload_codec=programs.Hiding()
    )
    runtime = {"runtime": silent_runtime()} if sdk == "official" else {}
    client = await clients.Client.connect(address, data_converter=converter, **runtime)
    async with workers.Worker(
        client,
        task_queue=sdk,
        workflows=[programs.Target, programs.Caller],
        workflow_runner=workers.UnsandboxedWorkflowRunner(),
    ):
        seen: dict[str, Any] = {}
        for label, how, name in (
            ("plain", "plain", "one"),
            ("several", "several", "two"),
            ("all", "all", "three"),
            ("refused", "all", "one"),
        ):
            target = f"{sdk}-{name}"
            caller = await client.start_workflow(
                programs.Caller.run, args=[how, target, sdk], id=f"{sdk}-{label}", task_queue=sdk
            )
            result = await caller.result()
            ended = await client.get_workflow_handle(target).result()
            seen[label] = (result, ended, _asked((await caller.fetch_history()).events, sdk))
        return seen


def _asked(events: Any, sdk: str) -> Any:
    """What was sent to the server, with the values in it as they are stored."""
    (event,) = [event for event in events if event.event_type == SCHEDULED]
    attributes = event.nexus_operation_scheduled_event_attributes
    payload = attributes.input
    request = SignalWithStartWorkflowExecutionRequest.FromString(payload.data)
    assert request.input.payloads[0].metadata["encoding"] == official_programs.ENCODING
    for hidden in (*request.input.payloads, *request.signal_input.payloads):
        hidden.CopyFrom(Payload.FromString(hidden.data))
    for name in ("workflow_id", "task_queue"):
        request.ClearField(name)
    memo, metadata = request.memo.fields, request.user_metadata
    assert all(one.metadata["encoding"] == official_programs.ENCODING for one in memo.values())
    for kept in (*memo.values(), metadata.summary, metadata.details):
        kept.ClearField("data")
    names = (attributes.endpoint, attributes.service, attributes.operation)
    return names, dict(payload.metadata), MessageToDict(request)


def test_arguments_are_given_in_one_way() -> None:
    with pytest.raises(ValueError, match="Cannot have positional_args and args"):
        asyncio.run(
            workflow.signal_with_start_workflow(
                "W", 1, args=[2], id="x", task_queue="q", signal="s"
            )
        )


def test_the_servers_own_endpoint_has_a_name() -> None:
    assert is_system_endpoint(TEMPORAL_SYSTEM_ENDPOINT)
    assert not is_system_endpoint("payments")
