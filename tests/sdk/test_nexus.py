"""Rule: callers and handlers of Nexus operations may be of either SDK, and see the same.

The programs are written for the official SDK and loaded for ours with other imports. Each pair of
a caller and a handler runs on the real server, and two pairs on ours; what callers see is compared
with what they see when all three are Temporal's. Each SDK replays the histories that the other has
written. All of it is one test, since what it runs takes long and is run once.
"""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

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

pytestmark = pytest.mark.interop

OURS = load_source(
    Path(__file__).with_name("nexus_programs.py"), "tests.sdk.nexus_programs_of_ours"
)
SDKS: dict[str, tuple[Any, Any, Any]] = {
    "official": (temporalio.client, temporalio.worker, official_programs),
    "ours": (perdure.client, perdure.worker, OURS),
}


class Cast(NamedTuple):
    """Whose the server, the caller and the handler are."""

    server: str
    caller: str
    handler: str


EXPECTED = Cast("real", "official", "official")
OTHERS = (
    Cast("real", "ours", "ours"),
    Cast("real", "ours", "official"),
    Cast("real", "official", "ours"),
    Cast("ours", "official", "official"),
    Cast("ours", "ours", "ours"),
)
NOT_THE_SAME = {("ours", "cancels WAIT_REQUESTED refused")}
"""Our server tells the handler's refusal itself, the real one wraps it in another error."""

TIMEOUT_SECONDS = 60.0
MADE_BY_COMMANDS = {
    EventType.EVENT_TYPE_NEXUS_OPERATION_SCHEDULED,
    EventType.EVENT_TYPE_NEXUS_OPERATION_CANCEL_REQUESTED,
}

Seen = dict[str, tuple[Any, Any]]
"""By what was called: the result of the caller, and its history."""


def test_whosever_callers_and_handlers_are_they_see_the_same() -> None:
    seen: dict[Cast, Seen] = {}
    for target in ("real", "ours"):
        with server(target) as address:
            for cast in (EXPECTED, *OTHERS):
                # One after another: what is seen depends on time limits.
                if cast.server == target:
                    seen[cast] = asyncio.run(_run(address, cast))
    assert [
        (cast, what, seen[cast][what][0], seen[EXPECTED][what][0])
        for cast in OTHERS
        for what in official_programs.CALLS
        if seen[cast][what][0] != seen[EXPECTED][what][0]
        and (cast.server, what) not in NOT_THE_SAME
    ] == []
    assert [
        (cast, what)
        for cast in OTHERS
        for what in official_programs.CALLS
        if _commanded(seen[cast][what]) != _commanded(seen[EXPECTED][what])
    ] == []
    assert asyncio.run(_failed_replays(seen)) == []


def _commanded(called: tuple[Any, Any]) -> list[str]:
    """What the caller's commands became; when other events come depends on the server's speed."""
    events = called[1].events
    return [_plain(event) for event in events if event.event_type in MADE_BY_COMMANDS]


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


async def _failed_replays(seen: dict[Cast, Seen]) -> list[Any]:
    """The histories that the other SDK than the one that wrote them does not replay."""
    readers = {"official": "ours", "ours": "official"}
    failures = []
    for cast, calls in seen.items():
        client, worker, programs = SDKS[readers[cast.caller]]
        replayer = worker.Replayer(
            workflows=[programs.Calls], workflow_runner=worker.UnsandboxedWorkflowRunner()
        )
        for what, (_, history) in calls.items():
            read = client.WorkflowHistory(history.workflow_id, history.events)
            replayed = await replayer.replay_workflow(read, raise_on_replay_failure=False)
            if replayed.replay_failure is not None:
                failures.append((cast, what, replayed.replay_failure))
    return failures


async def _run(address: str, cast: Cast) -> Seen:
    call_client = await _connect(cast.caller, address)
    handle_client = await _connect(cast.handler, address)
    name = uuid.uuid4().hex[:8]
    endpoint, handlers, callers = f"shop-{name}", f"handlers-{name}", f"callers-{name}"
    await _make_endpoint(call_client, endpoint, handlers)
    _, caller_worker, caller_programs = SDKS[cast.caller]
    _, handler_worker, handler_programs = SDKS[cast.handler]
    with ThreadPoolExecutor(100) as threads:
        async with (
            handler_worker.Worker(
                handle_client,
                task_queue=handlers,
                workflows=[handler_programs.Shipping],
                nexus_service_handlers=[handler_programs.ShopHandler()],
                nexus_task_executor=threads,
                workflow_runner=handler_worker.UnsandboxedWorkflowRunner(),
            ),
            caller_worker.Worker(
                call_client,
                task_queue=callers,
                workflows=[caller_programs.Calls],
                workflow_runner=caller_worker.UnsandboxedWorkflowRunner(),
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


async def _call(client: Any, programs: Any, queue: str, endpoint: str, what: str) -> Any:
    handle = await client.start_workflow(
        programs.Calls.run, args=[endpoint, what], id=f"call-{uuid.uuid4().hex}", task_queue=queue
    )
    result = await asyncio.wait_for(handle.result(), TIMEOUT_SECONDS)
    return result, await handle.fetch_history()


# Without a workflow

STANDALONE = (
    "nexusoperation.enableStandalone=true",
    "history.enableChasm=true",
    "history.enableTransitionHistory=true",
    "history.enableCHASMCallbacks=true",
)
"""What the real server has to be told to take operations without a workflow."""


def test_clients_see_and_find_the_same_of_operations_without_a_workflow() -> None:
    seen: dict[tuple[str, str], Any] = {}
    for target in ("real", "ours"):
        with server(target, STANDALONE) as address:
            for sdk, told in asyncio.run(_start_from_both(address)).items():
                seen[target, sdk] = told
    expected = seen["real", "official"]
    assert [(who, told) for who, told in seen.items() if told != expected] == []
    told, (listed, *_) = expected
    assert len(told) > 15
    assert len(listed) == official_programs.OPERATIONS


async def _start_from_both(address: str) -> dict[str, Any]:
    """What clients of each SDK see, whose operations are handled by ours."""
    client = await perdure.client.Client.connect(address)
    seen: dict[str, Any] = {}
    with ThreadPoolExecutor(100) as threads:
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
                told = await programs.without_workflow(caller, endpoint, sdk)
                seen[sdk] = (told, await programs.found(caller, endpoint))
    return seen
