"""Rule: callers and handlers of Nexus operations may be of either SDK, and see the same.

The programs are written for the official SDK and loaded for ours with other imports. Each pair of
a caller and a handler runs on the real server; what callers see is compared with what they see
when both are the official SDK's. Each SDK replays the histories that the other has written.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import temporalio.client
import temporalio.worker
from temporalio.api.enums.v1 import EventType
from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest

import perdure.client
import perdure.worker
from tests.interop.servers import server
from tests.interop.stage import silent_runtime
from tests.sdk import nexus_programs as official_programs
from tests.sdk.replay_loader import load_source

OURS = load_source(
    Path(__file__).with_name("nexus_programs.py"), "tests.sdk.nexus_programs_of_ours"
)
SDKS: dict[str, tuple[Any, Any, Any]] = {
    "official": (temporalio.client, temporalio.worker, official_programs),
    "ours": (perdure.client, perdure.worker, OURS),
}
PAIRS = [("official", "official"), ("ours", "ours"), ("ours", "official"), ("official", "ours")]

TIMEOUT_SECONDS = 60.0


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[tuple[str, str], dict[str, Any]]]:
    """What callers saw, and their histories, by the SDKs of caller and handler."""
    with server("real") as address:
        yield asyncio.run(_run_all(address))


async def _run_all(address: str) -> dict[tuple[str, str], dict[str, Any]]:
    # One after another: what is seen depends on time limits.
    return {pair: await _run(address, *pair) for pair in PAIRS}


async def _run(address: str, caller: str, handler: str) -> dict[str, Any]:
    call_client = await _connect(caller, address)
    handle_client = await _connect(handler, address)
    name = uuid.uuid4().hex[:8]
    endpoint, handlers, callers = f"shop-{name}", f"handlers-{name}", f"callers-{name}"
    await _make_endpoint(call_client, endpoint, handlers)
    _, caller_worker, caller_programs = SDKS[caller]
    _, handler_worker, handler_programs = SDKS[handler]
    with ThreadPoolExecutor() as threads:
        async with (
            handler_worker.Worker(
                handle_client,
                task_queue=handlers,
                workflows=[handler_programs.Shipping],
                nexus_service_handlers=[handler_programs.ShopHandler()],
                nexus_task_executor=threads,
                **_unsandboxed(handler_worker),
            ),
            caller_worker.Worker(
                call_client,
                task_queue=callers,
                workflows=[caller_programs.Calls],
                **_unsandboxed(caller_worker),
            ),
        ):
            found = await asyncio.gather(
                *(
                    _call(call_client, caller_programs, callers, endpoint, what)
                    for what in official_programs.CALLS
                )
            )
    return dict(zip(official_programs.CALLS, found, strict=True))


async def _make_endpoint(client: Any, endpoint: str, queue: str) -> None:
    target = EndpointTarget.Worker(namespace="default", task_queue=queue)
    await client.operator_service.create_nexus_endpoint(
        CreateNexusEndpointRequest(
            spec=EndpointSpec(name=endpoint, target=EndpointTarget(worker=target))
        )
    )


async def _connect(sdk: str, address: str) -> Any:
    client, _, _ = SDKS[sdk]
    if sdk == "official":
        return await client.Client.connect(address, runtime=silent_runtime())
    return await client.Client.connect(address)


def _unsandboxed(worker: Any) -> dict[str, Any]:
    return {"workflow_runner": worker.UnsandboxedWorkflowRunner()}


async def _call(client: Any, programs: Any, queue: str, endpoint: str, what: str) -> Any:
    handle = await client.start_workflow(
        programs.Calls.run, args=[endpoint, what], id=f"call-{uuid.uuid4().hex}", task_queue=queue
    )
    result = await asyncio.wait_for(handle.result(), TIMEOUT_SECONDS)
    return result, await handle.fetch_history()


pytestmark = pytest.mark.interop


@pytest.mark.parametrize("what", official_programs.CALLS)
def test_callers_see_the_same_whosever_they_and_the_handlers_are(
    seen: dict[tuple[str, str], dict[str, Any]], what: str
) -> None:
    expected = seen["official", "official"][what][0]
    assert expected
    for pair in PAIRS[1:]:
        assert seen[pair][what][0] == expected, pair


@pytest.mark.parametrize("what", official_programs.CALLS)
def test_callers_write_the_same_events(
    seen: dict[tuple[str, str], dict[str, Any]], what: str
) -> None:
    def events(pair: tuple[str, str]) -> list[str]:
        """Those that commands made; when the others come depends on the server's speed."""
        history = seen[pair][what][1].events
        return [_plain(event) for event in history if event.event_type in MADE_BY_COMMANDS]

    for pair in PAIRS[1:]:
        assert events(pair) == events(PAIRS[0]), pair


MADE_BY_COMMANDS = {
    EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED,
}


def _plain(event: Any) -> str:
    """What the command said, and nothing of this very run."""
    scheduled = event.nexus_operation_scheduled_event_attributes
    told = (
        scheduled.service,
        scheduled.operation,
        scheduled.input.data,
        dict(scheduled.nexus_header),
        scheduled.schedule_to_close_timeout.ToMilliseconds(),
        scheduled.schedule_to_start_timeout.ToMilliseconds(),
        scheduled.start_to_close_timeout.ToMilliseconds(),
        event.user_metadata.summary.data,
    )
    return f"{event.event_type}: {told}"


async def test_each_sdk_replays_what_the_other_wrote(
    seen: dict[tuple[str, str], dict[str, Any]],
) -> None:
    readers = {"official": "ours", "ours": "official"}
    failures = {}
    for pair, calls in seen.items():
        client, worker, programs = SDKS[readers[pair[0]]]
        replayer = worker.Replayer(
            workflows=[programs.Calls], workflow_runner=worker.UnsandboxedWorkflowRunner()
        )
        for what, (_, history) in calls.items():
            read = client.WorkflowHistory(history.workflow_id, history.events)
            replayed = await replayer.replay_workflow(read, raise_on_replay_failure=False)
            failures[pair, what] = replayed.replay_failure
    assert len(failures) == len(PAIRS) * len(official_programs.CALLS)
    assert {key: failure for key, failure in failures.items() if failure} == {}


STANDALONE = (
    "nexusoperation.enableStandalone=true",
    "history.enableChasm=true",
    "history.enableTransitionHistory=true",
    "history.enableCHASMCallbacks=true",
)
"""What the real server has to be told to take operations without a workflow."""


@pytest.fixture(scope="module")
def without_workflow() -> Iterator[dict[str, list[Any]]]:
    """What clients of each SDK see, whose operations are handled by ours."""
    with server("real", STANDALONE) as address:
        yield asyncio.run(_start_from_both(address))


async def _start_from_both(address: str) -> dict[str, list[Any]]:
    client = await perdure.client.Client.connect(address)
    seen: dict[str, list[Any]] = {}
    with ThreadPoolExecutor() as threads:
        async with perdure.worker.Worker(
            client,
            task_queue="handlers",
            workflows=[OURS.Shipping],
            nexus_service_handlers=[OURS.ShopHandler()],
            nexus_task_executor=threads,
        ):
            for sdk, (_, _, programs) in SDKS.items():
                endpoint = f"shop-{sdk}"
                await _make_endpoint(client, endpoint, "handlers")
                caller = await _connect(sdk, address)
                seen[sdk] = await programs.without_workflow(caller, endpoint, sdk)
                seen[f"{sdk} found"] = await programs.found(caller, endpoint)
    return seen


def test_clients_see_the_same_of_operations_without_a_workflow(
    without_workflow: dict[str, list[Any]],
) -> None:
    assert without_workflow["ours"] == without_workflow["official"]
    assert len(without_workflow["ours"]) > 15


def test_clients_find_the_same_operations(without_workflow: dict[str, list[Any]]) -> None:
    assert without_workflow["ours found"] == without_workflow["official found"]
    assert len(without_workflow["ours found"][0]) == official_programs.OPERATIONS
